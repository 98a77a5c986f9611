//! Who a session acts for: a guest, or the subject of a signed token.

use gavel_rules::{
    id::{RoomId, UserId},
    time::{Millis, Timestamp},
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use std::sync::Arc;

mod claims;
mod grants;
mod guest;
mod secret;
mod ticket;

use claims::Claims;
pub use grants::{Grant, Grants};
pub use guest::GuestToken;
pub use ticket::{TICKET_KEPT, Ticket, TicketRefused};

/// How far the clock of who signs may be from ours.
const LEEWAY: Millis = Millis::new(5_000);

/// Who a session acts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user; a guest's id is that of its [`GuestToken`].
    pub user: UserId,
    /// What a token said besides; `None` for a guest.
    pub pass: Option<Arc<Pass>>,
}

/// What a token says of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// What the user may do where.
    pub grants: Grants,
    /// The token's own id, its `jti`.
    pub token_id: Option<String>,
    /// When it was issued, its `iat`.
    pub issued_at: Option<Timestamp>,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// Checks tokens against the node's secret.
#[derive(Clone, Default)]
pub struct Verifier {
    key: Option<DecodingKey>,
}

/// Why a token was refused; no detail reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid here")]
pub struct TokenRefused;

// === impl Identity ===

impl Identity {
    /// Whether nobody signed for the user.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        self.pass.is_none()
    }

    /// Whether the user's token lets it look at the room; of a guest the room decides.
    #[must_use]
    pub fn may_view(&self, room: &RoomId) -> bool {
        self.pass.as_ref().is_none_or(|pass| pass.grants.may_view(room))
    }

    /// Whether the user's token lets it bid in the room; of a guest the room decides.
    #[must_use]
    pub fn may_bid(&self, room: &RoomId) -> bool {
        self.pass.as_ref().is_none_or(|pass| pass.grants.may_bid(room))
    }

    /// Whether the user's token makes it an auctioneer in the room; a guest never is.
    #[must_use]
    pub fn may_conduct(&self, room: &RoomId) -> bool {
        self.pass.as_ref().is_some_and(|pass| pass.grants.may_conduct(room))
    }
}

// === impl Verifier ===

impl Verifier {
    /// A verifier for HS256 tokens signed with `secret`; an empty secret
    /// refuses every token.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self { key: (!secret.is_empty()).then(|| DecodingKey::from_secret(secret)) }
    }

    /// The identity that a token proves at `now`, by the clock that dates tokens: the machine's.
    ///
    /// # Errors
    /// [`TokenRefused`] if the signature, algorithm, dates or subject are not
    /// as they must be.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenRefused> {
        let key = self.key.as_ref().ok_or(TokenRefused)?;
        let mut validation = Validation::new(Algorithm::HS256);
        // The claims are checked below, at the caller's time.
        validation.set_required_spec_claims::<&str>(&[]);
        validation.validate_exp = false;
        validation.validate_aud = false;
        let claims = decode::<Claims>(token, key, &validation).map_err(|_| TokenRefused)?.claims;
        claims.identity(now)
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").field("key", &self.key.is_some()).finish()
    }
}
