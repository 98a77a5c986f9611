//! The only place that reads a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, by this machine's clock.
///
/// A clock set before 1970 reads as zero, so that time never goes negative.
#[expect(clippy::disallowed_methods, reason = "this is where everybody else reads it from")]
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

/// A reading of the clock that never goes back, for measuring durations.
#[expect(clippy::disallowed_methods, reason = "this is where everybody else reads it from")]
pub fn monotonic() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_after_this_code_was_written_and_does_not_go_back() {
        assert!(now_ms() > 1_700_000_000_000);
        let first = monotonic();
        assert!(monotonic() >= first);
    }
}
