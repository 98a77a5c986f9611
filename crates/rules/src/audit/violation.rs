//! What an audit finds wrong, with the evidence for it.

use crate::{
    amount::Amount,
    auction::{Event, EventKind, Outcome},
    id::RoomId,
};
use alloc::{borrow::ToOwned, format, string::String};
use core::fmt;

/// What must hold of every auction. The numbers are those of docs/verify.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// An acked bid is in the stream, unchanged.
    AckedIsStored,
    /// Seq is 1, 2, 3… without gap or repeat.
    OneOrder,
    /// Each bid exceeds the one before by the increment at least.
    Rising,
    /// A bid id of a bidder is accepted once and answered one way.
    OneAnswer,
    /// What was known before a bid was sent comes before it.
    RealTime,
    /// Each accepted bid was asked for, by somebody who may.
    NoPhantom,
    /// A refusal was true at some moment between the bid and its answer.
    TrueRefusal,
    /// Nothing is accepted outside of the bidding time; closes and extensions follow the rules.
    InTime,
    /// One winner, the same to everybody.
    OneWinner,
    /// Epochs never fall.
    Fenced,
    /// Each viewer sees states of the one order, in that order.
    Prefix,
    /// A snapshot is the fold of the events up to it.
    SnapshotIsFold,
}

/// The first thing an audit found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where.
    pub room: RoomId,
    /// What does not hold.
    pub invariant: Invariant,
    /// The one piece of evidence.
    pub found: String,
    /// The other, which contradicts it.
    pub against: String,
}

// === impl Invariant ===

impl Invariant {
    /// Every invariant.
    pub const ALL: [Self; 12] = [
        Self::AckedIsStored,
        Self::OneOrder,
        Self::Rising,
        Self::OneAnswer,
        Self::RealTime,
        Self::NoPhantom,
        Self::TrueRefusal,
        Self::InTime,
        Self::OneWinner,
        Self::Fenced,
        Self::Prefix,
        Self::SnapshotIsFold,
    ];

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::AckedIsStored => 1,
            Self::OneOrder => 2,
            Self::Rising => 3,
            Self::OneAnswer => 4,
            Self::RealTime => 5,
            Self::NoPhantom => 6,
            Self::TrueRefusal => 7,
            Self::InTime => 9,
            Self::OneWinner => 10,
            Self::Fenced => 11,
            Self::Prefix => 12,
            Self::SnapshotIsFold => 13,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AckedIsStored => "acked is stored",
            Self::OneOrder => "one order",
            Self::Rising => "rising",
            Self::OneAnswer => "one answer",
            Self::RealTime => "real time",
            Self::NoPhantom => "no phantom",
            Self::TrueRefusal => "true refusal",
            Self::InTime => "in time",
            Self::OneWinner => "one winner",
            Self::Fenced => "fenced",
            Self::Prefix => "prefix",
            Self::SnapshotIsFold => "snapshot is fold",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {} ({})", self.number(), self.as_str())
    }
}

// === impl Violation ===

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { room, invariant, found, against } = self;
        write!(f, "room {room}, {invariant}: {found}, but {against}")
    }
}

impl core::error::Error for Violation {}

/// Minor units as people read them.
pub(super) fn money(amount: Amount) -> String {
    format!("{}.{:02}", amount.minor() / 100, amount.minor() % 100)
}

/// A stored event as evidence.
pub(super) fn told(event: &Event) -> String {
    let Event { seq, at, kind } = event;
    let what = match kind {
        EventKind::Created { .. } => "the creation".to_owned(),
        EventKind::Opened { .. } => "the opening".to_owned(),
        EventKind::BidAccepted { bidder, bid_id, amount, .. } => {
            format!("bid {bid_id} of {bidder} at {}", money(*amount))
        }
        EventKind::Paused { .. } => "a pause".to_owned(),
        EventKind::Resumed { .. } => "a resumption".to_owned(),
        EventKind::Credited { since, .. } => format!("a credit for an outage since {since}"),
        EventKind::Closed { outcome } => format!("the close, {}", result(outcome)),
        EventKind::Reopened { .. } => "a reopening".to_owned(),
    };
    format!("seq {seq} at {at} is {what}")
}

/// How an auction ended, as evidence.
pub(super) fn result(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Sold { winner, amount } => format!("sold to {winner} for {}", money(*amount)),
        Outcome::ReserveNotMet => "reserve not met".to_owned(),
        Outcome::NoBids => "no bids".to_owned(),
    }
}
