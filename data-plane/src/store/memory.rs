//! The engine in memory: every room in this process, gone with it.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use async_trait::async_trait;
use gavel_rules::{
    AuctionSnapshot, BidId, Epoch, Event, Generation, Guard, Incarnation, Millis, NodeId, RoomId,
    Seq, Timestamp, UserId,
};
use parking_lot::Mutex;

use super::heartbeats::Heartbeats;
use super::limiter::Limiter;
use super::places::Places;
use super::tickets::Tickets;
use super::{
    Appended, Claim, Counted, Durability, EVENTS_KEPT, Held, Holder, Loaded, RoomStore, StoreError,
    StoredEvent, Take, Wanted, check_batch, check_replay, folding::Folding,
};

/// A store in memory. Several nodes of one process may share it.
pub struct MemoryStore {
    /// Milliseconds since the Unix epoch; may go back, the store does not.
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    now: u64,
    rooms: HashMap<RoomId, Stored>,
    heartbeats: HashMap<NodeId, Heartbeats>,
    limiter: Limiter,
    places: Places,
    tickets: Tickets,
}

/// One room. The last event is `last`, even if it has been dropped.
struct Stored {
    generation: Generation,
    epoch: Epoch,
    owner: NodeId,
    claimed_at: Timestamp,
    last_at: Timestamp,
    last: Seq,
    events: VecDeque<StoredEvent>,
    snapshot: Option<(Seq, AuctionSnapshot)>,
}

/// What a load takes out of the lock; folding happens outside.
struct Copied {
    generation: Generation,
    epoch: Epoch,
    owner: Option<NodeId>,
    snapshot: Option<AuctionSnapshot>,
    tail: Vec<StoredEvent>,
    now: Timestamp,
}

// === impl MemoryStore ===

