//! A host's way to the store. Each call takes a moment, and may fail by the
//! weather: unasked, asked and not answered, or done long after its caller
//! gave it up.

use super::{Late, Shared, Store};
use crate::machine;
use async_trait::async_trait;
use gavel_control_plane::store as control;
use gavel_data_plane::store::{
    Appended, Claim, Counted, Durability, Held, Holder, Loaded, RoomStore, StoreError, StoredEvent,
    Take, Wanted,
};
use gavel_rules::{
    auction::{AuctionRules, AuctionSnapshot, Event, Guard},
    id::{BidId, Incarnation, NodeId, RoomId, UserId},
    order::{Epoch, Generation, Seq, Term, Version},
    time::{Millis, Timestamp},
};
use std::{ops::RangeInclusive, sync::Arc, time::Duration};

/// How long a caller waits for an answer, as with Redis.
const ANSWER_WAIT: Duration = Duration::from_millis(250);

/// How calls fare.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// No call gets there, and the caller knows.
    pub(crate) away: bool,
    /// How many questions get lost, of one.
    pub(crate) questions_lost: f64,
    /// How many answers get lost.
    pub(crate) answers_lost: f64,
    /// How many calls are done long after their callers gave up.
    pub(crate) late: f64,
}

/// A host's way to the store.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    host: String,
    shared: Arc<Shared>,
}

/// Why a call came to nothing.
#[derive(Debug)]
enum Lost {
    Unasked,
    Unanswered,
}

// === impl Link ===

impl Link {
    pub(crate) fn new(host: &str, shared: &Arc<Shared>) -> Self {
        Self { host: host.to_owned(), shared: Arc::clone(shared) }
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> Result<T, Lost> {
        tokio::time::sleep(self.a_moment()).await;
        let weather = self.shared.weather.lock().get(&self.host).copied().unwrap_or_default();
        let hit = |of: f64| self.shared.with(|store| store.chance(of));
        if weather.away {
            return Err(Lost::Unasked);
        }
        if hit(weather.questions_lost) {
            tokio::time::sleep(ANSWER_WAIT).await;
            return Err(Lost::Unanswered);
        }
        if hit(weather.late) {
            let at = machine::elapsed() + ANSWER_WAIT + self.a_moment() * 800;
            let work = Box::new(move |store: &mut Store| drop(work(store)));
            self.shared.late.lock().push(Late { at, work });
            tokio::time::sleep(ANSWER_WAIT).await;
            return Err(Lost::Unanswered);
        }
        let done = self.shared.with(work);
        if hit(weather.answers_lost) {
            tokio::time::sleep(ANSWER_WAIT).await;
            return Err(Lost::Unanswered);
        }
        tokio::time::sleep(self.a_moment()).await;
        Ok(done)
    }

    /// Up to five milliseconds.
    fn a_moment(&self) -> Duration {
        use rand::Rng as _;
        let us = self.shared.with(|store| store.chance.random_range(50..5_000));
        Duration::from_micros(us)
    }
}

#[async_trait]
impl RoomStore for Link {
    async fn claim(
        &self,
        room: &RoomId,
        epoch: Epoch,
        owner: &NodeId,
    ) -> Result<Claim, StoreError> {
        let (room, owner) = (room.clone(), owner.clone());
        self.call(move |store| store.claim(&room, epoch, &owner)).await?
    }

    async fn load(&self, room: &RoomId) -> Result<Loaded, StoreError> {
        let room = room.clone();
        self.call(move |store| store.load(&room)).await?
    }

    async fn append(
        &self,
        room: &RoomId,
        epoch: Epoch,
        expected: Seq,
        guard: Guard,
        events: &[Event],
    ) -> Result<Appended, StoreError> {
        let (room, events) = (room.clone(), events.to_vec());
        self.call(move |store| store.append(&room, epoch, expected, guard, &events)).await?
    }

    async fn replay(
        &self,
        room: &RoomId,
        epoch: Epoch,
        generation: Generation,
        events: &[StoredEvent],
    ) -> Result<Appended, StoreError> {
        let (room, events) = (room.clone(), events.to_vec());
        Ok(self.call(move |store| store.replay(&room, epoch, generation, &events)).await?)
    }

    async fn raise_generation(
        &self,
        room: &RoomId,
        epoch: Epoch,
        from: Generation,
    ) -> Result<Generation, StoreError> {
        let room = room.clone();
        Ok(self.call(move |store| store.raise_generation(&room, epoch, from)).await?)
    }

    async fn range(
        &self,
        room: &RoomId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let room = room.clone();
        let events = self.call(move |store| {
            let events = store.rooms.get(&room).map_or(&[][..], |room| &room.events);
            events.iter().filter(|it| it.event.seq > after).take(limit).cloned().collect()
        });
        Ok(events.await?)
    }

    async fn snapshot(
        &self,
        room: &RoomId,
        epoch: Epoch,
        snapshot: &AuctionSnapshot,
    ) -> Result<(), StoreError> {
        let (room, snapshot) = (room.clone(), snapshot.clone());
        Ok(self.call(move |store| store.keep(&room, epoch, &snapshot)).await?)
    }

