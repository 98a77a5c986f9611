//! Where the state of the cluster is kept: rooms, who owns them, the
//! documents, what was changed by whom, and which replica of the control plane
//! leads.
//!
//! ```text
//!   driver --assign(room, expected epoch, owner, epoch)--> ClusterStore --Done | Conflict | UnknownRoom-->
//! ```
//!
//! Every change compares what it was decided from, and the term of the leader
//! that decided it: a leader that has a successor and does not know it yet can
//! change nothing. All engines pass the suite in `conformance`.

mod audit;
#[cfg(test)]
mod conformance;
mod memory;
mod redb;
mod redis;
mod sole;

use crate::config::RedisConfig;
use async_trait::async_trait;
use gavel_rules::{
    auction::AuctionRules,
    id::{NodeId, RoomId},
    order::{Epoch, Term, Version},
    time::Millis,
};
use std::sync::Arc;

pub use self::{audit::AuditStore, memory::MemoryStore, redb::RedbStore, redis::RedisStore};

/// How long a replica leads without renewing.
pub const LEASE: Millis = Millis::new(3_000);

/// Rooms, their owners, the documents and the leader. Every call may be
/// repeated. A change under a term that is not the newest is
/// [`StoreError::Fenced`] and changes nothing.
#[async_trait]
pub trait ClusterStore: AuditStore {
    /// Renews the lease that `candidate` holds under `term`, takes one that is
    /// free under a new term, or tells who leads. A leader whose lease ran out
    /// keeps its term if nobody led meanwhile. Terms only rise.
    async fn lead(
        &self,
        candidate: &Candidate,
        term: Option<Term>,
    ) -> Result<Leadership, StoreError>;

    /// Gives the lease back, if it is this one.
    async fn resign(&self, candidate: &Candidate, term: Term) -> Result<(), StoreError>;

    /// Keeps a room that has no owner yet; false if there is one of that id,
    /// which then stays as it is.
    async fn create_room(
        &self,
        term: Term,
        room: &RoomId,
        rules: &AuctionRules,
    ) -> Result<bool, StoreError>;

    /// One room; none if there is no such room.
    async fn room(&self, room: &RoomId) -> Result<Option<StoredRoom>, StoreError>;

    /// Every room, by id.
    async fn rooms(&self) -> Result<Vec<StoredRoom>, StoreError>;

    /// Gives a room to an owner under a new epoch, if the stored epoch is
    /// still `expected`. Done as well if exactly this is stored already, since
    /// the answer to an earlier try may have been lost. An epoch that is not
    /// later than the stored one is a conflict.
    async fn assign(
        &self,
        term: Term,
        room: &RoomId,
        expected: Epoch,
        owner: Option<&NodeId>,
        epoch: Epoch,
    ) -> Result<Assigned, StoreError>;

    /// The newest version of a document; none if it was never put.
    async fn document(&self, name: DocumentName) -> Result<Option<Document>, StoreError>;

    /// Replaces a document, if its version is still `expected`; none replaces
    /// whatever is there. The version of one that was never put is zero.
    async fn put_document(
        &self,
        term: Term,
        name: DocumentName,
        expected: Option<Version>,
        body: &str,
    ) -> Result<Put, StoreError>;

    /// Asks whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// A replica that would lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its id: no other replica has the same, and it has no space in it.
    pub replica: String,
    /// Where others reach its gRPC, as a URL.
    pub endpoint: String,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// The replica that leads.
    pub leader: Candidate,
    /// Counts leaders.
    pub term: Term,
    /// Counts the changes of all documents.
    pub changes: u64,
}

/// A room as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoom {
    /// Its id.
    pub room: RoomId,
    /// How its auction runs.
    pub rules: AuctionRules,
    /// Who owns it.
    pub owner: Option<NodeId>,
    /// Under which epoch; zero before the first owner.
    pub epoch: Epoch,
}

/// The outcome of an assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assigned {
    /// It is stored.
    Done,
    /// The room has another epoch.
    Conflict {
        /// Which.
        epoch: Epoch,
    },
    /// There is no such room.
    UnknownRoom,
}

/// Which document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DocumentName {
    /// See [`crate::limits`].
    Limits,
    /// See [`crate::flags`].
    Flags,
    /// See [`gavel_proto::denials`].
    Denials,
}

/// A document as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Rises by one with each change.
    pub version: Version,
    /// The document itself.
    pub body: String,
}

/// The outcome of replacing a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is stored under this version.
    Done(Version),
    /// It has this version, not the expected one.
    Conflict(Version),
}

/// Why the store gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached now. What was asked for may have happened.
    #[error("the store does not answer")]
    Unavailable,
    /// A later leader has begun; nothing was changed.
    #[error("another replica leads, since term {by}")]
    Fenced {
        /// Under which term.
        by: Term,
    },
    /// What it holds, or its address, cannot be understood.
    #[error("the store cannot be used: {0}")]
    Corrupt(String),
}

/// A store in the Redis of this URL, or in memory without one. Connects on
/// first use.
///
/// # Errors
/// [`StoreError::Corrupt`] if the URL is none.
pub fn open(redis_url: Option<&str>) -> Result<Arc<dyn ClusterStore>, StoreError> {
    Ok(match redis_url {
        Some(url) => Arc::new(RedisStore::open(url)?),
        None => Arc::new(MemoryStore::new()),
    })
}

/// The store of a control plane's settings.
///
/// # Errors
/// [`StoreError::Corrupt`] if they name none.
pub fn configured(config: &RedisConfig) -> Result<Arc<dyn ClusterStore>, StoreError> {
    Ok(match config.url.as_str() {
        "" => Arc::new(MemoryStore::new()),
        url => Arc::new(RedisStore::open_trusting(url, &config.ca_file)?),
    })
}

// === impl DocumentName ===

impl DocumentName {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Limits, Self::Flags, Self::Denials];

    /// The word for it in keys and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Flags => "flags",
            Self::Denials => "denials",
        }
    }
}