impl MemoryStore {
    /// An empty store on the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(gavel_runtime::clock::now_ms)
    }

    /// An empty store on a clock of the caller's: milliseconds since the Unix epoch.
    #[must_use]
    pub fn with_clock(clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { clock: Box::new(clock), inner: Mutex::default() }
    }

    /// Locks the store and brings its clock forward.
    fn enter<T>(&self, work: impl FnOnce(&mut Inner, Timestamp) -> T) -> T {
        let mut inner = self.inner.lock();
        inner.now = inner.now.max((self.clock)());
        let now = Timestamp::new(inner.now);
        work(&mut inner, now)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("rooms", &self.inner.lock().rooms.len())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl RoomStore for MemoryStore {
    async fn claim(
        &self,
        room: &RoomId,
        epoch: Epoch,
        owner: &NodeId,
    ) -> Result<Claim, StoreError> {
        let claimed = self.enter(|inner, now| {
            let stored = inner.rooms.entry(room.clone()).or_insert_with(|| Stored {
                generation: Generation::new(now.as_millis()),
                epoch,
                owner: owner.clone(),
                claimed_at: Timestamp::default(),
                last_at: Timestamp::default(),
                last: Seq::default(),
                events: VecDeque::new(),
                snapshot: None,
            });
            if stored.epoch > epoch || (stored.epoch == epoch && stored.owner != *owner) {
                return Err((stored.epoch, stored.owner.clone()));
            }
            let heartbeats = inner.heartbeats.get(&stored.owner);
            let heard_at = heartbeats.and_then(|beats| beats.heard_at(stored.claimed_at));
            let heard_at = heard_at.map(|at| at.max(stored.last_at));
            stored.epoch = epoch;
            stored.owner = owner.clone();
            stored.claimed_at = now;
            Ok((stored.copy(now), heard_at))
        });
        match claimed {
            Ok((copied, heard_at)) => {
                Ok(Claim::Claimed(Box::new(Loaded { heard_at, ..copied.fold()? })))
            }
            Err((epoch, owner)) => Ok(Claim::Fenced { epoch, owner: Some(owner) }),
        }
    }

    async fn load(&self, room: &RoomId) -> Result<Loaded, StoreError> {
        self.enter(|inner, now| match inner.rooms.get(room) {
            Some(stored) => stored.copy(now),
            None => Copied::nothing(now),
        })
        .fold()
    }

    async fn append(
        &self,
        room: &RoomId,
        epoch: Epoch,
        expected: Seq,
        guard: Guard,
        events: &[Event],
    ) -> Result<Appended, StoreError> {
        let seq = check_batch(expected, events.iter())?;
        Ok(self.enter(|inner, now| {
            let Some(stored) = inner.rooms.get_mut(room) else {
                return Appended::Fenced { epoch: Epoch::default(), owner: None };
            };
            if stored.epoch != epoch {
                return Appended::Fenced { epoch: stored.epoch, owner: Some(stored.owner.clone()) };
            }
            if stored.last != expected {
                return Appended::Conflict { seq: stored.last };
            }
            if guard.not_before.is_some_and(|bound| now < bound) {
                return Appended::TooEarly { now };
            }
            if guard.not_after.is_some_and(|bound| now >= bound) {
                return Appended::TooLate { now };
            }
            stored
                .events
                .extend(events.iter().map(|event| StoredEvent { epoch, event: event.clone() }));
            stored.last = seq;
            stored.last_at = now;
            Appended::Stored { seq, at: now }
        }))
    }

    async fn replay(
        &self,
        room: &RoomId,
        epoch: Epoch,
        generation: Generation,
        events: &[StoredEvent],
    ) -> Result<Appended, StoreError> {
        let expected = check_replay(epoch, events)?;
        Ok(self.enter(|inner, now| {
            let Some(stored) = inner.rooms.get_mut(room) else {
                return Appended::Fenced { epoch: Epoch::default(), owner: None };
            };
            if stored.epoch != epoch {
                return Appended::Fenced { epoch: stored.epoch, owner: Some(stored.owner.clone()) };
            }
            if stored.last == Seq::default() {
                stored.generation = generation;
            }
            if stored.last != expected || stored.generation != generation {
                return Appended::Conflict { seq: stored.last };
            }
            stored.events.extend(events.iter().cloned());
            stored.last = events.last().map_or(expected, |stored| stored.event.seq);
            stored.last_at = now;
            Appended::Stored { seq: stored.last, at: now }
        }))
    }

    async fn raise_generation(
        &self,
        room: &RoomId,
        epoch: Epoch,
        from: Generation,
    ) -> Result<Generation, StoreError> {
        Ok(self.enter(|inner, _| {
            let Some(stored) = inner.rooms.get_mut(room) else { return Generation::default() };
            if stored.epoch == epoch && stored.generation == from {
                stored.generation = from.next();
            }
            stored.generation
        }))
    }

    async fn range(
        &self,
        room: &RoomId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(self.enter(|inner, _| match inner.rooms.get(room) {
            Some(stored) => stored.after(after).take(limit).cloned().collect(),
            None => Vec::new(),
        }))
    }

    async fn snapshot(
        &self,
        room: &RoomId,
        epoch: Epoch,
        snapshot: &AuctionSnapshot,
    ) -> Result<(), StoreError> {
        let seq = snapshot.seq();
        self.enter(|inner, _| {
            let Some(stored) = inner.rooms.get_mut(room) else {
                return;
            };
            let newer = stored.snapshot.as_ref().is_none_or(|(held, _)| seq > *held);
            if stored.epoch == epoch && seq <= stored.last && newer {
                stored.snapshot = Some((seq, snapshot.clone()));
                let keep_after = Seq::new(seq.get().saturating_sub(EVENTS_KEPT));
                let dropped = stored.events.partition_point(|e| e.event.seq <= keep_after);
                stored.events.drain(..dropped);
            }
        });
        Ok(())
    }

    async fn take_bid(
        &self,
        user: &UserId,
        bid: Option<(&RoomId, &BidId)>,
        max: u32,
        window: Millis,
    ) -> Result<Take, StoreError> {
        Ok(self.enter(|inner, now| inner.limiter.take(user, bid, max, window, now)))
    }

    async fn hold(
        &self,
        counted: &Counted,
        holder: &Holder,
        wanted: Wanted,
    ) -> Result<Held, StoreError> {
        Ok(self.enter(|Inner { places, heartbeats, .. }, now| {
            let heard = |node: &NodeId| heartbeats.get(node).copied().unwrap_or_default();
            places.hold(counted, holder, wanted, now, heard)
        }))
    }

    async fn keep_ticket(&self, key: &str, pass: &str, kept: Millis) -> Result<(), StoreError> {
        self.enter(|inner, now| inner.tickets.keep(key, pass, kept, now));
        Ok(())
    }

    async fn take_ticket(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.enter(|inner, now| inner.tickets.take(key, now)))
    }

    async fn heartbeat(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
    ) -> Result<Timestamp, StoreError> {
        Ok(self.enter(|inner, now| {
            let held = inner.heartbeats.entry(node.clone()).or_default();
            *held = held.beat(incarnation, now);
            now
        }))
    }

    async fn last_heard(&self, node: &NodeId) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.enter(|inner, _| inner.heartbeats.get(node).and_then(|beats| beats.last())))
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.enter(|_, now| now))
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }
}

// === impl Stored ===

impl Stored {
    fn after(&self, after: Seq) -> impl Iterator<Item = &StoredEvent> {
        let start = self.events.partition_point(|e| e.event.seq <= after);
        self.events.range(start..)
    }

    fn copy(&self, now: Timestamp) -> Copied {
        let (from, snapshot) = match &self.snapshot {
            Some((seq, snapshot)) => (*seq, Some(snapshot.clone())),
            None => (Seq::default(), None),
        };
        Copied {
            generation: self.generation,
            epoch: self.epoch,
            owner: Some(self.owner.clone()),
            snapshot,
            tail: self.after(from).cloned().collect(),
            now,
        }
    }
}

// === impl Copied ===

impl Copied {
    fn nothing(now: Timestamp) -> Self {
        Self {
            generation: Generation::default(),
            epoch: Epoch::default(),
            owner: None,
            snapshot: None,
            tail: Vec::new(),
            now,
        }
    }

    fn fold(self) -> Result<Loaded, StoreError> {
        let events = self.tail.iter().map(|stored| &stored.event);
        let (auction, before) = Folding::new(self.snapshot).apply_all(events)?.end();
        Ok(Loaded {
            auction,
            before,
            generation: self.generation,
            epoch: self.epoch,
            owner: self.owner,
            now: self.now,
            heard_at: None,
        })
    }
}
