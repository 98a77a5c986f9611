//! A disk that fails: nothing is answered as done that is not, and work goes on afterwards.

use super::*;

/// How often to look, 10 ms apart, before something is said not to happen.
const POLLS_MAX: u32 = 1000;

async fn until_written(disk: &Disk, key: u64) {
    for _ in 0..POLLS_MAX {
        if put(disk, key).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing is written any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_and_serves_reads_until_there_is_space() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, switches) = switched(directory.path());
    put(&disk, 1).await.unwrap();
    switches.free_bytes.store(BYTES_RESERVED - 1, Ordering::SeqCst);
    for key in [2, 3] {
        let outcome = put(&disk, key).await;
        assert!(matches!(outcome, Err(DiskError::Unavailable(_))), "{outcome:?}");
        assert_eq!(keys(&disk).await, Ok(vec![1]));
    }
    switches.free_bytes.store(BYTES_RESERVED, Ordering::SeqCst);
    put(&disk, 4).await.unwrap();
    assert_eq!(keys(&disk).await, Ok(vec![1, 4]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_is_no_answer_and_the_file_opens_again() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, switches) = switched(directory.path());
    put(&disk, 1).await.unwrap();
    switches.writes_fail.store(true, Ordering::SeqCst);
    for key in 2..20 {
        assert!(put(&disk, key).await.is_err(), "{key} cannot have been written");
    }
    switches.writes_fail.store(false, Ordering::SeqCst);
    until_written(&disk, 100).await;
    // What nobody knew of may be there or not; what was refused may not.
    let found = keys(&disk).await.unwrap();
    assert!(found == [1, 100] || found == [1, 2, 100], "{found:?}");
    drop(disk);
    assert_eq!(keys(&Disk::open(directory.path()).unwrap()).await, Ok(found));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_is_an_unknown_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, switches) = switched(directory.path());
    put(&disk, 1).await.unwrap();
    switches.syncs_fail.store(true, Ordering::SeqCst);
    let outcome = put(&disk, 2).await;
    assert!(matches!(outcome, Err(DiskError::Unknown(_))), "{outcome:?}");
    // Nobody reads what may yet turn out not to be there.
    let outcome = keys(&disk).await;
    assert!(matches!(outcome, Err(DiskError::Unavailable(_))), "{outcome:?}");
    switches.syncs_fail.store(false, Ordering::SeqCst);
    until_written(&disk, 3).await;
    let found = keys(&disk).await.unwrap();
    assert!(found == [1, 3] || found == [1, 2, 3], "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_panics_takes_nobody_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::open(directory.path()).unwrap();
    put(&disk, 1).await.unwrap();
    let outcome = disk.write(|_| -> Result<(), Fault> { panic!("on purpose") }).await;
    assert!(matches!(outcome, Err(DiskError::Unknown(_))), "{outcome:?}");
    until_written(&disk, 2).await;
    assert_eq!(keys(&disk).await, Ok(vec![1, 2]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_directory_stays_locked_while_the_file_opens_again() {
    let directory = tempfile::tempdir().unwrap();
    let (disk, switches) = switched(directory.path());
    switches.syncs_fail.store(true, Ordering::SeqCst);
    assert!(put(&disk, 1).await.is_err());
    let error = Disk::open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
}
