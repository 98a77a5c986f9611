//! What a failure of Redis means for the caller, and the one line an operator reads about it.

use std::fmt::Display;

use gavel_runtime::redis::RedisError;
use parking_lot::Mutex;

use crate::store::StoreError;

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

/// Logs a failure when it begins, when it changes, and when it is over: with a thousand bids a
/// second, one line for each would hide everything else.
#[derive(Debug, Default)]
pub(super) struct FailureLog {
    current: Mutex<Option<StoreError>>,
}

impl FailureLog {
    pub(super) fn note(&self, error: Option<&RedisError>) {
        let class = error.map(class);
        let mut current = self.current.lock();
        if *current == class {
            return;
        }
        match error {
            Some(error) => tracing::warn!(%error, "store.failing"),
            None => tracing::info!("store.recovered"),
        }
        *current = class;
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
}
