//! Where the events of rooms are kept, and the one place where two would-be owners meet.
//!
//! ```text
//! owner --append(epoch, expected seq, guard, events)--> RoomStore --Stored | Fenced | Conflict | ...-->
//! ```
//!
//! The store knows no auction rule. It compares (is this the owner of this epoch, is this the next
//! seq, is it within the guard by the store's own clock) and appends; all or nothing. All engines
//! pass the suite in `conformance`.

#[cfg(test)]
mod conformance;
mod folding;
mod heartbeats;
mod limiter;
mod memory;
mod places;
mod redb;
mod redis;
mod tickets;
mod watermark;

use std::fmt::Debug;
use std::sync::Arc;

use crate::config::RedisConfig;
use async_trait::async_trait;
use gavel_rules::{
    Auction, AuctionSnapshot, BidId, Epoch, Event, Generation, Guard, Incarnation, Millis, NodeId,
    RoomId, Seq, Timestamp, UserId, View,
};
use gavel_runtime::breaker::BreakerState;

pub(crate) use self::folding::BEFORE_MAX;
pub use self::memory::MemoryStore;
pub use self::places::{Counted, HOLDER_SILENT_MAX, Held, Holder, PLACES_KEPT, Wanted};
pub use self::redb::RedbStore;
pub use self::redis::{RedisStore, reply as redis_reply};
pub use self::watermark::{Stamp, Watermark};
pub use gavel_rules::StoredEvent;

/// Events an owner lets pass between two snapshots, so a load folds at most about this many.
pub const SNAPSHOT_INTERVAL_EVENTS: u64 = 512;

/// Events one append may carry; an owner with more waiting appends again.
pub const APPEND_EVENTS_MAX: usize = 1024;

/// Events kept behind a snapshot. Older ones are dropped when a snapshot is written, so a room that
/// opens again for ever stays bounded; some 60 MB of Redis for a room that has used it up. Tests
/// would take minutes to get there.
pub const EVENTS_KEPT: u64 = if cfg!(test) { 2_048 } else { 262_144 };

const _: () = assert!(EVENTS_KEPT > SNAPSHOT_INTERVAL_EVENTS);

