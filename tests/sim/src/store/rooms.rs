//! The rooms of the one store: what `RoomStore` promises, in its shortest form,
//! and the places where a [`Plant`] breaks it.

use super::Store;
use crate::Plant;
use gavel_data_plane::store::{Appended, Claim, Loaded, StoreError, StoredEvent};
use gavel_rules::{
    auction::{Auction, AuctionSnapshot, Event, EventKind, Guard, View},
    id::{Incarnation, NodeId, RoomId},
    order::{Epoch, Generation, Seq},
    time::Timestamp,
};

/// One room.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    pub(crate) generation: Generation,
    pub(crate) epoch: Epoch,
    pub(crate) owner: NodeId,
    pub(crate) events: Vec<StoredEvent>,
    pub(crate) snapshot: Option<AuctionSnapshot>,
    claimed_at: Timestamp,
    /// The seq that the next append has to expect.
    last: Seq,
    last_at: Timestamp,
}

/// What is known of a node that was heard of.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Heard {
    incarnation: Incarnation,
    first_at: Timestamp,
    last_at: Timestamp,
    before_at: Timestamp,
}

// === impl Store ===

impl Store {
    pub(crate) fn claim(
        &mut self,
        id: &RoomId,
        epoch: Epoch,
        owner: &NodeId,
    ) -> Result<Claim, StoreError> {
        let now = self.now();
        let any_epoch = self.planted(Plant::ClaimAny);
        let room = self.rooms.entry(id.clone()).or_insert_with(|| Room::new(epoch, owner, now));
        let fenced = room.epoch > epoch || room.epoch == epoch && room.owner != *owner;
        if fenced && !any_epoch {
            return Ok(Claim::Fenced { epoch: room.epoch, owner: Some(room.owner.clone()) });
        }
        let heard = self.heard.get(&room.owner);
        let heard_at = heard.and_then(|heard| heard.at(room.claimed_at));
        let heard_at = heard_at.map(|at| at.max(room.last_at));
        (room.epoch, room.owner, room.claimed_at) = (epoch, owner.clone(), now);
        Ok(Claim::Claimed(Box::new(Loaded { heard_at, ..self.load(id)? })))
    }

    pub(crate) fn load(&mut self, id: &RoomId) -> Result<Loaded, StoreError> {
        let now = self.now();
        let stale = self.planted(Plant::StaleLoad) && self.chance(0.5);
        let forgets = self.planted(Plant::ForgetsIds);
        let room = self.rooms.get(id);
        let events = room.map_or(&[][..], |room| &room.events);
        let events = events.get(..events.len() - usize::from(stale && events.len() > 2));
        let (auction, before) = fold(events.unwrap_or_default(), forgets)?;
        Ok(Loaded {
            auction,
            before,
            generation: room.map(|room| room.generation).unwrap_or_default(),
            epoch: room.map(|room| room.epoch).unwrap_or_default(),
            owner: room.map(|room| room.owner.clone()),
            now,
            heard_at: None,
        })
    }

    pub(crate) fn append(
        &mut self,
        id: &RoomId,
        epoch: Epoch,
        expected: Seq,
        guard: Guard,
        events: &[Event],
    ) -> Result<Appended, StoreError> {
        let now = self.now();
        let (any_epoch, any_seq) = (self.planted(Plant::FenceOff), self.planted(Plant::SeqOff));
        let any_time = self.planted(Plant::GuardOff);
        let fails = self.chance(0.02);
        let (count_first, half) = (self.planted(Plant::CountFirst), self.planted(Plant::HalfBatch));
        let answer_first = self.planted(Plant::AnswerFirst);
        let Some(room) = self.rooms.get_mut(id) else {
            return Ok(Appended::Fenced { epoch: Epoch::default(), owner: None });
        };
        if room.epoch != epoch && !any_epoch {
            let owner = Some(room.owner.clone());
            return Ok(Appended::Fenced { epoch: room.epoch, owner });
        }
        if room.last != expected && !any_seq {
            return Ok(Appended::Conflict { seq: room.last });
        }
        if guard.not_before.is_some_and(|bound| now < bound) && !any_time {
            return Ok(Appended::TooEarly { now });
        }
        if guard.not_after.is_some_and(|bound| now >= bound) && !any_time {
            return Ok(Appended::TooLate { now });
        }
        let stored = events.iter().map(|event| StoredEvent { epoch, event: event.clone() });
        let seq = events.last().map_or(expected, |event| event.seq);
        if fails && count_first {
            room.last = seq;
            return Err(StoreError::Unavailable);
        }
        if fails && half && events.len() > 1 {
            room.events.extend(stored.skip(1));
            room.last = seq;
            return Err(StoreError::Unavailable);
        }
        if !(fails && answer_first) {
            room.events.extend(stored);
            (room.last, room.last_at) = (seq, now);
        }
        Ok(Appended::Stored { seq, at: now })
    }

