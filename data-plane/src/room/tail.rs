//! The last accepted events of a room that not every replica of the store is known to have.
//!
//! After a failover to a replica that lacks them the stream ends earlier than what was told. Then
//! the room puts them back as they were, if the stream is what it was before them.
//!
//! ```text
//! stored 1..9, told; a replica with 1..7 is promoted
//!   stream 1..7          replay 8, 9 under their epochs
//!   stream 1..7, other 8 another history: it gets another name
//! ```

use crate::store::{APPEND_EVENTS_MAX, Stamp, StoredEvent, Watermark};
use gavel_rules::{
    auction::Event,
    order::{Epoch, Position, Seq},
};
use std::collections::VecDeque;

/// Events that are kept, some 300 KB of a room; with more the oldest goes, covered or not. A failover
/// that lost more than these takes a part of the history, which then gets another name.
pub(super) const EVENTS_MAX: usize = 1024;
/// Events that a room that is read anew begins with: what the owner before may not have seen
/// covered.
pub(super) const EVENTS_TAKEN: u64 = 256;

// What is put back goes in one append.
const _: () = assert!(EVENTS_MAX <= APPEND_EVENTS_MAX);

/// Events without a gap, the last one is the room's.
#[derive(Debug, Default)]
pub(super) struct Tail {
    kept: VecDeque<(StoredEvent, Stamp)>,
    /// Events had to go that not every replica was known to have.
    is_cut: bool,
}

/// What a look at the stream told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// Everything that was told is there.
    Whole,
    /// The stream is what it was before these.
    Lacks(Vec<StoredEvent>),
    /// The stream is not what was told, up to this seq, and no more than this many events of it
    /// are there.
    Differs {
        /// The last event that was told.
        told: Seq,
        /// The last event that is there as it was told.
        common: Seq,
    },
    /// It is another history already.
    Another,
}

// === impl Tail ===

impl Tail {
    /// Keeps the next events, as long as not every replica has them. Tells when others begin to
    /// go all the same.
    pub(super) fn push(
        &mut self,
        epoch: Epoch,
        events: &[Event],
        stamp: Stamp,
        mark: &Watermark,
    ) -> bool {
        if !mark.has_replicas {
            self.kept.clear();
            return false;
        }
        let last = self.kept.back().map(|(stored, _)| stored.event.seq.next());
        if last != events.first().map(|event| event.seq) {
            self.kept.clear();
        }
        let covered = self.kept.partition_point(|(_, stamp)| mark.covers(*stamp));
        self.kept.drain(..covered);
        let stored = |event: &Event| (StoredEvent { epoch, event: event.clone() }, stamp);
        self.kept.extend(events.iter().map(stored));
        let was_cut = std::mem::replace(&mut self.is_cut, self.kept.len() > EVENTS_MAX);
        self.trim();
        self.is_cut && !was_cut
    }

    /// Keeps what was found in the stream, instead of what there was.
    pub(super) fn hold(&mut self, found: Vec<StoredEvent>, stamp: Stamp) {
        self.kept = found.into_iter().map(|stored| (stored, stamp)).collect();
        self.trim();
    }

    /// The event that the first one follows.
    pub(super) fn after(&self) -> Option<Seq> {
        let first = self.kept.front()?.0.event.seq;
        Some(Seq::new(first.get().saturating_sub(1)))
    }

    /// Compares what was told with the stream: how far it goes, and its events from
    /// [`Self::after`] on.
    pub(super) fn compare(
        &self,
        told: Position,
        stream: Position,
        found: &[StoredEvent],
    ) -> Compared {
        if told == Position::default() {
            return Compared::Whole;
        }
        if told.generation != stream.generation {
            // A room that is as new has no history but what is put there.
            let is_all = self.after() == Some(Seq::default()) && stream.seq == Seq::default();
            return if is_all { self.lacking(told, stream.seq) } else { Compared::Another };
        }
        let events = self.kept.iter().map(|(stored, _)| stored);
        let other = events.zip(found).find(|(kept, found)| kept != found);
        if let Some((kept, _)) = other {
            let common = Seq::new(kept.event.seq.get().saturating_sub(1));
            return Compared::Differs { told: told.seq, common };
        }
        if stream.seq >= told.seq { Compared::Whole } else { self.lacking(told, stream.seq) }
    }

    /// What follows `common` up to what was told.
    fn lacking(&self, told: Position, common: Seq) -> Compared {
        let kept = self.kept.iter().map(|(stored, _)| stored);
        let lacking: Vec<_> = kept.filter(|stored| stored.event.seq > common).cloned().collect();
        let follows = lacking.first().is_some_and(|first| first.event.seq == common.next());
        let is_all = lacking.last().is_some_and(|last| last.event.seq >= told.seq);
        if follows && is_all {
            Compared::Lacks(lacking)
        } else {
            Compared::Differs { told: told.seq, common }
        }
    }

    fn trim(&mut self) {
        let over = self.kept.len().saturating_sub(EVENTS_MAX);
        self.kept.drain(..over);
    }
}

#[cfg(test)]
mod tests;
