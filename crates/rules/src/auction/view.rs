//! What everybody may know of an auction.

use super::{GuestAccess, Outcome};
use crate::{
    amount::Amount,
    id::UserId,
    order::Seq,
    time::{Millis, Timestamp},
};
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// Where an auction stands in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuctionState {
    /// Bidding has not opened.
    #[default]
    Scheduled,
    /// Bids are decided.
    Open,
    /// Bids are refused, the clock stands still.
    Paused,
    /// Bidding is over.
    Closed,
}

/// The public state at one seq; the reserve itself is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Where it stands.
    pub state: AuctionState,
    /// What is sold.
    pub title: String,
    /// ISO 4217 code.
    pub currency: String,
    /// The high bid, or the opening price before the first.
    pub price: Amount,
    /// Who holds the high bid.
    pub high_bidder: Option<UserId>,
    /// Bids accepted in this round.
    pub bid_count: u64,
    /// The least that the next bid must offer.
    pub minimum: Amount,
    /// When bidding opens.
    pub opens_at: Timestamp,
    /// When it closes as things stand.
    pub closes_at: Timestamp,
    /// How often a late bid has moved the closing time.
    pub extensions: u32,
    /// Whether the reserve is met; none where there is no reserve.
    pub reserve_met: Option<bool>,
    /// The last event folded in.
    pub seq: Seq,
    /// What guests may do.
    pub guests: GuestAccess,
    /// How it closed.
    pub outcome: Option<Outcome>,
    /// Counts how often it opened again.
    pub round: u32,
    /// What outages have moved the close by in this round.
    pub credited: Millis,
}