/// The event streams of all rooms, and the limits that have to be counted in one place.
///
/// Every call may be given up at any time; what it asked for may then still happen.
#[async_trait]
pub trait RoomStore: Debug + Send + Sync + 'static {
    /// Makes `owner` the owner of the room under `epoch` and returns the room.
    ///
    /// Succeeds with an epoch higher than the room's, or again with the same epoch and owner.
    /// From then on appends under any other epoch are fenced. Also tells when the owner before was
    /// last heard of.
    async fn claim(&self, room: &RoomId, epoch: Epoch, owner: &NodeId)
    -> Result<Claim, StoreError>;

    /// The room as stored: snapshot and tail, folded. An unknown room is an empty auction.
    async fn load(&self, room: &RoomId) -> Result<Loaded, StoreError>;

    /// Appends all of `events`, numbered from `expected.next()`, or none.
    ///
    /// A room must have been claimed before its first append. After [`StoreError::Unknown`] the
    /// events may be stored or not, or become so later: load, and look for the answer there.
    async fn append(
        &self,
        room: &RoomId,
        epoch: Epoch,
        expected: Seq,
        guard: Guard,
        events: &[Event],
    ) -> Result<Appended, StoreError>;

    /// Puts events back that the store once had and has lost, as they were: under the epochs of
    /// then, and with no guard, for their time is over.
    ///
    /// They must follow the last stored event, `generation` must be the stored one, and `epoch` the
    /// room's. A room without any event takes the generation with them.
    async fn replay(
        &self,
        room: &RoomId,
        epoch: Epoch,
        generation: Generation,
        events: &[StoredEvent],
    ) -> Result<Appended, StoreError>;

    /// Gives the history another name, since it is no more the one that was known as `from`, and
    /// returns its name. Changes nothing under another epoch or where it has another name already.
    async fn raise_generation(
        &self,
        room: &RoomId,
        epoch: Epoch,
        from: Generation,
    ) -> Result<Generation, StoreError>;

    /// At most `limit` events that follow `after`, in order.
    ///
    /// The first may lie beyond `after.next()` where older events have been dropped.
    async fn range(
        &self,
        room: &RoomId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError>;

    /// Keeps a snapshot for later loads. One that is older than the stored one, comes from an
    /// earlier epoch or lies beyond the last event changes nothing and is no error.
    async fn snapshot(
        &self,
        room: &RoomId,
        epoch: Epoch,
        snapshot: &AuctionSnapshot,
    ) -> Result<(), StoreError>;

    /// Takes one bid of `user`, unless that would make more than `max` in any `window`, counted
    /// over the whole cluster by the store's clock. A refusal costs the user nothing, and neither
    /// does a `bid` that was taken within the window. Without a `bid` it counts whatever was taken
    /// before.
    async fn take_bid(
        &self,
        user: &UserId,
        bid: Option<(&RoomId, &BidId)>,
        max: u32,
        window: Millis,
    ) -> Result<Take, StoreError>;

    /// Notes how many places of `counted` a run of a node holds: as many of those `wanted` as there
    /// are in the whole cluster. Places of runs that are gone count as free. What is noted is void
    /// after [`PLACES_KEPT`], unless it is noted again; noting the same twice changes nothing.
    async fn hold(
        &self,
        counted: &Counted,
        holder: &Holder,
        wanted: Wanted,
    ) -> Result<Held, StoreError>;

    /// Keeps for so long what a ticket stands for, under its key.
    async fn keep_ticket(&self, key: &str, pass: &str, kept: Millis) -> Result<(), StoreError>;

    /// Takes away what is kept under a ticket's key. Of all who ask, one gets it; after
    /// [`StoreError::Unknown`] it may be gone.
    async fn take_ticket(&self, key: &str) -> Result<Option<String>, StoreError>;

    /// Notes that this run of `node` is there and reaches the store, by whose clock it is told the
    /// time. This is all that is known of an owner whose rooms are quiet.
    async fn heartbeat(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
    ) -> Result<Timestamp, StoreError>;

    /// When the last heartbeat of `node` came, whichever run of it sent it; none where none is
    /// known.
    async fn last_heard(&self, node: &NodeId) -> Result<Option<Timestamp>, StoreError>;

    /// The store's clock, which is the auction clock and never goes back.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// What a stored event survives.
    fn durability(&self) -> Durability;

    /// Asks what a stored event survives here, and how far copies of the store are, if there are any
    /// and it is time to.
    async fn ask_durability(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// What the last answer told.
    fn watermark(&self) -> Watermark {
        Watermark::default()
    }

    /// The circuit breakers to its servers, where there are servers.
    fn breakers(&self) -> Vec<BreakerState> {
        Vec::new()
    }

    /// To be taken before a call, to tell where it went; [`Stamp::answered`] tells when.
    fn stamp(&self) -> Stamp {
        Stamp::default()
    }
}

/// The outcome of a claim.
#[derive(Debug)]
pub enum Claim {
    /// The room is the caller's.
    Claimed(Box<Loaded>),
    /// Somebody else has it under this or a later epoch.
    Fenced {
        /// The room's epoch.
        epoch: Epoch,
        /// Its owner.
        owner: Option<NodeId>,
    },
}

/// A room as stored.
#[derive(Debug)]
pub struct Loaded {
    /// The fold of every stored event.
    pub auction: Auction,
    /// The last states that led to it, without a gap, as far as the stored snapshot.
    pub before: Vec<View>,
    /// Which history this is; zero for a room that was never claimed.
    pub generation: Generation,
    /// The epoch appends must carry.
    pub epoch: Epoch,
    /// Who claimed that epoch.
    pub owner: Option<NodeId>,
    /// The store's clock during the load.
    pub now: Timestamp,
    /// After a claim, when the owner before was last heard of, be it another run of the claimant;
    /// none where that is not known, and in plain loads.
    pub heard_at: Option<Timestamp>,
}

/// The outcome of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// All events are stored.
    Stored {
        /// The seq of the last one.
        seq: Seq,
        /// When, by the store's clock.
        at: Timestamp,
    },
    /// The room has another epoch, or was never claimed.
    Fenced {
        /// The room's epoch.
        epoch: Epoch,
        /// Its owner.
        owner: Option<NodeId>,
    },
    /// The last stored event is not the expected one.
    Conflict {
        /// The last stored seq.
        seq: Seq,
    },
    /// The guard's `not_before` lies ahead.
    TooEarly {
        /// The store's clock.
        now: Timestamp,
    },
    /// The guard's `not_after` has been reached.
    TooLate {
        /// The store's clock.
        now: Timestamp,
    },
}

