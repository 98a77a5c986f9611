//! The state of the cluster: which nodes live, and which owns each room. A
//! pure machine: events in, actions out.
//!
//! ```text
//!   room without a living owner --Persist--> store --Persisted--> Publish
//!                 ^                            |
//!                 +--- Conflict, PersistFailed-+
//! ```
//!
//! What is known at first is what the store holds: an owner has one lease to
//! show itself before its rooms go to others. An assignment is stored before it
//! is told. Safety comes from the epoch in
//! the store, so a lease that lapses too early costs a move and never a second
//! winner.

use gavel_rules::{
    id::{Incarnation, NodeId, RoomId},
    order::Epoch,
    time::{Millis, Timestamp},
};
use std::collections::BTreeMap;

mod brake;
mod event;
mod held;
mod load;
mod moves;
mod place;
#[cfg(test)]
mod tests;

pub use event::{Action, Event, Joining};
use load::{Cost, Load};
pub use load::{Report, RoomLoad};
use moves::Move;
pub use moves::MoveRefused;

/// A node whose stream broke is given this long to come back.
const SUSPECT: Millis = Millis::new(700);
/// Time between two tries to store an assignment.
const PERSIST_RETRY: Millis = Millis::new(500);
/// A tick this late means that this process stood still, and heartbeats may
/// wait unread.
const STALL: Millis = Millis::new(1_000);
/// What is known of a node is kept for so long after its lease lapsed, so that
/// operators see it as gone.
const FORGET_AFTER: Millis = Millis::new(600_000);

/// The cluster as the control plane knows it.
#[derive(Debug)]
pub struct Cluster {
    lease: Millis,
    /// Until then an owner that has not been heard of may still come back.
    learning_until: Timestamp,
    /// Whether there is anything to learn: rooms had owners when it began.
    takes_over: bool,
    nodes: BTreeMap<NodeId, Member>,
    rooms: BTreeMap<RoomId, Placed>,
    /// Rooms whose assignment could not be stored, and when to try again.
    retries: BTreeMap<RoomId, Timestamp>,
    /// Rooms on their way from one living node to another.
    moves: BTreeMap<RoomId, Move>,
    /// Since when silent nodes keep their rooms.
    brake: Option<Timestamp>,
    /// When loads are compared next.
    balance_at: Timestamp,
    /// When the next tick is due.
    wake_at: Option<Timestamp>,
}

/// A node as a member.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    /// None until it registers.
    incarnation: Option<Incarnation>,
    weight: u32,
    zone: String,
    lease: Lease,
    /// Rooms that it owns or is about to.
    rooms: u64,
    load: Load,
    /// It wants to leave: it takes no rooms, and its own move away.
    draining: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lease {
    /// The store says that the node owns rooms; it has not come yet.
    Expected { until: Timestamp },
    /// The node was heard of.
    Holds { until: Timestamp },
    /// Its stream broke: it keeps its rooms and gets no new ones.
    Suspect { until: Timestamp },
    /// It was silent for too long, and the brake lets it keep its rooms.
    Held { since: Timestamp },
    /// It was silent for too long.
    Lapsed { at: Timestamp },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    owner: Option<NodeId>,
    epoch: Epoch,
    /// The epoch that the store was seen to hold.
    stored: Epoch,
    /// The highest epoch that a node was seen to own it under, whoever gave it.
    used: Epoch,
    /// Whether even an owner that lives needs the next epoch: it is a newer run
    /// and fences the earlier one, or the store may hold another owner.
    refresh: bool,
    /// To whom an assignment is being stored.
    under_way: Option<NodeId>,
    /// Since when its owner has it, as far as we know.
    placed_at: Timestamp,
    cost: Cost,
}

// === impl Cluster ===

