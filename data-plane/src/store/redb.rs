//! The engine in a file of this machine, shared by the nodes of one process: what is stored
//! survives `kill -9` and power cuts.
//!
//! ```text
//! rooms.state      room        -> generation epoch owner seq now
//! rooms.events     room, seq   -> epoch, event as JSON
//! rooms.snapshots  room        -> seq, snapshot as JSON
//! rooms.claims     room        -> when its owner claimed it
//! nodes.heartbeats node        -> incarnation, first, last, last of the run before
//! ```
//!
//! Appends of many rooms that wait at the same time go into one transaction and one sync. Bids and
//! sockets are counted in memory, exactly. A restart begins anew: it has no sockets, and for one
//! window a user may have bid up to twice the limit.

mod tables;

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use gavel_rules::{
    AuctionSnapshot, BidId, Epoch, Event, Generation, Guard, Incarnation, Millis, NodeId, RoomId,
    Seq, Timestamp, UserId,
};
use gavel_runtime::clock;
use gavel_runtime::disk::{Disk, DiskError, Fault, WriteTransaction};
use parking_lot::Mutex;

use self::tables::{Page, State};
use super::heartbeats::Heartbeats;
use super::limiter::Limiter;
use super::places::Places;
use super::tickets::Tickets;
use super::{
    Appended, Claim, Counted, Durability, EVENTS_KEPT, Held, Holder, Loaded, RoomStore, StoreError,
    StoredEvent, Take, Wanted, check_batch, check_replay, folding::Folding,
};

/// A store on disk.
pub struct RedbStore {
    disk: Arc<Disk>,
    clock: Arc<Clock>,
    limiter: Mutex<Limiter>,
    tickets: Mutex<Tickets>,
    places: Mutex<Counts>,
}

/// The places that are counted, and the heartbeats of who holds some.
#[derive(Default)]
struct Counts {
    places: Places,
    heartbeats: HashMap<NodeId, Heartbeats>,
}

/// The machine's clock, but never behind what it once told. Each room stores its own latest time,
/// so that also a restart does not bring it back.
#[derive(Debug, Default)]
struct Clock {
    latest_ms: AtomicU64,
}

// === impl RedbStore ===

impl RedbStore {
    /// The rooms on this disk.
    #[must_use]
    pub fn new(disk: Arc<Disk>) -> Self {
        Self {
            disk,
            clock: Arc::default(),
            limiter: Mutex::default(),
            tickets: Mutex::default(),
            places: Mutex::default(),
        }
    }

    async fn load_room(&self, room: &RoomId) -> Result<Loaded, StoreError> {
        let (id, clock) = (room.clone(), Arc::clone(&self.clock));
        let read = self.disk.read(move |transaction| {
            let Some(state) = tables::state(transaction, &id)? else { return Ok(None) };
            let snapshot = tables::snapshot(transaction, &id)?;
            let after = snapshot.as_ref().map_or(0, |(seq, _)| *seq);
            let tail = tables::page(transaction, &id, after, usize::MAX)?;
            let now = clock.at_least(state.now);
            Ok(Some((state, snapshot, tail, now)))
        });
        let Some((state, snapshot, tail, now)) = read.await.map_err(class)? else {
            return Ok(nothing(self.clock.at_least(0)));
        };
        let snapshot = match snapshot {
            Some((_, json)) => Some(serde_json::from_slice(&json).map_err(corrupt)?),
            None => None,
        };
        let tail = stored_events(tail)?;
        let events = tail.iter().map(|stored| &stored.event);
        let (auction, before) = Folding::new(snapshot).apply_all(events)?.end();
        if auction.view().seq.get() != state.seq {
            let (seq, last) = (state.seq, auction.view().seq);
            let lost = format!("room {room} has had event {seq}, but its events end at {last}");
            return Err(StoreError::Corrupt(lost));
        }
        Ok(Loaded {
            auction,
            before,
            generation: Generation::new(state.generation),
            epoch: Epoch::new(state.epoch),
            owner: Some(state.owner.parse().map_err(corrupt)?),
            now,
            heard_at: None,
        })
    }
}

