//! What a failure of Redis means for the caller, and the lines an operator reads about it.

use std::fmt::Display;
use std::mem;
use std::time::{Duration, Instant};

use gavel_runtime::clock;
use gavel_runtime::redis::RedisError;
use parking_lot::Mutex;

use crate::store::StoreError;

/// The least time between two lines about failures.
const SILENCE: Duration = Duration::from_secs(1);

/// Codes of a server that is there but does not do such things now.
const NOT_NOW: &[&str] = &[
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY",
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
];

/// Never an ack: either nothing was done, or nobody knows.
pub(super) fn class(error: &RedisError) -> StoreError {
    match error {
        RedisError::Unknown(_) => StoreError::Unknown,
        RedisError::Unavailable(_) => StoreError::Unavailable,
        RedisError::Refused(text) if names_a_passing_state(text) => StoreError::Unavailable,
        RedisError::Refused(text) => StoreError::Corrupt(text.clone()),
    }
}

pub(super) fn corrupt(error: impl Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

fn names_a_passing_state(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_ascii_uppercase());
    words.any(|word| NOT_NOW.contains(&word))
}

/// Logs at most one failure in each [`SILENCE`], with the number of those it stands for: with a
/// thousand bids a second, one line for each would hide everything else.
#[derive(Debug, Default)]
pub(super) struct FailureLog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    silent_until: Option<Instant>,
    unlogged: u64,
}

impl FailureLog {
    pub(super) fn note<T>(&self, outcome: &Result<T, RedisError>) {
        let Err(error) = outcome else { return };
        if let Some(failures) = self.state.lock().due(clock::monotonic()) {
            tracing::warn!(%error, failures, "store.failing");
        }
    }
}

impl State {
    /// Counts a failure; how many to log, if it is time to.
    fn due(&mut self, now: Instant) -> Option<u64> {
        self.unlogged += 1;
        if self.silent_until.is_some_and(|until| now < until) {
            return None;
        }
        self.silent_until = Some(now + SILENCE);
        Some(mem::take(&mut self.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_passes_is_unavailable_and_the_rest_is_not() {
        for text in [
            "OOM command not allowed when used memory > 'maxmemory'.",
            "ERR Error running script: @user_script: -READONLY You can't write against a replica",
            "\"NOREPLICAS\": Not enough good replicas to write.",
            "MISCONF: Redis is configured to save RDB snapshots",
        ] {
            let refused = RedisError::Refused(text.to_owned());
            assert_eq!(class(&refused), StoreError::Unavailable, "{text}");
        }
        let wrong = RedisError::Refused("WRONGTYPE: a key of the wrong kind".to_owned());
        assert!(matches!(class(&wrong), StoreError::Corrupt(_)));
        let lost = RedisError::Unknown("timed out".to_owned());
        assert_eq!(class(&lost), StoreError::Unknown);
    }

    #[test]
    fn many_failures_are_one_line_and_all_are_counted() {
        let (mut state, start) = (State::default(), clock::monotonic());
        assert_eq!(state.due(start), Some(1));
        for _ in 0..5 {
            assert_eq!(state.due(start + SILENCE / 2), None);
        }
        assert_eq!(state.due(start + SILENCE), Some(6));
    }
}
