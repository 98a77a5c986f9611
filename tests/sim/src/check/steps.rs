//! What each step did to the store, against rules that the store's own code
//! does not know.

use crate::store::{Room, Store};
use gavel_rules::{
    auction::{Auction, EventKind, StoredEvent},
    id::RoomId,
    order::{Epoch, Generation, Seq, Term},
    time::Timestamp,
};
use std::collections::BTreeMap;

/// How far the steps have been looked at.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    rooms: BTreeMap<RoomId, Seen>,
    changes: usize,
    /// The newest.
    term: Term,
    /// The auction clock before the step.
    before: Timestamp,
}

/// A room as of the step before.
#[derive(Debug)]
struct Seen {
    auction: Auction,
    events: usize,
    /// The newest that was claimed.
    epoch: Epoch,
    /// The first, and the only one: this store loses nothing.
    generation: Option<Generation>,
}

// === impl Steps ===

impl Steps {
    /// Looks at what the last step did.
    pub(crate) fn look(&mut self, store: &mut Store) -> Result<(), String> {
        let now = store.now();
        for (id, room) in &store.rooms {
            let seen = self.rooms.entry(id.clone()).or_insert_with(Seen::nothing);
            let looked = seen.look(room, self.before, now);
            looked.map_err(|what| format!("room {id}: {what}"))?;
        }
        self.before = now;
        for term in store.cluster.changed_by.get(self.changes..).unwrap_or_default() {
            if *term < self.term {
                let (old, new) = (term, self.term);
                return Err(format!("the leader of term {old} changed something in term {new}"));
            }
            self.changes += 1;
        }
        self.term = store.cluster.term;
        Ok(())
    }
}

// === impl Seen ===

impl Seen {
    fn nothing() -> Self {
        Self { auction: Auction::empty(), events: 0, epoch: Epoch::default(), generation: None }
    }

    fn look(&mut self, room: &Room, before: Timestamp, now: Timestamp) -> Result<(), String> {
        for stored in room.events.get(self.events..).unwrap_or_default() {
            self.event(stored, before, now)?;
            self.events += 1;
        }
        if room.epoch < self.epoch {
            return Err(format!("epoch {} is claimed after {}", room.epoch, self.epoch));
        }
        self.epoch = room.epoch;
        let generation = *self.generation.get_or_insert(room.generation);
        if room.generation != generation {
            let (now, events) = (room.generation, self.events);
            return Err(format!(
                "generation {generation} is {now} after {events} events, none lost"
            ));
        }
        Ok(())
    }

    fn event(
        &mut self,
        StoredEvent { epoch, event }: &StoredEvent,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<(), String> {
        let (seq, next) = (event.seq, Seq::new(self.events as u64).next());
        if seq != next {
            return Err(format!("seq {seq} is stored where {next} belongs"));
        }
        if *epoch < self.epoch {
            return Err(format!("seq {seq} of epoch {epoch} is stored after a claim of a later"));
        }
        if seq > Seq::new(1) {
            let closes_at = self.auction.view().closes_at;
            if matches!(event.kind, EventKind::BidAccepted { .. }) && before >= closes_at {
                return Err(format!("seq {seq}, a bid, is stored after the close of {closes_at}"));
            }
            if matches!(event.kind, EventKind::Closed { .. }) && now < closes_at {
                return Err(format!("seq {seq} closes before {closes_at}"));
            }
        }
        self.auction.apply(event).map_err(|error| format!("seq {seq} cannot be: {error}"))
    }
}
