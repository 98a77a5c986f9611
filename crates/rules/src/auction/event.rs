//! What is stored of an auction, and the answers to bids.

use super::{AuctionRules, ExtensionMode};
use crate::{
    amount::Amount,
    id::{BidId, UserId},
    order::{Epoch, Seq, Version},
    time::{Millis, Timestamp},
};
use alloc::{boxed::Box, string::String};
use serde::{Deserialize, Serialize};

/// A stored fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the room's stream.
    pub seq: Seq,
    /// When the owner decided it.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// An event and the epoch under which it was appended, which lets a history prove its fence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// The owner's epoch at the time.
    pub epoch: Epoch,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EventKind {
    /// The auction was made; always the first event.
    Created {
        /// How it runs.
        rules: Box<AuctionRules>,
    },
    /// Bidding opened.
    Opened {
        /// When it closes.
        closes_at: Timestamp,
        /// What late bids of this round count from, where a flag had it other
        /// than the rules when bidding opened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        soft_close: Option<ExtensionMode>,
    },
    /// A bid was accepted.
    BidAccepted {
        /// Who bid.
        bidder: UserId,
        /// The client's id of the bid.
        bid_id: BidId,
        /// How much.
        amount: Amount,
        /// The least that the next bid must offer.
        minimum_next: Amount,
        /// The closing time, where this bid moved it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        extended_to: Option<Timestamp>,
        /// The flags in force.
        flags: Version,
        /// The limits in force.
        limits: Version,
    },
    /// Bids are refused and the clock stands still.
    Paused {
        /// Why.
        reason: String,
    },
    /// Bids are decided again.
    Resumed {
        /// When it closes, with the pause credited.
        closes_at: Timestamp,
    },
    /// Bids could not be taken for a while; the close moves by policy.
    Credited {
        /// Since when, as far as that is known.
        since: Timestamp,
        /// When it closes, with the outage credited.
        closes_at: Timestamp,
    },
    /// Bidding is over.
    Closed {
        /// How it ended.
        outcome: Outcome,
    },
    /// A closed auction begins anew, as demo auctions do.
    Reopened {
        /// When bidding opens.
        opens_at: Timestamp,
        /// When it closes.
        closes_at: Timestamp,
    },
}

/// How an auction closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// To the high bidder.
    Sold {
        /// Who won.
        winner: UserId,
        /// At what price.
        amount: Amount,
    },
    /// There were bids, but none met the reserve.
    ReserveNotMet,
    /// Nobody bid.
    NoBids,
}

/// A request to pay an amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bid {
    /// Who bids.
    pub bidder: UserId,
    /// The client's id of the bid.
    pub bid_id: BidId,
    /// How much.
    pub amount: Amount,
    /// The flags in force where the bid came in.
    pub flags: Version,
    /// The limits in force there.
    pub limits: Version,
}

/// The answer to a bid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is the high bid.
    Accepted(Accepted),
    /// It left no trace.
    Rejected(Rejected),
}

/// An accepted bid. All of it can be told from the stored event, so a retry
/// gets the same answer to the letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The client's id of the bid.
    pub bid_id: BidId,
    /// Who bid.
    pub bidder: UserId,
    /// How much.
    pub amount: Amount,
    /// The event that holds it.
    pub seq: Seq,
    /// When it was decided.
    pub at: Timestamp,
    /// The least that the next bid had to offer right after.
    pub minimum_next: Amount,
}

/// A refused bid, with what the bidder needs to try again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The client's id of the bid.
    pub bid_id: BidId,
    /// Why.
    pub reason: RejectReason,
    /// The price.
    pub current: Amount,
    /// The least that would have been accepted.
    pub minimum: Amount,
    /// The last event known.
    pub seq: Seq,
    /// When it was decided.
    pub at: Timestamp,
    /// When to try again, where that makes sense.
    pub retry_after: Option<Millis>,
}

/// Why a bid was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// Below the minimum.
    TooLow,
    /// At or after the close.
    Closed,
    /// While paused.
    Paused,
    /// Before the opening.
    NotOpen,
    /// The bidder holds the high bid already.
    OwnBid,
    /// Not an amount that can be bid.
    InvalidAmount,
    /// The seller may not bid.
    Seller,
    /// The round holds as many bids as it may.
    TooManyBids,
    /// The bidder is over a limit.
    RateLimited,
    /// The bidder lacks the grant.
    Forbidden,
    /// There is no such room.
    UnknownRoom,
    /// The room cannot decide just now.
    Unavailable,
}

// === impl RejectReason ===

impl RejectReason {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::TooLow,
        Self::Closed,
        Self::Paused,
        Self::NotOpen,
        Self::OwnBid,
        Self::InvalidAmount,
        Self::Seller,
        Self::TooManyBids,
        Self::RateLimited,
        Self::Forbidden,
        Self::UnknownRoom,
        Self::Unavailable,
    ];

    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLow => "too_low",
            Self::Closed => "closed",
            Self::Paused => "paused",
            Self::NotOpen => "not_open",
            Self::OwnBid => "own_bid",
            Self::InvalidAmount => "invalid_amount",
            Self::Seller => "seller",
            Self::TooManyBids => "too_many_bids",
            Self::RateLimited => "rate_limited",
            Self::Forbidden => "forbidden",
            Self::UnknownRoom => "unknown_room",
            Self::Unavailable => "unavailable",
        }
    }
}
