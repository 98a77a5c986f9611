//! What bidders were told against what is stored.

use super::{
    History, Invariant, RecordedBid, Said, Violation,
    replay::{Moment, Replay},
    timeline::Timelines,
    violation::{money, told},
};
use crate::{
    amount::Amount,
    auction::{AuctionState, BIDS_MAX, Event, EventKind, RejectReason},
    id::{BidId, UserId},
    order::Seq,
    time::Timestamp,
};
use alloc::{boxed::Box, collections::BTreeMap, format, string::String, vec::Vec};

/// The check of answers.
pub(super) struct Answers<'a> {
    replay: &'a Replay<'a>,
    timelines: &'a Timelines<'a>,
}

/// A bid and the refusal it got.
struct Refusal<'a> {
    history: &'a History,
    bid: &'a RecordedBid,
    at_us: u64,
    reason: RejectReason,
    price: Amount,
    minimum: Amount,
    seq: Seq,
    at: Timestamp,
}

type Checked = Result<(), Box<Violation>>;

// === impl Answers ===

impl<'a> Answers<'a> {
    pub(super) fn new(replay: &'a Replay<'a>, timelines: &'a Timelines<'a>) -> Self {
        Self { replay, timelines }
    }

    /// Checks each answer; counts those that speak of dropped events.
    pub(super) fn check(&self, history: &'a History) -> Result<usize, Box<Violation>> {
        let mut unchecked = 0;
        for bid in &history.bids {
            let Some(answer) = &bid.answer else { continue };
            let could = match &answer.said {
                Said::Accepted { .. } => self.check_ack(history, bid, &answer.said)?,
                &Said::Rejected { reason, price, minimum, seq, at } => {
                    let at_us = answer.at_us;
                    let refusal = Refusal { history, bid, at_us, reason, price, minimum, seq, at };
                    self.check_refusal(&refusal)?
                }
                Said::Error { .. } => true,
            };
            unchecked += usize::from(!could);
        }
        Ok(unchecked)
    }

    /// Checks that no bid comes before what was known when it was sent.
    pub(super) fn check_order(&self) -> Checked {
        for sent in self.timelines.sent() {
            let known = self.timelines.known_before(&sent.history.clock, sent.bid.sent_us);
            if let Some(known) = known.filter(|known| known.seq >= sent.seq) {
                return self.replay.broken(Invariant::RealTime, sent.told(), known.told());
            }
        }
        Ok(())
    }

    /// Checks that each accepted bid that somebody recorded was sent with its
    /// amount; with `complete`, also that each was recorded.
    pub(super) fn check_requests(&self, histories: &'a [History], complete: bool) -> Checked {
        let mut asked: BTreeMap<(&UserId, &BidId), Vec<Amount>> = BTreeMap::new();
        for bid in histories.iter().flat_map(|history| &history.bids) {
            asked.entry((&bid.bidder, &bid.bid_id)).or_default().push(bid.amount);
        }
        for (bidder, bid_id, amount, event) in self.replay.bids() {
            let against = match asked.get(&(bidder, bid_id)) {
                Some(amounts) if amounts.contains(&amount) => continue,
                Some(amounts) => {
                    let amounts: Vec<String> = amounts.iter().copied().map(money).collect();
                    format!("it was sent at {}", amounts.join(" and "))
                }
                None if complete => String::from("no history holds such a bid"),
                None => continue,
            };
            return self.replay.broken(Invariant::NoPhantom, told(event), against);
        }
        Ok(())
    }

    fn check_ack(
        &self,
        history: &History,
        bid: &RecordedBid,
        said: &Said,
    ) -> Result<bool, Box<Violation>> {
        let Said::Accepted { seq, amount, minimum, at } = *said else { return Ok(true) };
        let RecordedBid { bidder, bid_id, generation, .. } = bid;
        let found = || {
            format!(
                "seq {seq} at {at} was acked to {bidder} as bid {bid_id} at {}, {} next, in {}",
                money(amount),
                money(minimum),
                history.name
            )
        };
        if seq < self.replay.first {
            return Ok(false);
        }
        let event = self.replay.event(seq);
        // What is told of one generation holds in the next as far as both are the same.
        let stored = self.replay.stream.generation;
        if *generation != stored
            && !event.is_some_and(|event| is_acked(event, bid, amount, minimum, at))
        {
            let against = format!("that was generation {generation} and {stored} is stored");
            return self.replay.broken(Invariant::AckedIsStored, found(), against);
        }
        let Some(event) = event else {
            let against = format!("the stream ends at seq {}", self.replay.last_seq());
            return self.replay.broken(Invariant::AckedIsStored, found(), against);
        };
        if !is_acked(event, bid, amount, minimum, at) {
            let against = match &event.kind {
                EventKind::BidAccepted { minimum_next, .. } => {
                    format!("{}, {} next", told(event), money(*minimum_next))
                }
                EventKind::Created { .. }
                | EventKind::Opened { .. }
                | EventKind::Paused { .. }
                | EventKind::Resumed { .. }
                | EventKind::Credited { .. }
                | EventKind::Closed { .. }
                | EventKind::Reopened { .. } => told(event),
            };
            return self.replay.broken(Invariant::AckedIsStored, found(), against);
        }
        Ok(true)
    }