    /// Limits are not what is simulated.
    async fn take_bid(
        &self,
        _: &UserId,
        _: Option<(&RoomId, &BidId)>,
        _: u32,
        _: Millis,
    ) -> Result<Take, StoreError> {
        Ok(self.call(|_| Take::Taken).await?)
    }

    /// Nor are these.
    async fn hold(&self, _: &Counted, _: &Holder, wanted: Wanted) -> Result<Held, StoreError> {
        Ok(self.call(move |_| Held { mine: wanted.most, others: 0 }).await?)
    }

    /// Nobody comes with a ticket.
    async fn keep_ticket(&self, _: &str, _: &str, _: Millis) -> Result<(), StoreError> {
        Ok(self.call(|_| ()).await?)
    }

    async fn take_ticket(&self, _: &str) -> Result<Option<String>, StoreError> {
        Ok(self.call(|_| None).await?)
    }

    async fn heartbeat(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
    ) -> Result<Timestamp, StoreError> {
        let node = node.clone();
        Ok(self.call(move |store| store.hear(&node, incarnation)).await?)
    }

    async fn last_heard(&self, node: &NodeId) -> Result<Option<Timestamp>, StoreError> {
        let node = node.clone();
        Ok(self.call(move |store| store.last_heard(&node)).await?)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.call(Store::now).await?)
    }

    fn durability(&self) -> Durability {
        Durability::Primary
    }
}

/// The audit log decides nothing, so it stands apart: no weather spoils it, and
/// seeds stay what they were.
#[async_trait]
impl control::AuditStore for Link {
    async fn append_audit(&self, body: &str, keep: u64) -> Result<u64, control::StoreError> {
        Ok(self.shared.with(|store| store.append_audit(body, keep)))
    }

    async fn amend_audit(&self, id: u64, body: &str) -> Result<(), control::StoreError> {
        self.shared.with(|store| store.amend_audit(id, body));
        Ok(())
    }

    async fn audit(
        &self,
        ids: RangeInclusive<u64>,
    ) -> Result<Vec<(u64, String)>, control::StoreError> {
        Ok(self.shared.with(|store| store.audit(ids)))
    }

    async fn newest_audit(&self) -> Result<u64, control::StoreError> {
        Ok(self.shared.with(|store| store.newest_audit()))
    }

    async fn shared_secret(&self, drawn: &str) -> Result<String, control::StoreError> {
        Ok(self.shared.with(|store| store.shared_secret(drawn)))
    }
}

#[async_trait]
impl control::ClusterStore for Link {
    async fn lead(
        &self,
        candidate: &control::Candidate,
        term: Option<Term>,
    ) -> Result<control::Leadership, control::StoreError> {
        let candidate = candidate.clone();
        Ok(self.call(move |store| store.lead(&candidate, term)).await?)
    }

    async fn resign(
        &self,
        candidate: &control::Candidate,
        term: Term,
    ) -> Result<(), control::StoreError> {
        let candidate = candidate.clone();
        Ok(self.call(move |store| store.resign(&candidate, term)).await?)
    }

    async fn create_room(
        &self,
        term: Term,
        room: &RoomId,
        rules: &AuctionRules,
    ) -> Result<bool, control::StoreError> {
        let (room, rules) = (room.clone(), rules.clone());
        self.call(move |store| store.create_room(term, &room, &rules)).await?
    }

    async fn room(
        &self,
        room: &RoomId,
    ) -> Result<Option<control::StoredRoom>, control::StoreError> {
        let room = room.clone();
        Ok(self.call(move |store| store.stored_room(&room)).await?)
    }

    async fn rooms(&self) -> Result<Vec<control::StoredRoom>, control::StoreError> {
        Ok(self.call(|store| store.stored_rooms()).await?)
    }

    async fn assign(
        &self,
        term: Term,
        room: &RoomId,
        expected: Epoch,
        owner: Option<&NodeId>,
        epoch: Epoch,
    ) -> Result<control::Assigned, control::StoreError> {
        let (room, owner) = (room.clone(), owner.cloned());
        self.call(move |store| store.assign(term, &room, expected, owner.as_ref(), epoch)).await?
    }

    async fn document(
        &self,
        name: control::DocumentName,
    ) -> Result<Option<control::Document>, control::StoreError> {
        Ok(self.call(move |store| store.document(name)).await?)
    }

    async fn put_document(
        &self,
        term: Term,
        name: control::DocumentName,
        expected: Option<Version>,
        body: &str,
    ) -> Result<control::Put, control::StoreError> {
        let body = body.to_owned();
        self.call(move |store| store.put_document(term, name, expected, &body)).await?
    }

    async fn ping(&self) -> Result<(), control::StoreError> {
        Ok(self.call(|_| ()).await?)
    }
}

impl From<Lost> for StoreError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Unasked => Self::Unavailable,
            Lost::Unanswered => Self::Unknown,
        }
    }
}

impl From<Lost> for control::StoreError {
    fn from(_: Lost) -> Self {
        Self::Unavailable
    }
}
