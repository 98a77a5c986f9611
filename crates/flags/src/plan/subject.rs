//! Whose share of a rollout is counted.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a percentage is counted over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Each user.
    User,
    /// Each room, with everybody in it.
    Room,
    /// Each session.
    Session,
    /// Each node, with all of its sockets.
    Node,
}

// === impl Subject ===

impl Subject {
    /// Each of them.
    pub const ALL: [Self; 4] = [Self::User, Self::Room, Self::Session, Self::Node];

    /// The attribute that an evaluation finds it under.
    #[must_use]
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::User => "userId",
            Self::Room => "roomId",
            Self::Session => "sessionId",
            Self::Node => "nodeId",
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Room => "room",
            Self::Session => "session",
            Self::Node => "node",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|subject| subject.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is none of user, room, session, node"))
    }
}
