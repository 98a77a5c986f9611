//! One denial.

use super::Key;
use gavel_rules::{
    id::{RoomId, UserId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

/// The longest token id, and the longest reason, in bytes.
pub const TEXT_BYTES_MAX: usize = 256;

/// What is denied, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// What, and to whom.
    #[serde(flatten)]
    pub what: What,
    /// When it is over; never, if there is no such time.
    pub until: Option<Timestamp>,
}

/// What is denied, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A user may not join and not bid.
    Ban {
        /// Who.
        user: UserId,
        /// Where; everywhere, if there is no room.
        room: Option<RoomId>,
        /// Why, for operators.
        reason: Reason,
    },
    /// A token is void.
    Token {
        /// Which.
        token: TokenId,
    },
    /// The tokens that a user has been given are void.
    User {
        /// Whose.
        user: UserId,
        /// Those that were issued before.
        issued_before: Timestamp,
    },
    /// The sessions that a user has are closed.
    Kick {
        /// Whose.
        user: UserId,
        /// Those that were opened before.
        opened_before: Timestamp,
    },
}

/// A text is too long, too short, or has control characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be {least} to {TEXT_BYTES_MAX} bytes without control characters")]
pub struct TextError {
    least: usize,
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $least:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl FromStr for $name {
            type Err = TextError;

            fn from_str(text: &str) -> Result<Self, TextError> {
                let fits = ($least..=TEXT_BYTES_MAX).contains(&text.len());
                let plain = !text.contains(char::is_control);
                if fits && plain { Ok(Self(text.into())) } else { Err(TextError { least: $least }) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = TextError;

            fn try_from(text: String) -> Result<Self, TextError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text! {
    /// The `jti` of a token.
    TokenId, 1
}
text! {
    /// Why somebody is banned; may be empty.
    Reason, 0
}

// === impl Denial ===

impl Denial {
    /// What it is about.
    #[must_use]
    pub fn key(&self) -> Key {
        match &self.what {
            What::Ban { user, room, .. } => Key::Ban(user.clone(), room.clone()),
            What::Token { token } => Key::Token(token.clone()),
            What::User { user, .. } => Key::User(user.clone()),
            What::Kick { user, .. } => Key::Kick(user.clone()),
        }
    }

    /// Whether it is not over.
    #[must_use]
    pub fn lasts(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}
