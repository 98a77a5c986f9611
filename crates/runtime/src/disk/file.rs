//! The directory of a store: its lock, its file, and how that comes to be.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ::redb::backends::FileBackend;
use ::redb::{Builder, Database, ReadableDatabase as _, StorageBackend, TableDefinition};

use super::{Fault, OpenError};

/// What this release writes. A change to any table's key or value raises it.
const FORMAT: u64 = 1;

const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");

/// Pages kept in memory; the system keeps more.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// The file of the store in `directory`.
pub(super) fn path(directory: &Path) -> PathBuf {
    directory.join("gavel.redb")
}

/// Makes the directory where there is none, and keeps other processes out of it.
pub(super) fn lock(directory: &Path) -> Result<File, OpenError> {
    let failed = |error| OpenError::Directory { directory: directory.to_owned(), error };
    fs::create_dir_all(directory).map_err(failed)?;
    let lock = private().open(directory.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(directory.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Makes an empty store if there is none, under another name first: a file of the right name is
/// always whole, so one that is not has been damaged. True if it was made.
pub(super) fn create_if_missing(directory: &Path) -> Result<bool, OpenError> {
    let (file, draft) = (path(directory), directory.join("gavel.redb.new"));
    let failed = |error| OpenError::Directory { directory: directory.to_owned(), error };
    if file.try_exists().map_err(failed)? {
        return Ok(false);
    }
    private().truncate(true).open(&draft).map_err(failed)?;
    let failed_at_draft = |fault: Fault| refusal(&draft, fault);
    write_about(&draft).map_err(failed_at_draft)?;
    fs::rename(&draft, &file).map_err(failed)?;
    // The name is as durable as what it names, and so is the directory's own.
    let parent = directory.canonicalize().map_err(failed)?;
    for directory in parent.ancestors().take(2) {
        File::open(directory).and_then(|at| at.sync_all()).map_err(failed)?;
    }
    Ok(true)
}

/// Opens a store that is there.
pub(super) fn open(file: &Path) -> Result<Database, OpenError> {
    open_on(file, |backend| backend)
}

/// Opens it on whatever `wrap` makes of the file.
pub(super) fn open_on<B: StorageBackend>(
    file: &Path,
    wrap: impl FnOnce(FileBackend) -> B,
) -> Result<Database, OpenError> {
    let failed = |error: io::Error| OpenError::Failed { file: file.into(), why: error.to_string() };
    let opened = OpenOptions::new().read(true).write(true).open(file).map_err(failed)?;
    if opened.metadata().map_err(failed)?.len() == 0 {
        let why = "it is empty".to_owned();
        return Err(OpenError::Damaged { file: file.to_owned(), why });
    }
    // After a failed write the system may hold in memory what the disk does not have: read what
    // the disk has.
    if let Err(error) = rustix::fs::fadvise(&opened, 0, None, rustix::fs::Advice::DontNeed) {
        tracing::debug!(%error, "pages of the store may come from memory");
    }
    let backend = FileBackend::new(opened).map_err(|error| refusal(file, error.into()))?;
    check(file, wrap(backend))
}

/// Opens what claims to be a store, after a check of every page.
pub(super) fn check(file: &Path, backend: impl StorageBackend) -> Result<Database, OpenError> {
    let database = builder()
        .set_check_integrity_on_open(true)
        .create_with_backend(backend)
        .map_err(|error| refusal(file, error.into()))?;
    match read_format(&database).map_err(|fault| refusal(file, fault))? {
        FORMAT => Ok(database),
        format => Err(OpenError::Format { file: file.to_owned(), format }),
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

fn write_about(draft: &Path) -> Result<(), Fault> {
    let database = builder().create(draft)?;
    let transaction = database.begin_write()?;
    transaction.open_table(ABOUT)?.insert("format", FORMAT)?;
    transaction.commit()?;
    database.close()?;
    Ok(())
}

fn read_format(database: &Database) -> Result<u64, Fault> {
    let transaction = database.begin_read()?;
    let about = super::table(&transaction, ABOUT)?;
    let unnamed = || Fault::Corrupted("it does not say what it is".to_owned());
    let about = about.ok_or_else(unnamed)?;
    Ok(about.get("format")?.ok_or_else(unnamed)?.value())
}

/// Tells damage, which stays, from a disk that does not do its work now.
fn refusal(file: &Path, fault: Fault) -> OpenError {
    let file = file.to_owned();
    if let Fault::UpgradeRequired(format) = fault {
        return OpenError::Format { file, format: format.into() };
    }
    if let Fault::Corrupted(why) = fault {
        return OpenError::Damaged { file, why };
    }
    let io_kind = if let Fault::Io(error) = &fault { Some(error.kind()) } else { None };
    if io_kind == Some(io::ErrorKind::UnexpectedEof) {
        return OpenError::Damaged { file, why: "it has been cut off".to_owned() };
    }
    if io_kind == Some(io::ErrorKind::InvalidData) {
        return OpenError::Damaged { file, why: fault.to_string() };
    }
    OpenError::Failed { file, why: fault.to_string() }
}
