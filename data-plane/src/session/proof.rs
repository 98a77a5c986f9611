//! Who a session acts for, and until when.

use crate::{
    auth::{self, Identity},
    close::CloseCode,
    codec::json::{ClientError, ErrorCode},
    settings::Settings,
};
use gavel_proto::denials::{Denied, Subject};
use gavel_rules::{id::RoomId, time::Timestamp};

/// Who opens a session.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// For whom.
    pub identity: Identity,
    /// When.
    pub opened_at: Timestamp,
    /// By when a token must have come, where guests are not let in.
    pub proof_due: Option<Timestamp>,
}

/// What a session knows of whom it acts for.
#[derive(Debug)]
pub(super) struct Proof {
    visitor: Visitor,
    ends_at: Option<Timestamp>,
}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// No token came in time.
    Unproven,
    /// The token has expired.
    Expired,
    /// The token was revoked.
    Revoked,
    /// The user is banned.
    Banned,
    /// An operator wants the session closed.
    Kicked,
}

// === impl Proof ===

impl Proof {
    pub(super) fn new(visitor: Visitor) -> Self {
        let ends_at = ends_at(&visitor.identity, visitor.opened_at);
        Self { visitor, ends_at }
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.visitor.identity
    }

    /// Whether a token must come before anything else.
    pub(super) fn is_due(&self) -> bool {
        self.visitor.proof_due.is_some()
    }

    /// When it has to be looked at again, if nothing happens before.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.visitor.proof_due.or(self.ends_at)
    }

    /// Whether the session may become this one's: a guest may say who they are, and a user show a
    /// newer token, but nobody becomes somebody else.
    pub(super) fn may_become(&self, identity: &Identity) -> bool {
        let present = &self.visitor.identity;
        present.is_guest() || present.user == identity.user
    }

    pub(super) fn turn_into(&mut self, identity: Identity, now: Timestamp) {
        self.ends_at = ends_at(&identity, now);
        self.visitor = Visitor { identity, proof_due: None, ..self.visitor };
    }

    /// Why the session is over, if it is.
    pub(super) fn over(&self, now: Timestamp, settings: &Settings) -> Option<Over> {
        let has_come = |at: Option<Timestamp>| at.is_some_and(|at| now >= at);
        if has_come(self.visitor.proof_due) {
            return Some(Over::Unproven);
        }
        if has_come(self.ends_at) {
            return Some(Over::Expired);
        }
        denied(&self.visitor.identity, Some(self.visitor.opened_at), settings, now)
    }

    /// Whether the user is banned from the room, be it from all of them.
    pub(super) fn is_banned(&self, room: &RoomId, now: Timestamp, settings: &Settings) -> bool {
        settings.denials.bans(&self.visitor.identity.user, room, now)
    }
}

// === impl Over ===

impl Over {
    /// What a client is told.
    pub(super) fn error(self) -> ClientError {
        let (code, message) = match self {
            Self::Unproven => (ErrorCode::Unauthenticated, "no token came in time"),
            Self::Expired => (ErrorCode::Unauthenticated, "the token has expired"),
            Self::Revoked => (ErrorCode::Unauthenticated, "the token was revoked"),
            Self::Banned => (ErrorCode::Forbidden, "the user is banned"),
            Self::Kicked => (ErrorCode::Forbidden, "closed by an operator"),
        };
        ClientError::new(code, message)
    }

    /// How the socket is closed.
    pub(super) fn close_code(self) -> CloseCode {
        match self {
            Self::Unproven | Self::Expired | Self::Revoked => CloseCode::Unauthenticated,
            Self::Banned | Self::Kicked => CloseCode::Forbidden,
        }
    }
}

/// Why somebody may not have a session at all, opened then or not yet.
pub(super) fn denied(
    identity: &Identity,
    opened_at: Option<Timestamp>,
    settings: &Settings,
    now: Timestamp,
) -> Option<Over> {
    let pass = identity.pass.as_deref();
    let subject = Subject {
        user: &identity.user,
        token_id: pass.and_then(|pass| pass.token_id.as_deref()),
        issued_at: pass.and_then(|pass| pass.issued_at),
        guest: identity.is_guest(),
        opened_at,
    };
    settings.denials.of_session(&subject, now).map(|denied| match denied {
        Denied::Banned => Over::Banned,
        Denied::Revoked => Over::Revoked,
        Denied::Kicked => Over::Kicked,
    })
}

fn ends_at(identity: &Identity, now: Timestamp) -> Option<Timestamp> {
    let expires_at = identity.pass.as_ref()?.expires_at;
    // One that was accepted after it expired, since clocks differ, is good for as long as that.
    Some(if now < expires_at { expires_at } else { expires_at.saturating_add(auth::LEEWAY) })
}