#[async_trait]
impl RoomStore for RedbStore {
    async fn claim(
        &self,
        room: &RoomId,
        epoch: Epoch,
        owner: &NodeId,
    ) -> Result<Claim, StoreError> {
        let is_claimed = |held: &Loaded| held.epoch == epoch && held.owner.as_ref() == Some(owner);
        let before = self.load_room(room).await?;
        let (id, by, clock) = (room.clone(), owner.to_string(), Arc::clone(&self.clock));
        let claim = self.disk.write(move |transaction| claim(transaction, &id, epoch, &by, &clock));
        let heard_at = match claim.await.map_err(class) {
            Ok(Ok(heard_at)) => heard_at,
            Ok(Err(held)) => {
                let owner = Some(held.owner.parse().map_err(corrupt)?);
                return Ok(Claim::Fenced { epoch: Epoch::new(held.epoch), owner });
            }
            // An owner that comes back changes nothing, so a full disk does not keep it out.
            Err(StoreError::Unavailable) if is_claimed(&before) => None,
            Err(error) => return Err(error),
        };
        let after = self.load_room(room).await?;
        if is_claimed(&after) {
            return Ok(Claim::Claimed(Box::new(Loaded { heard_at, ..after })));
        }
        // Somebody claimed a later epoch between the two calls.
        Ok(Claim::Fenced { epoch: after.epoch, owner: after.owner })
    }

    async fn load(&self, room: &RoomId) -> Result<Loaded, StoreError> {
        self.load_room(room).await
    }

    async fn append(
        &self,
        room: &RoomId,
        epoch: Epoch,
        expected: Seq,
        guard: Guard,
        events: &[Event],
    ) -> Result<Appended, StoreError> {
        check_batch(expected, events.iter())?;
        let row = |event: &Event| Ok((epoch.get(), serde_json::to_vec(event).map_err(corrupt)?));
        let rows = events.iter().map(row).collect::<Result<_, StoreError>>()?;
        let batch = Batch { room: room.clone(), epoch, expected, guard, rows };
        let clock = Arc::clone(&self.clock);
        let append =
            move |transaction: &WriteTransaction| batch.append(transaction, &clock, |_| true);
        self.disk.write(append).await.map_err(class)
    }

    async fn replay(
        &self,
        room: &RoomId,
        epoch: Epoch,
        generation: Generation,
        events: &[StoredEvent],
    ) -> Result<Appended, StoreError> {
        let expected = check_replay(epoch, events)?;
        let row = |stored: &StoredEvent| {
            Ok((stored.epoch.get(), serde_json::to_vec(&stored.event).map_err(corrupt)?))
        };
        let rows = events.iter().map(row).collect::<Result<_, StoreError>>()?;
        let batch = Batch { room: room.clone(), epoch, expected, guard: Guard::default(), rows };
        let clock = Arc::clone(&self.clock);
        let replay = move |transaction: &WriteTransaction| {
            batch.append(transaction, &clock, |state| {
                if state.seq == 0 {
                    state.generation = generation.get();
                }
                state.generation == generation.get()
            })
        };
        self.disk.write(replay).await.map_err(class)
    }

    async fn raise_generation(
        &self,
        room: &RoomId,
        epoch: Epoch,
        from: Generation,
    ) -> Result<Generation, StoreError> {
        let room = room.clone();
        let raise = move |transaction: &WriteTransaction| {
            let mut states = transaction.open_table(tables::STATE)?;
            let Some(mut state) = tables::read_state(&states, &room)? else {
                return Ok(Generation::default());
            };
            if (state.epoch, state.generation) == (epoch.get(), from.get()) {
                state.generation = from.next().get();
                tables::write_state(&mut states, &room, &state)?;
            }
            Ok(Generation::new(state.generation))
        };
        self.disk.write(raise).await.map_err(class)
    }

    async fn range(
        &self,
        room: &RoomId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let room = room.clone();
        let read =
            self.disk.read(move |transaction| tables::page(transaction, &room, after.get(), limit));
        stored_events(read.await.map_err(class)?)
    }

