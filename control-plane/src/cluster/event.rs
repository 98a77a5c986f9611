//! What the cluster machine is told and what it wants done.

use super::Report;
use gavel_rules::{
    id::{Incarnation, NodeId, RoomId},
    order::Epoch,
};

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
        /// How it joins.
        joining: Joining,
        /// Rooms that it owns already.
        held: Vec<(RoomId, Epoch)>,
    },
    /// A node lives.
    Heartbeat {
        /// Which.
        node: NodeId,
        /// Which run of it.
        incarnation: Incarnation,
        /// What it carries.
        report: Report,
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
    /// A room should move, for an operator or to even loads out.
    Move {
        /// Which.
        room: RoomId,
        /// Where to; none leaves it to placement.
        to: Option<NodeId>,
    },
    /// A node is ready to own a room that moves to it.
    Prepared {
        /// Which room.
        room: RoomId,
        /// The epoch that the move leads to.
        epoch: Epoch,
        /// Which node.
        node: NodeId,
    },
    /// A node decides nothing more of a room that moves away.
    Released {
        /// Which room.
        room: RoomId,
        /// The epoch that the move leads to.
        epoch: Epoch,
        /// Which node.
        node: NodeId,
    },
    /// The store of rooms refused a node's claim.
    ClaimRefused {
        /// Of which room.
        room: RoomId,
        /// The epoch that is in use there.
        epoch: Epoch,
        /// Which node.
        node: NodeId,
    },
    /// An operator wants the rooms of silent nodes to be given away.
    ReleaseBrake,
    /// Time passed.
    Tick,
}

/// A node as it registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    /// Which run of it.
    pub incarnation: Incarnation,
    /// Its relative capacity.
    pub weight: u32,
    /// Its availability zone, may be empty.
    pub zone: String,
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
    /// Tell a node that held the room who owns it now.
    Tell {
        /// Which node.
        node: NodeId,
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
    /// Alarm: so many nodes went silent at once that none loses its rooms.
    BrakeOn {
        /// Nodes that went silent.
        lapses: usize,
        /// Of how many.
        of: usize,
    },
    /// Silent nodes lose their rooms again.
    BrakeOff {
        /// Nodes that lose theirs now.
        lapses: usize,
    },
    /// Tell a node that a room is about to move to it.
    Prepare {
        /// Which room.
        room: RoomId,
        /// The node.
        node: NodeId,
        /// Who owns it until then.
        from: NodeId,
        /// The epoch that the move leads to.
        epoch: Epoch,
    },
    /// Drop what is kept of a node that has been away for long.
    Forget {
        /// Which.
        node: NodeId,
    },
}
