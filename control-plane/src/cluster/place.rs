//! Finding owners, and counting what each node carries for it.

use super::{Action, Cluster, Placed, Timestamp};
use gavel_rules::{
    id::{NodeId, RoomId},
    placement,
};
use std::cmp::Reverse;

// === impl Cluster ===

impl Cluster {
    /// Places every room that wants an owner, the heaviest first: the light
    /// ones then fill the gaps.
    pub(super) fn place_all(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let wanting = self.rooms.iter().filter(|(room, placed)| self.wants(room, placed, now));
        let mut wanting: Vec<(Reverse<u64>, RoomId)> = wanting
            .map(|(room, placed)| (Reverse(self.expected_cost(placed)), room.clone()))
            .collect();
        wanting.sort();
        for (_, room) in wanting {
            self.place(&room, now, actions);
        }
    }

    /// Finds an owner for a room that has none that lives, or gives the next
    /// epoch to an owner that runs anew.
    pub(super) fn place(&mut self, room: &RoomId, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(placed) = self.rooms.get(room).filter(|placed| self.wants(room, placed, now))
        else {
            return;
        };
        self.retries.remove(room);
        let (expected, epoch) = (placed.stored, placed.next_epoch());
        let stays = placed.owner.clone().filter(|owner| placed.refresh && self.keeps_rooms(owner));
        let chosen = stays.or_else(|| self.choose(room, placed));
        let Some(owner) = self.give_up_move(room).or(chosen) else { return };
        // Counted at once, or all rooms of one moment would herd to one node.
        self.change(room, |placed| placed.under_way = Some(owner.clone()));
        actions.push(Action::Persist { room: room.clone(), expected, owner, epoch });
    }

    /// Changes a room, and with it what its nodes carry.
    pub(super) fn change(&mut self, room: &RoomId, change: impl FnOnce(&mut Placed)) {
        let Some(placed) = self.rooms.get(room) else { return };
        let (before, cost) = (placed.carrier().cloned(), self.expected_cost(placed));
        let Some(placed) = self.rooms.get_mut(room) else { return };
        change(placed);
        let after = placed.carrier();
        if before.as_ref() == after {
            return;
        }
        if let Some(member) = before.as_ref().and_then(|node| self.nodes.get_mut(node)) {
            member.loses(cost);
        }
        if let Some(member) = after.and_then(|node| self.nodes.get_mut(node)) {
            member.gets(cost);
        }
    }

    /// How many rooms a node carries, counted anew where it is no member.
    pub(super) fn carried_by(&self, node: &NodeId) -> u64 {
        let count = || self.rooms.values().filter(|placed| placed.carrier() == Some(node)).count();
        let known = self.nodes.get(node).map(|member| member.rooms);
        known.unwrap_or_else(|| u64::try_from(count()).unwrap_or(u64::MAX))
    }

    fn wants(&self, room: &RoomId, placed: &Placed, now: Timestamp) -> bool {
        let owned = placed.owner.as_ref().is_some_and(|owner| self.keeps_rooms(owner));
        (!owned || placed.refresh)
            && placed.under_way.is_none()
            && self.retries.get(room).is_none_or(|at| *at <= now)
    }

    /// Whether a node lives, or may still show that it does.
    fn keeps_rooms(&self, node: &NodeId) -> bool {
        self.nodes.get(node).is_some_and(|member| member.lease.keeps_rooms())
    }

    /// A node for a room, where it can be in the zone that the room is in: most
    /// of its viewers are likely to be there.
    fn choose(&self, room: &RoomId, placed: &Placed) -> Option<NodeId> {
        let owner = placed.owner.as_ref().and_then(|owner| self.nodes.get(owner));
        let zone = owner.map(|owner| owner.zone.as_str()).filter(|zone| !zone.is_empty());
        placement::place(room, &self.candidates(zone)).cloned()
    }
}

// === impl Placed ===

impl Placed {
    /// The node that owns the room or is about to.
    fn carrier(&self) -> Option<&NodeId> {
        self.under_way.as_ref().or(self.owner.as_ref())
    }
}
