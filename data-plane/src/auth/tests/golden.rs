//! Tokens that are good.

use super::*;

#[test]
fn tokens_of_another_implementation_are_understood() {
    let golden: Value = serde_json::from_str(include_str!("../testdata/golden.json")).unwrap();
    let verifier = Verifier::new(golden["secret"].as_str().unwrap().as_bytes());
    verifier.believe(KeySet::read(golden["set"].to_string().as_bytes()).unwrap());
    let tokens = golden["tokens"].as_object().unwrap();
    assert_eq!(tokens.len(), 4);
    for (algorithm, token) in tokens {
        let token = token.as_str().unwrap();
        let identity = verifier.verify(token, NOW).unwrap();
        assert_eq!(identity.user.to_string(), format!("user-{algorithm}"));
        let (vase, other) = ("vase".parse().unwrap(), "other".parse().unwrap());
        assert!(identity.may_bid(&vase) && identity.may_view(&other) && !identity.may_bid(&other));
        assert!(!identity.is_guest() && !identity.may_conduct(&vase));
        let pass = identity.pass.unwrap();
        assert_eq!(pass.token_id, Some(format!("golden-{algorithm}")));
        assert_eq!(pass.expires_at, Timestamp::new(1_800_000_600_000));
        assert_eq!(pass.issued_at, Some(Timestamp::new(1_799_999_990_000)));
        // The same token, once its time is over.
        assert_eq!(verifier.check(token, Timestamp::new(1_800_000_606_000)), Err(Refusal::Expired));
    }
}

#[test]
fn every_kind_of_key_signs_for_its_user() {
    let world = World::new();
    for key in world.keys() {
        assert_eq!(world.user(&key.sign(&claims(&json!({})))), Ok("ann".to_owned()), "{key:?}");
    }
}

#[test]
fn what_is_only_nearly_wrong_is_good() {
    let world = World::new();
    let long = "j".repeat(64);
    for (name, changes) in [
        ("expired within the leeway", json!({"exp": NOW_SECONDS - 4})),
        ("begins within the leeway", json!({"nbf": NOW_SECONDS + 5})),
        ("issued by a clock ahead", json!({"iat": NOW_SECONDS + 5})),
        ("a fraction of a second", json!({"exp": f64::from(2_000_000_000) + 0.75})),
        ("one of several audiences", json!({"aud": ["other", "gavel"]})),
        ("no id", json!({"jti": null})),
        ("a long id", json!({"jti": long})),
        ("no dates but its end", json!({"nbf": null, "iat": null})),
        ("no grants", json!({"grants": null})),
        ("an unknown grant", json!({"grants": {"vase": ["paint", "view"]}})),
        ("what is not looked at", json!({"email": ["a", {"b": 1}], "nonce": 1})),
    ] {
        let token = world.hs.sign(&claims(&changes));
        assert_eq!(world.user(&token), Ok("ann".to_owned()), "{name}");
    }
}

#[test]
fn what_is_not_looked_at_may_be_as_deep_as_a_token_is_long() {
    let world = World::new();
    let deep = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    let good = claims(&json!({})).to_string();
    let said = format!(r#"{},"deep":{deep}}}"#, good.strip_suffix('}').unwrap());
    let token = world.hs.sign_text(&world.hs.header().to_string(), said.as_bytes());
    assert_eq!(world.user(&token), Ok("ann".to_owned()));
}

#[test]
fn nobody_asks_for_an_issuer_or_an_audience_that_is_not_set() {
    let verifier = verifier("", "");
    let key = TokenKey::hs256(SECRET);
    for changes in [json!({"iss": null, "aud": null}), json!({"iss": "any", "aud": ["any"]})] {
        assert!(verifier.verify(&key.sign(&claims(&changes)), NOW).is_ok(), "{changes}");
    }
}

#[test]
fn a_token_without_the_name_of_a_key_gets_the_only_one_that_it_can_mean() {
    let (one, other) = (TokenKey::eddsa("one"), TokenKey::es256("other"));
    let unnamed = |key: &TokenKey| {
        let header = json!({"alg": key.algorithm()}).to_string();
        key.sign_text(&header, claims(&json!({})).to_string().as_bytes())
    };
    let believing = |keys: &[&TokenKey]| {
        let verifier = Verifier::new(b"");
        verifier.believe(KeySet::read(key_set(keys).as_bytes()).unwrap());
        verifier
    };
    assert!(believing(&[&one]).check(&unnamed(&one), NOW).is_ok(), "there is no other");
    for key in [&one, &other] {
        let refused = believing(&[&one, &other]).check(&unnamed(key), NOW);
        assert_eq!(refused, Err(Refusal::Key), "nobody tries one key after the other");
    }
    assert_eq!(Verifier::new(b"").check(&unnamed(&one), NOW), Err(Refusal::Key));
}
