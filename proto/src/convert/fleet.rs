//! What control and nodes tell each other about rooms.

use super::{ConvertError, parse};
use crate::fleet::v1 as wire;
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
