//! What nodes say of the rooms they own: they decide more of that than their
//! leader knows while none can be reached.
//!
//! ```text
//! a node owns a room under a later epoch ---Registered--> it keeps it
//! a node may not claim what it was given --ClaimRefused--> it gets the next epoch
//! ```
//!
//! The store of rooms is what fences owners, and nodes alone write there. No
//! epoch is given away that is known to have been in use.

use super::{Action, Cluster, Placed, Timestamp};
use gavel_rules::{
    id::{NodeId, RoomId},
    order::Epoch,
};

// === impl Cluster ===

impl Cluster {
    /// A node says that it owns a room.
    pub(super) fn held(
        &mut self,
        room: RoomId,
        epoch: Epoch,
        node: &NodeId,
        actions: &mut Vec<Action>,
    ) {
        let Some(placed) = self.rooms.get_mut(&room) else { return };
        placed.used = placed.used.max(epoch);
        let theirs = placed.owner.as_ref() != Some(node);
        // Of two that go by one epoch, the one that owns the room has claimed it.
        let overtaken = epoch > placed.epoch || (epoch == placed.epoch && theirs);
        if overtaken && placed.under_way.is_none() {
            // Decided by somebody who knew more than we do.
            let stored = placed.stored;
            let epoch = if epoch > stored { epoch } else { placed.next_epoch() };
            let owner = node.clone();
            self.change(&room, |placed| placed.under_way = Some(owner.clone()));
            actions.push(Action::Persist { room, expected: stored, owner, epoch });
        } else if theirs {
            actions.push(Action::Tell { node: node.clone(), room });
        }
    }

    /// The store of rooms refused a claim of the owner that we have named: it
    /// needs an epoch beyond the one that is in use there.
    pub(super) fn claim_refused(
        &mut self,
        room: &RoomId,
        epoch: Epoch,
        node: &NodeId,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) {
        let Some(placed) = self.rooms.get_mut(room) else { return };
        placed.used = placed.used.max(epoch);
        // A claim under an earlier epoch than the stored one is simply late.
        placed.refresh |= placed.owner.as_ref() == Some(node) && epoch >= placed.epoch;
        self.place(room, now, actions);
    }
}

// === impl Placed ===

impl Placed {
    /// The first epoch that nobody has been seen to use.
    pub(super) fn next_epoch(&self) -> Epoch {
        self.epoch.max(self.stored).max(self.used).next()
    }
}
