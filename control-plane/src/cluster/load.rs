//! What each node carries, and which rooms move to even that out.
//!
//! A node's load is what it reports, smoothed, and what it was given since: a
//! room that moves counts for its new owner at once and then fades, while the
//! reports come to contain it. Both go at the same pace, so the sum is steady.

use super::{Action, Cluster, Lease, Member, Placed, Timestamp};
use gavel_rules::{
    id::{NodeId, RoomId},
    placement::{self, Candidate, Owned},
    time::Millis,
};

/// In this time a report fades to a part in e; half of it goes in ten seconds.
const FADE: Millis = Millis::new(14_427);
/// Time between two rounds of rebalancing.
pub(super) const ROUND: Millis = Millis::new(10_000);
/// A room stays with its owner for at least this long.
const RESIDENCE: Millis = Millis::new(60_000);
/// What a room was reported to cost is believed for this long.
const REPORT_MAX_AGE: Millis = Millis::new(15_000);

/// What a node tells of its load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The fullest of its resources, in millionths of what it can carry.
    pub load_ppm: u32,
    /// The rooms that make the most of it.
    pub busiest: Vec<RoomLoad>,
    /// The node wants to leave.
    pub draining: bool,
}

/// What a node tells of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomLoad {
    /// Which room.
    pub room: RoomId,
    /// In millionths of what its owner can carry.
    pub load_ppm: u32,
    /// Until then a move disturbs no close.
    pub movable_until: Timestamp,
}

/// The load of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// As reported, smoothed, in millionths of its capacity.
    reported_ppm: u64,
    reported_at: Option<Timestamp>,
    /// What it got or gave away since, in millionths times its weight.
    since: i64,
}

/// The load of a room, as its owner reported it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// In millionths times the owner's weight.
    load: u64,
    movable_until: Timestamp,
    at: Timestamp,
}

// === impl Cluster ===

impl Cluster {
    /// A node's load in millionths of what it can carry.
    #[must_use]
    pub fn load_ppm(&self, node: &NodeId) -> u64 {
        let member = self.nodes.get(node);
        member.map_or(0, |member| member.load() / u64::from(member.weight.max(1)))
    }

    /// Takes a node's report.
    pub(super) fn reported(&mut self, node: &NodeId, report: Report, now: Timestamp) {
        let Some(member) = self.nodes.get_mut(node) else { return };
        member.load.report(report.load_ppm.into(), now);
        let weight = u64::from(member.weight);
        for RoomLoad { room, load_ppm, movable_until } in report.busiest {
            let placed = self.rooms.get_mut(&room);
            if let Some(placed) = placed.filter(|placed| placed.owner.as_ref() == Some(node)) {
                placed.cost = Cost { load: u64::from(load_ppm) * weight, movable_until, at: now };
            }
        }
    }

    /// What a room may be expected to cost: what was reported of it, else the
    /// mean.
    pub(super) fn expected_cost(&self, placed: &Placed) -> u64 {
        if placed.cost.load > 0 {
            return placed.cost.load;
        }
        let reported: u64 = self.nodes.values().map(Member::reported).sum();
        let rooms = u64::try_from(self.rooms.len()).unwrap_or(u64::MAX);
        reported.checked_div(rooms).unwrap_or(0)
    }

    /// Starts moves that even loads out, if it is time to.
    pub(super) fn balance(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if now < self.balance_at {
            return;
        }
        self.balance_at = now.saturating_add(ROUND);
        // While nodes are silent, loads say little.
        if self.brake.is_some() || now < self.learning_until {
            return;
        }
        let nodes = self.candidates(None);
        let rooms: Vec<_> = self
            .rooms
            .iter()
            .filter_map(|(room, placed)| {
                let node = placed.owner.as_ref()?;
                let movable = placed.is_movable(now)
                    && self.nodes.get(node).is_some_and(|member| member.lease.holds_fast());
                Some(Owned { room, node, load: placed.cost.load, movable })
            })
            .collect();
        let moves: Vec<(RoomId, NodeId)> = placement::rebalance(&nodes, &rooms)
            .iter()
            .map(|proposed| (proposed.room.clone(), proposed.to.clone()))
            .collect();
        for (room, to) in moves {
            self.start_move(&room, Some(&to), now, actions);
        }
    }

    /// When loads are compared next; never where there is nothing to compare.
    pub(super) fn next_balance(&self) -> Option<Timestamp> {
        (self.nodes.len() > 1 && !self.rooms.is_empty()).then_some(self.balance_at)
    }

    /// The nodes that may get rooms, those in `zone` as near.
    pub(super) fn candidates(&self, zone: Option<&str>) -> Vec<Candidate<'_>> {
        let takers = self.nodes.iter().filter(|(_, member)| member.takes_rooms());
        takers
            .map(|(node, member)| Candidate {
                node,
                weight: member.weight,
                load: member.load(),
                near: zone.is_some_and(|zone| zone == member.zone),
            })
            .collect()
    }
}

// === impl Member ===

impl Member {
    /// What the node carries, in millionths times its weight. Each room counts
    /// a little on its own, so that idle ones are spread as well.
    pub(super) fn load(&self) -> u64 {
        self.reported().saturating_add_signed(self.load.since).saturating_add(self.rooms)
    }

    fn reported(&self) -> u64 {
        self.load.reported_ppm * u64::from(self.weight)
    }

    /// Notes that the node got a room of this cost.
    pub(super) fn gets(&mut self, cost: u64) {
        self.rooms += 1;
        self.load.since = self.load.since.saturating_add_unsigned(cost);
    }

    /// Notes that the node lost a room of this cost.
    pub(super) fn loses(&mut self, cost: u64) {
        self.rooms = self.rooms.saturating_sub(1);
        self.load.since = self.load.since.saturating_sub_unsigned(cost);
    }
}

// === impl Load ===

impl Load {
    fn report(&mut self, ppm: u64, now: Timestamp) {
        let Some(before) = self.reported_at.replace(now) else {
            self.reported_ppm = ppm;
            return;
        };
        let passed = now.since(before).get().min(FADE.get());
        let left = FADE.get() - passed;
        self.reported_ppm = (self.reported_ppm * left + ppm * passed) / FADE.get();
        let faded = i128::from(self.since) * i128::from(left) / i128::from(FADE.get());
        self.since = i64::try_from(faded).unwrap_or_default();
    }
}

// === impl Placed ===

impl Placed {
    fn is_movable(&self, now: Timestamp) -> bool {
        let reported = self.cost.at.saturating_add(REPORT_MAX_AGE) > now;
        let settled = self.placed_at.saturating_add(RESIDENCE) <= now;
        reported && settled && self.cost.movable_until > now && self.under_way.is_none()
    }
}

// === impl Lease ===

impl Lease {
    /// Whether the node was heard of and is not suspect.
    pub(super) fn holds_fast(self) -> bool {
        matches!(self, Self::Holds { .. })
    }
}
