//! Planned moves: a room goes from a node that lives to another, and its bids
//! never lack an owner.
//!
//! ```text
//! Storing --Persisted--> Preparing --Prepared--> Releasing --Released--> done
//!            |              |  Prepare: to the new owner     |  Publish: to all
//!            |              |                                |
//!         give up           +-- Tell: to the old owner ------+
//! ```
//!
//! The assignment is stored first, as always; a move only chooses who hears of
//! it when. Until the old owner has let go, everybody else is told of the old
//! one. A step that does not come in time ends the move by telling all at once.

use super::{Action, Cluster, Timestamp};
use gavel_rules::{
    id::{NodeId, RoomId},
    order::Epoch,
    placement,
    time::Millis,
};

/// Rooms that move at the same time.
const MOVES_MAX: usize = 32;
/// A move that takes longer is ended by telling everybody.
const MOVE_WAIT: Millis = Millis::new(2_000);

/// A room on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Move {
    from: NodeId,
    /// The epoch of the old owner.
    before: Epoch,
    to: NodeId,
    epoch: Epoch,
    phase: Phase,
    until: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The assignment is being stored.
    Storing,
    /// The new owner gets ready.
    Preparing,
    /// The old owner ends what it has begun.
    Releasing,
}

/// Why a room does not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoveRefused {
    /// There is no such room.
    #[error("there is no such room")]
    UnknownRoom,
    /// Nobody owns it, or its owner is silent: it will be placed anew.
    #[error("the room has no living owner")]
    NoOwner,
    /// It is being placed or moved.
    #[error("the room is on its way already")]
    UnderWay,
    /// The node is not there, or takes no rooms.
    #[error("the node takes no rooms")]
    NoTaker,
    /// The node owns it.
    #[error("the node owns the room already")]
    SameNode,
    /// As many rooms are on their way as may be.
    #[error("too many rooms are on their way")]
    TooMany,
}

// === impl Cluster ===

impl Cluster {
    /// Whether a room may move, and where to: to `to`, or to the node that
    /// placement chooses.
    ///
    /// # Errors
    /// Why not.
    pub fn may_move(&self, room: &RoomId, to: Option<&NodeId>) -> Result<NodeId, MoveRefused> {
        let placed = self.rooms.get(room).ok_or(MoveRefused::UnknownRoom)?;
        if placed.under_way.is_some() || self.moves.contains_key(room) {
            return Err(MoveRefused::UnderWay);
        }
        let owner = placed.owner.as_ref().filter(|owner| self.holds(owner));
        let owner = owner.ok_or(MoveRefused::NoOwner)?;
        if to == Some(owner) {
            return Err(MoveRefused::SameNode);
        }
        if self.moves.len() >= MOVES_MAX {
            return Err(MoveRefused::TooMany);
        }
        let candidates = self.candidates(None);
        let others: Vec<_> = candidates.into_iter().filter(|other| other.node != owner).collect();
        match to {
            Some(to) => others.iter().any(|other| other.node == to).then_some(to),
            None => placement::place(room, &others),
        }
        .cloned()
        .ok_or(MoveRefused::NoTaker)
    }

    /// Rooms that are on their way.
    #[must_use]
    pub fn moves(&self) -> usize {
        self.moves.len()
    }

    /// The owner of a room and its epoch as `node` is to be told.
    #[must_use]
    pub fn told(&self, room: &RoomId, node: &NodeId) -> Option<(Option<&NodeId>, Epoch)> {
        match self.moves.get(room) {
            Some(moving) if moving.phase == Phase::Releasing && moving.from == *node => {
                Some((Some(&moving.to), moving.epoch))
            }
            _ => self.assignment(room),
        }
    }

    /// Who still decides a room that is on its way.
    pub(super) fn decides(&self, room: &RoomId) -> Option<(Option<&NodeId>, Epoch)> {
        let moving = self.moves.get(room).filter(|moving| moving.phase != Phase::Storing)?;
        Some((Some(&moving.from), moving.before))
    }

    /// Starts a move, if it may be.
    pub(super) fn start_move(
        &mut self,
        room: &RoomId,
        to: Option<&NodeId>,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let Ok(to) = self.may_move(room, to) else { return };
        let Some(placed) = self.rooms.get(room) else { return };
        let Some(from) = placed.owner.clone() else { return };
        let (before, expected, epoch) = (placed.epoch, placed.stored, placed.next_epoch());
        self.change(room, |placed| placed.under_way = Some(to.clone()));
        actions.push(Action::Persist { room: room.clone(), expected, owner: to.clone(), epoch });
        let until = now.saturating_add(MOVE_WAIT);
        let moving = Move { from, before, to, epoch, phase: Phase::Storing, until };
        self.moves.insert(room.clone(), moving);
    }