impl Cluster {
    /// A cluster of which nothing is known yet.
    #[must_use]
    pub fn new(lease: Millis, now: Timestamp) -> Self {
        Self {
            lease,
            learning_until: now.saturating_add(lease),
            takes_over: false,
            nodes: BTreeMap::new(),
            rooms: BTreeMap::new(),
            retries: BTreeMap::new(),
            moves: BTreeMap::new(),
            brake: None,
            balance_at: now.saturating_add(load::ROUND),
            wake_at: None,
        }
    }

    /// The owner of a room and its epoch; none if there is no such room. While
    /// a room moves it is the one who still decides.
    #[must_use]
    pub fn assignment(&self, room: &RoomId) -> Option<(Option<&NodeId>, Epoch)> {
        let placed = || self.rooms.get(room).map(|placed| (placed.owner.as_ref(), placed.epoch));
        self.decides(room).or_else(placed)
    }

    /// Every room, by id.
    pub fn rooms(&self) -> impl Iterator<Item = &RoomId> {
        self.rooms.keys()
    }

    /// Whether a node's lease holds, and how many rooms it owns or is about to.
    #[must_use]
    pub fn member(&self, node: &NodeId) -> Option<(bool, u64)> {
        self.nodes.get(node).map(|member| (member.lease.holds(), member.rooms))
    }

    /// Nodes whose lease holds.
    #[must_use]
    pub fn nodes_live(&self) -> usize {
        self.nodes.values().filter(|member| member.lease.holds()).count()
    }

    /// Whether any node could take a room.
    #[must_use]
    pub fn has_nodes(&self) -> bool {
        self.nodes.values().any(Member::takes_rooms)
    }

    /// Takes one event; returns when to come again with a [`Event::Tick`].
    pub fn step(
        &mut self,
        event: Event,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) -> Option<Timestamp> {
        match event {
            Event::Room { room, owner, epoch } => self.room(room, owner, epoch, now, actions),
            Event::Registered { node, joining, held } => {
                self.register(node, joining, held, now, actions);
            }
            Event::Heartbeat { node, incarnation, report } => {
                self.heartbeat(&node, incarnation, report, now, actions);
            }
            Event::Disconnected { node, incarnation } => {
                self.disconnected(&node, incarnation, now, actions);
            }
            Event::Persisted { room, owner, epoch } => {
                self.persisted(&room, owner, epoch, now, actions);
            }
            Event::Conflict { room, epoch } => {
                self.moves.remove(&room);
                self.change(&room, |placed| {
                    placed.under_way = None;
                    placed.stored = epoch;
                });
                self.place(&room, now, actions);
            }
            Event::PersistFailed { room } => {
                // It may be stored all the same: whoever is to own the room now
                // does so under an epoch that the store certainly holds.
                self.moves.remove(&room);
                self.change(&room, |placed| {
                    placed.under_way = None;
                    placed.refresh = true;
                });
                self.retries.insert(room, now.saturating_add(PERSIST_RETRY));
            }
            Event::Move { room, to } => self.start_move(&room, to.as_ref(), now, actions),
            Event::Prepared { room, epoch, node } => self.prepared(room, epoch, &node, actions),
            Event::Released { room, epoch, node } => {
                self.released(&room, epoch, &node, now, actions);
            }
            Event::ClaimRefused { room, epoch, node } => {
                self.claim_refused(&room, epoch, &node, now, actions);
            }
            Event::ReleaseBrake => {
                self.release_brake(now, actions);
                self.place_all(now, actions);
            }
            Event::Tick => self.tick(now, actions),
        }
        self.wake_at = self.next_wake(now);
        self.wake_at
    }

    fn room(
        &mut self,
        room: RoomId,
        owner: Option<NodeId>,
        epoch: Epoch,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        if !self.rooms.contains_key(&room) {
            let fresh = Placed {
                owner: None,
                epoch,
                stored: epoch,
                used: epoch,
                refresh: false,
                under_way: None,
                placed_at: now,
                cost: Cost::default(),
            };
            self.rooms.insert(room.clone(), fresh);
            if let Some(owner) = owner.as_ref().filter(|_| now < self.learning_until) {
                let until = self.learning_until;
                self.takes_over = true;
                self.nodes.entry(owner.clone()).or_insert_with(|| Member::expected(until));
            }
            self.change(&room, |placed| placed.owner = owner);
        }
        self.place(&room, now, actions);
    }

