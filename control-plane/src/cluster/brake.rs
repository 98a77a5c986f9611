//! Leases that lapse, and the brake: where many nodes go silent at once it is
//! more likely that we do not hear them than that they are gone.
//!
//! ```text
//!   Expected, Holds, Suspect --lapse--> Lapsed    its rooms go to others
//!                                 \---> Held      the brake is on: it keeps them
//! ```

use super::{Action, Cluster, Lease, Timestamp};
use gavel_rules::{id::NodeId, time::Millis};

/// Nodes that lapse within this time count together.
const WINDOW: Millis = Millis::new(10_000);
/// So many may lapse together, however few nodes there are.
const LAPSES_MAX: usize = 2;
/// More than this share of the nodes, in percent, may not.
const LAPSES_MAX_PERCENT: usize = 20;
/// The brake is released after this time: whatever is still silent by then is
/// gone, and its rooms have waited long enough.
const BRAKE_MAX: Millis = Millis::new(60_000);

// === impl Cluster ===

impl Cluster {
    /// Since when the brake is on and when it is released by itself.
    #[must_use]
    pub fn brake(&self) -> Option<(Timestamp, Timestamp)> {
        self.brake.map(|since| (since, since.saturating_add(BRAKE_MAX)))
    }

    /// Whether a node is silent and keeps its rooms for the brake.
    #[must_use]
    pub fn is_held(&self, node: &NodeId) -> bool {
        self.nodes.get(node).is_some_and(|member| member.lease.is_held())
    }

    /// Lets the leases lapse whose time is over, unless that are too many.
    pub(super) fn lapse(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if self.brake().is_some_and(|(_, until)| until <= now) {
            self.release_brake(now, actions);
        }
        let due = self.nodes.values().filter(|member| member.lease.is_due(now)).count();
        if due == 0 {
            return;
        }
        let recent = |lease: Lease| match lease {
            Lease::Lapsed { at } | Lease::Held { since: at } => at.saturating_add(WINDOW) > now,
            Lease::Expected { .. } | Lease::Holds { .. } | Lease::Suspect { .. } => false,
        };
        let earlier = self.nodes.values().filter(|member| recent(member.lease)).count();
        let (lapses, of) = (due + earlier, self.in_time(now) + due + earlier);
        if self.brake.is_none() && too_many(lapses, of) {
            self.brake = Some(now);
            actions.push(Action::BrakeOn { lapses, of });
        }
        let braked = self.brake.is_some();
        for member in self.nodes.values_mut().filter(|member| member.lease.is_due(now)) {
            member.lease =
                if braked { Lease::Held { since: now } } else { Lease::Lapsed { at: now } };
        }
    }

    /// Releases the brake where those it holds have become few enough to be
    /// gone one by one. Others have just come back, so these get another lease
    /// to do the same.
    pub(super) fn ease_brake(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let held = self.nodes_held();
        if self.brake.is_none() || too_many(held, self.in_time(now) + held) {
            return;
        }
        self.brake = None;
        actions.push(Action::BrakeOff { lapses: 0 });
        let until = now.saturating_add(self.lease);
        for member in self.nodes.values_mut().filter(|member| member.lease.is_held()) {
            member.lease = Lease::Suspect { until };
        }
    }

    /// Lets everybody lapse whom the brake holds.
    pub(super) fn release_brake(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if self.brake.take().is_none() {
            return;
        }
        actions.push(Action::BrakeOff { lapses: self.nodes_held() });
        for member in self.nodes.values_mut().filter(|member| member.lease.is_held()) {
            member.lease = Lease::Lapsed { at: now };
        }
    }

    /// Nodes that are silent and keep their rooms for the brake.
    #[must_use]
    pub fn nodes_held(&self) -> usize {
        self.nodes.values().filter(|member| member.lease.is_held()).count()
    }

    /// Nodes whose lease is not over.
    fn in_time(&self, now: Timestamp) -> usize {
        let in_time = |lease: Lease| lease.keeps_rooms() && !lease.is_held() && !lease.is_due(now);
        self.nodes.values().filter(|member| in_time(member.lease)).count()
    }
}

fn too_many(lapses: usize, of: usize) -> bool {
    lapses > LAPSES_MAX && lapses * 100 > of * LAPSES_MAX_PERCENT
}
