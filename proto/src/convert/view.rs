//! The public state of an auction.

use super::{ConvertError, amount, auction::guests, known, parse, required, unknown};
use crate::common::v1 as wire;
use gavel_rules::{
    auction::{AuctionState, Outcome, View},
    order::Seq,
    time::{Millis, Timestamp},
};

impl TryFrom<wire::View> for View {
    type Error = ConvertError;

    fn try_from(from: wire::View) -> Result<Self, ConvertError> {
        Ok(Self {
            state: state(from.state)?,
            title: from.title,
            currency: from.currency,
            price: amount("price", from.price)?,
            high_bidder: from.high_bidder.map(|id| parse("high_bidder", &id)).transpose()?,
            bid_count: from.bid_count,
            minimum: amount("minimum", from.minimum)?,
            opens_at: Timestamp::new(from.opens_at),
            closes_at: Timestamp::new(from.closes_at),
            extensions: from.extensions,
            reserve_met: from.reserve_met,
            seq: Seq::new(from.seq),
            guests: guests(from.guests)?,
            outcome: from
                .outcome
                .map(Outcome::try_from)
                .transpose()
                .map_err(|error| error.within("outcome"))?,
            round: from.round,
            credited: Millis::new(from.credited_ms),
        })
    }
}

impl From<View> for wire::View {
    fn from(view: View) -> Self {
        Self {
            state: wire::AuctionState::from(view.state).into(),
            title: view.title,
            currency: view.currency,
            price: view.price.minor(),
            high_bidder: view.high_bidder.map(|id| id.to_string()),
            bid_count: view.bid_count,
            minimum: view.minimum.minor(),
            opens_at: view.opens_at.as_millis(),
            closes_at: view.closes_at.as_millis(),
            extensions: view.extensions,
            reserve_met: view.reserve_met,
            seq: view.seq.get(),
            guests: wire::GuestAccess::from(view.guests).into(),
            outcome: view.outcome.map(Into::into),
            round: view.round,
            credited_ms: view.credited.get(),
        }
    }
}

impl From<AuctionState> for wire::AuctionState {
    fn from(state: AuctionState) -> Self {
        match state {
            AuctionState::Scheduled => Self::Scheduled,
            AuctionState::Open => Self::Open,
            AuctionState::Paused => Self::Paused,
            AuctionState::Closed => Self::Closed,
        }
    }
}

impl TryFrom<wire::Outcome> for Outcome {
    type Error = ConvertError;

    fn try_from(from: wire::Outcome) -> Result<Self, ConvertError> {
        Ok(match required("kind", from.kind)? {
            wire::outcome::Kind::Sold(sold) => Self::Sold {
                winner: parse("sold.winner", &sold.winner)?,
                amount: amount("sold.amount", sold.amount)?,
            },
            wire::outcome::Kind::ReserveNotMet(wire::ReserveNotMet {}) => Self::ReserveNotMet,
            wire::outcome::Kind::NoBids(wire::NoBids {}) => Self::NoBids,
        })
    }
}

impl From<Outcome> for wire::Outcome {
    fn from(outcome: Outcome) -> Self {
        let kind = match outcome {
            Outcome::Sold { winner, amount } => wire::outcome::Kind::Sold(wire::Sold {
                winner: winner.to_string(),
                amount: amount.minor(),
            }),
            Outcome::ReserveNotMet => wire::outcome::Kind::ReserveNotMet(wire::ReserveNotMet {}),
            Outcome::NoBids => wire::outcome::Kind::NoBids(wire::NoBids {}),
        };
        Self { kind: Some(kind) }
    }
}

fn state(value: i32) -> Result<AuctionState, ConvertError> {
    Ok(match known("state", value)? {
        wire::AuctionState::Unspecified => return Err(unknown("state", value)),
        wire::AuctionState::Scheduled => AuctionState::Scheduled,
        wire::AuctionState::Open => AuctionState::Open,
        wire::AuctionState::Paused => AuctionState::Paused,
        wire::AuctionState::Closed => AuctionState::Closed,
    })
}
