//! The state of an auction as a fold of its events.

use super::{
    Accepted, AuctionRules, AuctionState, Event, EventKind, Extension, ExtensionMode, Outcome, View,
};
use crate::{
    amount::Amount,
    id::{BidId, UserId},
    order::Seq,
    time::{Millis, Timestamp},
};
use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};
use serde::{Deserialize, Serialize};

/// An event that does not fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// It is not the next one.
    #[error("event {found} where {expected} was due")]
    OutOfOrder {
        /// The seq that was due.
        expected: Seq,
        /// The seq that came.
        found: Seq,
    },
    /// Nothing comes before `Created`, and it comes once.
    #[error("event {0} does not fit the first event")]
    Misplaced(Seq),
}

/// All that is stored of an auction.
#[derive(Debug, Clone, Default)]
pub(super) struct Fold {
    pub(super) standing: Standing,
    /// The accepted bids of this round, by bidder and their id.
    answers: BTreeMap<(UserId, BidId), Accepted>,
}

/// What decisions look at; small, so that a draft may copy it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    pub(super) rules: Option<Arc<AuctionRules>>,
    pub(super) state: AuctionState,
    pub(super) seq: Seq,
    pub(super) high_bid: Option<(UserId, Amount)>,
    pub(super) minimum: Amount,
    pub(super) bid_count: u64,
    pub(super) opens_at: Timestamp,
    pub(super) closes_at: Timestamp,
    pub(super) closed_at: Timestamp,
    pub(super) paused_at: Timestamp,
    pub(super) extensions: u32,
    pub(super) outcome: Option<Outcome>,
    pub(super) round: u32,
    /// What outages have moved the close by in this round.
    #[serde(default)]
    pub(super) credited: Millis,
    /// Until when the auction is known to have been served: no outage that is
    /// credited begins before it, so that no time is credited twice.
    #[serde(default)]
    pub(super) served_until: Timestamp,
    /// What late bids of this round count from, where that is not the rules'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) soft_close: Option<ExtensionMode>,
}

/// A [`Fold`] as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuctionSnapshot {
    standing: Standing,
    answers: Vec<Accepted>,
}

// === impl Fold ===

impl Fold {
    pub(super) fn apply(&mut self, event: &Event) -> Result<(), FoldError> {
        self.standing.apply(event)?;
        match &event.kind {
            EventKind::Reopened { .. } => self.answers.clear(),
            EventKind::BidAccepted { .. } => {
                if let Some(bid) = accepted(event) {
                    self.answers.insert((bid.bidder.clone(), bid.bid_id.clone()), bid);
                }
            }
            EventKind::Created { .. }
            | EventKind::Opened { .. }
            | EventKind::Paused { .. }
            | EventKind::Resumed { .. }
            | EventKind::Credited { .. }
            | EventKind::Closed { .. } => {}
        }
        Ok(())
    }

    pub(super) fn answer_for(&self, bidder: &UserId, bid_id: &BidId) -> Option<&Accepted> {
        self.answers.get(&(bidder.clone(), bid_id.clone()))
    }

    pub(super) fn view(&self) -> View {
        self.standing.view()
    }
}

/// The answer that an accepted bid got.
pub(super) fn accepted(event: &Event) -> Option<Accepted> {
    let EventKind::BidAccepted { bidder, bid_id, amount, minimum_next, .. } = &event.kind else {
        return None;
    };
    Some(Accepted {
        bid_id: bid_id.clone(),
        bidder: bidder.clone(),
        amount: *amount,
        seq: event.seq,
        at: event.at,
        minimum_next: *minimum_next,
    })
}

// === impl Standing ===

