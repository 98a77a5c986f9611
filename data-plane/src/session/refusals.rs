//! How often a session was refused something of late.

use crate::settings::Limits;
use gavel_rules::time::{Millis, Timestamp};

/// The refusals since the first of a window; the first after its end begins another.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    since: Timestamp,
    times: u32,
}

// === impl Refusals ===

impl Refusals {
    /// Notes some more.
    ///
    /// # Errors
    /// The rest of the window, if they are too many; they are forgotten then.
    pub(super) fn note(
        &mut self,
        times: u32,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<(), Millis> {
        let window = limits.refusals_window;
        // A clock that was put back must not make the window a long one.
        if self.times == 0 || self.since > now || now.since(self.since) >= window {
            (self.since, self.times) = (now, 0);
        }
        self.times = self.times.saturating_add(times);
        if limits.refusals_per_session_max == 0 || self.times < limits.refusals_per_session_max {
            return Ok(());
        }
        self.times = 0;
        Err(self.since.saturating_add(window).since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_within_a_window_are_too_many() {
        let limits = Limits {
            refusals_per_session_max: 3,
            refusals_window: Millis::new(1_000),
            ..Limits::default()
        };
        for (at, refused) in [
            (&[10, 500, 1_009][..], Some(1)),
            (&[10, 500, 1_010, 1_020], None),
            (&[10, 500, 1_010, 1_020, 1_510], Some(500)),
            (&[5_000, 10, 20, 5_900], None),
            (&[10, 20], None),
        ] {
            let mut refusals = Refusals::default();
            let mut last = Ok(());
            for at in at {
                last = refusals.note(1, Timestamp::new(*at), &limits);
            }
            assert_eq!(last.err().map(Millis::get), refused, "{at:?}");
        }
        let mut refusals = Refusals::default();
        assert!(refusals.note(7, Timestamp::new(10), &limits).is_err());
        let lifted = Limits { refusals_per_session_max: 0, ..limits };
        assert!(refusals.note(u32::MAX, Timestamp::new(20), &lifted).is_ok());
        assert!(refusals.note(u32::MAX, Timestamp::new(20), &lifted).is_ok());
    }
}