/// The outcome of [`RoomStore::take_bid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// The bid counts.
    Taken,
    /// The bid has counted before, within the window; this time it did not.
    Known,
    /// The user has used up the limit.
    Refused {
        /// When the next one will be taken, if nobody takes it first.
        retry_after: Millis,
    },
}

/// What a stored event survives; named in every ack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Nothing beyond this process.
    Memory,
    /// The end of any node; kept as well as the Redis primary keeps it.
    Primary,
    /// The end of the Redis primary as well: as many replicas as the settings ask for had it
    /// before the ack.
    Replicated,
    /// A power cut of the machine: it was on the disk before the ack.
    Durable,
}

impl Durability {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Primary => "primary",
            Self::Replicated => "replicated",
            Self::Durable => "durable",
        }
    }
}

/// Why the store gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The question was sent and no answer came in time: it may have been done.
    #[error("the store did not answer in time")]
    Unknown,
    /// Nothing was done; the same call may succeed later.
    #[error("the store is unavailable")]
    Unavailable,
    /// What is stored, or was to be stored, makes no sense; trying again does not help.
    #[error("the store holds or was given something unusable: {0}")]
    Corrupt(String),
}

/// Opens the store a node was configured with: Redis at the address, or memory without one.
///
/// Redis is connected to on first use, so a store that is away does not keep a node from starting.
pub fn open(redis_url: Option<&str>) -> Result<Arc<dyn RoomStore>, StoreError> {
    Ok(match redis_url {
        Some(url) => Arc::new(RedisStore::open(url)?),
        None => Arc::new(MemoryStore::new()),
    })
}

/// Opens the store of a node's settings.
pub fn configured(config: &RedisConfig) -> Result<Arc<dyn RoomStore>, StoreError> {
    Ok(match config.url.as_str() {
        "" => Arc::new(MemoryStore::new()),
        url => {
            let store = RedisStore::open_trusting(url, &config.ca_file)?;
            Arc::new(store.with_replicas(config.replicas_min))
        }
    })
}

/// Checks what every engine may take for granted about a batch.
fn check_batch<'a>(
    expected: Seq,
    events: impl ExactSizeIterator<Item = &'a Event>,
) -> Result<Seq, StoreError> {
    let count = events.len();
    if count == 0 || count > APPEND_EVENTS_MAX {
        return Err(StoreError::Corrupt(format!(
            "an append carries 1 to {APPEND_EVENTS_MAX} events, not {count}"
        )));
    }
    events.into_iter().try_fold(expected, |last, event| {
        if event.seq == last.next() {
            Ok(event.seq)
        } else {
            Err(StoreError::Corrupt(format!("event {} cannot follow {last}", event.seq)))
        }
    })
}

/// The same for a replay, whose events follow the returned seq; their epochs rise up to `epoch`.
fn check_replay(epoch: Epoch, events: &[StoredEvent]) -> Result<Seq, StoreError> {
    let first = events.first().map_or(0, |stored| stored.event.seq.get());
    let expected = Seq::new(first.saturating_sub(1));
    check_batch(expected, events.iter().map(|stored| &stored.event))?;
    if events.is_sorted_by_key(|stored| stored.epoch) && events.iter().all(|e| e.epoch <= epoch) {
        Ok(expected)
    } else {
        Err(StoreError::Corrupt(format!("the epochs of a replay must rise, up to {epoch}")))
    }
}
