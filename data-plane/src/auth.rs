//! Who a session acts for: a guest, or the subject of a signed token.
//!
//! ```text
//! token --Token::read--> header --Keys::find--> Key --check--> signature --Claims--> Identity
//! ```
//!
//! Nothing of a token is believed before its signature has been checked; its header only finds
//! the key, and the key knows its algorithm.

use crate::{
    config::AuthConfig,
    metrics::{Metrics, Table, TokenOutcome},
};
use gavel_rules::{
    id::{RoomId, UserId},
    time::Timestamp,
};
use gavel_runtime::config::ConfigError;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

mod claims;
mod grants;
mod guest;
mod json;
mod key;
mod key_set;
mod keys;
mod secret;
#[cfg(test)]
mod tests;
mod ticket;
mod token;

pub(crate) use claims::LEEWAY;
use claims::{Claims, Expected};
pub use grants::{Grant, Grants, ROOMS_PER_TOKEN_MAX};
pub use guest::GuestToken;
pub use key_set::{KEY_SET_BYTES_MAX, KEYS_MAX, KeySet, KeySetRefused};
use keys::Keys;
pub use ticket::{TICKET_KEPT, Ticket, TicketRefused};
pub use token::TOKEN_BYTES_MAX;
use token::Token;

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

/// Checks tokens against the keys in force.
#[derive(Debug, Clone, Default)]
pub struct Verifier {
    keys: Arc<Keys>,
    expected: Expected,
    outcomes: Table<TokenOutcome>,
}

/// A token was refused; no detail reaches the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid here")]
pub struct TokenRefused;

/// Why a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// It is no token, is too long, or wants what nobody here understands.
    Malformed,
    /// It was signed with a key that is not there.
    Key,
    /// It says another algorithm than its key is for.
    Algorithm,
    /// It was not signed with its key.
    Signature,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    Early,
    /// What it says is not what a token must say.
    Claims,
}

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
        Self { keys: Arc::new(Keys::secret(secret)), ..Self::default() }
    }

    /// A verifier by the settings. Those keys that come over the network are there once
    /// [`Self::keep_fresh`] runs.
    ///
    /// # Errors
    /// [`ConfigError`] for the first setting that names what cannot be used.
    pub(crate) fn open(config: &AuthConfig, metrics: &Metrics) -> Result<Self, ConfigError> {
        let keys = Keys::open(config, metrics.token_keys_refused.clone())?;
        let (expected, outcomes) = (Expected::new(config), metrics.tokens.clone());
        Ok(Self { keys: Arc::new(keys), expected, outcomes })
    }

    /// Believes these public keys as well, in the place of those of a file.
    pub fn believe(&self, keys: KeySet) {
        self.keys.believe(keys);
    }

    /// The identity that a token proves at `now` by the keys at hand.
    ///
    /// # Errors
    /// [`TokenRefused`] if the signature, its key, the dates or what the token says are not as
    /// they must be.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenRefused> {
        self.counted(self.check(token, now))
    }

    /// Whether a token's key is not at hand and may come: then [`Self::identify`] would wait.
    #[must_use]
    pub fn would_wait(&self, token: &str) -> bool {
        let lacks = |token: Token<'_>| self.keys.find(token.key_id()).is_err();
        self.keys.may_come() && Token::read(token).is_ok_and(lacks)
    }

    /// The same, but waits a moment for a key that is not at hand.
    ///
    /// # Errors
    /// As for [`Self::verify`].
    pub async fn identify(&self, token: &str, now: Timestamp) -> Result<Identity, TokenRefused> {
        let mut checked = self.check(token, now);
        if checked == Err(Refusal::Key) && self.keys.wait().await {
            checked = self.check(token, now);
        }
        self.counted(checked)
    }

    /// Looks for new keys until told to stop.
    pub(crate) async fn keep_fresh(self, stop: CancellationToken) {
        self.keys.keep_fresh(stop).await;
    }

    /// For how long the keys at `auth.keys_url` have not been read; zero without one.
    pub(crate) fn keys_age(&self) -> Duration {
        self.keys.age()
    }

    fn check(&self, token: &str, now: Timestamp) -> Result<Identity, Refusal> {
        let token = Token::read(token)?;
        self.keys.find(token.key_id())?.check(&token)?;
        Claims::read(&token.claims()?)?.identity(&self.expected, now)
    }

    fn counted(&self, checked: Result<Identity, Refusal>) -> Result<Identity, TokenRefused> {
        let outcome =
            checked.as_ref().map_or_else(|refusal| (*refusal).into(), |_| TokenOutcome::Ok);
        self.outcomes.inc(outcome);
        checked.map_err(|_| TokenRefused)
    }
}

// === impl Refusal ===

impl From<Refusal> for TokenOutcome {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed => Self::Malformed,
            Refusal::Key => Self::Key,
            Refusal::Algorithm => Self::Algorithm,
            Refusal::Signature => Self::Signature,
            Refusal::Expired => Self::Expired,
            Refusal::Early => Self::Early,
            Refusal::Claims => Self::Claims,
        }
    }
}
