//! Where the state of the cluster is kept: rooms, who owns them, documents.

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

pub use memory::MemoryStore;
pub use redis::RedisStore;

/// Rooms, their owners, and the documents.
#[async_trait]
pub trait ClusterStore: Debug + Send + Sync + 'static {
    /// Keeps a new room, without an owner; false if there is one of that id.
    async fn create_room(&self, room: &RoomId, rules: &AuctionRules) -> Result<bool, StoreError>;

    /// Every room.
    async fn rooms(&self) -> Result<Vec<StoredRoom>, StoreError>;

    /// Keeps who owns a room, if its epoch is still `expected`.
    async fn assign(
        &self,
        room: &RoomId,
        expected: Epoch,
        owner: Option<&NodeId>,
        epoch: Epoch,
    ) -> Result<Assigned, StoreError>;

    /// A document; none if it was never put.
    async fn document(&self, name: DocumentName) -> Result<Option<Document>, StoreError>;

    /// Keeps a document under the next version, if the version is still
    /// `expected`; without `expected`, whatever is there.
    async fn put_document(
        &self,
        name: DocumentName,
        expected: Option<Version>,
        body: &str,
    ) -> Result<Put, StoreError>;

    /// Whether the store answers.
    async fn ping(&self) -> Result<(), StoreError>;
}

/// A room as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRoom {
    /// Which.
    pub room: RoomId,
    /// How its auction runs.
    pub rules: AuctionRules,
    /// Who owns it.
    pub owner: Option<NodeId>,
    /// Counts owners; zero before the first.
    pub epoch: Epoch,
}

/// The outcome of [`ClusterStore::assign`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assigned {
    /// It is kept.
    Done,
    /// The room has another epoch.
    Conflict {
        /// Which.
        epoch: Epoch,
    },
    /// There is no such room.
    UnknownRoom,
}

/// The two documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DocumentName {
    /// Limits, as JSON.
    Limits,
    /// Flags, as a flagd document.
    Flags,
}

/// A document as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Counts its changes, from 1.
    pub version: Version,
    /// Its text.
    pub body: String,
}

/// The outcome of [`ClusterStore::put_document`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is kept under this version.
    Done(Version),
    /// This version is there instead of the expected one.
    Conflict(Version),
}

/// The store gave no answer, or none that makes sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It may answer later; whether a change was made is not known.
    #[error("the store is unavailable")]
    Unavailable,
    /// What is stored makes no sense, or the address is none.
    #[error("the store cannot be used: {0}")]
    Corrupt(String),
}

// === impl DocumentName ===

impl DocumentName {
    /// The name in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Flags => "flags",
        }
    }
}

/// Opens the store at a URL, or one in this process without.
///
/// # Errors
/// [`StoreError::Corrupt`] if the URL is none. A server that is away is no
/// error here: the first call tells.
pub fn open(redis_url: Option<&str>) -> Result<Arc<dyn ClusterStore>, StoreError> {
    Ok(match redis_url {
        Some(url) => Arc::new(RedisStore::open(url)?),
        None => Arc::new(MemoryStore::new()),
    })
}
