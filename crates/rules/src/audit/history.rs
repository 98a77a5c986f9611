//! What clients recorded: the bids they sent and the states they were shown.

use crate::{
    amount::Amount,
    auction::RejectReason,
    id::{BidId, RoomId, UserId},
    order::{Generation, Seq},
    time::Timestamp,
};
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// What one process recorded of one room, its sights in the order of each socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Tells the history apart where it is evidence, such as a file's name.
    pub name: String,
    /// Names the clock behind all its times; times of equal clocks compare.
    pub clock: String,
    /// The bids sent.
    pub bids: Vec<RecordedBid>,
    /// What was shown.
    pub sights: Vec<Sight>,
}

/// The first line of a kept history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryHead {
    /// How it is kept.
    pub format: HistoryFormat,
    /// Names the clock behind all its times.
    pub clock: String,
}

/// How a history is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryFormat {
    /// The first form.
    #[default]
    #[serde(rename = "gavel-history-1")]
    V1,
}

/// Any other line of a kept history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// A bid was answered, or never was.
    Bid {
        /// Where.
        room: RoomId,
        /// The bid.
        #[serde(flatten)]
        bid: RecordedBid,
    },
    /// Something was shown.
    Sight {
        /// Where.
        room: RoomId,
        /// What.
        #[serde(flatten)]
        sight: Sight,
    },
}

/// A bid as its sender knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedBid {
    /// The socket it was sent on.
    pub socket: u64,
    /// The history that seq counted in when the answer came, or last did.
    pub generation: Generation,
    /// Who bid.
    pub bidder: UserId,
    /// The client's id of the bid.
    pub bid_id: BidId,
    /// How much.
    pub amount: Amount,
    /// Not later than it was sent, in microseconds by the history's clock.
    pub sent_us: u64,
    /// The answer; none where it never came and the outcome is unknown.
    pub answer: Option<Answer>,
}

/// The answer to a bid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Not earlier than it came, in microseconds by the history's clock.
    pub at_us: u64,
    /// What it said.
    pub said: Said,
}

/// What an answer said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// The bid is stored.
    Accepted {
        /// The event that holds it.
        seq: Seq,
        /// How much.
        amount: Amount,
        /// The least that the next bid had to offer.
        minimum: Amount,
        /// When it was decided, by the auction clock.
        at: Timestamp,
    },
    /// The bid was refused.
    Rejected {
        /// Why.
        reason: RejectReason,
        /// The price then.
        price: Amount,
        /// The least that would have been accepted.
        minimum: Amount,
        /// The last event known; zero where none was.
        seq: Seq,
        /// When it was decided, by the auction clock.
        at: Timestamp,
    },
    /// It could not be decided, which promises nothing.
    Error {
        /// The protocol's word for it.
        code: String,
    },
}

/// A state that a viewer was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// The socket it was shown on; a socket is one viewer.
    pub socket: u64,
    /// When, in microseconds by the history's clock.
    pub at_us: u64,
    /// The history that seq counts in.
    pub generation: Generation,
    /// The last event in it.
    pub seq: Seq,
    /// What kind of message it was.
    pub shown: Shown,
}

/// What a viewer was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// The whole state.
    State(Believed),
    /// The effect of one event, and what the viewer then believes.
    Update(Believed),
    /// The close.
    Closed {
        /// Who won, if anybody.
        winner: Option<UserId>,
        /// At what price.
        amount: Option<Amount>,
    },
}

/// What a viewer believes of an auction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Believed {
    /// The high bid, or the opening price before the first.
    pub price: Amount,
    /// Who holds it.
    pub high_bidder: Option<UserId>,
}