    fn register(
        &mut self,
        node: NodeId,
        joining: Joining,
        held: Vec<(RoomId, Epoch)>,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let Joining { incarnation, weight, zone } = joining;
        if let Some(by) = self.newer_run(&node, incarnation) {
            return actions.push(Action::Supersede { node, incarnation, by });
        }
        let known = self.nodes.get(&node).and_then(|member| member.incarnation);
        let other = known.filter(|known| *known != incarnation);
        if let Some(old) = other {
            let node = node.clone();
            actions.push(Action::Supersede { node, incarnation: old, by: incarnation });
        }
        let lease = Lease::Holds { until: now.saturating_add(self.lease) };
        let (incarnation, rooms) = (Some(incarnation), self.carried_by(&node));
        let same = self.nodes.get(&node).filter(|member| member.incarnation == incarnation);
        let load = same.map(|member| member.load).unwrap_or_default();
        let draining = same.is_some_and(|member| member.draining);
        let member = Member { incarnation, weight, zone, lease, rooms, load, draining };
        self.nodes.insert(node.clone(), member);
        self.ease_brake(now, actions);
        if other.is_some() {
            for placed in self.rooms.values_mut() {
                placed.refresh |= placed.owner.as_ref() == Some(&node);
            }
        }
        for (room, epoch) in held {
            self.held(room, epoch, &node, actions);
        }
        self.place_all(now, actions);
        // What the node was told before it registered again may be lost.
        for (room, placed) in &self.rooms {
            if placed.owner.as_ref() == Some(&node) && placed.under_way.is_none() {
                actions.push(Action::Publish { room: room.clone() });
            }
        }
    }

    /// The run of a node that is connected and newer than this one. One that is
    /// gone keeps nobody out: its clock may have been ahead.
    pub(crate) fn newer_run(&self, node: &NodeId, incarnation: Incarnation) -> Option<Incarnation> {
        let member = self.nodes.get(node)?;
        let connected = matches!(member.lease, Lease::Holds { .. });
        member.incarnation.filter(|known| connected && *known > incarnation)
    }

    fn heartbeat(
        &mut self,
        node: &NodeId,
        incarnation: Incarnation,
        report: Report,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let until = now.saturating_add(self.lease);
        let Some(member) = self.run(node, incarnation) else { return };
        let before = std::mem::replace(&mut member.lease, Lease::Holds { until });
        member.draining = report.draining;
        self.reported(node, report, now);
        self.drain(now, actions);
        if !before.holds_fast() {
            self.ease_brake(now, actions);
            self.place_all(now, actions);
        }
    }

    fn disconnected(
        &mut self,
        node: &NodeId,
        incarnation: Incarnation,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let mut soonest = now.saturating_add(SUSPECT);
        if self.takes_over {
            // A leader that has just begun moves nothing.
            soonest = soonest.max(self.learning_until);
        }
        if let Some(member) = self.run(node, incarnation)
            && let Lease::Holds { until } = member.lease
        {
            member.lease = Lease::Suspect { until: until.min(soonest) };
            self.force_moves(Some(node), now, actions);
        }
    }

    /// A member, if this is the run of it that is one.
    fn run(&mut self, node: &NodeId, incarnation: Incarnation) -> Option<&mut Member> {
        self.nodes.get_mut(node).filter(|member| member.incarnation == Some(incarnation))
    }

