//! Which tokens prove who their users are, and which do not.

mod golden;
mod hostile;
mod key_sets;
mod rotation;

use super::{Expected, KeySet, Keys, Refusal, Verifier};
use crate::config::AuthConfig;
use gavel_rules::time::Timestamp;
use gavel_testkit::{TokenKey, key_set};
use serde_json::{Value, json};
use std::sync::Arc;

const SECRET: &[u8] = b"a secret of the tests, at least 32 bytes";
/// Seconds since the Unix epoch, as tokens count.
const NOW_SECONDS: u64 = 1_800_000_000;
const NOW: Timestamp = Timestamp::new(NOW_SECONDS * 1_000);

/// An issuer that has a key of each kind, and who believes it.
struct World {
    hs: TokenKey,
    rs: TokenKey,
    es: TokenKey,
    ed: TokenKey,
    verifier: Verifier,
}

// === impl World ===

impl World {
    fn new() -> Self {
        let (hs, rs) = (TokenKey::hs256(SECRET), TokenKey::rs256("rs"));
        let (es, ed) = (TokenKey::es256("es"), TokenKey::eddsa("ed"));
        let verifier = verifier("https://issuer.test", "gavel");
        verifier.believe(KeySet::read(key_set(&[&rs, &es, &ed]).as_bytes()).unwrap());
        Self { hs, rs, es, ed, verifier }
    }

    fn keys(&self) -> [&TokenKey; 4] {
        [&self.hs, &self.rs, &self.es, &self.ed]
    }

    /// The user of a token, or why it is refused.
    fn user(&self, token: &str) -> Result<String, Refusal> {
        self.verifier.check(token, NOW).map(|identity| identity.user.to_string())
    }
}

/// Has the secret and no other key.
fn verifier(issuer: &str, audience: &str) -> Verifier {
    let config = AuthConfig {
        issuer: issuer.to_owned(),
        audience: audience.to_owned(),
        ..AuthConfig::default()
    };
    let (keys, expected) = (Arc::new(Keys::secret(SECRET)), Expected::new(&config));
    Verifier { keys, expected, ..Verifier::default() }
}

/// Claims that are good, but for these; null takes one out.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": "https://issuer.test", "aud": "gavel", "sub": "ann", "jti": "t-1",
        "exp": NOW_SECONDS + 60, "nbf": NOW_SECONDS - 1, "iat": NOW_SECONDS - 1,
        "grants": {"*": ["bid"]},
    });
    let all = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            all.remove(name);
        } else {
            all.insert(name.clone(), value.clone());
        }
    }
    claims
}
