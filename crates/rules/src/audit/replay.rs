//! The stream read from its first event to its last, with no help from the
//! fold, and what was true after each.

mod events;

use super::{Invariant, Stream, Violation, violation::told};
use crate::{
    amount::Amount,
    auction::{
        AuctionRules, AuctionSnapshot, AuctionState, Event, EventKind, ExtensionMode, Outcome,
    },
    id::{BidId, UserId},
    order::{Epoch, Seq},
    time::{Millis, Timestamp},
};
use alloc::{boxed::Box, collections::BTreeMap, format, string::String, vec::Vec};

/// A stream that holds what can be told from it alone.
pub(super) struct Replay<'a> {
    pub(super) stream: &'a Stream,
    pub(super) rules: Option<&'a AuctionRules>,
    /// The seq of the first event, or of the one that would be.
    pub(super) first: Seq,
    /// What was true after each event.
    moments: Vec<Moment<'a>>,
    /// The places of accepted bids, by bidder and id; one for each round at most.
    places_by_bid: BTreeMap<(&'a UserId, &'a BidId), Vec<usize>>,
    /// The seqs of events that changed more than the price.
    turns: Vec<Seq>,
}

/// What was true after an event. A part is missing as long as the events that
/// made it so have been dropped.
#[derive(Clone, Default)]
pub(super) struct Moment<'a> {
    pub(super) state: Option<AuctionState>,
    pub(super) money: Option<Money<'a>>,
    pub(super) opens_at: Option<Timestamp>,
    pub(super) closes_at: Option<Timestamp>,
    pub(super) bids: Option<u64>,
    pub(super) round: u32,
    extensions: Option<u32>,
    paused_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
    credited: Option<Millis>,
    served_until: Option<Timestamp>,
    /// What late bids of this round count from, where that is not the rules'.
    soft_close: Option<Option<ExtensionMode>>,
}

/// The price and what follows from it.
#[derive(Clone, Copy)]
pub(super) struct Money<'a> {
    pub(super) price: Amount,
    pub(super) minimum: Amount,
    pub(super) high_bidder: Option<&'a UserId>,
}

type Checked = Result<(), Box<Violation>>;

// === impl Replay ===

impl<'a> Replay<'a> {
    /// Reads the stream.
    pub(super) fn of(stream: &'a Stream) -> Result<Self, Box<Violation>> {
        let first = stream.events.first().map_or(Seq::new(1), |first| first.event.seq);
        let mut replay = Self {
            stream,
            rules: stream.snapshot.as_ref().and_then(AuctionSnapshot::rules),
            first,
            moments: Vec::with_capacity(stream.events.len()),
            places_by_bid: BTreeMap::new(),
            turns: Vec::new(),
        };
        replay.check_ends()?;
        let mut moment = Moment::default();
        let (mut expected, mut epoch) = (first, Epoch::default());
        for (place, stored) in stream.events.iter().enumerate() {
            let event = &stored.event;
            if event.seq != expected {
                let found = told(event);
                return replay.broken(Invariant::OneOrder, found, format!("{expected} was due"));
            }
            replay.check_epoch(epoch, stored.epoch, event)?;
            (expected, epoch) = (expected.next(), stored.epoch);
            replay.step(place, event, &mut moment)?;
            replay.moments.push(moment.clone());
        }
        Ok(replay)
    }

