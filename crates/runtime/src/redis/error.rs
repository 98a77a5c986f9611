//! Which failures certainly changed nothing.

use ::redis::{ErrorKind, FromRedisValue, ServerErrorKind, Value};

/// Why a call to Redis failed, by what the caller may do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    /// Nothing was done; the call may be repeated later.
    #[error("Redis is unavailable: {0}")]
    Unavailable(String),
    /// The answer was lost: the call may have been done or not, and must be
    /// checked or be safe to repeat.
    #[error("the outcome in Redis is unknown: {0}")]
    Unknown(String),
    /// Redis answered with an error; repeating the call does not help.
    #[error("Redis refused: {0}")]
    Refused(String),
}

/// A failure with what the server said about a way out. In each of these cases
/// it has run nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) error: RedisError,
    /// The server does not know the script that was named.
    pub(super) no_script: bool,
    /// Another server of the cluster is the one to ask.
    pub(super) redirect: Option<Redirect>,
}

/// Where a command belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirect {
    /// The server's address, maybe without a host.
    pub(super) to: String,
    /// Only this command, as the slot is about to move there.
    pub(super) asking: bool,
}

// === impl RedisError ===

impl RedisError {
    /// Whether a script or command may have taken effect.
    pub fn may_have_applied(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    pub(super) fn unavailable(error: ::redis::RedisError) -> Self {
        Self::Unavailable(error.to_string())
    }

    pub(super) fn refused(error: ::redis::RedisError) -> Self {
        Self::Refused(error.to_string())
    }

    /// What was said, without the class.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Unavailable(text) | Self::Unknown(text) | Self::Refused(text) => text,
        }
    }

    /// The class of an error met after a command was handed to a connection.
    fn after_sending(error: &::redis::RedisError) -> Self {
        let text = error.to_string();
        let kind = error.kind();
        if not_ready(kind, error.code()) {
            Self::Unavailable(text)
        } else if matches!(kind, ErrorKind::Server(_) | ErrorKind::Extension) {
            Self::Refused(text)
        } else {
            Self::Unknown(text)
        }
    }
}

// === impl Failure ===

impl Failure {
    /// What came of a command that was handed to a connection.
    pub(super) fn after_sending(error: ::redis::RedisError) -> Self {
        let redirect = error.redirect_node().map(|(to, _)| Redirect {
            to: to.to_owned(),
            asking: error.kind() == ErrorKind::Server(ServerErrorKind::Ask),
        });
        Self {
            error: RedisError::after_sending(&error),
            no_script: error.kind() == ErrorKind::Server(ServerErrorKind::NoScript),
            redirect,
        }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self { error, no_script: false, redirect: None }
    }
}

/// Whether the answer is that of a server which follows another.
pub(super) fn is_of_a_replica(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown))
}

/// Whether the server says that it is in no state to run anything now.
fn not_ready(kind: ErrorKind, code: Option<&str>) -> bool {
    matches!(
        kind,
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
        )
    ) || matches!(code, Some("BUSY" | "NOREPLICAS"))
}

/// Reads a reply as `T`.
pub(super) fn read<T: FromRedisValue>(value: Value) -> Result<T, RedisError> {
    // The command was done, but whoever asked expected another reply.
    T::from_redis_value(value).map_err(|error| RedisError::Unknown(error.to_string()))
}