impl Standing {
    pub(super) fn apply(&mut self, event: &Event) -> Result<(), FoldError> {
        let expected = self.seq.next();
        if event.seq != expected {
            return Err(FoldError::OutOfOrder { expected, found: event.seq });
        }
        let first = matches!(event.kind, EventKind::Created { .. });
        if first != self.rules.is_none() {
            return Err(FoldError::Misplaced(event.seq));
        }
        self.seq = event.seq;
        match &event.kind {
            EventKind::Created { rules } => self.create(rules),
            EventKind::Opened { closes_at, soft_close } => {
                self.state = AuctionState::Open;
                self.closes_at = *closes_at;
                self.soft_close = *soft_close;
            }
            EventKind::BidAccepted { bidder, amount, minimum_next, extended_to, .. } => {
                self.high_bid = Some((bidder.clone(), *amount));
                self.minimum = *minimum_next;
                self.bid_count += 1;
                if let Some(extended_to) = extended_to {
                    self.closes_at = *extended_to;
                    self.extensions += 1;
                }
            }
            EventKind::Paused { .. } => {
                self.state = AuctionState::Paused;
                self.paused_at = event.at;
            }
            EventKind::Resumed { closes_at } => {
                self.state = AuctionState::Open;
                self.closes_at = *closes_at;
            }
            EventKind::Credited { closes_at, .. } => {
                let credit = closes_at.since(self.closes_at);
                self.credited = Millis::new(self.credited.get().saturating_add(credit.get()));
                self.closes_at = *closes_at;
            }
            EventKind::Closed { outcome } => {
                self.state = AuctionState::Closed;
                self.closed_at = event.at;
                self.outcome = Some(outcome.clone());
            }
            EventKind::Reopened { opens_at, closes_at } => self.reopen(*opens_at, *closes_at),
        }
        let opened = matches!(event.kind, EventKind::Opened { .. });
        // A late opening is no sign that bids were taken since it was due.
        let served_until = if opened { self.opens_at } else { event.at };
        self.served_until = self.served_until.max(served_until);
        Ok(())
    }

    fn create(&mut self, rules: &AuctionRules) {
        self.minimum = rules.opening_price;
        self.opens_at = rules.opens_at;
        self.closes_at = rules.closes_at;
        self.rules = Some(Arc::new(rules.clone()));
    }

    fn reopen(&mut self, opens_at: Timestamp, closes_at: Timestamp) {
        *self = Self {
            rules: self.rules.take(),
            seq: self.seq,
            minimum: Amount::ZERO,
            round: self.round + 1,
            opens_at,
            closes_at,
            ..Self::default()
        };
        self.minimum = self.opening_price();
    }

    /// How late bids of this round move the close.
    pub(super) fn extension(&self) -> Option<Extension> {
        let extension = self.rules.as_ref()?.extension?;
        Some(extension.pinned_to(self.soft_close))
    }

    pub(super) fn opening_price(&self) -> Amount {
        self.rules.as_ref().map_or(Amount::ZERO, |rules| rules.opening_price)
    }

    pub(super) fn reserve_met(&self) -> Option<bool> {
        let reserve = self.rules.as_ref()?.reserve?;
        Some(self.high_bid.as_ref().is_some_and(|(_, amount)| *amount >= reserve))
    }

    pub(super) fn price(&self) -> Amount {
        self.high_bid.as_ref().map_or_else(|| self.opening_price(), |(_, amount)| *amount)
    }

    pub(super) fn view(&self) -> View {
        let rules = self.rules.as_ref();
        View {
            state: self.state,
            title: rules.map(|rules| rules.title.clone()).unwrap_or_default(),
            currency: rules.map(|rules| rules.currency.clone()).unwrap_or_default(),
            price: self.price(),
            high_bidder: self.high_bid.as_ref().map(|(bidder, _)| bidder.clone()),
            bid_count: self.bid_count,
            minimum: self.minimum,
            opens_at: self.opens_at,
            closes_at: self.closes_at,
            extensions: self.extensions,
            reserve_met: self.reserve_met(),
            seq: self.seq,
            guests: rules.map(|rules| rules.guests).unwrap_or_default(),
            outcome: self.outcome.clone(),
            round: self.round,
            credited: self.credited,
        }
    }
}

// === impl AuctionSnapshot ===

impl AuctionSnapshot {
    pub(super) fn of(fold: &Fold) -> Self {
        let answers = fold.answers.values().cloned().collect();
        Self { standing: fold.standing.clone(), answers }
    }

    pub(super) fn into_fold(self) -> Fold {
        let key = |bid: Accepted| ((bid.bidder.clone(), bid.bid_id.clone()), bid);
        Fold { standing: self.standing, answers: self.answers.into_iter().map(key).collect() }
    }

    /// The last event folded in.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.standing.seq
    }

    /// How the auction runs; none before the first event.
    #[must_use]
    pub fn rules(&self) -> Option<&AuctionRules> {
        self.standing.rules.as_deref()
    }
}
