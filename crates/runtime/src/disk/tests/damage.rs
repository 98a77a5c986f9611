//! A file that is not what was written is refused, or holds everything: never something else.

use std::os::unix::fs::FileExt as _;

use super::*;

/// A closed store that holds this many keys, and its bytes.
const KEYS: u64 = 200;

async fn filled(directory: &Path) -> Vec<u8> {
    let disk = Disk::open(directory).unwrap();
    for key in 0..KEYS {
        put(&disk, key).await.unwrap();
    }
    drop(disk);
    fs::read(file::path(directory)).unwrap()
}

/// Opens what the file now is: everything is there, or it is refused as damaged.
async fn opens_whole_or_not(directory: &Path, what: &str) -> bool {
    match Disk::open(directory) {
        Ok(disk) => {
            let found = keys(&disk).await;
            assert_eq!(found, Ok((0..KEYS).collect()), "{what}");
            true
        }
        Err(OpenError::Damaged { .. } | OpenError::Format { .. }) => false,
        Err(error) => panic!("{what}: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bit_that_flipped_is_found_or_mattered_to_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = filled(directory.path()).await;
    let file = file::path(directory.path());
    // Every byte of the head, and a sample of the pages; the step is prime.
    let places = (0..512).chain((512..bytes.len()).step_by(61));
    let mut refused = 0;
    for at in places {
        fs::write(&file, &bytes).unwrap();
        let opened = fs::OpenOptions::new().write(true).open(&file).unwrap();
        opened.write_all_at(&[bytes[at] ^ (1 << (at % 8))], at as u64).unwrap();
        drop(opened);
        refused += u32::from(!opens_whole_or_not(directory.path(), &format!("byte {at}")).await);
    }
    assert!(refused > 0, "no flip was noticed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_cut_off_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = filled(directory.path()).await;
    let file = file::path(directory.path());
    for length in (0..bytes.len()).step_by(509).chain([1, 8, 511, bytes.len() - 1]) {
        fs::write(&file, &bytes[..length]).unwrap();
        let whole = opens_whole_or_not(directory.path(), &format!("{length} bytes")).await;
        assert!(!whole, "{length} of {} bytes", bytes.len());
    }
    fs::write(&file, &bytes).unwrap();
    assert!(opens_whole_or_not(directory.path(), "whole again").await);
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
