//! The denials: who may not take part, as one document for both planes.
//!
//! ```text
//! operator --> control: put, remove, prune --> Denials --> every node: may this session, this bid?
//! ```
//!
//! Whoever asks brings the time. It is that of the wall clock, for tokens are
//! issued by it; what is over counts no more, pruned or not.

mod denial;
mod key;
#[cfg(test)]
mod tests;

pub use denial::{Denial, Reason, TEXT_BYTES_MAX, TextError, TokenId, What};
pub use key::{Key, KeyError};

use gavel_rules::{
    id::{RoomId, UserId},
    time::Timestamp,
};
use std::collections::BTreeMap;

/// Denials that there may be at once. Each change is sent to every node as a
/// whole, and is there in one message.
pub const DENIALS_MAX: usize = 5_000;

/// Bytes of a message that gRPC takes, half of which may be flags and limits.
const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
const _: () = assert!(DENIALS_MAX * (TEXT_BYTES_MAX + 32) <= MESSAGE_BYTES_MAX / 2);

/// The document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Denials {
    by_key: BTreeMap<Key, Denial>,
}

/// A document that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct DenialsError {
    /// The denial at fault; `denials` where it is the whole document.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// There are [`DENIALS_MAX`] already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are {DENIALS_MAX} already, which is as many as there may be")]
pub struct TooMany;

/// Whoever a session acts for, as far as denials ask.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The user.
    pub user: &'a UserId,
    /// The id of the token, if it has one.
    pub token_id: Option<&'a str>,
    /// When the token was issued, if it says so.
    pub issued_at: Option<Timestamp>,
    /// Whether it is a guest, who has no token that could be revoked.
    pub guest: bool,
    /// Since when the session is open; none if it is not yet.
    pub opened_at: Option<Timestamp>,
}

/// Why a session may not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The user is banned everywhere.
    Banned,
    /// The token is void.
    Revoked,
    /// The session was ended; another may be opened.
    Kicked,
}

// === impl Denials ===

impl Denials {
    /// The document of these.
    ///
    /// # Errors
    /// [`DenialsError`] if there are too many, or two of one key.
    pub fn new(denials: impl IntoIterator<Item = Denial>) -> Result<Self, DenialsError> {
        let mut document = Self::default();
        for (place, denial) in denials.into_iter().enumerate() {
            let refused =
                |message: String| DenialsError { field: format!("denials[{place}]"), message };
            match document.put(denial) {
                Ok(None) => {}
                Ok(Some(double)) => {
                    return Err(refused(format!("{} is there twice", double.key())));
                }
                Err(too_many) => return Err(refused(too_many.to_string())),
            }
        }
        Ok(document)
    }

    /// Adds a denial, or replaces the one of its key, which is returned.
    ///
    /// # Errors
    /// [`TooMany`] if there is no place for it.
    pub fn put(&mut self, denial: Denial) -> Result<Option<Denial>, TooMany> {
        let key = denial.key();
        if self.by_key.len() >= DENIALS_MAX && !self.by_key.contains_key(&key) {
            return Err(TooMany);
        }
        Ok(self.by_key.insert(key, denial))
    }

    /// Takes a denial back.
    pub fn remove(&mut self, key: &Key) -> Option<Denial> {
        self.by_key.remove(key)
    }

    /// Drops what is over.
    pub fn prune(&mut self, now: Timestamp) {
        self.by_key.retain(|_, denial| denial.lasts(now));
    }

    /// The denial of a key, over or not.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Denial> {
        self.by_key.get(key)
    }

    /// Each of them, by key; behind `after` alone if there is one.
    pub fn iter(&self, after: Option<&Key>) -> impl Iterator<Item = &Denial> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.by_key.range((from, Unbounded)).map(|(_, denial)| denial)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Why somebody may have no session, or not go on with it.
    #[must_use]
    pub fn of_session(&self, who: &Subject<'_>, now: Timestamp) -> Option<Denied> {
        if self.is_empty() {
            return None;
        }
        if self.banned(who.user, None, now) {
            Some(Denied::Banned)
        } else if !who.guest && self.revokes(who, now) {
            Some(Denied::Revoked)
        } else if self.kicks(who, now) {
            Some(Denied::Kicked)
        } else {
            None
        }
    }

    /// Whether a user may not join a room and not bid there, by a ban from the
    /// room or from everywhere.
    #[must_use]
    pub fn bans(&self, user: &UserId, room: &RoomId, now: Timestamp) -> bool {
        !self.is_empty() && (self.banned(user, None, now) || self.banned(user, Some(room), now))
    }

    fn banned(&self, user: &UserId, room: Option<&RoomId>, now: Timestamp) -> bool {
        self.lasting(&Key::Ban(user.clone(), room.cloned()), now).is_some()
    }

    fn revokes(&self, who: &Subject<'_>, now: Timestamp) -> bool {
        let token = who.token_id.and_then(|id| id.parse().ok()).map(Key::Token);
        if token.is_some_and(|token| self.lasting(&token, now).is_some()) {
            return true;
        }
        let issued_at = who.issued_at.unwrap_or_default();
        let of_user = self.lasting(&Key::User(who.user.clone()), now);
        matches!(of_user, Some(What::User { issued_before, .. }) if issued_at < *issued_before)
    }

    fn kicks(&self, who: &Subject<'_>, now: Timestamp) -> bool {
        let Some(opened_at) = who.opened_at else { return false };
        let kick = self.lasting(&Key::Kick(who.user.clone()), now);
        matches!(kick, Some(What::Kick { opened_before, .. }) if opened_at < *opened_before)
    }

    fn lasting(&self, key: &Key, now: Timestamp) -> Option<&What> {
        self.by_key.get(key).filter(|denial| denial.lasts(now)).map(|denial| &denial.what)
    }
}
