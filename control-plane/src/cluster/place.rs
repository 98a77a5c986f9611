//! Finding owners, and counting what each node carries for it.

use super::{Action, Cluster, Placed, Timestamp};
use gavel_rules::{
    id::{NodeId, RoomId},
    placement::{self, Candidate},
};

// === impl Cluster ===

impl Cluster {
    /// Places every room that wants an owner.
    pub(super) fn place_all(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let wanting = self.rooms.iter().filter(|(room, placed)| self.wants(room, placed, now));
        let wanting: Vec<RoomId> = wanting.map(|(room, _)| room.clone()).collect();
        for room in wanting {
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
        let (expected, epoch) = (placed.stored, placed.epoch.max(placed.stored).next());
        let stays = placed.owner.clone().filter(|owner| placed.refresh && self.lives(owner, now));
        let Some(owner) = stays.or_else(|| self.choose(room)) else { return };
        // Counted at once, or all rooms of one moment would herd to one node.
        self.change(room, |placed| placed.under_way = Some(owner.clone()));
        actions.push(Action::Persist { room: room.clone(), expected, owner, epoch });
    }

    /// Changes a room, and with it what its nodes carry.
    pub(super) fn change(&mut self, room: &RoomId, change: impl FnOnce(&mut Placed)) {
        let Some(placed) = self.rooms.get_mut(room) else { return };
        let before = placed.carrier().cloned();
        change(placed);
        let after = placed.carrier();
        if before.as_ref() == after {
            return;
        }
        if let Some(member) = before.as_ref().and_then(|node| self.nodes.get_mut(node)) {
            member.rooms = member.rooms.saturating_sub(1);
        }
        if let Some(member) = after.and_then(|node| self.nodes.get_mut(node)) {
            member.rooms += 1;
        }
    }

    /// How many rooms a node carries, counted anew where it is no member.
    pub(super) fn carried_by(&self, node: &NodeId) -> u64 {
        let count = || self.rooms.values().filter(|placed| placed.carrier() == Some(node)).count();
        let known = self.nodes.get(node).map(|member| member.rooms);
        known.unwrap_or_else(|| u64::try_from(count()).unwrap_or(u64::MAX))
    }

    fn wants(&self, room: &RoomId, placed: &Placed, now: Timestamp) -> bool {
        let owned = placed.owner.as_ref().is_some_and(|owner| self.lives(owner, now));
        (!owned || placed.refresh)
            && placed.under_way.is_none()
            && self.retries.get(room).is_none_or(|at| *at <= now)
    }

    /// Whether a node lives, or may still show that it does.
    fn lives(&self, node: &NodeId, now: Timestamp) -> bool {
        match self.nodes.get(node) {
            Some(member) => member.lease.holds(),
            None => now < self.learning_until,
        }
    }

    fn choose(&self, room: &RoomId) -> Option<NodeId> {
        let takers = self.nodes.iter().filter(|(_, member)| member.takes_rooms());
        let candidates: Vec<_> = takers
            .map(|(node, member)| Candidate { node, weight: member.weight, load: member.rooms })
            .collect();
        placement::place(room, &candidates).cloned()
    }
}

// === impl Placed ===

impl Placed {
    /// The node that owns the room or is about to.
    fn carrier(&self) -> Option<&NodeId> {
        self.under_way.as_ref().or(self.owner.as_ref())
    }
}
