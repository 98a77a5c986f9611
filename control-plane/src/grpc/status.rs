//! The only way from an error to a gRPC status.

use crate::{driver::Stopped, store::StoreError};
use gavel_proto::{convert::ConvertError, denials::TooMany};
use gavel_rules::id::IdError;
use std::{collections::HashMap, time::Duration};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of our error reasons.
const DOMAIN: &str = "gavel";
/// When to try again what could not be done now.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("there is no room {0}")]
    NoRoom(String),
    #[error("no node {0} is connected")]
    NoNode(String),
    #[error("there is a room {0} already")]
    RoomExists(String),
    #[error("{field}: {message}")]
    Invalid { field: String, message: String },
    #[error("version {current} is the newest; read it and try again")]
    Outdated { current: u64 },
    #[error("there are {max} rooms already, which is as many as there may be")]
    TooManyRooms { max: i64 },
    #[error("{user} is not banned from {place}")]
    NoBan { user: String, place: String },
    #[error("{0}: take back bans that are not needed, and give new ones an end")]
    TooManyDenials(#[from] TooMany),
    #[error("{0}")]
    Refused(String),
    #[error("no replica of the control plane leads just now; try again")]
    NoLeader,
    #[error("{0}")]
    Unavailable(String),
    #[error("the first message did not come in time")]
    Silent,
    #[error("no admin.token is set, so only this machine may administer")]
    Far,
    #[error("a valid admin token is needed")]
    BadToken,
    #[error("{0}")]
    Forbidden(String),
}

// === impl CallError ===

impl CallError {
    pub(crate) fn invalid(field: &str, message: impl ToString) -> Self {
        Self::Invalid { field: field.to_owned(), message: message.to_string() }
    }

    /// Its code and its reason.
    pub(super) fn kind(&self) -> (Code, &'static str) {
        match self {
            Self::NoRoom(_) => (Code::NotFound, "NO_ROOM"),
            Self::NoNode(_) => (Code::NotFound, "NO_NODE"),
            Self::RoomExists(_) => (Code::AlreadyExists, "ROOM_EXISTS"),
            Self::Invalid { .. } => (Code::InvalidArgument, "INVALID"),
            Self::Outdated { .. } => (Code::Aborted, "OUTDATED"),
            Self::Refused(_) => (Code::FailedPrecondition, "REFUSED"),
            Self::TooManyRooms { .. } => (Code::ResourceExhausted, "TOO_MANY_ROOMS"),
            Self::NoBan { .. } => (Code::NotFound, "NO_BAN"),
            Self::TooManyDenials(_) => (Code::ResourceExhausted, "TOO_MANY_DENIALS"),
            Self::NoLeader => (Code::Unavailable, "NO_LEADER"),
            Self::Unavailable(_) => (Code::Unavailable, "UNAVAILABLE"),
            Self::Silent => (Code::DeadlineExceeded, "SILENT"),
            Self::Far => (Code::PermissionDenied, "NOT_LOCAL"),
            Self::BadToken => (Code::Unauthenticated, "BAD_TOKEN"),
            Self::Forbidden(_) => (Code::PermissionDenied, "FORBIDDEN"),
        }
    }

    pub(crate) fn id(field: &'static str) -> impl Fn(IdError) -> Self {
        move |error| Self::invalid(field, error)
    }
}

/// The rules of an auction are the only message that is converted here.
impl From<ConvertError> for CallError {
    fn from(error: ConvertError) -> Self {
        let ConvertError { field, message } = error.within("rules");
        Self::Invalid { field, message }
    }
}

impl From<StoreError> for CallError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<Stopped> for CallError {
    fn from(stopped: Stopped) -> Self {
        Self::Unavailable(stopped.to_string())
    }
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        let (code, reason) = error.kind();
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
        match &error {
            CallError::Invalid { field, message } => {
                details.add_bad_request_violation(field, message);
            }
            CallError::Unavailable(_) | CallError::NoLeader => {
                details.set_retry_info(Some(RETRY_AFTER));
            }
            CallError::NoRoom(_)
            | CallError::NoNode(_)
            | CallError::RoomExists(_)
            | CallError::Outdated { .. }
            | CallError::TooManyRooms { .. }
            | CallError::NoBan { .. }
            | CallError::TooManyDenials(_)
            | CallError::Refused(_)
            | CallError::Silent
            | CallError::Far
            | CallError::BadToken
            | CallError::Forbidden(_) => {}
        }
        Self::with_error_details(code, error.to_string(), details)
    }
}
