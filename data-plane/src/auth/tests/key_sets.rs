//! Which sets of keys are used.

use super::super::{KEY_SET_BYTES_MAX, KEYS_MAX, KeySetRefused};
use super::*;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// The key with these members changed; null takes one out.
fn changed(key: &TokenKey, changes: &Value) -> Value {
    let mut jwk = key.public();
    let all = jwk.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            all.remove(name);
        } else {
            all.insert(name.clone(), value.clone());
        }
    }
    jwk
}

fn read(keys: &[Value]) -> Result<usize, KeySetRefused> {
    KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).map(|set| set.len())
}

fn bytes(length: usize, byte: u8) -> String {
    URL_SAFE_NO_PAD.encode(vec![byte; length])
}

#[test]
fn a_key_says_or_lets_see_what_it_is_for() {
    let world = World::new();
    let (rs, es, ed) = (&world.rs, &world.es, &world.ed);
    for (key, changes, used) in [
        (rs, json!({}), true),
        (rs, json!({"alg": null}), true),
        (es, json!({"alg": null}), true),
        (ed, json!({"alg": null, "use": null, "kid": null}), true),
        (ed, json!({"key_ops": ["verify"]}), true),
        (rs, json!({"x5c": ["AA=="], "x5t": "AA"}), true),
        (rs, json!({"use": "enc"}), false),
        (rs, json!({"alg": "RS512"}), false),
        (rs, json!({"alg": "PS256"}), false),
        (rs, json!({"alg": "HS256"}), false),
        (rs, json!({"alg": "none"}), false),
        (es, json!({"alg": "EdDSA"}), false),
        (es, json!({"crv": "P-384"}), false),
        (es, json!({"crv": "secp256k1"}), false),
        (es, json!({"key_ops": ["sign"]}), false),
        (ed, json!({"crv": "X25519"}), false),
        (ed, json!({"crv": null}), false),
        (ed, json!({"kty": "AKP"}), false),
    ] {
        let beside = TokenKey::eddsa("beside").public();
        let read = read(&[beside, changed(key, &changes)]);
        assert_eq!(read, Ok(if used { 2 } else { 1 }), "{changes}");
    }
}

#[test]
fn a_key_that_must_not_be_there_makes_the_whole_set_bad() {
    let world = World::new();
    let (rs, es, ed) = (&world.rs, &world.es, &world.ed);
    // One less than a power of two, so that it is odd and has all its bits.
    let (short, long, even) = (bytes(255, 255), bytes(513, 255), bytes(256, 254));
    // The neutral element, a point of order 2 and one of order 4.
    let (neutral, of_order_4) = (format!("AQ{}", "A".repeat(41)), bytes(32, 0));
    let of_order_2 = URL_SAFE_NO_PAD.encode([&[0xec][..], &[0xff; 30], &[0x7f]].concat());
    use KeySetRefused::{Ambiguous, Broken, Private, Weak};
    for (key, changes, refused) in [
        (rs, json!({"d": "AQAB"}), Private(2)),
        (rs, json!({"p": "AQAB"}), Private(2)),
        (es, json!({"d": "AQAB"}), Private(2)),
        (ed, json!({"d": "AQAB", "use": "enc"}), Private(2)),
        (ed, json!({"kty": "oct", "k": "AAAA"}), Private(2)),
        (ed, json!({"kty": "oct"}), Private(2)),
        (rs, json!({"n": short}), Weak(2)),
        (rs, json!({"n": format!("AAAA{short}")}), Weak(2)),
        (rs, json!({"e": "AQ"}), Weak(2)),
        (rs, json!({"n": long}), Broken(2)),
        (rs, json!({"n": even}), Broken(2)),
        (rs, json!({"n": ""}), Broken(2)),
        (rs, json!({"n": null}), Broken(2)),
        (rs, json!({"n": "%"}), Broken(2)),
        (rs, json!({"e": null}), Broken(2)),
        (rs, json!({"e": "AA"}), Broken(2)),
        (rs, json!({"e": "Ag"}), Broken(2)),
        (rs, json!({"e": "AQAAAAE"}), Broken(2)),
        (es, json!({"x": bytes(32, 1)}), Broken(2)),
        (es, json!({"x": bytes(31, 1)}), Broken(2)),
        (es, json!({"y": bytes(33, 1)}), Broken(2)),
        (es, json!({"y": null}), Broken(2)),
        (ed, json!({"x": bytes(31, 1)}), Broken(2)),
        (ed, json!({"x": bytes(33, 1)}), Broken(2)),
        (ed, json!({"x": null}), Broken(2)),
        (ed, json!({"x": neutral}), Weak(2)),
        (ed, json!({"x": of_order_2}), Weak(2)),
        (ed, json!({"x": of_order_4}), Weak(2)),
        (ed, json!({"kid": "k".repeat(257)}), Broken(2)),
        (ed, json!({"kid": "beside"}), Ambiguous(2)),
    ] {
        let beside = TokenKey::eddsa("beside").public();
        assert_eq!(read(&[beside, changed(key, &changes)]), Err(refused), "{changes}");
    }
    let nameless = |key| changed(key, &json!({"kid": null}));
    assert_eq!(read(&[nameless(rs), nameless(es)]), Err(Ambiguous(2)));
}

#[test]
fn what_is_no_set_is_told_without_a_word_of_it() {
    for text in ["", "{}", "[]", "[[]]", "null", r#"{"keys":"hidden"}"#, r#"{"keys":{}}"#] {
        let refused = KeySet::read(text.as_bytes()).unwrap_err();
        assert!(matches!(refused, KeySetRefused::Unreadable(..)), "{text}: {refused:?}");
        assert!(!refused.to_string().contains("hidden"), "{refused}");
    }
    for jwk in [json!({"kty": 1}), json!({}), json!("hidden"), json!(["AKP", "a"])] {
        assert_eq!(read(&[jwk]), Err(KeySetRefused::Broken(1)));
    }
    assert_eq!(read(&[]), Err(KeySetRefused::Empty));
    assert_eq!(read(&[json!({"kty": "AKP"})]), Err(KeySetRefused::Empty));
}

#[test]
fn a_set_is_only_so_large() {
    let many = |count| {
        let keys: Vec<_> = (0..count).map(|n| TokenKey::eddsa(&format!("k{n}")).public()).collect();
        read(&keys)
    };
    assert_eq!(many(KEYS_MAX), Ok(KEYS_MAX));
    assert_eq!(many(KEYS_MAX + 1), Err(KeySetRefused::TooLarge));
    let set = key_set(&[&TokenKey::eddsa("a")]);
    let padded = |length: usize| format!("{set}{}", " ".repeat(length - set.len()));
    assert!(KeySet::read(padded(KEY_SET_BYTES_MAX).as_bytes()).is_ok());
    let refused = KeySet::read(padded(KEY_SET_BYTES_MAX + 1).as_bytes()).map(|set| set.len());
    assert_eq!(refused, Err(KeySetRefused::TooLarge));
}
