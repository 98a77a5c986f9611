//! Values of the domain, drawn from bytes. When the bytes are used up everything is zero, so
//! whoever draws in a loop asks [`Unstructured::is_empty`].

use arbitrary::{Arbitrary, Unstructured};
use gavel_rules::{
    amount::Amount,
    auction::{AuctionState, GuestAccess, Outcome, RejectReason, View},
    order::Seq,
    time::{Millis, Timestamp},
};
use std::{fmt::Debug, str::FromStr};

/// The bytes to draw from.
pub(crate) fn of(bytes: &[u8]) -> Unstructured<'_> {
    Unstructured::new(bytes)
}

/// Whatever the type can be.
pub(crate) fn any<'a, T: Arbitrary<'a>>(draw: &mut Unstructured<'a>) -> T {
    draw.arbitrary().expect("zeros follow the last byte")
}

/// A byte.
pub(crate) fn byte(draw: &mut Unstructured<'_>) -> u8 {
    any(draw)
}

/// A number, more often a small one.
pub(crate) fn number(draw: &mut Unstructured<'_>) -> u64 {
    match byte(draw) % 4 {
        0 => byte(draw).into(),
        1 => any::<u16>(draw).into(),
        2 => any::<u32>(draw).into(),
        _ => any(draw),
    }
}

/// A number below `end`.
pub(crate) fn below(draw: &mut Unstructured<'_>, end: u64) -> u64 {
    number(draw) % end
}

/// One of these.
pub(crate) fn one<T: Clone>(draw: &mut Unstructured<'_>, all: &[T]) -> T {
    draw.choose(all).expect("there are some").clone()
}

/// An amount.
pub(crate) fn amount(draw: &mut Unstructured<'_>) -> Amount {
    Amount::new(number(draw) & Amount::MAX.minor()).expect("it is in range")
}

/// An id of up to 64 characters.
pub(crate) fn id<T: FromStr<Err: Debug>>(draw: &mut Unstructured<'_>) -> T {
    const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-";
    let length = 1 + below(draw, 64);
    let text: String = (0..length).map(|_| char::from(one(draw, LETTERS))).collect();
    text.parse().expect("it is made of an id's letters")
}

/// A reason to refuse a bid.
pub(crate) fn reason(draw: &mut Unstructured<'_>) -> RejectReason {
    one(draw, &RejectReason::ALL)
}

/// A state, though not one that an auction could come to.
pub(crate) fn view(draw: &mut Unstructured<'_>) -> View {
    let outcome = match byte(draw) % 4 {
        0 => None,
        1 => Some(Outcome::NoBids),
        2 => Some(Outcome::ReserveNotMet),
        _ => Some(Outcome::Sold { winner: id(draw), amount: amount(draw) }),
    };
    let states =
        [AuctionState::Scheduled, AuctionState::Open, AuctionState::Paused, AuctionState::Closed];
    View {
        state: one(draw, &states),
        title: any(draw),
        currency: any(draw),
        price: amount(draw),
        high_bidder: any::<bool>(draw).then(|| id(draw)),
        bid_count: number(draw),
        minimum: amount(draw),
        opens_at: Timestamp::new(number(draw)),
        closes_at: Timestamp::new(number(draw)),
        extensions: any(draw),
        reserve_met: any(draw),
        seq: Seq::new(number(draw)),
        guests: one(draw, &[GuestAccess::None, GuestAccess::View, GuestAccess::Bid]),
        outcome,
        round: any(draw),
        credited: Millis::new(number(draw)),
    }
}
