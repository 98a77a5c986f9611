//! What a denial is about: no two of a document have the same key, and pages
//! of the list go by it.

use super::TokenId;
use gavel_rules::id::{RoomId, UserId};
use std::{
    fmt::{self, Display},
    str::FromStr,
};

/// What a denial is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A user in a room, or everywhere.
    Ban(UserId, Option<RoomId>),
    /// A token.
    Token(TokenId),
    /// The tokens of a user.
    User(UserId),
    /// The sessions of a user.
    Kick(UserId),
}

/// The text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not the key of a denial")]
pub struct KeyError;

// === impl Key ===

/// Ids have no colon in them; what a token's has comes last.
impl Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ban(user, None) => write!(f, "ban:{user}"),
            Self::Ban(user, Some(room)) => write!(f, "ban:{user}:{room}"),
            Self::Token(token) => write!(f, "token:{token}"),
            Self::User(user) => write!(f, "user:{user}"),
            Self::Kick(user) => write!(f, "kick:{user}"),
        }
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (kind, rest) = text.split_once(':').ok_or(KeyError)?;
        match (kind, rest.split_once(':')) {
            ("ban", None) => Ok(Self::Ban(id(rest)?, None)),
            ("ban", Some((user, room))) => Ok(Self::Ban(id(user)?, Some(id(room)?))),
            ("token", _) => Ok(Self::Token(id(rest)?)),
            ("user", _) => Ok(Self::User(id(rest)?)),
            ("kick", _) => Ok(Self::Kick(id(rest)?)),
            _ => Err(KeyError),
        }
    }
}

fn id<T: FromStr>(text: &str) -> Result<T, KeyError> {
    text.parse().map_err(|_| KeyError)
}
