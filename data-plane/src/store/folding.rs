//! A stored room on its way to memory: a snapshot, then event by event.

use super::StoreError;
use gavel_rules::{Auction, AuctionSnapshot, Event, View};
use std::collections::VecDeque;

/// States on the way to the last that are kept.
pub(crate) const BEFORE_MAX: usize = 511;

/// An auction that is being folded.
#[derive(Debug)]
pub(super) struct Folding {
    auction: Auction,
    before: VecDeque<View>,
}

// === impl Folding ===

impl Folding {
    /// Begins with a snapshot, or with nothing.
    pub(super) fn new(snapshot: Option<AuctionSnapshot>) -> Self {
        let auction = snapshot.map_or_else(Auction::empty, Auction::from_snapshot);
        Self { auction, before: VecDeque::new() }
    }

    /// Takes the next event.
    pub(super) fn apply(&mut self, event: &Event) -> Result<(), StoreError> {
        if self.auction.rules().is_some() {
            if self.before.len() == BEFORE_MAX {
                self.before.pop_front();
            }
            self.before.push_back(self.auction.view());
        }
        self.auction.apply(event).map_err(|error| StoreError::Corrupt(error.to_string()))
    }

    /// Takes all of these.
    pub(super) fn apply_all<'a>(
        mut self,
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Result<Self, StoreError> {
        events.into_iter().try_for_each(|event| self.apply(event))?;
        Ok(self)
    }

    /// The auction, and the last states that led to it.
    pub(super) fn end(self) -> (Auction, Vec<View>) {
        (self.auction, self.before.into())
    }
}
