//! Tokens that must be refused, each with the reason: that another check would have refused it as
//! well is no proof of this one.

use super::super::{ROOMS_PER_TOKEN_MAX, TOKEN_BYTES_MAX};
use super::*;
use Refusal::{Algorithm, Claims, Early, Expired, Key, Malformed, Signature};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD},
};

type Vector = (String, String, Refusal);

#[test]
fn every_hostile_token_is_refused_for_its_own_reason() {
    let world = World::new();
    let vectors = [
        forms(&world),
        headers(&world),
        algorithms(&world),
        key_names(&world),
        signatures(&world),
        said(&world),
        said_in_bytes(&world),
    ]
    .concat();
    println!("{} vectors", vectors.len());
    assert!(vectors.len() >= 160, "{} vectors", vectors.len());
    for (name, token, refusal) in &vectors {
        assert_eq!(world.user(token), Err(*refusal), "{name}");
    }
    for (count, (name, token, refusal)) in (1..).zip(&vectors) {
        assert!(world.verifier.verify(token, NOW).is_err(), "{name}");
        assert_eq!(world.verifier.outcomes.total(), count);
        assert!(world.verifier.outcomes.get((*refusal).into()) > 0);
    }
}

fn encoded(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// A good token's three parts.
fn parts(key: &TokenKey) -> [String; 3] {
    let token = key.sign(&claims(&json!({})));
    let parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    parts.try_into().unwrap()
}

/// A token of good claims under this header.
fn under(key: &TokenKey, header: &str) -> String {
    key.sign_text(header, claims(&json!({})).to_string().as_bytes())
}

fn vector(name: impl Into<String>, token: impl Into<String>, refusal: Refusal) -> Vector {
    (name.into(), token.into(), refusal)
}

/// Brackets in brackets.
fn bomb(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// What is no token at all.
fn forms(world: &World) -> Vec<Vector> {
    let [header, body, signature] = &parts(&world.hs);
    let padding = json!({"padding": "x".repeat(TOKEN_BYTES_MAX)});
    let json = world.hs.header().to_string();
    vec![
        vector("nothing", "", Malformed),
        vector("one part", "token", Malformed),
        vector("two parts", format!("{header}.{body}"), Malformed),
        vector("dots", "..", Malformed),
        vector("many dots", ".".repeat(1_000), Malformed),
        vector("four parts", format!("{header}.{body}.{signature}.x"), Signature),
        vector("five parts", format!("{header}.{body}.{signature}.x.x"), Signature),
        vector("an empty part in front", format!(".{header}.{body}.{signature}"), Malformed),
        vector("a part of an encrypted one", format!("{header}..{body}..{signature}"), Signature),
        vector("1 MiB", "a".repeat(1 << 20), Malformed),
        vector("1 MiB in parts", "a.".repeat(1 << 19), Malformed),
        vector("signed and too long", world.hs.sign(&claims(&padding)), Malformed),
        vector("no base64", format!("%{header}.{body}.{signature}"), Malformed),
        vector("a space", format!(" {header}.{body}.{signature}"), Malformed),
        vector("a line end", format!("{header}\n.{body}.{signature}"), Malformed),
        vector("a line end behind", format!("{header}.{body}.{signature}\n"), Signature),
        vector("NUL", format!("{header}\0.{body}.{signature}"), Malformed),
        vector("not ASCII", format!("{header}ä.{body}.{signature}"), Malformed),
        vector(
            "a padded header",
            format!("{}.{body}.{signature}", URL_SAFE.encode(format!("{json} "))),
            Malformed,
        ),
        vector(
            "the other alphabet",
            format!("{}.{body}.{signature}", STANDARD.encode(r#"{"alg":"HS256","kid":"???>>>"}"#)),
            Malformed,
        ),
    ]
}

/// What a header may not be or want.
fn headers(world: &World) -> Vec<Vector> {
    let deep = format!(r#"{{"alg":"HS256","kid":{}}}"#, bomb(2_000));
    let long = format!(r#"{{"alg":"{}"}}"#, "A".repeat(4_096));
    [
        ("no JSON", "alg=HS256", Malformed),
        ("an empty header", "", Malformed),
        ("a list", r#"["HS256"]"#, Malformed),
        ("a list like a header", r#"["HS256",null,null]"#, Malformed),
        ("a text", r#""HS256""#, Malformed),
        ("a number", "1", Malformed),
        ("null", "null", Malformed),
        ("two values", r#"{"alg":"HS256"}{"alg":"HS256"}"#, Malformed),
        ("a byte order mark", "\u{feff}{\"alg\":\"HS256\"}", Malformed),
        ("no algorithm", r#"{"typ":"JWT"}"#, Malformed),
        ("algorithm null", r#"{"alg":null}"#, Malformed),
        ("algorithms", r#"{"alg":["HS256","none"]}"#, Malformed),
        ("a number as algorithm", r#"{"alg":256}"#, Malformed),
        ("two algorithms", r#"{"alg":"HS256","alg":"none"}"#, Malformed),
        ("two algorithms, none first", r#"{"alg":"none","alg":"HS256"}"#, Malformed),
        ("a long algorithm", &long, Algorithm),
        ("two keys", r#"{"alg":"HS256","kid":"es","kid":"rs"}"#, Malformed),
        ("a number as key", r#"{"alg":"HS256","kid":1}"#, Malformed),
        ("an object as key", r#"{"alg":"HS256","kid":{"$ne":""}}"#, Malformed),
        ("a bomb as key", &deep, Malformed),
        ("an extension", r#"{"alg":"HS256","crit":["exp"]}"#, Malformed),
        ("b64", r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, Malformed),
        ("no extensions, but a list", r#"{"alg":"HS256","crit":[]}"#, Malformed),
        ("extensions of another kind", r#"{"alg":"HS256","crit":false}"#, Malformed),
    ]
    .map(|(name, header, refusal)| vector(name, under(&world.hs, header), refusal))
    .into()
}

/// A token chooses no algorithm: not none, not another with the same key, and no public key as the
/// secret of HS256.
fn algorithms(world: &World) -> Vec<Vector> {
    let mut vectors = Vec::new();
    for key in [&world.hs, &world.es] {
        for none in ["none", "None", "NONE", "nOnE", "none ", "", "null"] {
            let mut header = key.header();
            header["alg"] = json!(none);
            let signed = under(key, &header.to_string());
            let (unsigned, _) = signed.rsplit_once('.').unwrap();
            let name = format!("{none:?} with the key of {}", key.algorithm());
            vectors.push(vector(name.clone(), format!("{unsigned}."), Algorithm));
            vectors.push(vector(name, signed, Algorithm));
        }
    }
    let names = ["HS256", "RS256", "ES256", "EdDSA"];
    let foreign = ["HS384", "HS512", "RS384", "RS512", "PS256", "ES384", "hs256", "Ed25519"];
    for key in world.keys() {
        for name in names.into_iter().chain(foreign).filter(|name| *name != key.algorithm()) {
            let mut header = key.header();
            header["alg"] = json!(name);
            let signed = under(key, &header.to_string());
            let name = format!("{name} with the key of {}", key.algorithm());
            vectors.push(vector(name, signed, Algorithm));
        }
    }
    for key in [&world.rs, &world.es, &world.ed] {
        let jwk = key.public();
        let member = if key.algorithm() == "RS256" { "n" } else { "x" };
        let point = jwk[member].as_str().unwrap();
        let raw = URL_SAFE_NO_PAD.decode(point).unwrap();
        for public in [raw.as_slice(), point.as_bytes(), jwk.to_string().as_bytes()] {
            let forged = TokenKey::hs256(public);
            let named = json!({"alg": "HS256", "kid": key.id()}).to_string();
            let name = format!("HS256 with the public key of {}", key.algorithm());
            vectors.push(vector(&name, under(&forged, &named), Algorithm));
            let named = json!({"alg": key.algorithm(), "kid": key.id()}).to_string();
            vectors.push(vector(&name, under(&forged, &named), Signature));
            vectors.push(vector(&name, under(&forged, r#"{"alg":"HS256"}"#), Signature));
        }
    }
    vectors
}

/// The name of a key finds one of ours, and does nothing else.
fn key_names(world: &World) -> Vec<Vector> {
    let mut vectors = Vec::new();
    let long = "k".repeat(4_096);
    for id in [
        "unknown",
        "",
        "ES",
        "es ",
        "es\0",
        "../../../../dev/null",
        "file:///dev/null",
        "http://127.0.0.1:1/jwks.json",
        "' OR '1'='1",
        "es'; DROP TABLE keys; --",
        "es\r\nDEL keys",
        "{es}",
        "$(id)",
        &long,
    ] {
        let header = json!({"alg": "ES256", "kid": id}).to_string();
        vectors.push(vector(format!("the key {id:.40}"), under(&world.es, &header), Key));
        let header = json!({"alg": "HS256", "kid": id}).to_string();
        vectors.push(vector(format!("the key {id:.40}"), under(&world.hs, &header), Key));
    }
    for key in [&world.rs, &world.es, &world.ed] {
        let unnamed = json!({"alg": key.algorithm()}).to_string();
        vectors.push(vector("no key, beside a secret", under(key, &unnamed), Algorithm));
        // Whoever signs would choose what is checked.
        let stranger = TokenKey::eddsa("stranger");
        for (name, value) in [
            ("jwk", stranger.public()),
            ("jku", json!("https://127.0.0.1:1/jwks.json")),
            ("x5u", json!("https://127.0.0.1:1/chain.pem")),
            ("x5c", json!(["AAAA"])),
        ] {
            let mut header = key.header();
            header[name] = value;
            let name = format!("a key of its own by {name}");
            vectors.push(vector(name, under(&stranger, &header.to_string()), Signature));
        }
    }
    let stranger = json!({"alg": "EdDSA", "kid": "stranger"});
    let foreign = under(&TokenKey::eddsa("stranger"), &stranger.to_string());
    vectors.push(vector("a key of somebody else", foreign, Key));
    for (named, signing) in
        world.keys().into_iter().flat_map(|named| world.keys().map(|signing| (named, signing)))
    {
        if named.algorithm() != signing.algorithm() {
            let token = under(signing, &named.header().to_string());
            let name = format!("{} said, {} done", named.algorithm(), signing.algorithm());
            vectors.push(vector(name, token, Signature));
        }
    }
    vectors
}

/// What looks like a signature.
fn signatures(world: &World) -> Vec<Vector> {
    let mut vectors = Vec::new();
    for key in world.keys() {
        let [header, body, signature] = &parts(key);
        let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let (short, long) = (bytes.split_last().unwrap().1, [&bytes[..], &[0]].concat());
        let mut flipped = bytes.clone();
        flipped[5] ^= 1;
        let mut one = vec![0; bytes.len()];
        one[bytes.len() - 1] = 1;
        let name = key.algorithm();
        for (what, forged) in [
            ("no signature", String::new()),
            ("zeros", encoded(vec![0; bytes.len()])),
            ("one", encoded(one)),
            ("all bits", encoded(vec![255; bytes.len()])),
            ("a signature cut short", encoded(short)),
            ("a signature with more", encoded(long)),
            ("one bit", encoded(flipped)),
            ("a padded signature", URL_SAFE.encode(&bytes) + "="),
        ] {
            let token = format!("{header}.{body}.{forged}");
            vectors.push(vector(format!("{what} by {name}"), token, Signature));
        }
        let other = encoded(claims(&json!({"sub": "eve"})).to_string());
        let token = format!("{header}.{other}.{signature}");
        vectors.push(vector(format!("other claims by {name}"), token, Signature));
    }
    let [header, body, signature] = &parts(&world.es);
    let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let forged = encoded(der(&raw));
    vectors.push(vector("DER by ES256", format!("{header}.{body}.{forged}"), Signature));
    let [header, body, signature] = &parts(&world.ed);
    for (name, forged) in forged_points(&URL_SAFE_NO_PAD.decode(signature).unwrap()) {
        let token = format!("{header}.{body}.{}", encoded(forged));
        vectors.push(vector(name, token, Signature));
    }
    vectors
}

/// Signatures by Ed25519 that lax checks take: with points of small order, and the same one again
/// with another number.
fn forged_points(good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let (point, number) = good.split_at(32);
    let (mut neutral, zero) = ([0; 32], [0; 32]);
    neutral[0] = 1;
    let group_order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    let sum = number.iter().zip(group_order).map(|(one, other)| {
        let sum = u16::from(*one) + u16::from(other) + carry;
        carry = sum >> 8;
        sum.to_le_bytes()[0]
    });
    let sum: Vec<u8> = sum.collect();
    vec![
        ("the neutral point by EdDSA", [neutral, zero].concat()),
        ("a point of order 4 by EdDSA", [zero, zero].concat()),
        ("the number and the order by EdDSA", [point, &sum].concat()),
    ]
}

/// Two numbers as ASN.1, which is how others than JWT write them.
fn der(raw: &[u8]) -> Vec<u8> {
    let number = |bytes: &[u8]| [&[2, 33, 0], bytes].concat();
    let (r, s) = raw.split_at(32);
    [vec![0x30, 70], number(r), number(s)].concat()
}

/// Claims that are not what they must be, well signed.
fn said(world: &World) -> Vec<Vector> {
    let ms = NOW_SECONDS * 1_000;
    let rooms: serde_json::Map<_, _> =
        (0..=ROOMS_PER_TOKEN_MAX).map(|n| (n.to_string(), json!(["v"]))).collect();
    let (long, list) = ("s".repeat(65), vec!["x"; 200]);
    [
        ("no end", json!({"exp": null}), Claims),
        ("an end in words", json!({"exp": "never"}), Claims),
        ("an end in digits", json!({"exp": "1800000060"}), Claims),
        ("an end before all", json!({"exp": -1}), Claims),
        ("an end as no number", json!({"exp": true}), Claims),
        ("an end in milliseconds", json!({"exp": ms}), Claims),
        ("the last number", json!({"exp": u64::MAX}), Claims),
        ("an end beyond all", json!({"exp": 1e308}), Claims),
        ("over for 6 s", json!({"exp": NOW_SECONDS - 6}), Expired),
        ("over for 5 s", json!({"exp": NOW_SECONDS - 5}), Expired),
        ("over for long", json!({"exp": 0}), Expired),
        ("not yet", json!({"nbf": NOW_SECONDS + 6}), Early),
        ("a beginning in milliseconds", json!({"nbf": ms}), Claims),
        ("a beginning in words", json!({"nbf": "now"}), Claims),
        ("issued in the future", json!({"iat": NOW_SECONDS + 6}), Early),
        ("issued in words", json!({"iat": "now"}), Claims),
        ("nobody", json!({"sub": null}), Claims),
        ("an empty user", json!({"sub": ""}), Claims),
        ("a number as user", json!({"sub": 1}), Claims),
        ("a guest", json!({"sub": "guest-686dee546c39042f6276ca0a"}), Claims),
        ("users", json!({"sub": ["ann", "eve"]}), Claims),
        ("a user that is no id", json!({"sub": "ann smith"}), Claims),
        ("a user with a key", json!({"sub": "ann:{x}"}), Claims),
        ("a user with a line end", json!({"sub": "ann\r\n"}), Claims),
        ("a user with NUL", json!({"sub": "ann\0"}), Claims),
        ("a user with a path", json!({"sub": "../ann"}), Claims),
        ("a long user", json!({"sub": long}), Claims),
        ("no issuer", json!({"iss": null}), Claims),
        ("another issuer", json!({"iss": "https://issuer.evil"}), Claims),
        ("an issuer that begins so", json!({"iss": "https://issuer.test.evil"}), Claims),
        ("an issuer and a slash", json!({"iss": "https://issuer.test/"}), Claims),
        ("issuers", json!({"iss": ["https://issuer.test"]}), Claims),
        ("no audience", json!({"aud": null}), Claims),
        ("another audience", json!({"aud": "other"}), Claims),
        ("an audience in capitals", json!({"aud": "Gavel"}), Claims),
        ("an empty audience", json!({"aud": ""}), Claims),
        ("other audiences", json!({"aud": ["other", "gavel2"]}), Claims),
        ("no audiences", json!({"aud": []}), Claims),
        ("an object as audience", json!({"aud": {"gavel": 1}}), Claims),
        ("audiences of many kinds", json!({"aud": ["gavel", 1]}), Claims),
        ("many audiences", json!({"aud": list}), Claims),
        ("an empty id", json!({"jti": ""}), Claims),
        ("a number as id", json!({"jti": 1}), Claims),
        ("an id with a colon", json!({"jti": "a:b"}), Claims),
        ("a long id", json!({"jti": long}), Claims),
        ("grants in a list", json!({"grants": ["bid"]}), Claims),
        ("a grant without a list", json!({"grants": {"*": "bid"}}), Claims),
        ("grants as numbers", json!({"grants": {"*": [1]}}), Claims),
        ("too many rooms", json!({ "grants": rooms }), Claims),
    ]
    .map(|(name, changes, refusal)| vector(name, world.hs.sign(&claims(&changes)), refusal))
    .into()
}

/// Claims that are bad already as JSON, well signed.
fn said_in_bytes(world: &World) -> Vec<Vector> {
    let header = world.hs.header().to_string();
    let good = claims(&json!({})).to_string();
    let begun = good.strip_suffix('}').unwrap();
    let twice = |what: &str| format!("{begun},{what}}}");
    let texts = [
        ("nothing", String::new()),
        ("no JSON", "sub=ann".to_owned()),
        ("a list", r#"["ann"]"#.to_owned()),
        (
            "a list like claims",
            r#"["ann",1800000060,null,null,null,"https://issuer.test","gavel",{}]"#.to_owned(),
        ),
        ("a text", r#""ann""#.to_owned()),
        ("null", "null".to_owned()),
        ("an end that is missing", begun.to_owned()),
        ("more behind it", format!("{good}{good}")),
        ("a comment", format!("{good}//")),
        ("a byte order mark", format!("\u{feff}{good}")),
        ("two users", twice(r#""sub":"eve""#)),
        ("two ends", twice(r#""exp":4000000000"#)),
        ("two audiences", twice(r#""aud":"gavel""#)),
        ("a room twice", good.replace(r#""*":["bid"]"#, r#""a":["view"],"a":["bid"]"#)),
        ("a bomb as audience", good.replace(r#""gavel""#, &bomb(2_500))),
        ("a bomb as grants", good.replace(r#"["bid"]"#, &bomb(2_500))),
        (
            "a bomb as end",
            good.replace(r#""exp":1800000060"#, &format!(r#""exp":{}"#, bomb(2_500))),
        ),
        ("half a surrogate", good.replace("ann", r"\ud800")),
    ];
    let mut vectors: Vec<_> = texts
        .into_iter()
        .map(|(name, text)| {
            let token = world.hs.sign_text(&header, text.as_bytes());
            assert_ne!(text, good, "{name}");
            vector(format!("{name} as claims"), token, Claims)
        })
        .collect();
    let not_utf8 = [begun.as_bytes(), b",\"email\":\"\xff\xfe\"}"].concat();
    let token = world.hs.sign_text(&header, &not_utf8);
    vectors.push(vector("a member that is no UTF-8", token, Claims));
    vectors
}