    async fn snapshot(
        &self,
        room: &RoomId,
        epoch: Epoch,
        snapshot: &AuctionSnapshot,
    ) -> Result<(), StoreError> {
        let (room, seq) = (room.clone(), snapshot.seq().get());
        let json = serde_json::to_vec(snapshot).map_err(corrupt)?;
        let keep = move |transaction: &WriteTransaction| {
            let state = tables::read_state(&transaction.open_table(tables::STATE)?, &room)?;
            if state.is_some_and(|state| state.epoch == epoch.get() && seq <= state.seq)
                && tables::put_snapshot(transaction, &room, seq, &json)?
            {
                tables::drop_events(transaction, &room, seq.saturating_sub(EVENTS_KEPT))?;
            }
            Ok(())
        };
        self.disk.write(keep).await.map_err(class)
    }

    async fn take_bid(
        &self,
        user: &UserId,
        bid: Option<(&RoomId, &BidId)>,
        max: u32,
        window: Millis,
    ) -> Result<Take, StoreError> {
        let mut limiter = self.limiter.lock();
        Ok(limiter.take(user, bid, max, window, self.clock.at_least(0)))
    }

    async fn hold(
        &self,
        counted: &Counted,
        holder: &Holder,
        wanted: Wanted,
    ) -> Result<Held, StoreError> {
        let now = self.clock.at_least(0);
        let Counts { places, heartbeats } = &mut *self.places.lock();
        let heard = |node: &NodeId| heartbeats.get(node).copied().unwrap_or_default();
        Ok(places.hold(counted, holder, wanted, now, heard))
    }

    async fn keep_ticket(&self, key: &str, pass: &str, kept: Millis) -> Result<(), StoreError> {
        self.tickets.lock().keep(key, pass, kept, self.clock.at_least(0));
        Ok(())
    }

    async fn take_ticket(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.tickets.lock().take(key, self.clock.at_least(0)))
    }

    async fn heartbeat(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
    ) -> Result<Timestamp, StoreError> {
        let (node, now) = (node.clone(), self.clock.at_least(0));
        self.places.lock().beat(&node, incarnation, now);
        let beat = move |transaction: &WriteTransaction| {
            tables::beat(transaction, &node, incarnation, now)
        };
        self.disk.write(beat).await.map_err(class)?;
        Ok(now)
    }

    async fn last_heard(&self, node: &NodeId) -> Result<Option<Timestamp>, StoreError> {
        let node = node.clone();
        let read = self.disk.read(move |transaction| tables::heartbeats(transaction, &node));
        Ok(read.await.map_err(class)?.last())
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.at_least(0))
    }

    fn durability(&self) -> Durability {
        Durability::Durable
    }
}

// === impl Counts ===

impl Counts {
    fn beat(&mut self, node: &NodeId, incarnation: Incarnation, now: Timestamp) {
        let held = self.heartbeats.entry(node.clone()).or_default();
        *held = held.beat(incarnation, now);
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").field("disk", &self.disk).finish_non_exhaustive()
    }
}

// === impl Clock ===

impl Clock {
    /// Now, and not before `ms` either.
    fn at_least(&self, ms: u64) -> Timestamp {
        let now = clock::now_ms().max(ms);
        Timestamp::new(self.latest_ms.fetch_max(now, Ordering::Relaxed).max(now))
    }
}

/// What an append asks for.
struct Batch {
    room: RoomId,
    epoch: Epoch,
    expected: Seq,
    guard: Guard,
    /// Each event's epoch and JSON.
    rows: Vec<(u64, Vec<u8>)>,
}

// === impl Batch ===

