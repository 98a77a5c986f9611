//! Why a verb did not do what it was asked, and the exit status that says so.

use crate::output;
use gavel_runtime::config::ConfigError;
use std::{fmt::Display, process::ExitCode};

/// Exit status of wrong usage or wrong settings.
pub(crate) const USAGE: u8 = gavel_runtime::config::EXIT_USAGE;
/// Exit status of a peer that cannot be reached.
const UNAVAILABLE: u8 = 69;
/// Exit status of everything else, such as a refusal.
const REFUSED: u8 = 1;

/// What went wrong, told apart by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command or a setting must be written differently.
    #[error("{0}")]
    Usage(String),
    /// A peer could not be reached; the same command may work later.
    #[error("{0}")]
    Unavailable(String),
    /// It was understood and not done.
    #[error("{0}")]
    Refused(String),
}

// === impl Failure ===

impl Failure {
    /// Something within this process failed.
    pub(crate) fn internal(what: &str, error: impl Display) -> Self {
        // The long form of an `anyhow` error holds its causes.
        Self::Refused(format!("{what}: {error:#}"))
    }

    fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Unavailable(_) => UNAVAILABLE,
            Self::Refused(_) => REFUSED,
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Reports the result on standard error and as an exit status.
pub(crate) fn exit(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&format!("gavel: {failure}"));
            ExitCode::from(failure.status())
        }
    }
}
