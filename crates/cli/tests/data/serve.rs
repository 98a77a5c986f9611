//! `gavel serve` is killed and comes back.

use crate::{
    bidders::{Ack, Bidders, bid_once},
    process::{Server, at, gavel},
};
use gavel_data_plane::store::{RedbStore, RoomStore as _, StoredEvent};
use gavel_rules::{EventKind, Seq};
use gavel_runtime::{clock, disk::Disk};
use gavel_testkit::blocking::until;
use std::{collections::HashMap, path::Path, sync::Arc};

const ROOMS: [&str; 3] = ["lamp", "chair", "clock"];
/// Acks between two kills.
const ACKS: usize = 60;
const KILLS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_bid_is_there_after_kill_9_under_load() {
    let server = Server::new();
    let mut process = server.start();
    for room in ROOMS {
        server.json(&create(room, "1h"));
    }
    server.json("limits set sockets_per_ip_max=0 bids_per_user_max=0");

    let bidders = Bidders::start(&server.url(), &ROOMS, 3);
    for kill in 1..=KILLS {
        let before = bidders.acked();
        until("acks", || {
            assert!(process.words().len() < 10_000_000, "it does not stop complaining");
            (bidders.acked() >= before + ACKS).then_some(())
        });
        process.kill();
        if kill == KILLS {
            break;
        }
        process = server.start();
    }
    let acks = bidders.stop().await;
    assert!(acks.len() >= KILLS * ACKS, "{}", acks.len());
    assert!(acks.iter().all(|ack| ack.durability == "durable"), "{:?}", acks.first());
    assert_all_stored(&server.data(), &ROOMS, &acks).await;

    // And it still serves, with the limits it was given.
    let mut process = server.start();
    assert_eq!(*at(&server.json("limits get"), "/limits/bids_per_user_max"), 0);
    for room in ROOMS {
        let last = acks.iter().filter(|ack| ack.room == room).map(|ack| ack.amount).max();
        let price = at(&server.room(room), "/view/price").as_u64();
        assert!(price >= last, "{room}: {price:?} after {last:?}");
    }
    assert!(process.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_no_writes_acknowledges_nothing_until_it_does() {
    const MANY: usize = 30;
    let server = Server::new();
    let process = server.start_for_limits();
    server.json(&create("lamp", "1h"));
    server.json("limits set sockets_per_ip_max=0 bids_per_user_max=0");
    let bidders = Bidders::start(&server.url(), &["lamp"], 3);
    until("acks", || (bidders.acked() >= MANY).then_some(()));

    process.limit_files(Some(4096));
    until("refusals", || (bidders.unavailable() >= MANY).then_some(()));
    let acked = bidders.acked();
    until("more refusals", || (bidders.unavailable() >= 2 * MANY).then_some(()));
    assert_eq!(bidders.acked(), acked, "nothing can have been written");

    process.limit_files(None);
    until("more acks", || (bidders.acked() >= acked + MANY).then_some(()));
    process.kill();
    assert_all_stored(&server.data(), &["lamp"], &bidders.stop().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_with_what_runs_and_closes_what_ran_out() {
    let server = Server::new();
    let process = server.start();
    server.json(&create("long", "1h"));
    server.json(&create("short", "8s"));
    let bids = [bid_once(&server.url(), "long").await, bid_once(&server.url(), "short").await];
    let [long, short] = ["long", "short"].map(|room| server.room(room));
    assert_eq!(*at(&short, "/view/state"), "open");
    process.kill();

    let closes_at = at(&short, "/view/closesAt").as_u64().expect("a time");
    until("the closing time", || (clock::now_ms() > closes_at).then_some(()));
    let _process = server.start();
    let after = server.room("long");
    for field in ["state", "price", "highBidder", "bidCount", "closesAt"] {
        let path = format!("/view/{field}");
        assert_eq!(at(&after, &path), at(&long, &path), "{field}");
    }
    let closed = until("the close", || {
        Some(server.room("short")).filter(|room| *at(room, "/view/state") == "closed")
    });
    let winner = at(&short, "/view/highBidder").as_str().expect("a bidder");
    let outcome = at(&closed, "/view/outcome").as_str().expect("an outcome");
    assert!(outcome.starts_with(&format!("sold to {winner} for ")), "{outcome}");
    assert_eq!(at(&closed, "/view/price").as_u64(), Some(bids[1].amount));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_gives_back_the_time_between_where_the_rules_say_so() {
    let server = Server::new();
    let process = server.start();
    server.json(&format!("{} --credit-outages 10m", create("vase", "6s")));
    let bid = bid_once(&server.url(), "vase").await;
    let before = server.room("vase");
    let closes_at = at(&before, "/view/closesAt").as_u64().expect("a time");
    process.kill();
    let killed_at = clock::now_ms();
    assert!(killed_at < closes_at, "too slow to tell");
    until("the closing time", || (clock::now_ms() > closes_at + 500).then_some(()));
    assert!(clock::now_ms() > killed_at + 2_000);

    let process = server.start();
    let after = until("the credit", || {
        Some(server.room("vase")).filter(|room| at(room, "/view/creditedMs").as_u64() > Some(0))
    });
    assert_eq!(*at(&after, "/view/state"), "open");
    let credited = at(&after, "/view/creditedMs").as_u64().expect("a length");
    // A heartbeat is at most so old when its process is killed.
    let since = closes_at + 500 - killed_at;
    assert!(credited >= since, "{credited} for {since} and the start");
    assert_eq!(at(&after, "/view/closesAt").as_u64(), Some(closes_at + credited));
    let again = bid_once(&server.url(), "vase").await;
    assert!(again.amount > bid.amount);
    until("the close", || {
        Some(server.room("vase")).filter(|room| *at(room, "/view/state") == "closed")
    });
    process.kill();
    let verified = gavel("verify --data").arg(server.data()).output().expect("it runs");
    let said = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success() && said.contains("vase"), "{said}");
    let store = RedbStore::new(Arc::new(Disk::open(&server.data()).expect("the store opens")));
    let events = store.range(&"vase".parse().expect("an id"), Seq::new(0), 100).await;
    let kinds = events.expect("the events");
    let credits = kinds.iter().filter(|one| matches!(one.event.kind, EventKind::Credited { .. }));
    assert_eq!(credits.count(), 1, "{kinds:?}");
}

/// Every ack is in its room's stream, and the stream is whole.
async fn assert_all_stored(directory: &Path, rooms: &[&str], acks: &[Ack]) {
    let store = RedbStore::new(Arc::new(Disk::open(directory).expect("the store opens")));
    let mut stored = HashMap::new();
    for room in rooms {
        let id = room.parse().expect("an id");
        let events = store.range(&id, Seq::new(0), usize::MAX).await.expect("the events");
        let seqs: Vec<_> = events.iter().map(|stored| stored.event.seq.get()).collect();
        assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{room}: {seqs:?}");
        assert!(events.is_sorted_by_key(|stored| stored.epoch), "{room}: an epoch fell");
        stored.extend(events.into_iter().filter_map(|stored| accepted(room, stored)));
        store.load(&id).await.expect("the events fold");
    }
    for ack in acks {
        let found = stored.get(&ack.bid_id);
        assert_eq!(found, Some(&(ack.room.clone(), ack.seq, ack.amount)), "{ack:?} is lost");
    }
}

fn accepted(room: &str, stored: StoredEvent) -> Option<(String, (String, u64, u64))> {
    let seq = stored.event.seq.get();
    if let EventKind::BidAccepted { bid_id, amount, .. } = stored.event.kind {
        return Some((bid_id.to_string(), (room.to_owned(), seq, amount.minor())));
    }
    None
}

fn create(room: &str, closes_in: &str) -> String {
    format!(
        "rooms create {room} --title {room} --opening-price 10.00 --increment 1.00 \
         --closes-in {closes_in} --guests bid"
    )
}