impl Batch {
    /// Compares, and appends all events or none; `fits` may ask more of the room than that it ends
    /// at the expected event.
    fn append(
        &self,
        transaction: &WriteTransaction,
        clock: &Clock,
        fits: impl FnOnce(&mut State) -> bool,
    ) -> Result<Appended, Fault> {
        let mut states = transaction.open_table(tables::STATE)?;
        let Some(mut state) = tables::read_state(&states, &self.room)? else {
            return Ok(Appended::Fenced { epoch: Epoch::default(), owner: None });
        };
        if state.epoch != self.epoch.get() {
            let owner = Some(state.owner.parse().map_err(damaged)?);
            return Ok(Appended::Fenced { epoch: Epoch::new(state.epoch), owner });
        }
        if state.seq != self.expected.get() || !fits(&mut state) {
            return Ok(Appended::Conflict { seq: Seq::new(state.seq) });
        }
        let now = clock.at_least(state.now);
        if self.guard.not_before.is_some_and(|bound| now < bound) {
            return Ok(Appended::TooEarly { now });
        }
        if self.guard.not_after.is_some_and(|bound| now >= bound) {
            return Ok(Appended::TooLate { now });
        }
        let mut events = transaction.open_table(tables::EVENTS)?;
        for (epoch, json) in &self.rows {
            state.seq += 1;
            events.insert((self.room.as_ref(), state.seq), (*epoch, json.as_slice()))?;
        }
        state.now = now.as_millis();
        tables::write_state(&mut states, &self.room, &state)?;
        Ok(Appended::Stored { seq: Seq::new(state.seq), at: now })
    }
}

/// Raises a room's fence, and tells when the owner before was last heard of; or returns who holds
/// it against that.
fn claim(
    transaction: &WriteTransaction,
    room: &RoomId,
    epoch: Epoch,
    owner: &str,
    clock: &Clock,
) -> Result<Result<Option<Timestamp>, State>, Fault> {
    let mut states = transaction.open_table(tables::STATE)?;
    let held = tables::read_state(&states, room)?;
    let fences = |held: &State| {
        held.epoch > epoch.get() || (held.epoch == epoch.get() && held.owner != owner)
    };
    if let Some(held) = held.as_ref().filter(|held| fences(held)) {
        return Ok(Err(held.clone()));
    }
    let now = clock.at_least(held.as_ref().map_or(0, |held| held.now));
    let heard_at = tables::put_claim(transaction, room, held.as_ref(), now)?;
    let state = match held {
        Some(held) => State { epoch: epoch.get(), owner: owner.to_owned(), ..held },
        None => {
            let now = now.as_millis();
            // A history is named by its beginning, so one that starts over has another name.
            let (generation, owner) = (now, owner.to_owned());
            State { generation, epoch: epoch.get(), owner, seq: 0, now }
        }
    };
    tables::write_state(&mut states, room, &state)?;
    Ok(Ok(heard_at))
}

/// A room that was never claimed.
fn nothing(now: Timestamp) -> Loaded {
    Loaded {
        auction: gavel_rules::Auction::empty(),
        before: Vec::new(),
        generation: Generation::default(),
        epoch: Epoch::default(),
        owner: None,
        now,
        heard_at: None,
    }
}

fn stored_events(page: Page) -> Result<Vec<StoredEvent>, StoreError> {
    let stored = page.into_iter().map(|(seq, epoch, json)| {
        let event: Event = serde_json::from_slice(&json).map_err(corrupt)?;
        if event.seq.get() != seq {
            return Err(corrupt(format!("entry {seq} holds event {}", event.seq)));
        }
        Ok(StoredEvent { epoch: Epoch::new(epoch), event })
    });
    stored.collect()
}

/// A store whose clock has already told this time.
#[cfg(test)]
pub(super) fn at_time(disk: Arc<Disk>, now: Timestamp) -> RedbStore {
    let store = RedbStore::new(disk);
    store.clock.at_least(now.as_millis());
    store
}

fn class(error: DiskError) -> StoreError {
    match error {
        DiskError::Unavailable(_) => StoreError::Unavailable,
        DiskError::Unknown(_) => StoreError::Unknown,
        DiskError::Corrupt(why) => StoreError::Corrupt(why),
    }
}

fn corrupt(error: impl Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

fn damaged(error: impl Display) -> Fault {
    Fault::Corrupted(error.to_string())
}
