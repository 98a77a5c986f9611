//! The two answers to a bid.

use super::{ConvertError, amount, known, parse, required, unknown};
use crate::common::v1 as wire;
use gavel_rules::{
    auction::{Accepted, RejectReason, Rejected, Verdict},
    order::Seq,
    time::{Millis, Timestamp},
};

impl TryFrom<wire::Verdict> for Verdict {
    type Error = ConvertError;

    fn try_from(from: wire::Verdict) -> Result<Self, ConvertError> {
        match required("kind", from.kind)? {
            wire::verdict::Kind::Accepted(accepted) => accepted
                .try_into()
                .map(Self::Accepted)
                .map_err(|error: ConvertError| error.within("accepted")),
            wire::verdict::Kind::Rejected(rejected) => rejected
                .try_into()
                .map(Self::Rejected)
                .map_err(|error: ConvertError| error.within("rejected")),
        }
    }
}

impl From<Verdict> for wire::Verdict {
    fn from(verdict: Verdict) -> Self {
        let kind = match verdict {
            Verdict::Accepted(accepted) => wire::verdict::Kind::Accepted(accepted.into()),
            Verdict::Rejected(rejected) => wire::verdict::Kind::Rejected(rejected.into()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<wire::Accepted> for Accepted {
    type Error = ConvertError;

    fn try_from(from: wire::Accepted) -> Result<Self, ConvertError> {
        Ok(Self {
            bid_id: parse("bid_id", &from.bid_id)?,
            bidder: parse("bidder", &from.bidder)?,
            amount: amount("amount", from.amount)?,
            seq: Seq::new(from.seq),
            at: Timestamp::new(from.at),
            minimum_next: amount("minimum_next", from.minimum_next)?,
        })
    }
}

impl From<Accepted> for wire::Accepted {
    fn from(accepted: Accepted) -> Self {
        Self {
            bid_id: accepted.bid_id.to_string(),
            bidder: accepted.bidder.to_string(),
            amount: accepted.amount.minor(),
            seq: accepted.seq.get(),
            at: accepted.at.as_millis(),
            minimum_next: accepted.minimum_next.minor(),
        }
    }
}

impl TryFrom<wire::Rejected> for Rejected {
    type Error = ConvertError;

    fn try_from(from: wire::Rejected) -> Result<Self, ConvertError> {
        Ok(Self {
            bid_id: parse("bid_id", &from.bid_id)?,
            reason: reason(from.reason)?,
            current: amount("current", from.current)?,
            minimum: amount("minimum", from.minimum)?,
            seq: Seq::new(from.seq),
            at: Timestamp::new(from.at),
            retry_after: from.retry_after_ms.map(Millis::new),
        })
    }
}

impl From<Rejected> for wire::Rejected {
    fn from(rejected: Rejected) -> Self {
        Self {
            bid_id: rejected.bid_id.to_string(),
            reason: wire::RejectReason::from(rejected.reason).into(),
            current: rejected.current.minor(),
            minimum: rejected.minimum.minor(),
            seq: rejected.seq.get(),
            at: rejected.at.as_millis(),
            retry_after_ms: rejected.retry_after.map(Millis::get),
        }
    }
}

impl From<RejectReason> for wire::RejectReason {
    fn from(reason: RejectReason) -> Self {
        match reason {
            RejectReason::TooLow => Self::TooLow,
            RejectReason::Closed => Self::Closed,
            RejectReason::Paused => Self::Paused,
            RejectReason::NotOpen => Self::NotOpen,
            RejectReason::OwnBid => Self::OwnBid,
            RejectReason::InvalidAmount => Self::InvalidAmount,
            RejectReason::Seller => Self::Seller,
            RejectReason::TooManyBids => Self::TooManyBids,
            RejectReason::RateLimited => Self::RateLimited,
            RejectReason::Forbidden => Self::Forbidden,
            RejectReason::UnknownRoom => Self::UnknownRoom,
            RejectReason::Unavailable => Self::Unavailable,
        }
    }
}

fn reason(value: i32) -> Result<RejectReason, ConvertError> {
    Ok(match known("reason", value)? {
        wire::RejectReason::Unspecified => return Err(unknown("reason", value)),
        wire::RejectReason::TooLow => RejectReason::TooLow,
        wire::RejectReason::Closed => RejectReason::Closed,
        wire::RejectReason::Paused => RejectReason::Paused,
        wire::RejectReason::NotOpen => RejectReason::NotOpen,
        wire::RejectReason::OwnBid => RejectReason::OwnBid,
        wire::RejectReason::InvalidAmount => RejectReason::InvalidAmount,
        wire::RejectReason::Seller => RejectReason::Seller,
        wire::RejectReason::TooManyBids => RejectReason::TooManyBids,
        wire::RejectReason::RateLimited => RejectReason::RateLimited,
        wire::RejectReason::Forbidden => RejectReason::Forbidden,
        wire::RejectReason::UnknownRoom => RejectReason::UnknownRoom,
        wire::RejectReason::Unavailable => RejectReason::Unavailable,
    })
}