    fn check_refusal(&self, refusal: &Refusal<'a>) -> Result<bool, Box<Violation>> {
        let (replay, bid, seq) = (self.replay, refusal.bid, refusal.seq);
        if bid.generation != replay.stream.generation || seq < replay.first {
            return Ok(false);
        }
        let Some(moment) = replay.moment(seq) else {
            let against = format!("the stream ends at seq {}", replay.last_seq());
            return refusal.is_false(replay, against);
        };
        if let Some(is) = moment.money
            && (is.price, is.minimum) != (refusal.price, refusal.minimum)
        {
            let (price, minimum) = (money(is.price), money(is.minimum));
            return refusal.is_false(replay, format!("it was {price} then, {minimum} next"));
        }
        let known = |event: &&Event| {
            event.seq <= seq
                && replay.moment(event.seq).is_some_and(|then| then.round == moment.round)
        };
        if let Some(event) = replay.accepted(&bid.bidder, &bid.bid_id).find(known) {
            return replay.broken(Invariant::OneAnswer, refusal.told(), told(event));
        }
        if refusal.holds(moment, replay) == Some(false) {
            return refusal.is_false(replay, format!("{} did not make it so", at_seq(replay, seq)));
        }
        self.check_when(refusal)?;
        Ok(true)
    }

    /// Checks that what a refusal speaks of was so while it was asked.
    fn check_when(&self, refusal: &Refusal<'a>) -> Checked {
        let (replay, clock, seq) = (self.replay, &refusal.history.clock, refusal.seq);
        let later = self.timelines.sent_after(clock, refusal.at_us);
        if let Some(later) = later.filter(|later| later.seq <= seq) {
            return refusal.is_false(replay, later.told());
        }
        let known = self.timelines.known_before(clock, refusal.bid.sent_us);
        // Who is told of what is no news has been told by somebody who may lag behind.
        let Some(known) = known.filter(|known| known.seq > seq) else { return Ok(()) };
        if !refusal.is_of_state() {
            return Ok(());
        }
        let until = later.map_or(replay.last_seq(), |later| Seq::new(later.seq.get() - 1));
        let held = replay.turns(known.seq, until).any(|turn| {
            let moment = replay.moment(turn);
            moment.is_none_or(|moment| refusal.holds(moment, replay) != Some(false))
        });
        if held { Ok(()) } else { refusal.is_false(replay, known.told()) }
    }
}

// === impl Refusal ===

impl Refusal<'_> {
    /// Whether it is of a kind that only turns of the auction make false.
    fn is_of_state(&self) -> bool {
        matches!(
            self.reason,
            RejectReason::TooLow
                | RejectReason::Closed
                | RejectReason::Paused
                | RejectReason::NotOpen
        )
    }

    /// Whether it is true of this moment; none where that cannot be told.
    fn holds(&self, moment: &Moment<'_>, replay: &Replay<'_>) -> Option<bool> {
        let is = |state| moment.state.map(|is| is == state);
        let rules = replay.rules?;
        match self.reason {
            RejectReason::TooLow => {
                let money = moment.money?;
                let at_top =
                    money.high_bidder.is_some() && rules.minimum_after(money.price).is_none();
                Some(self.bid.amount < money.minimum || at_top)
            }
            RejectReason::Closed => {
                let over = moment.state? == AuctionState::Open && self.at >= moment.closes_at?;
                Some(over || moment.state? == AuctionState::Closed)
            }
            RejectReason::Paused => is(AuctionState::Paused),
            RejectReason::NotOpen => is(AuctionState::Scheduled),
            RejectReason::OwnBid => Some(moment.money?.high_bidder == Some(&self.bid.bidder)),
            RejectReason::InvalidAmount => Some(self.bid.amount == Amount::ZERO),
            RejectReason::Seller => Some(rules.seller.as_ref() == Some(&self.bid.bidder)),
            RejectReason::TooManyBids => Some(moment.bids? >= BIDS_MAX),
            RejectReason::RateLimited
            | RejectReason::Forbidden
            | RejectReason::UnknownRoom
            | RejectReason::Unavailable => None,
        }
    }

    fn is_false<T>(&self, replay: &Replay<'_>, against: String) -> Result<T, Box<Violation>> {
        replay.broken(Invariant::TrueRefusal, self.told(), against)
    }

    /// As evidence.
    fn told(&self) -> String {
        let RecordedBid { bidder, bid_id, amount, .. } = self.bid;
        format!(
            "bid {bid_id} of {bidder} at {} was refused as {} at seq {}, price {}, {} next, \
             time {}, in {}",
            money(*amount),
            self.reason.as_str(),
            self.seq,
            money(self.price),
            money(self.minimum),
            self.at,
            self.history.name,
        )
    }
}

/// Whether the event is the bid with all that its ack tells.
fn is_acked(
    event: &Event,
    bid: &RecordedBid,
    acked: Amount,
    minimum: Amount,
    at: Timestamp,
) -> bool {
    let EventKind::BidAccepted { bidder, bid_id, amount, minimum_next, .. } = &event.kind else {
        return false;
    };
    *bidder == bid.bidder
        && *bid_id == bid.bid_id
        && (*amount, *minimum_next, event.at) == (acked, minimum, at)
}

/// The auction at a seq, as evidence.
fn at_seq(replay: &Replay<'_>, seq: Seq) -> String {
    let moment = replay.moment(seq).cloned().unwrap_or_default();
    let state = moment.state.map_or_else(|| String::from("unknown"), |is| format!("{is:?}"));
    let closes = moment.closes_at.map(|at| format!(", closing at {at}")).unwrap_or_default();
    let high = moment.money.and_then(|money| money.high_bidder);
    let high = high.map(|bidder| format!(", led by {bidder}")).unwrap_or_default();
    format!("the auction at seq {seq} ({state}{closes}{high})")
}
