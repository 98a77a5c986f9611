//! What was answered is there, whatever happens to the process, the disk or the file.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ::redb::backends::{FileBackend, InMemoryBackend};
use ::redb::{BackendError, StorageBackend};
use futures::future::join_all;
use parking_lot::Mutex;

use super::*;

mod damage;
mod faults;
mod power;

const NUMBERS: TableDefinition<'_, u64, u64> = TableDefinition::new("numbers");

/// A disk whose faults a test switches on and off, and which notes what it was asked to do.
#[derive(Debug, Default)]
struct Switches {
    done: Mutex<Vec<Done>>,
    writes_fail: AtomicBool,
    syncs_fail: AtomicBool,
    syncs: AtomicU64,
    free_bytes: AtomicU64,
}

#[derive(Debug, Clone)]
enum Done {
    Length(u64),
    Written(u64, Vec<u8>),
    Synced,
    /// A caller was told that the next key is stored.
    Answered,
}

#[derive(Debug)]
struct Switched {
    file: FileBackend,
    switches: Arc<Switches>,
}

// === impl Switched ===

impl Switched {
    fn fails(switch: &AtomicBool, kind: io::ErrorKind) -> io::Result<()> {
        if switch.load(Ordering::SeqCst) { Err(kind.into()) } else { Ok(()) }
    }

    fn may_write(&self) -> io::Result<()> {
        Self::fails(&self.switches.writes_fail, io::ErrorKind::StorageFull)
    }
}

impl StorageBackend for Switched {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.may_write()?;
        self.switches.done.lock().push(Done::Length(len));
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.switches.syncs.fetch_add(1, Ordering::SeqCst);
        Self::fails(&self.switches.syncs_fail, io::ErrorKind::Other)?;
        self.switches.done.lock().push(Done::Synced);
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.may_write()?;
        self.switches.done.lock().push(Done::Written(offset, data.to_vec()));
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(
        &self,
        start: std::ops::Bound<u64>,
        end: std::ops::Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn unlock_range(
        &self,
        start: std::ops::Bound<u64>,
        end: std::ops::Bound<u64>,
    ) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

/// A store on a disk with switches.
fn switched(directory: &Path) -> (Disk, Arc<Switches>) {
    let switches = Arc::new(Switches::default());
    switches.free_bytes.store(u64::MAX, Ordering::SeqCst);
    let (file, backend, space) =
        (file::path(directory), Arc::clone(&switches), Arc::clone(&switches));
    let open =
        move || file::open_on(&file, |file| Switched { file, switches: Arc::clone(&backend) });
    let free = move || Some(space.free_bytes.load(Ordering::SeqCst));
    (Disk::start(directory, open, free).unwrap(), switches)
}

async fn put(disk: &Disk, key: u64) -> Result<(), DiskError> {
    disk.write(move |transaction| {
        transaction.open_table(NUMBERS)?.insert(key, key * 10)?;
        Ok(())
    })
    .await
}

async fn keys(disk: &Disk) -> Result<Vec<u64>, DiskError> {
    disk.read(keys_in).await
}

fn keys_in(transaction: &ReadTransaction) -> Result<Vec<u64>, Fault> {
    let Some(numbers) = table(transaction, NUMBERS)? else { return Ok(Vec::new()) };
    let entries = numbers.iter()?.map(|entry| {
        let (key, value) = entry?;
        assert_eq!(value.value(), key.value() * 10);
        Ok(key.value())
    });
    entries.collect()
}

/// What a file of these bytes holds, without the time that a real disk takes.
fn keys_of(bytes: &[u8]) -> Result<Vec<u64>, OpenError> {
    file::check(Path::new("memory"), memory(bytes)).map(|database| all_keys(&database))
}

fn memory(bytes: &[u8]) -> InMemoryBackend {
    let memory = InMemoryBackend::new();
    memory.set_len(bytes.len() as u64).unwrap();
    memory.write(0, bytes).unwrap();
    memory
}

fn all_keys(database: &Database) -> Vec<u64> {
    keys_in(&database.begin_read().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("made/on/the/way");
    let disk = Disk::open(&inner).unwrap();
    assert!(disk.is_new());
    assert_eq!(keys(&disk).await, Ok(vec![]));
    for key in [3, 1, 2] {
        assert_eq!(put(&disk, key).await, Ok(()));
    }
    drop(disk);
    let disk = Disk::open(&inner).unwrap();
    assert!(!disk.is_new());
    assert_eq!(keys(&disk).await, Ok(vec![1, 2, 3]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_is_told_that_the_directory_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let first = Disk::open(directory.path()).unwrap();
    let error = Disk::open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    drop(first);
    Disk::open(directory.path()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_waits_shares_its_syncs() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, switches) = switched(directory.path());
    put(&disk, 0).await.unwrap();
    let before = switches.syncs.load(Ordering::SeqCst);
    put(&disk, 1).await.unwrap();
    let for_one = switches.syncs.load(Ordering::SeqCst) - before;
    assert!(for_one > 0, "an answer without a sync");

    let before = switches.syncs.load(Ordering::SeqCst);
    let outcomes = join_all((2..502).map(|key| put(&disk, key))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    let for_many = switches.syncs.load(Ordering::SeqCst) - before;
    // 500 pieces of work fit into two transactions; the first may begin with less.
    assert!(for_many <= 8 * for_one, "{for_many} syncs, and one alone takes {for_one}");
    assert_eq!(keys(&disk).await.unwrap().len(), 502);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_at_fault_is_left_out_and_the_rest_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path()).unwrap();
    let bad = |key: u64| {
        disk.write(move |transaction| {
            transaction.open_table(NUMBERS)?.insert(key, 0)?;
            Err::<(), _>(Fault::Corrupted(format!("no {key}")))
        })
    };
    let good = join_all((0..50).map(|key| put(&disk, key)));
    let (good, bad) = tokio::join!(good, join_all((100..103).map(bad)));
    assert!(good.iter().all(Result::is_ok), "{good:?}");
    assert!(bad.iter().all(|outcome| matches!(outcome, Err(DiskError::Corrupt(_)))), "{bad:?}");
    assert_eq!(keys(&disk).await, Ok((0..50).collect()));
}