    /// The assignment of a move is stored; false if it belongs to none.
    pub(super) fn stored_move(
        &mut self,
        room: &RoomId,
        epoch: Epoch,
        actions: &mut Vec<Action>,
    ) -> bool {
        let both_live = |moving: &Move| self.holds(&moving.from) && self.holds(&moving.to);
        match self.moves.get(room) {
            Some(moving) if moving.epoch == epoch && both_live(moving) => {}
            _ => {
                self.moves.remove(room);
                return false;
            }
        }
        let Some(moving) = self.moves.get_mut(room) else { return false };
        moving.phase = Phase::Preparing;
        let (node, from) = (moving.to.clone(), moving.from.clone());
        actions.push(Action::Prepare { room: room.clone(), node, from, epoch });
        true
    }

    /// The new owner knows the room: the old one may let go.
    pub(super) fn prepared(
        &mut self,
        room: RoomId,
        epoch: Epoch,
        node: &NodeId,
        actions: &mut Vec<Action>,
    ) {
        let moving = self.moves.get_mut(&room).filter(|moving| {
            moving.epoch == epoch && moving.to == *node && moving.phase == Phase::Preparing
        });
        if let Some(moving) = moving {
            moving.phase = Phase::Releasing;
            actions.push(Action::Tell { node: moving.from.clone(), room });
        }
    }

    /// The old owner has let go.
    pub(super) fn released(
        &mut self,
        room: &RoomId,
        epoch: Epoch,
        node: &NodeId,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let moving = self.moves.get(room);
        if moving.is_some_and(|moving| moving.epoch == epoch && moving.from == *node) {
            self.finish_move(room, actions);
            self.drain(now, actions);
        }
    }

    /// Who goes on with a room whose new owner is gone: the old one, if it was
    /// not told yet.
    pub(super) fn give_up_move(&mut self, room: &RoomId) -> Option<NodeId> {
        let moving = self.moves.remove(room)?;
        let undisturbed = moving.phase != Phase::Releasing && self.holds(&moving.from);
        undisturbed.then_some(moving.from)
    }

    /// Ends a move by telling everybody who owns the room.
    fn finish_move(&mut self, room: &RoomId, actions: &mut Vec<Action>) {
        let Some(moving) = self.moves.remove(room) else { return };
        if moving.phase != Phase::Storing {
            actions.push(Action::Tell { node: moving.from, room: room.clone() });
            actions.push(Action::Publish { room: room.clone() });
        }
    }

    /// Ends the moves that take too long, and those of rooms that `node` gives
    /// away. Where the new owner falls silent, the old one goes on meanwhile.
    pub(super) fn force_moves(
        &mut self,
        node: Option<&NodeId>,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let over =
            |moving: &Move| moving.until <= now || node.is_some_and(|node| moving.from == *node);
        let overdue: Vec<RoomId> = self
            .moves
            .iter()
            .filter(|(_, moving)| over(moving))
            .map(|(room, _)| room.clone())
            .collect();
        for room in overdue {
            self.finish_move(&room, actions);
        }
    }

    /// Moves rooms off nodes that want to leave, some at a time.
    pub(super) fn drain(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if self.moves.len() > MOVES_MAX / 2 || !self.nodes.values().any(|member| member.draining) {
            return;
        }
        let leaves = |node: &NodeId| self.nodes.get(node).is_some_and(|member| member.draining);
        let leaving: Vec<RoomId> = self
            .rooms
            .iter()
            .filter(|(room, placed)| {
                placed.owner.as_ref().is_some_and(leaves)
                    && placed.under_way.is_none()
                    && !self.moves.contains_key(room)
            })
            .map(|(room, _)| room.clone())
            .take(MOVES_MAX - self.moves.len())
            .collect();
        for room in leaving {
            self.start_move(&room, None, now, actions);
        }
    }

    /// When the next move is overdue.
    pub(super) fn next_overdue(&self) -> Option<Timestamp> {
        self.moves.values().map(|moving| moving.until).min()
    }

    fn holds(&self, node: &NodeId) -> bool {
        self.nodes.get(node).is_some_and(|member| member.lease.holds_fast())
    }
}
