//! What nodes tell each other.

use super::{ConvertError, amount, parse, required};
use crate::relay::v1 as wire;
use gavel_rules::{
    auction::{Bid, Verdict, View},
    id::{NodeId, RoomId},
    order::{Epoch, Generation, Version},
    time::Millis,
};

/// A bid on its way from the edge to the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayedBid {
    /// Comes back with the answer.
    pub token: u64,
    /// Where the bid goes.
    pub room: RoomId,
    /// The bid itself.
    pub bid: Bid,
    /// Whether the bidder came without a token.
    pub guest: bool,
    /// For how long the bidder is over the bid limit, if it is.
    pub limited: Option<Millis>,
    /// W3C traceparent of the edge's span, may be empty.
    pub traceparent: String,
}

/// The owner's answer to a relayed bid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayedAnswer {
    /// Which bid of the stream.
    pub token: u64,
    /// The answer.
    pub verdict: Verdict,
    /// How safely an accepted bid is stored.
    pub durability: String,
}

/// A room's whole public state as its owner sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomSnapshot {
    /// Which room.
    pub room: RoomId,
    /// The owner's epoch.
    pub epoch: Epoch,
    /// The history that seq counts in.
    pub generation: Generation,
    /// The state.
    pub view: View,
    /// The states before it that the edge asked for, without a gap.
    pub before: Vec<View>,
}

/// A room's state right after one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomUpdate {
    /// Which room.
    pub room: RoomId,
    /// The owner's epoch.
    pub epoch: Epoch,
    /// The state; its seq is the event's.
    pub view: View,
    /// W3C traceparents of the bids behind it.
    pub traceparents: Vec<String>,
}

/// Another node goes on with a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedOwner {
    /// Which room.
    pub room: RoomId,
    /// The new owner's epoch.
    pub epoch: Epoch,
    /// The new owner.
    pub owner: NodeId,
    /// Where its relay listens.
    pub relay_url: String,
}

// === the bid and its answer ===

impl TryFrom<wire::PlaceBid> for RelayedBid {
    type Error = ConvertError;

    fn try_from(from: wire::PlaceBid) -> Result<Self, ConvertError> {
        Ok(Self {
            token: from.token,
            room: parse("room_id", &from.room_id)?,
            bid: Bid {
                bidder: parse("bidder", &from.bidder)?,
                bid_id: parse("bid_id", &from.bid_id)?,
                amount: amount("amount", from.amount)?,
                flags: Version::new(from.flags_version),
                limits: Version::new(from.limits_version),
            },
            guest: from.guest,
            limited: from.limited_ms.map(Millis::new),
            traceparent: from.traceparent,
        })
    }
}

impl From<RelayedBid> for wire::PlaceBid {
    fn from(relayed: RelayedBid) -> Self {
        Self {
            token: relayed.token,
            room_id: relayed.room.to_string(),
            bidder: relayed.bid.bidder.to_string(),
            bid_id: relayed.bid.bid_id.to_string(),
            amount: relayed.bid.amount.minor(),
            traceparent: relayed.traceparent,
            flags_version: relayed.bid.flags.get(),
            limits_version: relayed.bid.limits.get(),
            guest: relayed.guest,
            limited_ms: relayed.limited.map(Millis::get),
        }
    }
}

impl TryFrom<wire::BidAnswer> for RelayedAnswer {
    type Error = ConvertError;

    fn try_from(from: wire::BidAnswer) -> Result<Self, ConvertError> {
        Ok(Self {
            token: from.token,
            verdict: required("verdict", from.verdict)?
                .try_into()
                .map_err(|error: ConvertError| error.within("verdict"))?,
            durability: from.durability,
        })
    }
}

impl From<RelayedAnswer> for wire::BidAnswer {
    fn from(answer: RelayedAnswer) -> Self {
        Self {
            token: answer.token,
            verdict: Some(answer.verdict.into()),
            durability: answer.durability,
        }
    }
}

// === snapshots and updates ===

impl TryFrom<wire::Snapshot> for RoomSnapshot {
    type Error = ConvertError;

    fn try_from(from: wire::Snapshot) -> Result<Self, ConvertError> {
        Ok(Self {
            room: parse("room_id", &from.room_id)?,
            epoch: Epoch::new(from.epoch),
            generation: Generation::new(from.generation),
            view: view(from.view)?,
            before: from
                .before
                .into_iter()
                .map(|before| view(Some(before)))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl From<RoomSnapshot> for wire::Snapshot {
    fn from(snapshot: RoomSnapshot) -> Self {
        Self {
            room_id: snapshot.room.to_string(),
            epoch: snapshot.epoch.get(),
            generation: snapshot.generation.get(),
            view: Some(snapshot.view.into()),
            before: snapshot.before.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::Update> for RoomUpdate {
    type Error = ConvertError;

    fn try_from(from: wire::Update) -> Result<Self, ConvertError> {
        Ok(Self {
            room: parse("room_id", &from.room_id)?,
            epoch: Epoch::new(from.epoch),
            view: view(from.view)?,
            traceparents: from.traceparents,
        })
    }
}

impl From<RoomUpdate> for wire::Update {
    fn from(update: RoomUpdate) -> Self {
        Self {
            room_id: update.room.to_string(),
            epoch: update.epoch.get(),
            view: Some(update.view.into()),
            traceparents: update.traceparents,
        }
    }
}

impl TryFrom<wire::OwnerChanged> for ChangedOwner {
    type Error = ConvertError;

    fn try_from(from: wire::OwnerChanged) -> Result<Self, ConvertError> {
        Ok(Self {
            room: parse("room_id", &from.room_id)?,
            epoch: Epoch::new(from.epoch),
            owner: parse("owner", &from.owner)?,
            relay_url: from.relay_url,
        })
    }
}

impl From<ChangedOwner> for wire::OwnerChanged {
    fn from(changed: ChangedOwner) -> Self {
        Self {
            room_id: changed.room.to_string(),
            epoch: changed.epoch.get(),
            owner: changed.owner.to_string(),
            relay_url: changed.relay_url,
        }
    }
}

fn view(view: Option<crate::common::v1::View>) -> Result<View, ConvertError> {
    required("view", view)?.try_into().map_err(|error: ConvertError| error.within("view"))
}
