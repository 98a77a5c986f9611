//! What a store knows of the heartbeats of a node, and what follows from it for a room.

use gavel_rules::{Incarnation, Timestamp};

/// The heartbeats of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heartbeats {
    /// The run that sent the last one.
    pub(super) incarnation: Incarnation,
    /// When its first one came.
    pub(super) first_at: Timestamp,
    /// When its last one came.
    pub(super) last_at: Timestamp,
    /// When the last one of the run before came.
    pub(super) before_at: Timestamp,
}

// === impl Heartbeats ===

impl Heartbeats {
    /// Takes in a heartbeat of a run; one of an earlier run says nothing.
    #[must_use]
    pub(super) fn beat(self, incarnation: Incarnation, now: Timestamp) -> Self {
        if incarnation > self.incarnation {
            return Self { incarnation, first_at: now, last_at: now, before_at: self.last_at };
        }
        let is_current = incarnation == self.incarnation;
        Self { last_at: if is_current { now } else { self.last_at }, ..self }
    }

    /// When the last one came, of whichever run.
    #[must_use]
    pub(super) fn last(self) -> Option<Timestamp> {
        (self.last_at > Timestamp::default()).then_some(self.last_at)
    }

    /// When the run that claimed a room at `claimed_at` was last heard of, which is then or later.
    #[must_use]
    pub(super) fn heard_at(self, claimed_at: Timestamp) -> Option<Timestamp> {
        let current = claimed_at >= self.first_at;
        let heard_at = if current { self.last_at } else { self.before_at };
        (heard_at > Timestamp::default()).then_some(heard_at.max(claimed_at))
    }
}
