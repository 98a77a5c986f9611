//! Where the state of the cluster is kept: rooms, who owns them, and the
//! documents.
//!
//! ```text
//!   driver --assign(room, expected epoch, owner, epoch)--> ClusterStore --Done | Conflict | UnknownRoom-->
//! ```
//!
//! Every change compares what it was decided from, so that of two control
//! planes the one that knew less is told. Both engines pass the suite in
//! `conformance`.

#[cfg(test)]
mod conformance;
mod memory;
mod redis;

use async_trait::async_trait;
use gavel_rules::{
    auction::AuctionRules,
    id::{NodeId, RoomId},
    order::{Epoch, Version},
};
use std::{fmt::Debug, sync::Arc};

pub use self::{memory::MemoryStore, redis::RedisStore};

/// Rooms, their owners and the documents. Every call may be repeated.
#[async_trait]
pub trait ClusterStore: Debug + Send + Sync + 'static {
    /// Keeps a room that has no owner yet; false if there is one of that id,
    /// which then stays as it is.
    async fn create_room(&self, room: &RoomId, rules: &AuctionRules) -> Result<bool, StoreError>;

    /// Every room, by id.
    async fn rooms(&self) -> Result<Vec<StoredRoom>, StoreError>;

    /// Gives a room to an owner under a new epoch, if the stored epoch is
    /// still `expected`. Done as well if exactly this is stored already, since
    /// the answer to an earlier try may have been lost. An epoch that is not
    /// later than the stored one is a conflict.
    async fn assign(
        &self,
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
        name: DocumentName,
        expected: Option<Version>,
        body: &str,
    ) -> Result<Put, StoreError>;

    /// Asks whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
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

// === impl DocumentName ===

impl DocumentName {
    /// The word for it in keys and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Flags => "flags",
        }
    }
}
