//! How long to wait before trying again: exponential, bounded, full jitter.

use std::time::Duration;

use rand::Rng;

/// A bound that cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the first delay ({first:?}) must be above zero and at most the longest ({longest:?})")]
pub struct BackoffError {
    first: Duration,
    longest: Duration,
}

/// Delays that double from `first` up to `longest`, each drawn uniformly from
/// zero to that bound, so that clients which failed together do not return
/// together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

// === impl Backoff ===

impl Backoff {
    /// Delays from `first` to `longest`.
    pub fn try_new(first: Duration, longest: Duration) -> Result<Self, BackoffError> {
        if first.is_zero() || first > longest {
            return Err(BackoffError { first, longest });
        }
        Ok(Self { first, longest, failures: 0 })
    }

    /// Delays from 50 ms to 5 s, which suits a peer that restarts.
    pub fn standard() -> Self {
        Self { first: Duration::from_millis(50), longest: Duration::from_secs(5), failures: 0 }
    }

    /// The next delay, with its jitter drawn from the thread's generator.
    pub fn next_delay(&mut self) -> Duration {
        self.next_delay_at(rand::rng().random::<f64>())
    }

    /// The next delay, with its place in `0.0..=1.0` of the bound given.
    pub fn next_delay_at(&mut self, place: f64) -> Duration {
        let bound = self.bound();
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(place.clamp(0.0, 1.0))
    }

    /// The longest that the next delay may be.
    pub fn bound(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Waits for the next delay.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_delay()).await;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::standard()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn bounds_double_until_the_longest() {
        let mut backoff = Backoff::try_new(ms(10), ms(70)).unwrap();
        let bounds: Vec<_> = (0..5).map(|_| backoff.next_delay_at(1.0)).collect();
        assert_eq!(bounds, [ms(10), ms(20), ms(40), ms(70), ms(70)]);
        backoff.reset();
        assert_eq!(backoff.bound(), ms(10));
    }

    #[test]
    fn jitter_covers_the_whole_bound_and_never_passes_it() {
        let mut backoff = Backoff::try_new(ms(10), ms(70)).unwrap();
        assert_eq!(backoff.next_delay_at(0.0), Duration::ZERO);
        assert_eq!(backoff.next_delay_at(0.5), ms(10));
        for _ in 0..200 {
            assert!(backoff.next_delay() <= ms(70));
        }
    }

    #[test]
    fn bounds_that_cannot_be_kept_are_refused() {
        assert!(Backoff::try_new(Duration::ZERO, ms(1)).is_err());
        assert!(Backoff::try_new(ms(2), ms(1)).is_err());
    }
}