    /// What was true when `seq` was the last event.
    pub(super) fn moment(&self, seq: Seq) -> Option<&Moment<'a>> {
        self.moments.get(self.place(seq)?)
    }

    /// The event of this seq.
    pub(super) fn event(&self, seq: Seq) -> Option<&'a Event> {
        self.stream.events.get(self.place(seq)?).map(|stored| &stored.event)
    }

    /// The last event's seq.
    pub(super) fn last_seq(&self) -> Seq {
        self.stream.events.last().map_or(Seq::default(), |last| last.event.seq)
    }

    /// What is true now.
    pub(super) fn last(&self) -> Option<&Moment<'a>> {
        self.moments.last()
    }

    /// Every accepted bid.
    pub(super) fn bids(&self) -> impl Iterator<Item = (&'a UserId, &'a BidId, Amount, &'a Event)> {
        self.stream.events.iter().filter_map(|stored| {
            let EventKind::BidAccepted { bidder, bid_id, amount, .. } = &stored.event.kind else {
                return None;
            };
            Some((bidder, bid_id, *amount, &stored.event))
        })
    }

    /// The events that accepted a bid, one for each round at most.
    pub(super) fn accepted(
        &self,
        bidder: &'a UserId,
        bid_id: &'a BidId,
    ) -> impl Iterator<Item = &'a Event> {
        let places = self.places_by_bid.get(&(bidder, bid_id)).into_iter().flatten();
        places.filter_map(|place| self.stream.events.get(*place)).map(|stored| &stored.event)
    }

    /// The last close's outcome.
    pub(super) fn outcome(&self) -> Option<&'a Outcome> {
        self.stream.events.iter().rev().find_map(|stored| outcome(&stored.event))
    }

    /// The seqs within `from..=to` at which what a refusal speaks of may have
    /// become true or have been true last. In between only prices rise and
    /// closes move back.
    pub(super) fn turns(&self, from: Seq, to: Seq) -> impl Iterator<Item = Seq> {
        let start = self.turns.partition_point(|turn| *turn <= from);
        let within = self.turns.iter().skip(start).copied().take_while(move |turn| *turn <= to);
        let around = within.flat_map(|turn| [Seq::new(turn.get().saturating_sub(1)), turn]);
        [from].into_iter().chain(around).chain([to])
    }

    pub(super) fn broken<T>(
        &self,
        invariant: Invariant,
        found: String,
        against: impl Into<String>,
    ) -> Result<T, Box<Violation>> {
        Err(self.stream.broken(invariant, found, against.into()))
    }

    fn place(&self, seq: Seq) -> Option<usize> {
        usize::try_from(seq.get().checked_sub(self.first.get())?).ok()
    }

    /// A stream begins at the creation or behind a snapshot, and ends where
    /// the snapshot does or later.
    fn check_ends(&self) -> Checked {
        if self.first == Seq::default() {
            let found = String::from("the stream begins at seq 0");
            return self.broken(Invariant::OneOrder, found, "the first event is seq 1");
        }
        let Some(snapshot) = &self.stream.snapshot else {
            if self.first != Seq::new(1) {
                let found = format!("the stream begins at seq {}", self.first);
                return self.broken(
                    Invariant::OneOrder,
                    found,
                    "no snapshot holds what was before",
                );
            }
            return Ok(());
        };
        let last = self.last_seq();
        if snapshot.seq() > last {
            let found = format!("the store loads the room at seq {}", snapshot.seq());
            let against = format!("the stream ends at seq {last}");
            return self.broken(Invariant::OneOrder, found, against);
        }
        Ok(())
    }

    fn check_epoch(&self, before: Epoch, epoch: Epoch, event: &Event) -> Checked {
        if epoch < before {
            let found = format!("{} under epoch {epoch}", told(event));
            let against = format!("the event before it has epoch {before}");
            return self.broken(Invariant::Fenced, found, against);
        }
        if epoch > self.stream.epoch {
            let found = format!("{} under epoch {epoch}", told(event));
            let against = format!("the room's epoch is {}", self.stream.epoch);
            return self.broken(Invariant::Fenced, found, against);
        }
        Ok(())
    }
}

// === impl Moment ===

impl Moment<'_> {
    fn new_round(
        rules: &AuctionRules,
        opens_at: Timestamp,
        closes_at: Timestamp,
        round: u32,
    ) -> Self {
        let (price, minimum) = (rules.opening_price, rules.opening_price);
        Self {
            state: Some(AuctionState::Scheduled),
            money: Some(Money { price, minimum, high_bidder: None }),
            opens_at: Some(opens_at),
            closes_at: Some(closes_at),
            bids: Some(0),
            round,
            extensions: Some(0),
            paused_at: None,
            closed_at: None,
            credited: Some(Millis::default()),
            served_until: None,
            soft_close: Some(None),
        }
    }
}

/// How an event closed the auction, if it did.
pub(super) fn outcome(event: &Event) -> Option<&Outcome> {
    if let EventKind::Closed { outcome } = &event.kind { Some(outcome) } else { None }
}
