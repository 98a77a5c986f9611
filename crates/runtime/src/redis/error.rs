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

    /// The class of an error met after a command was handed to a connection.
    pub(super) fn after_sending(error: &::redis::RedisError) -> Self {
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
        )
    ) || matches!(code, Some("BUSY" | "NOREPLICAS"))
}

/// Reads a reply as `T`.
pub(super) fn read<T: FromRedisValue>(value: Value) -> Result<T, RedisError> {
    // The command was done, but whoever asked expected another reply.
    T::from_redis_value(value).map_err(|error| RedisError::Unknown(error.to_string()))
}

/// Whether the server does not know the script that was named.
pub(super) fn is_no_script(error: &::redis::RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
