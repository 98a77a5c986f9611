//! One auction: a fold over its events, and the decisions that make new ones.
//!
//! ```text
//! Input -> step -> Action::Append(event)   proposed on the draft
//!               -> Action::Answer          holds once the draft is stored
//! stored:   commit  (the draft becomes the state)     lost: abandon
//! replayed: apply   (one stored event after the other)
//! ```
//! What is proposed never shows in [`Auction::view`]: the state is what the
//! stored events say and nothing else.

mod credit;
mod event;
mod extension;
mod fold;
mod increment;
mod rules;
mod step;
#[cfg(test)]
pub(crate) mod tests;
mod view;

pub use credit::{OUTAGE_MIN, OutageCredit};
pub use event::{
    Accepted, Bid, Event, EventKind, Outcome, RejectReason, Rejected, StoredEvent, Verdict,
};
pub use extension::{Extension, ExtensionMode};
pub use fold::{AuctionSnapshot, FoldError};
pub use increment::{Band, IncrementTable};
pub use rules::{AuctionRules, GuestAccess, RulesError};
pub use step::{Action, CommandError, Guard, Input};
pub use view::{AuctionState, View};

use crate::{
    id::{BidId, UserId},
    time::Timestamp,
};
use alloc::{boxed::Box, vec::Vec};
use fold::Fold;

/// Bids that one round may accept; the next is refused.
pub const BIDS_MAX: u64 = 1_000_000;

/// A fold of stored events, and at most one draft on top of it.
#[derive(Debug, Clone, Default)]
pub struct Auction {
    stored: Fold,
    draft: Option<Box<Draft>>,
    /// What the next round that opens is pinned to.
    soft_close: Option<ExtensionMode>,
}

/// Events that are proposed but not yet stored.
#[derive(Debug, Clone)]
struct Draft {
    standing: fold::Standing,
    accepted: Vec<Accepted>,
    events: Vec<Event>,
    guard: Guard,
    /// Whether the guard is that of bids, which no close may share.
    bids: bool,
}

// === impl Auction ===

impl Auction {
    /// An auction without an event.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The first event of an auction, and the empty auction to apply it to
    /// once it is stored.
    ///
    /// # Errors
    /// [`RulesError`] names the rule that cannot be.
    pub fn create(rules: AuctionRules, now: Timestamp) -> Result<(Self, Event), RulesError> {
        rules.check()?;
        let kind = EventKind::Created { rules: Box::new(rules) };
        let auction = Self::empty();
        let seq = auction.stored.standing.seq.next();
        Ok((auction, Event { seq, at: now, kind }))
    }

    /// Folds in a stored event.
    ///
    /// # Errors
    /// [`FoldError`] if it is not the next one or makes no sense here; the
    /// auction is then as before.
    ///
    /// # Panics
    /// If a draft is open.
    pub fn apply(&mut self, event: &Event) -> Result<(), FoldError> {
        assert!(self.draft.is_none(), "an open draft is committed or abandoned first");
        self.stored.apply(event)
    }

    /// The events of the draft have been stored: they become the state.
    pub fn commit(&mut self) {
        for event in self.draft.take().map(|draft| draft.events).unwrap_or_default() {
            let folded = self.stored.apply(&event);
            debug_assert!(folded.is_ok(), "a proposed event folds: {folded:?}");
        }
    }

    /// The events of the draft have not been stored, or nobody knows.
    pub fn abandon(&mut self) {
        self.draft = None;
    }

    /// Whether nothing is proposed.
    #[must_use]
    pub fn draft_is_empty(&self) -> bool {
        self.draft.is_none()
    }

    /// When, by the store's clock, the draft may be stored.
    #[must_use]
    pub fn guard(&self) -> Guard {
        self.draft.as_ref().map(|draft| draft.guard).unwrap_or_default()
    }

    /// The public state as stored.
    #[must_use]
    pub fn view(&self) -> View {
        self.stored.view()
    }

    /// How the auction runs; none before the first event.
    #[must_use]
    pub fn rules(&self) -> Option<&AuctionRules> {
        self.stored.standing.rules.as_deref()
    }

    /// The answer that a bid got when it was accepted, for its retries.
    #[must_use]
    pub fn answer_for(&self, bidder: &UserId, bid_id: &BidId) -> Option<Accepted> {
        let drafted = self.draft.iter().flat_map(|draft| &draft.accepted);
        drafted
            .filter(|bid| bid.bidder == *bidder && bid.bid_id == *bid_id)
            .chain(self.stored.answer_for(bidder, bid_id))
            .next()
            .cloned()
    }

    /// Everything stored, in one value.
    #[must_use]
    pub fn to_snapshot(&self) -> AuctionSnapshot {
        AuctionSnapshot::of(&self.stored)
    }

    /// The auction that a snapshot was taken of.
    #[must_use]
    pub fn from_snapshot(snapshot: AuctionSnapshot) -> Self {
        Self { stored: snapshot.into_fold(), ..Self::default() }
    }
}
