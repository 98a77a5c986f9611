//! The state of the cluster: which nodes live, and which owns each room. A
//! pure machine: events in, actions out.
//!
//! An assignment is stored before it is told: [`Action::Persist`] goes out,
//! [`Event::Persisted`] comes back, and only then [`Action::Publish`] follows.
//! Safety comes from the epoch in the store, so a lease that lapses too early
//! costs a move and never a second winner.

use gavel_rules::{
    id::{Incarnation, NodeId, RoomId},
    order::Epoch,
    placement::{self, Candidate},
    time::{Millis, Timestamp},
};
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// A node whose stream broke is given this long to come back.
const SUSPECT: Millis = Millis::new(700);
/// Time between two tries to store an assignment.
const PERSIST_RETRY: Millis = Millis::new(500);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A room exists, with its owner as stored.
    Room {
        /// Which.
        room: RoomId,
        /// Who owned it when it was stored.
        owner: Option<NodeId>,
        /// Under which epoch.
        epoch: Epoch,
    },
    /// A node opened a session.
    Registered {
        /// Which.
        node: NodeId,
        /// Which run of it.
        incarnation: Incarnation,
        /// Its relative capacity.
        weight: u32,
        /// Rooms that it owns already.
        held: Vec<(RoomId, Epoch)>,
    },
    /// A node lives.
    Heartbeat {
        /// Which.
        node: NodeId,
        /// Which run of it.
        incarnation: Incarnation,
    },
    /// A node's session broke.
    Disconnected {
        /// Which.
        node: NodeId,
        /// Which run of it.
        incarnation: Incarnation,
    },
    /// An assignment is stored.
    Persisted {
        /// Of which room.
        room: RoomId,
        /// To whom.
        owner: NodeId,
        /// Under which epoch.
        epoch: Epoch,
    },
    /// An assignment is not stored, since the store holds another epoch.
    Conflict {
        /// Of which room.
        room: RoomId,
        /// The epoch in the store.
        epoch: Epoch,
    },
    /// The store gave no answer.
    PersistFailed {
        /// For which room.
        room: RoomId,
    },
    /// Time passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Store an assignment, if the store still holds `expected`.
    Persist {
        /// Of which room.
        room: RoomId,
        /// The epoch that the store should hold.
        expected: Epoch,
        /// To whom.
        owner: NodeId,
        /// Under which epoch.
        epoch: Epoch,
    },
    /// Tell all who want to know who owns the room.
    Publish {
        /// Which room.
        room: RoomId,
    },
    /// Tell this run of a node that it is no member.
    Supersede {
        /// Which node.
        node: NodeId,
        /// The run to tell.
        incarnation: Incarnation,
        /// The run that is a member.
        by: Incarnation,
    },
}

/// The cluster as the control plane knows it.
#[derive(Debug)]
pub struct Cluster {
    lease: Millis,
    /// Until then an owner that has not been heard of may still come back.
    learning_until: Timestamp,
    nodes: BTreeMap<NodeId, Member>,
    rooms: BTreeMap<RoomId, Placed>,
}

/// A node as a member.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    incarnation: Incarnation,
    weight: u32,
    /// When its lease lapses; none once it has.
    lapses_at: Option<Timestamp>,
    rooms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    owner: Option<NodeId>,
    epoch: Epoch,
    persist: Persist,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Persist {
    Idle,
    UnderWay,
    RetryAt(Timestamp),
}

// === impl Cluster ===

impl Cluster {
    /// A cluster of which nothing is known yet.
    #[must_use]
    pub fn new(lease: Millis, now: Timestamp) -> Self {
        let learning_until = now.saturating_add(lease);
        Self { lease, learning_until, nodes: BTreeMap::new(), rooms: BTreeMap::new() }
    }

    /// The owner of a room and its epoch; none if there is no such room.
    #[must_use]
    pub fn assignment(&self, room: &RoomId) -> Option<(Option<&NodeId>, Epoch)> {
        self.rooms.get(room).map(|placed| (placed.owner.as_ref(), placed.epoch))
    }

    /// Every room, by id.
    pub fn rooms(&self) -> impl Iterator<Item = &RoomId> {
        self.rooms.keys()
    }

    /// Whether a node's lease holds, and how many rooms it owns.
    #[must_use]
    pub fn member(&self, node: &NodeId) -> Option<(bool, u64)> {
        self.nodes.get(node).map(|member| (member.lapses_at.is_some(), member.rooms))
    }

    /// Whether any node could take a room.
    #[must_use]
    pub fn has_nodes(&self) -> bool {
        self.nodes.values().any(|member| member.lapses_at.is_some() && member.weight > 0)
    }

    /// Takes one event; returns when to come again with a [`Event::Tick`].
    pub fn step(
        &mut self,
        event: Event,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) -> Option<Timestamp> {
        match event {
            Event::Room { room, owner, epoch } => {
                let placed = Placed { owner, epoch, persist: Persist::Idle };
                self.rooms.entry(room.clone()).or_insert(placed);
                self.recount();
                self.place(&room, now, actions);
            }
            Event::Registered { node, incarnation, weight, held } => {
                self.register(node, incarnation, weight, held, now, actions);
            }
            Event::Heartbeat { node, incarnation } => {
                self.heartbeat(&node, incarnation, now, actions);
            }
            Event::Disconnected { node, incarnation } => {
                if let Some(member) = self.nodes.get_mut(&node)
                    && member.incarnation == incarnation
                    && let Some(lapses_at) = &mut member.lapses_at
                {
                    *lapses_at = now.saturating_add(SUSPECT).min(*lapses_at);
                }
            }
            Event::Persisted { room, owner, epoch } => {
                self.persisted(&room, owner, epoch, now, actions);
            }
            Event::Conflict { room, epoch } => {
                if let Some(placed) = self.rooms.get_mut(&room) {
                    placed.epoch = placed.epoch.max(epoch);
                    placed.persist = Persist::Idle;
                }
                self.place(&room, now, actions);
            }
            Event::PersistFailed { room } => {
                if let Some(placed) = self.rooms.get_mut(&room) {
                    placed.persist = Persist::RetryAt(now.saturating_add(PERSIST_RETRY));
                }
            }
            Event::Tick => self.tick(now, actions),
        }
        self.wake_at(now)
    }

