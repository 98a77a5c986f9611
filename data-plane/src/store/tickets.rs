//! The tickets of the engines in this process. They are good for seconds, so none has to
//! outlive it.

use std::collections::HashMap;

use gavel_rules::{Millis, Timestamp};

/// Tickets below which nobody looks for old ones.
const SWEEP_TICKETS_MIN: usize = 1024;

/// What is kept under each ticket's key, and until when.
pub(super) struct Tickets {
    kept: HashMap<String, (String, Timestamp)>,
    sweep_at: usize,
}

// === impl Tickets ===

impl Default for Tickets {
    fn default() -> Self {
        Self { kept: HashMap::new(), sweep_at: SWEEP_TICKETS_MIN }
    }
}

impl Tickets {
    /// Keeps one.
    pub(super) fn keep(&mut self, key: &str, pass: &str, kept: Millis, now: Timestamp) {
        if self.kept.len() >= self.sweep_at {
            self.kept.retain(|_, (_, until)| *until > now);
            self.sweep_at = SWEEP_TICKETS_MIN.max(self.kept.len().saturating_mul(2));
        }
        self.kept.insert(key.to_owned(), (pass.to_owned(), now.saturating_add(kept)));
    }

    /// Takes one away.
    pub(super) fn take(&mut self, key: &str, now: Timestamp) -> Option<String> {
        self.kept.remove(key).filter(|(_, until)| *until > now).map(|(pass, _)| pass)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_tickets_are_swept() {
        let mut tickets = Tickets::default();
        for n in 0..10 * SWEEP_TICKETS_MIN {
            let now = Timestamp::new(u64::try_from(n).unwrap());
            tickets.keep(&format!("t{n}"), "", Millis::new(100), now);
        }
        assert!(tickets.kept.len() <= 2 * SWEEP_TICKETS_MIN);
    }
}
