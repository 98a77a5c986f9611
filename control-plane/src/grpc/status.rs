//! The only way from an error to a gRPC status.

use crate::{driver::Stopped, store::StoreError};
use gavel_rules::{auction::RulesError, id::IdError};
use std::{collections::HashMap, time::Duration};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of our error reasons.
const DOMAIN: &str = "gavel";
/// When to try again what could not be done now.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why an administrator's call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error("there is no room {0}")]
    NoRoom(String),
    #[error("there is a room {0} already")]
    RoomExists(String),
    #[error("{field}: {message}")]
    Invalid { field: String, message: String },
    #[error("version {current} is the newest; read it and try again")]
    Outdated { current: u64 },
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Unavailable(String),
}

// === impl AdminError ===

impl AdminError {
    pub(crate) fn invalid(field: &str, message: impl ToString) -> Self {
        Self::Invalid { field: field.to_owned(), message: message.to_string() }
    }

    pub(crate) fn id(field: &'static str) -> impl Fn(IdError) -> Self {
        move |error| Self::invalid(field, error)
    }
}

impl From<RulesError> for AdminError {
    fn from(error: RulesError) -> Self {
        Self::invalid(error.field, error.message)
    }
}

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<Stopped> for AdminError {
    fn from(stopped: Stopped) -> Self {
        Self::Unavailable(stopped.to_string())
    }
}

impl From<AdminError> for Status {
    fn from(error: AdminError) -> Self {
        let (code, reason) = match &error {
            AdminError::NoRoom(_) => (Code::NotFound, "NO_ROOM"),
            AdminError::RoomExists(_) => (Code::AlreadyExists, "ROOM_EXISTS"),
            AdminError::Invalid { .. } => (Code::InvalidArgument, "INVALID"),
            AdminError::Outdated { .. } => (Code::Aborted, "OUTDATED"),
            AdminError::Refused(_) => (Code::FailedPrecondition, "REFUSED"),
            AdminError::Unavailable(_) => (Code::Unavailable, "UNAVAILABLE"),
        };
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
        match &error {
            AdminError::Invalid { field, message } => {
                details.add_bad_request_violation(field, message);
            }
            AdminError::Unavailable(_) => {
                details.set_retry_info(Some(RETRY_AFTER));
            }
            AdminError::NoRoom(_)
            | AdminError::RoomExists(_)
            | AdminError::Outdated { .. }
            | AdminError::Refused(_) => {}
        }
        Self::with_error_details(code, error.to_string(), details)
    }
}
