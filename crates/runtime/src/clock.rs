//! The only place that reads a clock.

use rustix::time::{ClockId, clock_gettime};
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

/// Microseconds since the machine started, by a clock that never goes back and
/// that all processes on the machine share, so that what they record compares.
pub fn machine_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(now.tv_sec).saturating_mul(1_000_000).saturating_add(part(now.tv_nsec) / 1_000)
}

/// Names the clock behind [`machine_us`]: equal names are equal clocks.
pub fn machine_clock() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    // Where the system does not name its start, this process shares with none.
    boot.map_or_else(
        |_| format!("process-{}-{}", std::process::id(), now_ms()),
        |id| id.trim().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_after_this_code_was_written_and_does_not_go_back() {
        assert!(now_ms() > 1_700_000_000_000);
        let first = monotonic();
        assert!(monotonic() >= first);
        let first = machine_us();
        assert!(first > 0 && machine_us() >= first);
        assert_eq!(machine_clock(), machine_clock());
    }
}
