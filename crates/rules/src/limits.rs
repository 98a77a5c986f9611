//! Limiter values: pure, with the time as an argument.

use crate::time::{Millis, Timestamp};
use alloc::collections::VecDeque;

/// Exact: at most so many in any window, by keeping the time of each.
#[derive(Debug, Clone, Default)]
pub struct SlidingLog {
    taken: VecDeque<Timestamp>,
}

/// A rate with a burst, in two words: the generic cell rate algorithm (ITU-T
/// I.371, virtual scheduling form).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gcra {
    /// Microseconds that one message costs.
    interval_us: u64,
    /// How far ahead of time the sender may be.
    tolerance_us: u64,
    /// When the next message would be due at the exact rate.
    due_us: u64,
}

// === impl SlidingLog ===

impl SlidingLog {
    /// Takes one, if that makes at most `max` within any `window`.
    ///
    /// # Errors
    /// The time after which one may be taken.
    pub fn try_take(&mut self, max: u32, window: Millis, now: Timestamp) -> Result<(), Millis> {
        while self.taken.front().is_some_and(|at| now.since(*at) >= window) {
            self.taken.pop_front();
        }
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        if self.taken.len() < max {
            self.taken.push_back(now);
            return Ok(());
        }
        // Where the limit was lowered, more than the oldest must go first.
        let last_to_go = self.taken.get(self.taken.len() - max);
        Err(last_to_go.map_or(window, |at| at.saturating_add(window).since(now)))
    }

    /// Whether nothing within the window is remembered.
    #[must_use]
    pub fn is_idle(&self, window: Millis, now: Timestamp) -> bool {
        self.taken.back().is_none_or(|at| now.since(*at) >= window)
    }
}

// === impl Gcra ===

impl Gcra {
    /// So many messages a second, and so many at once after a silence; zero
    /// counts as one.
    #[must_use]
    pub fn new(rate: u32, burst: u32) -> Self {
        // Rounded up: rather a little slower than asked than faster.
        let interval_us = 1_000_000_u64.div_ceil(u64::from(rate.max(1)));
        let tolerance_us = interval_us.saturating_mul(u64::from(burst.max(1) - 1));
        Self { interval_us, tolerance_us, due_us: 0 }
    }

    /// Takes one.
    ///
    /// # Errors
    /// The time after which one may be taken.
    pub fn try_take(&mut self, now: Timestamp) -> Result<(), Millis> {
        let now_us = now.as_millis().saturating_mul(1_000);
        // Further ahead than one message past the burst is a clock that went back.
        let latest_us = now_us.saturating_add(self.tolerance_us.saturating_add(self.interval_us));
        let due_us = self.due_us.clamp(now_us, latest_us);
        self.due_us = due_us;
        let ahead_us = due_us - now_us;
        if ahead_us > self.tolerance_us {
            return Err(Millis::new((ahead_us - self.tolerance_us).div_ceil(1_000)));
        }
        self.due_us = due_us.saturating_add(self.interval_us);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
