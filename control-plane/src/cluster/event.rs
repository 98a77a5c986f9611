//! What the cluster machine is told and what it wants done.

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
    /// Drop what is kept of a node that has been away for long.
    Forget {
        /// Which.
        node: NodeId,
    },
}
