//! A store in one file of a directory, for processes that do without Redis: what was answered is
//! on the disk, also after `kill -9` or a power cut.
//!
//! ```text
//! callers --work--> bounded queue --> writer thread --one transaction, one sync--> gavel.redb
//!    ^                                     |
//!    +------------- answers ---------------+
//! ```
//!
//! Everything that waits when a transaction begins goes into it, so that the price of a sync is
//! shared (group commit, no timer). Reads run beside the writer on what was committed last.
//!
//! Commits have two phases, so the file names its newest commit with certainty: a commit that was
//! cut off is dropped, and damage to one that was answered is found instead of being stepped over.
//! This is the only module that opens the database; the stores name their tables.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, fs, io};

use ::redb::{Database, Key, ReadOnlyTable, ReadableDatabase as _, TableError, Value};
use parking_lot::RwLock;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

pub use ::redb::{
    Error as Fault, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction,
};

mod file;
#[cfg(test)]
mod tests;
mod writer;

use self::writer::{Asked, Job, Writer};

/// How long an answer may take. A disk that is merely slow is not given up within this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Work that may wait for the writer; callers beyond wait for room here.
const JOBS_MAX: usize = 1024;

/// Free space below which nothing more is written. What is left lets the file be opened and
/// repaired on a disk that somebody else has filled.
const BYTES_RESERVED: u64 = 16 * 1024 * 1024;

/// Where the store is.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Its directory, which is made where there is none; it has to be named.
    pub dir: String,
}

/// An open store. Dropping it closes the file, after what is under way.
pub struct Disk {
    /// None while it is being dropped.
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    is_new: bool,
    /// Held for as long as the store is open, also while the file is opened anew.
    _lock: fs::File,
}

/// What callers and the writer share.
struct Shared {
    /// None while the file has to be opened anew, after a failure.
    database: RwLock<Option<Arc<Database>>>,
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be used at all.
    #[error("{}: {error}", .directory.display())]
    Directory {
        /// Which.
        directory: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It was asked for as it is, and there is none.
    #[error("{} holds no store", .0.display())]
    Missing(PathBuf),
    /// Another process has it open.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// What it holds is not what was written.
    #[error(
        "{} is damaged ({why}); restore it from a copy, or move it away to begin with nothing",
        .file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A release that writes otherwise wrote it.
    #[error("{} has format {format}, which this release does not know", .file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// Its format.
        format: u64,
    },
    /// It cannot be read or written just now.
    #[error("{}: {why}", .file.display())]
    Failed {
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
}

/// Why a call failed, by what the caller may do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// Nothing was done; the call may be repeated later.
    #[error("the store on disk is unavailable: {0}")]
    Unavailable(String),
    /// It may have been done or not, or be done later.
    #[error("the outcome on disk is unknown: {0}")]
    Unknown(String),
    /// What is stored cannot be understood; nothing was done.
    #[error("the store on disk is damaged: {0}")]
    Corrupt(String),
}

/// The table, if anything was ever written to it.
pub fn table<K: Key + 'static, V: Value + 'static>(
    transaction: &ReadTransaction,
    definition: TableDefinition<'_, K, V>,
) -> Result<Option<ReadOnlyTable<K, V>>, Fault> {
    match transaction.open_table(definition) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

// === impl Disk ===

impl Disk {
    /// Opens the store in `directory`, and makes both where there are none. The whole file is read
    /// and checked, so a large one takes its time.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let (at, file) = (directory.to_owned(), file::path(directory));
        let free = move || rustix::fs::statvfs(&at).map(|stat| stat.f_bavail * stat.f_frsize).ok();
        Self::start(directory, move || file::open(&file), free)
    }

    /// Opens the store that `directory` holds, and makes nothing.
    pub fn open_existing(directory: &Path) -> Result<Self, OpenError> {
        match file::path(directory).try_exists() {
            Ok(true) => Self::open(directory),
            Ok(false) => Err(OpenError::Missing(directory.to_owned())),
            Err(error) => Err(OpenError::Directory { directory: directory.to_owned(), error }),
        }
    }

    fn start(
        directory: &Path,
        mut open: impl FnMut() -> Result<Database, OpenError> + Send + 'static,
        free_bytes: impl Fn() -> Option<u64> + Send + 'static,
    ) -> Result<Self, OpenError> {
        let lock = file::lock(directory)?;
        let is_new = file::create_if_missing(directory)?;
        let database = RwLock::new(Some(Arc::new(open()?)));
        let shared = Arc::new(Shared { database });
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        let writer = Writer::new(Arc::clone(&shared), waiting, open, free_bytes);
        let failed = |error: io::Error| OpenError::Directory { directory: directory.into(), error };
        let thread = std::thread::Builder::new().name("disk.writer".to_owned());
        let writer = Some(thread.spawn(move || writer.run()).map_err(failed)?);
        Ok(Self { jobs: Some(jobs), shared, writer, is_new, _lock: lock })
    }

    /// Whether the store was made by this call of [`Disk::open`].
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Does `work` in a transaction, together with whatever else waits, and answers once that is
    /// on the disk. A fault of `work` undoes all it did; it may be called again from the start.
    pub async fn write<T, F>(&self, work: F) -> Result<T, DiskError>
    where
        T: Send + 'static,
        F: FnMut(&WriteTransaction) -> Result<T, Fault> + Send + 'static,
    {
        let jobs = self.jobs.as_ref().filter(|_| self.shared.database().is_some());
        let Some(jobs) = jobs else { return Err(reopening()) };
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Asked::new(work, answer));
        match tokio::time::timeout(ANSWER_TIMEOUT, jobs.send(job)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(reopening()),
            Err(_) => {
                return Err(DiskError::Unavailable("too much waits to be written".to_owned()));
            }
        }
        match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(DiskError::Unknown("the writer failed".to_owned())),
            Err(_) => Err(DiskError::Unknown("the disk did not answer in time".to_owned())),
        }
    }

    /// Does `work` on what was committed last.
    pub async fn read<T, F>(&self, work: F) -> Result<T, DiskError>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTransaction) -> Result<T, Fault> + Send + 'static,
    {
        let Some(database) = self.shared.database() else { return Err(reopening()) };
        let reading = tokio::task::spawn_blocking(move || work(&database.begin_read()?));
        let outcome = match tokio::time::timeout(ANSWER_TIMEOUT, reading).await {
            Ok(Ok(outcome)) => outcome.map_err(|fault| writer::class(&fault)),
            Ok(Err(error)) => Err(DiskError::Corrupt(error.to_string())),
            Err(_) => Err(DiskError::Unavailable("the disk did not answer in time".to_owned())),
        };
        if let (Err(DiskError::Unavailable(_)), Some(jobs)) = (&outcome, &self.jobs) {
            // The writer meets the same failure, and opens the file anew. Where the queue is
            // full, it is about to anyway.
            let nothing = |_: &WriteTransaction| Ok(());
            drop(jobs.try_send(Box::new(Asked::new(nothing, oneshot::channel().0))));
        }
        outcome
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // A panic of the writer has been told where it happened.
            drop(writer.join());
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("open", &self.shared.database().is_some()).finish()
    }
}

// === impl Shared ===

impl Shared {
    fn database(&self) -> Option<Arc<Database>> {
        self.database.read().clone()
    }

    fn set(&self, database: Option<Database>) {
        *self.database.write() = database.map(Arc::new);
    }
}

fn reopening() -> DiskError {
    DiskError::Unavailable("the file is being opened anew".to_owned())
}
