//! Signed tokens as an application would mint them.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

/// The secret of every node under test.
pub const SECRET: &str = "a secret of the tests, at least 32 bytes";

/// A token of `user`, good for an hour, that allows bids in every room.
#[must_use]
pub fn bidder(user: &str) -> String {
    signed(user, &json!({"*": ["bid"]}))
}

/// A token of `user` with these grants.
///
/// # Panics
/// Never: the claims are always JSON.
#[must_use]
pub fn signed(user: &str, grants: &serde_json::Value) -> String {
    let exp = gavel_runtime::clock::now_ms() / 1_000 + 3_600;
    claims(&json!({"sub": user, "exp": exp, "grants": grants}), SECRET)
}

/// A token of these claims under this secret.
///
/// # Panics
/// Never: the claims are always JSON.
#[must_use]
pub fn claims(claims: &serde_json::Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    encode(&Header::new(Algorithm::HS256), claims, &key).expect("claims are JSON")
}
