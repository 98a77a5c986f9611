//! What the engine on disk keeps over a restart, and what it does not.

use std::sync::Arc;

use gavel_rules::{Epoch, Guard, Millis, Seq};
use gavel_runtime::disk::Disk;

use super::fixture::{ANY_TIME, Owned, assert_same, assert_stored, claimed, events, folded, node};
use super::fixture::{redb, room};
use crate::store::redb::at_time;
use crate::store::{Appended, Claim, Durability, RoomStore, Take};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_survives_with_its_epoch_its_events_and_its_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let owned = Owned::claim(&redb(directory.path()), "r").await;
    owned.fill(1, 700).await;
    let snapshot = folded(600).to_snapshot();
    owned.store.snapshot(&owned.room, owned.epoch, &snapshot).await.unwrap();
    let before = owned.load().await;
    let Owned { room, epoch, store } = owned;
    drop(store);

    let owned = Owned { store: redb(directory.path()), room, epoch };
    owned.assert_holds(700).await;
    let after = owned.load().await;
    assert_eq!((after.generation, after.epoch), (before.generation, before.epoch));
    assert_eq!(after.owner, Some(node("node-1")));
    // The fence holds against others, the owner goes on.
    let other = owned.store.claim(&owned.room, epoch, &node("node-2")).await;
    assert!(matches!(other, Ok(Claim::Fenced { .. })), "{other:?}");
    let early = Owned { epoch: Epoch::new(0), ..owned.clone() }.append(701, 701).await;
    assert!(matches!(early, Ok(Appended::Fenced { .. })), "{early:?}");
    let again = claimed(owned.store.claim(&owned.room, epoch, &node("node-1")).await);
    assert_same(&again.auction, &folded(700));
    assert_stored(&owned.append(701, 701).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_of_many_rooms_share_transactions_and_all_survive() {
    let directory = tempfile::tempdir().unwrap();
    let store = redb(directory.path());
    let mut rooms = Vec::new();
    for n in 0..40 {
        rooms.push(Owned::claim(&store, &format!("r-{n}")).await);
    }
    for seq in 1..=10 {
        let appends = rooms.iter().map(|owned| owned.append(seq, seq));
        for outcome in futures::future::join_all(appends).await {
            assert_stored(&outcome);
        }
    }
    drop((store, std::mem::take(&mut rooms)));
    let store = redb(directory.path());
    for n in 0..40 {
        let room = room(&format!("r-{n}"));
        Owned { store: Arc::clone(&store), room, epoch: Epoch::new(1) }.assert_holds(10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_does_not_fall_behind_what_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let store = redb(directory.path());
    let owned = Owned::claim(&store, "r").await;
    let ahead = store.now().await.unwrap().saturating_add(Millis::new(3_600_000));
    drop((owned, store));

    // The machine's clock was an hour ahead during one run, and is right again in the next.
    let disk = Arc::new(Disk::open(directory.path()).unwrap());
    let fast: Arc<dyn RoomStore> = Arc::new(at_time(disk, ahead));
    let owned = Owned { store: fast, room: room("r"), epoch: Epoch::new(1) };
    assert_stored(&owned.append(1, 2).await);
    drop(owned);

    let store = redb(directory.path());
    let until_ahead = Guard { not_before: None, not_after: Some(ahead) };
    let late =
        store.append(&room("r"), Epoch::new(1), Seq::new(2), until_ahead, &events(3, 3)).await;
    assert!(matches!(late, Ok(Appended::TooLate { now }) if now >= ahead), "{late:?}");
    let stored =
        store.append(&room("r"), Epoch::new(1), Seq::new(2), ANY_TIME, &events(3, 3)).await;
    assert!(matches!(stored, Ok(Appended::Stored { at, .. }) if at >= ahead), "{stored:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bid_limit_begins_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (user, minute) = ("u".parse().unwrap(), Millis::new(60_000));
    for _ in 0..2 {
        let store = redb(directory.path());
        assert_eq!(store.take_bid(&user, None, 1, minute).await, Ok(Take::Taken));
        let second = store.take_bid(&user, None, 1, minute).await;
        assert!(matches!(second, Ok(Take::Refused { .. })), "{second:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_names_its_durability() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(redb(directory.path()).durability(), Durability::Durable);
    assert_eq!(Durability::Durable.as_str(), "durable");
}
