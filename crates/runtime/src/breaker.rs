//! A circuit breaker as a pure machine: the caller brings the time.
//!
//! ```text
//!            failures reach the limit
//!   Closed ───────────────────────────▶ Open
//!     ▲                                  │ open_for has passed
//!     │ probe succeeds                   ▼
//!     └──────────────────────────── HalfOpen ──▶ Open (probe fails)
//! ```

use std::time::{Duration, Instant};

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open the breaker; at least one is assumed.
    pub failures_max: u32,
    /// How long calls are refused before one probe may try.
    pub open_for: Duration,
}

/// What a breaker lets through now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Every call.
    Closed,
    /// No call.
    Open,
    /// One probe.
    HalfOpen,
}

/// Refuses calls to a peer that keeps failing, so that callers fail at once
/// instead of queueing for a timeout.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: BreakerSettings,
    inner: Inner,
}

#[derive(Debug, Clone, Copy)]
enum Inner {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { probe_until: Instant },
}

// === impl BreakerSettings ===

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures_max: 5, open_for: Duration::from_secs(1) }
    }
}

// === impl BreakerState ===

impl BreakerState {
    /// The word used in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

// === impl Breaker ===

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, inner: Inner::Closed { failures: 0 } }
    }

    /// Whether a call may go ahead; in the half-open state only one may.
    ///
    /// A probe whose outcome is never reported gives up its turn after
    /// `open_for`, so that a cancelled caller cannot hold the breaker open.
    pub fn allow(&mut self, now: Instant) -> bool {
        match self.inner {
            Inner::Closed { .. } => true,
            Inner::Open { until } if now < until => false,
            Inner::HalfOpen { probe_until } if now < probe_until => false,
            Inner::Open { .. } | Inner::HalfOpen { .. } => {
                self.inner = Inner::HalfOpen { probe_until: now + self.settings.open_for };
                true
            }
        }
    }

    /// Notes that a call succeeded, which closes the breaker.
    ///
    /// A late success of a call begun before the breaker opened counts too: it
    /// shows that the peer answers.
    pub fn on_success(&mut self) {
        self.inner = Inner::Closed { failures: 0 };
    }

    /// Notes that a call failed.
    pub fn on_failure(&mut self, now: Instant) {
        let until = now + self.settings.open_for;
        self.inner = match self.inner {
            Inner::Closed { failures } => {
                let failures = failures.saturating_add(1);
                if failures >= self.settings.failures_max {
                    Inner::Open { until }
                } else {
                    Inner::Closed { failures }
                }
            }
            Inner::HalfOpen { .. } => Inner::Open { until },
            // Calls begun before it opened do not prolong the wait.
            Inner::Open { until } => Inner::Open { until },
        };
    }

    /// The present state.
    pub fn state(&self) -> BreakerState {
        match self.inner {
            Inner::Closed { .. } => BreakerState::Closed,
            Inner::Open { .. } => BreakerState::Open,
            Inner::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const SETTINGS: BreakerSettings =
        BreakerSettings { failures_max: 2, open_for: Duration::from_secs(1) };

    fn opened(at: Instant) -> Breaker {
        let mut breaker = Breaker::new(SETTINGS);
        breaker.on_failure(at);
        assert!(breaker.allow(at), "one failure is not enough");
        breaker.on_failure(at);
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_resets_the_count() {
        let start = clock::monotonic();
        let mut breaker = Breaker::new(SETTINGS);
        breaker.on_failure(start);
        breaker.on_success();
        breaker.on_failure(start);
        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.on_failure(start);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(!breaker.allow(start));
    }

    #[test]
    fn one_probe_decides() {
        let start = clock::monotonic();
        let later = start + SETTINGS.open_for;
        let mut breaker = opened(start);
        assert!(breaker.allow(later));
        assert!(!breaker.allow(later), "only one probe");
        breaker.on_failure(later);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.allow(later + SETTINGS.open_for));
        breaker.on_success();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_lost_probe_gives_up_its_turn() {
        let start = clock::monotonic();
        let mut breaker = opened(start);
        assert!(breaker.allow(start + SETTINGS.open_for));
        assert!(breaker.allow(start + SETTINGS.open_for * 2));
    }

    #[test]
    fn late_failures_do_not_prolong_the_wait() {
        let start = clock::monotonic();
        let mut breaker = opened(start);
        breaker.on_failure(start + Duration::from_millis(900));
        assert!(breaker.allow(start + SETTINGS.open_for));
    }
}
