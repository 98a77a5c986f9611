//! A file that is not what was written is refused, or holds everything: never something else.

use super::*;

/// How many keys a store holds, the last of which came alone.
const KEYS: u64 = 200;

/// The bytes of a store, as `kill -9` leaves them or after an orderly end.
async fn filled(directory: &Path, killed: bool) -> Vec<u8> {
    let disk = Disk::open(directory).unwrap();
    for key in 0..KEYS {
        put(&disk, key).await.unwrap();
    }
    let bytes = fs::read(file::path(directory)).unwrap();
    drop(disk);
    if killed { bytes } else { fs::read(file::path(directory)).unwrap() }
}

/// Everything is there, or it is refused as damaged.
fn opens_whole(bytes: &[u8], what: &str) -> bool {
    match keys_of(bytes) {
        Ok(found) => {
            assert!(found.iter().copied().eq(0..KEYS), "{what}: {found:?}");
            true
        }
        Err(OpenError::Damaged { .. } | OpenError::Format { .. }) => false,
        Err(error) => panic!("{what}: {error}"),
    }
}

async fn flip_bits(killed: bool) {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = filled(directory.path(), killed).await;
    assert!(opens_whole(&bytes, "as it was"));
    // Every byte of the head, and a sample of the pages; the step is prime.
    let mut refused = 0;
    for at in (0..512).chain((512..bytes.len()).step_by(61)) {
        let bit = 1 << (at % 8);
        bytes[at] ^= bit;
        refused += u32::from(!opens_whole(&bytes, &format!("byte {at}")));
        bytes[at] ^= bit;
    }
    assert!(refused > 0, "no flip was noticed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bit_that_flipped_is_found_or_mattered_to_nothing() {
    flip_bits(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bit_that_flipped_after_kill_9_is_found_too() {
    flip_bits(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_cut_off_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = filled(directory.path(), false).await;
    for length in (0..bytes.len()).step_by(509).chain([1, 8, 511, bytes.len() - 1]) {
        fs::write(file::path(directory.path()), &bytes[..length]).unwrap();
        let error = Disk::open(directory.path()).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{length} bytes: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_something_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = file::path(directory.path());
    fs::write(&file, vec![b'x'; 100_000]).unwrap();
    let error = Disk::open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert_eq!(fs::read(&file).unwrap(), vec![b'x'; 100_000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_none_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Disk::open(&file).unwrap_err();
    assert!(matches!(&error, OpenError::Directory { directory, .. } if *directory == file));
    assert!(error.to_string().contains("file"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_being_made_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("gavel.redb.new"), "half").unwrap();
    let disk = Disk::open(directory.path()).unwrap();
    assert!(disk.is_new());
    put(&disk, 1).await.unwrap();
}
