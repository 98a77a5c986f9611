//! Who a session acts for: a guest, or the subject of a signed token.

use gavel_rules::id::UserId;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;
use std::collections::BTreeMap;

mod guest;

pub use guest::GuestToken;

/// Who a session acts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user; a guest's id is that of its [`GuestToken`].
    pub user: UserId,
    /// What the token grants; `None` for a guest, who has what the room
    /// allows guests.
    pub grants: Option<Grants>,
}

/// Rooms by what the user may do there; the room `*` stands for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Grants(BTreeMap<String, Vec<Grant>>);

/// What a user may do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// Look.
    View,
    /// Bid; includes looking.
    Bid,
}

/// Checks tokens against the node's secret.
#[derive(Clone, Default)]
pub struct Verifier {
    key: Option<DecodingKey>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    grants: Grants,
}

/// Why a token was refused; no detail reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid here")]
pub struct TokenRefused;

// === impl Verifier ===

impl Verifier {
    /// A verifier for HS256 tokens signed with `secret`; an empty secret
    /// refuses every token.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self { key: (!secret.is_empty()).then(|| DecodingKey::from_secret(secret)) }
    }

    /// The identity that a token proves.
    ///
    /// # Errors
    /// [`TokenRefused`] if the signature, algorithm, expiry or subject is not
    /// as it must be.
    pub fn verify(&self, token: &str) -> Result<Identity, TokenRefused> {
        let key = self.key.as_ref().ok_or(TokenRefused)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["exp", "sub"]);
        validation.validate_nbf = true;
        validation.validate_aud = false;
        validation.leeway = 5;
        let claims = decode::<Claims>(token, key, &validation).map_err(|_| TokenRefused)?.claims;
        let user = claims.sub.parse().map_err(|_| TokenRefused)?;
        Ok(Identity { user, grants: Some(claims.grants) })
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("key", &self.key.is_some()).finish()
    }
}

// === impl Grants ===

impl Grants {
    /// Whether the user may look at the room.
    #[must_use]
    pub fn may_view(&self, room: &str) -> bool {
        self.of(room).next().is_some()
    }

    /// Whether the user may bid in the room.
    #[must_use]
    pub fn may_bid(&self, room: &str) -> bool {
        self.of(room).any(|grant| grant == Grant::Bid)
    }

    fn of(&self, room: &str) -> impl Iterator<Item = Grant> {
        let named = self.0.get(room).into_iter().flatten();
        named.chain(self.0.get("*").into_iter().flatten()).copied()
    }
}