    pub(crate) fn replay(
        &mut self,
        id: &RoomId,
        epoch: Epoch,
        generation: Generation,
        events: &[StoredEvent],
    ) -> Appended {
        let now = self.now();
        let Some(room) = self.rooms.get_mut(id) else {
            return Appended::Fenced { epoch: Epoch::default(), owner: None };
        };
        if room.epoch != epoch {
            return Appended::Fenced { epoch: room.epoch, owner: Some(room.owner.clone()) };
        }
        let is_empty = room.last == Seq::default();
        let follows = events.first().is_some_and(|first| first.event.seq == room.last.next());
        if !follows || room.generation != generation && !is_empty {
            return Appended::Conflict { seq: room.last };
        }
        room.generation = generation;
        room.events.extend(events.iter().cloned());
        room.last = events.last().map_or(room.last, |last| last.event.seq);
        room.last_at = now;
        Appended::Stored { seq: room.last, at: now }
    }

    pub(crate) fn raise_generation(
        &mut self,
        id: &RoomId,
        epoch: Epoch,
        from: Generation,
    ) -> Generation {
        let Some(room) = self.rooms.get_mut(id) else { return Generation::default() };
        if room.epoch == epoch && room.generation == from {
            room.generation = from.next();
        }
        room.generation
    }

    pub(crate) fn keep(&mut self, id: &RoomId, epoch: Epoch, snapshot: &AuctionSnapshot) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        let newer = room.snapshot.as_ref().is_none_or(|held| snapshot.seq() > held.seq());
        if room.epoch == epoch && snapshot.seq() <= room.last && newer {
            room.snapshot = Some(snapshot.clone());
        }
    }

    pub(crate) fn hear(&mut self, node: &NodeId, incarnation: Incarnation) -> Timestamp {
        let now = self.now();
        let held = self.heard.entry(node.clone()).or_default();
        if incarnation > held.incarnation {
            let before_at = held.last_at;
            *held = Heard { incarnation, first_at: now, last_at: now, before_at };
        } else if incarnation == held.incarnation {
            held.last_at = now;
        }
        now
    }

    pub(crate) fn last_heard(&self, node: &NodeId) -> Option<Timestamp> {
        self.heard.get(node).map(|heard| heard.last_at)
    }
}

// === impl Room ===

impl Room {
    fn new(epoch: Epoch, owner: &NodeId, now: Timestamp) -> Self {
        Self {
            generation: Generation::new(now.as_millis()),
            epoch,
            owner: owner.clone(),
            events: Vec::new(),
            snapshot: None,
            claimed_at: Timestamp::default(),
            last: Seq::default(),
            last_at: Timestamp::default(),
        }
    }
}

// === impl Heard ===

impl Heard {
    fn at(&self, claimed_at: Timestamp) -> Option<Timestamp> {
        let at = if claimed_at >= self.first_at { self.last_at } else { self.before_at };
        (at > Timestamp::default()).then(|| at.max(claimed_at))
    }
}

/// The auction after these events, and the states before each.
fn fold(events: &[StoredEvent], forgets: bool) -> Result<(Auction, Vec<View>), StoreError> {
    let (mut auction, mut before) = (Auction::empty(), Vec::new());
    for StoredEvent { event, .. } in events {
        if auction.rules().is_some() {
            before.push(auction.view());
        }
        let mut event = event.clone();
        if let (true, EventKind::BidAccepted { bid_id, .. }) = (forgets, &mut event.kind) {
            *bid_id = "forgotten".parse().map_err(|_| StoreError::Unavailable)?;
        }
        auction.apply(&event).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    }
    Ok((auction, before))
}
