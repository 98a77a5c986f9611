//! Outages: time in which nobody could bid is given back by policy.

use crate::time::{Millis, Timestamp};
use serde::{Deserialize, Serialize};

/// The shortest outage that a policy may name. Whether a node and its store
/// reach each other is known once a second; below this nothing is certain.
pub const OUTAGE_MIN: Millis = Millis::new(2_000);

/// How much of the time that outages took is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageCredit {
    /// Shorter outages are not given back.
    pub from: Millis,
    /// What outages may move the close by within one round, all together.
    pub total_max: Millis,
}

// === impl OutageCredit ===

impl OutageCredit {
    /// What is given back for an outage from `since` to `until`, where
    /// outages before it have got `credited`.
    #[must_use]
    pub fn credit(&self, since: Timestamp, until: Timestamp, credited: Millis) -> Option<Millis> {
        let outage = until.since(since);
        let left = Millis::new(self.total_max.get().saturating_sub(credited.get()));
        let credit = outage.min(left);
        (outage >= self.from && credit > Millis::default()).then_some(credit)
    }
}
