//! What control and nodes tell each other about rooms.

use super::{ConvertError, parse, required};
use crate::fleet::v1::{self as wire, move_step::Step};
use gavel_rules::{
    auction::AuctionRules,
    id::{NodeId, RoomId},
    order::Epoch,
};

/// A room and its owner as control decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignedRoom {
    /// Which room.
    pub room: RoomId,
    /// Counts owners; the fence of every append.
    pub epoch: Epoch,
    /// Who owns it, if anybody does.
    pub owner: Option<NodeId>,
    /// Where the owner's relay listens.
    pub relay_url: String,
    /// Told to the owner alone: how to create the auction.
    pub rules: Option<AuctionRules>,
}

/// A room that a node owns already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRoom {
    /// Which room.
    pub room: RoomId,
    /// Under which epoch.
    pub epoch: Epoch,
}

/// A room that is about to move to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedRoom {
    /// What will be.
    pub next: AssignedRoom,
    /// Who owns it until then.
    pub from: NodeId,
    /// Where that node's relay listens.
    pub from_relay_url: String,
}

/// A step of a move, done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedRoom {
    /// Which room.
    pub room: RoomId,
    /// The epoch that the move leads to.
    pub epoch: Epoch,
    /// Whether the old owner decides nothing more; else the new one is ready.
    pub released: bool,
}

// === conversions ===

impl TryFrom<wire::Assignment> for AssignedRoom {
    type Error = ConvertError;

    fn try_from(from: wire::Assignment) -> Result<Self, ConvertError> {
        let owner = (!from.owner.is_empty()).then(|| parse("owner", &from.owner)).transpose()?;
        Ok(Self {
            room: parse("room_id", &from.room_id)?,
            epoch: Epoch::new(from.epoch),
            owner,
            relay_url: from.relay_url,
            rules: from
                .rules
                .map(AuctionRules::try_from)
                .transpose()
                .map_err(|error| error.within("rules"))?,
        })
    }
}

impl From<AssignedRoom> for wire::Assignment {
    fn from(assigned: AssignedRoom) -> Self {
        Self {
            room_id: assigned.room.to_string(),
            epoch: assigned.epoch.get(),
            owner: assigned.owner.map(|id| id.to_string()).unwrap_or_default(),
            relay_url: assigned.relay_url,
            rules: assigned.rules.map(Into::into),
        }
    }
}

impl TryFrom<wire::Prepare> for PreparedRoom {
    type Error = ConvertError;

    fn try_from(from: wire::Prepare) -> Result<Self, ConvertError> {
        Ok(Self {
            next: required("assignment", from.assignment)?
                .try_into()
                .map_err(|error: ConvertError| error.within("assignment"))?,
            from: parse("from", &from.from)?,
            from_relay_url: from.from_relay_url,
        })
    }
}

impl From<PreparedRoom> for wire::Prepare {
    fn from(prepared: PreparedRoom) -> Self {
        Self {
            assignment: Some(prepared.next.into()),
            from: prepared.from.to_string(),
            from_relay_url: prepared.from_relay_url,
        }
    }
}

impl TryFrom<wire::MoveStep> for MovedRoom {
    type Error = ConvertError;

    fn try_from(from: wire::MoveStep) -> Result<Self, ConvertError> {
        let released = match from.step() {
            Step::Prepared => false,
            Step::Released => true,
            Step::Unspecified => return Err(ConvertError::new("step", "is missing")),
        };
        let room = parse("room_id", &from.room_id)?;
        Ok(Self { room, epoch: Epoch::new(from.epoch), released })
    }
}

impl From<MovedRoom> for wire::MoveStep {
    fn from(moved: MovedRoom) -> Self {
        let step = if moved.released { Step::Released } else { Step::Prepared };
        let (room_id, epoch) = (moved.room.to_string(), moved.epoch.get());
        Self { room_id, epoch, step: step.into() }
    }
}

impl TryFrom<wire::HeldRoom> for HeldRoom {
    type Error = ConvertError;

    fn try_from(from: wire::HeldRoom) -> Result<Self, ConvertError> {
        Ok(Self { room: parse("room_id", &from.room_id)?, epoch: Epoch::new(from.epoch) })
    }
}

impl From<HeldRoom> for wire::HeldRoom {
    fn from(held: HeldRoom) -> Self {
        Self { room_id: held.room.to_string(), epoch: held.epoch.get() }
    }
}
