//! A store whose appends wait at a gate.

use async_trait::async_trait;
use gavel_data_plane::store::{
    Appended, Claim, Counted, Durability, Held, Holder, Loaded, MemoryStore, RoomStore, StoreError,
    Take, Wanted,
};
use gavel_rules::{
    auction::{AuctionSnapshot, Event, Guard, StoredEvent},
    id::{BidId, Incarnation, NodeId, RoomId, UserId},
    order::{Epoch, Generation, Seq},
    time::{Millis, Timestamp},
};
use tokio::sync::watch;

/// A store in memory that takes no events while its gate is shut; nothing else waits.
#[derive(Debug)]
pub struct GatedStore {
    inner: MemoryStore,
    open: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

// === impl GatedStore ===

impl GatedStore {
    /// An empty store with its gate open.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inner: MemoryStore::new(),
            open: watch::Sender::new(true),
            waiting: watch::Sender::default(),
        }
    }

    /// Holds back every append from now on.
    pub fn shut(&self) {
        self.open.send_replace(false);
    }

    /// Lets them go.
    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until so many appends are held back.
    pub async fn until_waiting(&self, count: usize) {
        // The sender is ours.
        drop(self.waiting.subscribe().wait_for(|waiting| *waiting == count).await);
    }
}

impl Default for GatedStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl RoomStore for GatedStore {
    async fn append(
        &self,
        room: &RoomId,
        epoch: Epoch,
        expected: Seq,
        guard: Guard,
        events: &[Event],
    ) -> Result<Appended, StoreError> {
        self.waiting.send_modify(|waiting| *waiting += 1);
        // The sender is ours.
        drop(self.open.subscribe().wait_for(|open| *open).await);
        self.waiting.send_modify(|waiting| *waiting -= 1);
        self.inner.append(room, epoch, expected, guard, events).await
    }

    async fn claim(
        &self,
        room: &RoomId,
        epoch: Epoch,
        owner: &NodeId,
    ) -> Result<Claim, StoreError> {
        self.inner.claim(room, epoch, owner).await
    }

    async fn load(&self, room: &RoomId) -> Result<Loaded, StoreError> {
        self.inner.load(room).await
    }

    async fn replay(
        &self,
        room: &RoomId,
        epoch: Epoch,
        generation: Generation,
        events: &[StoredEvent],
    ) -> Result<Appended, StoreError> {
        self.inner.replay(room, epoch, generation, events).await
    }

    async fn raise_generation(
        &self,
        room: &RoomId,
        epoch: Epoch,
        from: Generation,
    ) -> Result<Generation, StoreError> {
        self.inner.raise_generation(room, epoch, from).await
    }

    async fn range(
        &self,
        room: &RoomId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.inner.range(room, after, limit).await
    }

    async fn snapshot(
        &self,
        room: &RoomId,
        epoch: Epoch,
        snapshot: &AuctionSnapshot,
    ) -> Result<(), StoreError> {
        self.inner.snapshot(room, epoch, snapshot).await
    }

    async fn take_bid(
        &self,
        user: &UserId,
        bid: Option<(&RoomId, &BidId)>,
        max: u32,
        window: Millis,
    ) -> Result<Take, StoreError> {
        self.inner.take_bid(user, bid, max, window).await
    }

    async fn hold(
        &self,
        counted: &Counted,
        holder: &Holder,
        wanted: Wanted,
    ) -> Result<Held, StoreError> {
        self.inner.hold(counted, holder, wanted).await
    }

    async fn keep_ticket(&self, key: &str, pass: &str, kept: Millis) -> Result<(), StoreError> {
        self.inner.keep_ticket(key, pass, kept).await
    }

    async fn take_ticket(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.inner.take_ticket(key).await
    }

    async fn heartbeat(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
    ) -> Result<Timestamp, StoreError> {
        self.inner.heartbeat(node, incarnation).await
    }

    async fn last_heard(&self, node: &NodeId) -> Result<Option<Timestamp>, StoreError> {
        self.inner.last_heard(node).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now().await
    }

    fn durability(&self) -> Durability {
        self.inner.durability()
    }
}
