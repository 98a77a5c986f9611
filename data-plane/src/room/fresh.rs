//! Whether the room in memory is the stored one, at the moment of an answer.
//!
//! An append proves it: the store compares the seq. A refusal appends nothing,
//! and somebody else may have gone on meanwhile: a deputy of an owner that
//! cannot be heard, or the next owner of one that stood still. Where that can
//! make a refusal untrue, the store is asked before it is given:
//!
//! ```text
//! contested  others are known to decide: look before anything is decided
//! doubted    a refusal may be stale: look, and decide the same bids again
//! ```
//!
//! Most refusals need no look. The price of a round only rises, so what is too
//! low stays so.

use super::{
    Ask,
    owner::{Done, Owner},
    task::{Role, Room},
};
use crate::store::StoreError;
use futures::FutureExt as _;
use gavel_rules::{
    auction::{RejectReason, Verdict},
    time::{Millis, Timestamp},
};
use std::sync::Arc;

/// How often a deputy looks for what others appended.
const DEPUTY_LOOKS: Millis = Millis::new(200);
/// How often an owner does that has lost an edge: it may have a deputy there.
const OWNER_LOOKS: Millis = Millis::new(1_000);

// === impl Room ===

impl Room {
    /// Looks for what others appended, if others may and it is time to.
    pub(super) fn look(&mut self, now: Timestamp) -> Option<Timestamp> {
        let Role::Owner(owner) = &mut self.role else { return None };
        if !owner.is_contested(now) {
            return None;
        }
        if owner.look_at > now {
            return Some(owner.look_at);
        }
        self.start_look(now);
        None
    }

    /// Looks before bids are decided where others may have appended. True if
    /// bids have to wait for it.
    pub(super) fn look_first(&mut self, now: Timestamp) -> bool {
        let Role::Owner(owner) = &self.role else { return false };
        let stale = owner.needs_proof(now) && owner.fresh_for == 0 && !self.bids.is_empty();
        if stale {
            self.start_look(now);
        }
        stale
    }

    /// How many of the waiting bids may be decided on the state in memory, and
    /// whether any answer to them is true then.
    pub(super) fn take_decidable(&mut self, now: Timestamp) -> (usize, bool) {
        let Role::Owner(owner) = &mut self.role else { return (0, false) };
        let fresh_for = std::mem::take(&mut owner.fresh_for);
        let proven = owner.needs_proof(now);
        owner.doubted = false;
        (if proven { fresh_for } else { usize::MAX }, proven)
    }

    /// Answers bids for which nothing has to be stored. Those whose refusal may
    /// be stale wait, before all others, until the store has been asked.
    pub(super) fn answer(&mut self, answers: Vec<(Ask, Verdict)>, proven: bool, now: Timestamp) {
        let Role::Owner(owner) = &mut self.role else { return };
        let durability = self.shell.store.durability().as_str();
        let mut doubtful = Vec::new();
        for (mut ask, verdict) in answers {
            if proven || !owner.may_be_stale(&verdict) {
                ask.answer(&self.shell, &self.id, verdict, durability);
            } else {
                ask.attempts += 1;
                doubtful.push(ask);
            }
        }
        if doubtful.is_empty() {
            return;
        }
        owner.doubted = true;
        doubtful.into_iter().rev().for_each(|ask| self.bids.push_front(ask));
        self.start_look(now);
    }

    fn start_look(&mut self, now: Timestamp) {
        let Role::Owner(owner) = &mut self.role else { return };
        let interval = if owner.stands_in_for().is_some() { DEPUTY_LOOKS } else { OWNER_LOOKS };
        owner.look_at = now.saturating_add(interval);
        owner.asked_for = self.bids.len();
        let (shell, id, after) = (Arc::clone(&self.shell), self.id.clone(), owner.seq());
        let look = async move { shell.store.range(&id, after, 1).await };
        self.work = Some(look.map(|found| Done::Looked(found.map(|new| !new.is_empty()))).boxed());
    }

    /// What a look found.
    pub(super) fn on_looked(&mut self, found: Result<bool, StoreError>) {
        let Role::Owner(owner) = &mut self.role else { return };
        match found {
            Ok(false) => owner.fresh_for = owner.asked_for,
            Ok(true) => {
                owner.watch_out(self.shell.now());
                self.reload(Timestamp::new(0));
            }
            Err(error) => self.on_trouble(&error),
        }
    }
}

// === impl Owner ===

impl Owner {
    fn needs_proof(&self, now: Timestamp) -> bool {
        self.doubted || self.is_contested(now)
    }

    /// Whether what others append can make a refusal untrue.
    pub(super) fn may_be_stale(&self, verdict: &Verdict) -> bool {
        let Verdict::Rejected(rejected) = verdict else { return false };
        match rejected.reason {
            // The last may be the retry of a bid that another node accepted.
            RejectReason::NotOpen
            | RejectReason::Paused
            | RejectReason::OwnBid
            | RejectReason::RateLimited => true,
            RejectReason::TooLow | RejectReason::Closed | RejectReason::TooManyBids => {
                self.auction().rules().is_some_and(|rules| rules.reopen_after.is_some())
            }
            RejectReason::InvalidAmount
            | RejectReason::Seller
            | RejectReason::Forbidden
            | RejectReason::UnknownRoom
            | RejectReason::Unavailable => false,
        }
    }
}
