//! Auctions by example; `properties` covers what examples forget.

mod bids;
mod clock;
mod commands;
mod credit;
mod draft;
pub(crate) mod properties;
mod rules;
mod stored;

use super::*;
use crate::{amount::Amount, order::Version, time::Millis};
use alloc::{borrow::ToOwned, vec};

const OPENS: u64 = 1_000;
const CLOSES: u64 = 61_000;

pub(crate) fn at(ms: u64) -> Timestamp {
    Timestamp::new(ms)
}

pub(crate) fn cents(minor: u64) -> Amount {
    Amount::new(minor).expect("an amount")
}

pub(crate) fn user(name: &str) -> UserId {
    name.parse().expect("a user id")
}

pub(crate) fn id(name: &str) -> BidId {
    name.parse().expect("a bid id")
}

/// From 100 in steps of 10, open from 1 s to 61 s, closing hard.
fn plain() -> AuctionRules {
    AuctionRules {
        title: "A lamp".to_owned(),
        currency: "EUR".to_owned(),
        opening_price: cents(100),
        increments: IncrementTable::flat(cents(10)).expect("a table"),
        reserve: None,
        opens_at: at(OPENS),
        closes_at: at(CLOSES),
        extension: None,
        guests: GuestAccess::View,
        seller: Some(user("seller")),
        reopen_after: None,
        outage_credit: None,
    }
}

pub(crate) fn soft(mode: ExtensionMode, window: u64, by: u64, extensions_max: u32) -> AuctionRules {
    let (window, by) = (Millis::new(window), Millis::new(by));
    AuctionRules { extension: Some(Extension { mode, window, by, extensions_max }), ..plain() }
}

fn scheduled(rules: AuctionRules) -> Auction {
    let (mut auction, created) = Auction::create(rules, at(0)).expect("rules that can be");
    auction.apply(&created).expect("the first event folds");
    auction
}

fn open(rules: AuctionRules) -> Auction {
    let mut auction = scheduled(rules);
    stored(&mut auction, Input::Tick, OPENS);
    assert_eq!(auction.view().state, AuctionState::Open);
    auction
}

fn bid(bidder: &str, bid_id: &str, amount: u64) -> Input {
    let (flags, limits) = (Version::new(7), Version::new(3));
    let (bidder, bid_id) = (user(bidder), id(bid_id));
    Input::Bid { bid: Bid { bidder, bid_id, amount: cents(amount), flags, limits }, token: 42 }
}

fn step(auction: &mut Auction, input: Input, now: u64) -> Vec<Action> {
    let mut actions = Vec::new();
    auction.step(input, at(now), &mut actions);
    actions
}

/// Steps, and stores what is proposed.
fn stored(auction: &mut Auction, input: Input, now: u64) -> Vec<Action> {
    let actions = step(auction, input, now);
    auction.commit();
    actions
}

fn verdict(actions: Vec<Action>) -> Verdict {
    match actions.into_iter().next_back() {
        Some(Action::Answer { token: 42, verdict }) => verdict,
        other => panic!("an answer comes last, not {other:?}"),
    }
}

fn accepted(actions: Vec<Action>) -> Accepted {
    match verdict(actions) {
        Verdict::Accepted(bid) => bid,
        Verdict::Rejected(bid) => panic!("accepted, not {bid:?}"),
    }
}

fn rejected(actions: Vec<Action>) -> Rejected {
    assert_eq!(actions.len(), 1, "a refusal leaves no trace: {actions:?}");
    match verdict(actions) {
        Verdict::Rejected(bid) => bid,
        Verdict::Accepted(bid) => panic!("rejected, not {bid:?}"),
    }
}

fn refused(actions: Vec<Action>) -> CommandError {
    match actions.as_slice() {
        [Action::Refused(error)] => *error,
        other => panic!("refused and nothing else, not {other:?}"),
    }
}

fn appended(actions: &[Action]) -> &Event {
    match actions.first() {
        Some(Action::Append(event)) => event,
        other => panic!("an append comes first, not {other:?}"),
    }
}