    fn persisted(
        &mut self,
        room: &RoomId,
        owner: NodeId,
        epoch: Epoch,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let Some(placed) = self.rooms.get(room) else { return };
        let before = placed.owner.clone().filter(|before| *before != owner);
        self.change(room, |placed| {
            placed.under_way = None;
            placed.owner = Some(owner);
            placed.epoch = epoch;
            placed.stored = epoch;
            placed.refresh = false;
            if before.is_some() {
                placed.placed_at = now;
            }
        });
        if !self.stored_move(room, epoch, actions) {
            actions.push(Action::Publish { room: room.clone() });
            if let Some(node) = before {
                actions.push(Action::Tell { node, room: room.clone() });
            }
        }
        // The new owner may have lapsed while it was being stored.
        self.place(room, now, actions);
    }

    fn tick(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if self.wake_at.is_some_and(|due| now > due.saturating_add(STALL)) {
            self.excuse_all(now);
        }
        self.lapse(now, actions);
        self.force_moves(None, now, actions);
        self.nodes.retain(|node, member| {
            let kept = !member.lease.forgotten(now);
            if !kept {
                actions.push(Action::Forget { node: node.clone() });
            }
            kept
        });
        self.place_all(now, actions);
        // Those that are due have been tried, or their owner came back.
        self.retries.retain(|_, at| *at > now);
        self.balance(now, actions);
        self.drain(now, actions);
    }

    /// It was us who were silent: everybody gets another lease.
    fn excuse_all(&mut self, now: Timestamp) {
        let until = now.saturating_add(self.lease);
        if now < self.learning_until.saturating_add(self.lease) {
            self.learning_until = self.learning_until.max(until);
        }
        for member in self.nodes.values_mut() {
            member.lease = match member.lease {
                Lease::Holds { .. } | Lease::Suspect { .. } => Lease::Holds { until },
                Lease::Expected { .. } => Lease::Expected { until },
                other @ (Lease::Held { .. } | Lease::Lapsed { .. }) => other,
            };
        }
    }

    fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let nodes = self.nodes.values().filter_map(|member| member.lease.next_change());
        let retries = self.retries.values().copied();
        let learning = Some(self.learning_until).filter(|until| *until > now);
        let brake = self.brake().map(|(_, until)| until);
        nodes
            .chain(retries)
            .chain(learning)
            .chain(brake)
            .chain(self.next_balance())
            .chain(self.next_overdue())
            .min()
    }
}

// === impl Member ===

impl Member {
    /// An owner that the store knows and that has not come yet.
    fn expected(until: Timestamp) -> Self {
        Self {
            incarnation: None,
            weight: 0,
            zone: String::new(),
            lease: Lease::Expected { until },
            rooms: 0,
            load: Load::default(),
            draining: false,
        }
    }

    fn takes_rooms(&self) -> bool {
        self.weight > 0 && !self.draining && matches!(self.lease, Lease::Holds { .. })
    }
}

// === impl Lease ===

impl Lease {
    /// Whether the node was heard of in time.
    fn holds(self) -> bool {
        matches!(self, Self::Holds { .. } | Self::Suspect { .. })
    }

    /// Whether the node keeps its rooms.
    fn keeps_rooms(self) -> bool {
        !matches!(self, Self::Lapsed { .. })
    }

    fn is_held(self) -> bool {
        matches!(self, Self::Held { .. })
    }

    /// Whether its time is over.
    fn is_due(self, now: Timestamp) -> bool {
        self.keeps_rooms() && self.next_change().is_some_and(|at| at <= now)
    }

    fn next_change(self) -> Option<Timestamp> {
        match self {
            Self::Expected { until } | Self::Holds { until } | Self::Suspect { until } => {
                Some(until)
            }
            Self::Held { .. } => None,
            Self::Lapsed { at } => Some(at.saturating_add(FORGET_AFTER)),
        }
    }

    fn forgotten(self, now: Timestamp) -> bool {
        !self.keeps_rooms() && self.next_change().is_some_and(|at| at <= now)
    }
}
