//! A power cut at any moment: what was answered is there, in order, and nothing that was not
//! asked for. What was not synced may have reached the disk or not, whole or in part.

use std::collections::VecDeque;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

const KEYS: u64 = 8;
/// What may be left of the unsynced writes at one moment, drawn this often.
const DRAWS: u64 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_power_cut_everything_that_was_answered_is_there() {
    let directory = tempfile::tempdir().unwrap();
    drop(Disk::open(directory.path()).unwrap());
    let empty = fs::read(file::path(directory.path())).unwrap();
    let (disk, switches) = switched(directory.path());
    for key in 0..KEYS {
        put(&disk, key).await.unwrap();
        switches.done.lock().push(Done::Answered);
    }
    drop(disk);

    let done = switches.done.lock().clone();
    let mut begun_later = 0;
    for cut in 0..=done.len() {
        let answered = done[..cut].iter().filter(|done| matches!(done, Done::Answered)).count();
        for draw in 0..DRAWS {
            let mut random = SmallRng::seed_from_u64(draw + DRAWS * cut as u64);
            let left = left_after(&empty, &done[..cut], draw, &mut random);
            let found = keys_of(&left).unwrap_or_else(|error| {
                panic!("cut {cut}, draw {draw}: {error}");
            });
            assert!(found.len() >= answered, "cut {cut}, draw {draw}: {answered} but {found:?}");
            assert!(found.iter().copied().eq(0..found.len() as u64), "{found:?}");
            begun_later += u32::from(found.len() > answered);
        }
    }
    assert!(done.len() > 50, "the cuts fell between {} steps only", done.len());
    assert!(begun_later > 0, "no cut fell between a commit and its answer");
}

/// What the disk holds: all that was synced, and of the rest nothing, everything, or what chance
/// leaves of it.
fn left_after(empty: &[u8], done: &[Done], draw: u64, random: &mut SmallRng) -> Vec<u8> {
    let synced = done.iter().rposition(|done| matches!(done, Done::Synced)).unwrap_or(0);
    let mut disk = empty.to_vec();
    let (certain, open) = done.split_at(synced);
    certain.iter().for_each(|done| apply(&mut disk, done, usize::MAX));
    // A disk may write in any order.
    let mut open: VecDeque<_> = open.iter().collect();
    while let Some(done) = open.pop_front() {
        match draw {
            0 => {}
            1 => apply(&mut disk, done, usize::MAX),
            _ if !open.is_empty() && random.random_bool(0.3) => open.push_back(done),
            _ if random.random_bool(0.5) => {
                // Sectors are whole.
                let sectors =
                    if random.random_bool(0.3) { random.random_range(0..8) } else { 4096 };
                apply(&mut disk, done, sectors * 512);
            }
            _ => {}
        }
    }
    disk
}

fn apply(disk: &mut Vec<u8>, done: &Done, bytes_max: usize) {
    match done {
        Done::Length(length) => disk.resize(usize::try_from(*length).unwrap(), 0),
        Done::Written(offset, data) => {
            let (from, data) =
                (usize::try_from(*offset).unwrap(), &data[..data.len().min(bytes_max)]);
            let end = from + data.len();
            if disk.len() < end {
                disk.resize(end, 0);
            }
            disk[from..end].copy_from_slice(data);
        }
        Done::Synced | Done::Answered => {}
    }
}