    fn register(
        &mut self,
        node: NodeId,
        incarnation: Incarnation,
        weight: u32,
        held: Vec<(RoomId, Epoch)>,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let known = self.nodes.get(&node).map(|member| member.incarnation);
        if let Some(by) = known.filter(|known| *known > incarnation) {
            return actions.push(Action::Supersede { node, incarnation, by });
        }
        if let Some(old) = known.filter(|known| *known < incarnation) {
            let superseded =
                Action::Supersede { node: node.clone(), incarnation: old, by: incarnation };
            actions.push(superseded);
        }
        let lapses_at = Some(now.saturating_add(self.lease));
        let member = Member { incarnation, weight, lapses_at, rooms: 0 };
        self.nodes.insert(node.clone(), member);
        for (room, epoch) in held {
            // What a node holds under a later epoch than ours was decided by
            // somebody who knew more.
            if let Some(placed) = self.rooms.get_mut(&room)
                && epoch > placed.epoch
                && placed.persist != Persist::UnderWay
            {
                let (expected, owner) = (placed.epoch, node.clone());
                placed.persist = Persist::UnderWay;
                actions.push(Action::Persist { room, expected, owner, epoch });
            }
        }
        self.recount();
        self.place_all(now, actions);
        // A room of this node's id was perhaps told to an earlier run.
        for (room, placed) in &self.rooms {
            if placed.owner.as_ref() == Some(&node) {
                actions.push(Action::Publish { room: room.clone() });
            }
        }
    }

    fn heartbeat(
        &mut self,
        node: &NodeId,
        incarnation: Incarnation,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let lease = self.lease;
        let Some(member) = self.nodes.get_mut(node) else { return };
        if member.incarnation != incarnation {
            return;
        }
        let returned = member.lapses_at.is_none();
        member.lapses_at = Some(now.saturating_add(lease));
        if returned {
            self.place_all(now, actions);
        }
    }

    fn persisted(
        &mut self,
        room: &RoomId,
        owner: NodeId,
        epoch: Epoch,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let Some(placed) = self.rooms.get_mut(room) else { return };
        placed.persist = Persist::Idle;
        if epoch >= placed.epoch {
            placed.owner = Some(owner);
            placed.epoch = epoch;
            actions.push(Action::Publish { room: room.clone() });
        }
        self.recount();
        // The new owner may have lapsed while it was being stored.
        self.place(room, now, actions);
    }

    fn tick(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        for member in self.nodes.values_mut() {
            if member.lapses_at.is_some_and(|at| at <= now) {
                member.lapses_at = None;
            }
        }
        self.place_all(now, actions);
    }

    fn place_all(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let rooms: Vec<RoomId> = self.rooms.keys().cloned().collect();
        for room in rooms {
            self.place(&room, now, actions);
        }
    }

    /// Finds an owner for a room that has none that lives.
    fn place(&mut self, room: &RoomId, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(placed) = self.rooms.get(room) else { return };
        match placed.persist {
            Persist::UnderWay => return,
            Persist::RetryAt(at) if at > now => return,
            Persist::RetryAt(_) | Persist::Idle => {}
        }
        let owned = placed.owner.as_ref().is_some_and(|owner| match self.nodes.get(owner) {
            Some(member) => member.lapses_at.is_some(),
            None => now < self.learning_until,
        });
        if owned {
            return;
        }
        let candidates: Vec<_> = self
            .nodes
            .iter()
            .filter(|(_, member)| member.lapses_at.is_some())
            .map(|(node, member)| Candidate { node, weight: member.weight, load: member.rooms })
            .collect();
        let Some(owner) = placement::place(room, &candidates).cloned() else { return };
        let (expected, epoch) = (placed.epoch, placed.epoch.next());
        // Counted at once, or all rooms of one moment would herd to one node.
        if let Some(member) = self.nodes.get_mut(&owner) {
            member.rooms += 1;
        }
        if let Some(placed) = self.rooms.get_mut(room) {
            placed.persist = Persist::UnderWay;
        }
        actions.push(Action::Persist { room: room.clone(), expected, owner, epoch });
    }

    fn recount(&mut self) {
        for member in self.nodes.values_mut() {
            member.rooms = 0;
        }
        for placed in self.rooms.values() {
            if let Some(member) = placed.owner.as_ref().and_then(|owner| self.nodes.get_mut(owner))
            {
                member.rooms += 1;
            }
        }
    }

    fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let leases = self.nodes.values().filter_map(|member| member.lapses_at);
        let retries = self.rooms.values().filter_map(|placed| match placed.persist {
            Persist::RetryAt(at) => Some(at),
            Persist::Idle | Persist::UnderWay => None,
        });
        let learning = Some(self.learning_until).filter(|until| *until > now);
        leases.chain(retries).chain(learning).min()
    }
}
