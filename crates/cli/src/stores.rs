//! The stores of a process that runs both planes.

use crate::failure::Failure;
use gavel_control_plane::store::{self as cluster, ClusterStore};
use gavel_data_plane::store::{self as rooms, RoomStore};
use gavel_runtime::disk::{Disk, OpenError};
use std::{path::Path, sync::Arc};

/// Where both planes keep what must not be lost.
#[derive(Debug)]
pub(crate) struct Stores {
    /// The control plane's.
    pub(crate) cluster: Arc<dyn ClusterStore>,
    /// The nodes', of which all in this process share one.
    pub(crate) rooms: Arc<dyn RoomStore>,
    /// Whether it was made just now.
    pub(crate) is_new: bool,
}

// === impl Stores ===

impl Stores {
    /// In a file of this directory; other processes are kept out of it.
    pub(crate) fn on_disk(directory: &Path) -> Result<Self, Failure> {
        let stores = Self::of(Disk::open(directory)?);
        let is_new = stores.is_new;
        tracing::info!(directory = %directory.display(), is_new, "store is open");
        Ok(stores)
    }

    /// In the file that this directory holds; nothing is made.
    pub(crate) fn existing(directory: &Path) -> Result<Self, Failure> {
        Ok(Self::of(Disk::open_existing(directory)?))
    }

    fn of(disk: Disk) -> Self {
        let is_new = disk.is_new();
        let disk = Arc::new(disk);
        Self {
            cluster: Arc::new(cluster::RedbStore::new(Arc::clone(&disk))),
            rooms: Arc::new(rooms::RedbStore::new(disk)),
            is_new,
        }
    }

    /// In Redis, or in memory without an address.
    pub(crate) fn open(redis_url: Option<&str>) -> Result<Self, Failure> {
        let usage = |error: String| Failure::Usage(format!("--redis-url: {error}"));
        Ok(Self {
            cluster: cluster::open(redis_url).map_err(|error| usage(error.to_string()))?,
            rooms: rooms::open(redis_url).map_err(|error| usage(error.to_string()))?,
            is_new: true,
        })
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let message = format!("--data: {error}");
        match error {
            OpenError::Directory { .. } | OpenError::Missing(_) => Self::Usage(message),
            OpenError::InUse(_) | OpenError::Failed { .. } => Self::Unavailable(message),
            OpenError::Damaged { .. } | OpenError::Format { .. } => Self::Refused(message),
        }
    }
}
