//! What a failure of Redis means here, and the line an operator reads about it.

use crate::store::StoreError;
use gavel_runtime::{clock, redis::RedisError};
use parking_lot::Mutex;
use std::{
    fmt::Display,
    time::{Duration, Instant},
};

/// The least time between two lines: a thousand rooms that are tried again
/// each half second would hide everything else.
const SILENCE: Duration = Duration::from_secs(1);

/// Codes of a server that is there but does not do such things now.
const NOT_NOW: [&str; 12] = [
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOAUTH",
    "NOPERM",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "WRONGPASS",
];

/// Every call is safe to repeat, so a lost answer is no class of its own.
pub(super) fn class(error: &RedisError) -> StoreError {
    match error {
        RedisError::Unavailable(_) | RedisError::Unknown(_) => StoreError::Unavailable,
        RedisError::Refused(text) => {
            let mut words = text.split(|c: char| !c.is_ascii_uppercase());
            if words.any(|word| NOT_NOW.contains(&word)) {
                StoreError::Unavailable
            } else {
                StoreError::Corrupt(text.clone())
            }
        }
    }
}

pub(super) fn corrupt(error: impl Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

/// Logs one failure in each [`SILENCE`], with the number it stands for.
#[derive(Debug, Default)]
pub(super) struct FailureLog {
    /// Until when nothing is logged, and what has not been.
    state: Mutex<(Option<Instant>, u64)>,
}

impl FailureLog {
    pub(super) fn note<T>(&self, outcome: &Result<T, RedisError>) {
        let Err(error) = outcome else { return };
        if let Some(failures) = self.due(clock::monotonic()) {
            tracing::warn!(%error, failures, "store.failing");
        }
    }

    /// Counts a failure; how many to log, if it is time to.
    fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        let (silent_until, unlogged) = &mut *state;
        *unlogged += 1;
        if silent_until.is_some_and(|until| now < until) {
            return None;
        }
        *silent_until = Some(now + SILENCE);
        Some(std::mem::take(unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_unavailable_and_the_rest_is_corrupt() {
        let refused = |text: &str| class(&RedisError::Refused(text.to_owned()));
        assert_eq!(refused("OOM command not allowed"), StoreError::Unavailable);
        assert_eq!(refused("ERR in script: -READONLY replica"), StoreError::Unavailable);
        assert!(matches!(refused("WRONGTYPE of key"), StoreError::Corrupt(_)));
        assert_eq!(class(&RedisError::Unknown(String::new())), StoreError::Unavailable);
    }

    #[test]
    fn many_failures_are_one_line_and_all_are_counted() {
        let (log, start) = (FailureLog::default(), clock::monotonic());
        assert_eq!(log.due(start), Some(1));
        assert_eq!(log.due(start + SILENCE / 2), None);
        assert_eq!(log.due(start + SILENCE), Some(2));
    }
}
