//! A Redis with a replica: what is said to be there is, and a failover is noticed.

use std::sync::Arc;

use gavel_rules::Seq;
use gavel_testkit::Failover;

use super::fixture::{Owned, assert_stored};
use super::server::{Server, until};
use crate::config::RedisConfig;
use crate::store::{Appended, Durability, RoomStore, Stamp, StoreError, configured};

fn store(servers: &Failover, replicas_min: u32) -> Arc<dyn RoomStore> {
    configured(&RedisConfig { url: servers.url(), replicas_min, ..Default::default() }).unwrap()
}

/// Appends an event, and tells where and when that was.
async fn stamped(owned: &Owned, seq: u64) -> Stamp {
    let stamp = owned.store.stamp();
    assert_stored(&owned.append(seq, seq).await);
    stamp.answered()
}

/// Asks the replicas until they have it.
async fn until_covered(store: &Arc<dyn RoomStore>, stamp: Stamp) {
    until("a replica that has it", async || {
        store.ask_durability().await.unwrap();
        store.watermark().covers(stamp).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_called_replicated_survives_the_primary() {
    let servers = Failover::start().await;
    let owned = Owned::claim(&store(&servers, 1), "r").await;
    assert_eq!(owned.store.durability(), Durability::Replicated);
    assert_eq!(owned.store.durability().as_str(), "replicated");
    owned.fill(1, 5).await;
    servers.replica.freeze();
    assert_eq!(owned.append(6, 6).await, Err(StoreError::Unknown));
    // It is on the primary, but nobody may be told: a retry must not find it there.
    let loaded = owned.store.load(&owned.room).await;
    assert!(matches!(loaded, Err(StoreError::Unknown)), "{loaded:?}");
    servers.replica.thaw();
    until("the replica", async || owned.store.load(&owned.room).await.ok()).await;
    let again = owned.append(6, 6).await.unwrap();
    assert!(matches!(again, Appended::Conflict { .. }), "{again:?}");
    assert_stored(&owned.append(7, 7).await);

    servers.promote().await;
    servers.fail_over();
    let alone = Owned { store: store(&servers, 0), ..owned.clone() };
    alone.assert_holds(7).await;
    let alone = owned.append(8, 8).await;
    assert!(matches!(alone, Err(StoreError::Unknown | StoreError::Unavailable)), "{alone:?}");
}

#[tokio::test]
async fn the_mark_does_not_run_ahead_of_the_replica() {
    let servers = Failover::start().await;
    let owned = Owned::claim(&store(&servers, 0), "r").await;
    let first = stamped(&owned, 1).await;
    until_covered(&owned.store, first).await;
    servers.replica.freeze();
    let second = stamped(&owned, 2).await;
    // Long enough for what had been asked before to be answered.
    for seq in 3..=40 {
        stamped(&owned, seq).await;
        owned.store.ask_durability().await.unwrap();
        assert!(!owned.store.watermark().covers(second));
    }
    servers.replica.thaw();
    until_covered(&owned.store, second).await;
    servers.promote().await;
    servers.fail_over();
    let loaded = until("the other server", async || owned.store.load(&owned.room).await.ok()).await;
    assert!(loaded.auction.view().seq >= Seq::new(2));
}

#[tokio::test]
async fn after_a_failover_the_mark_of_before_covers_nothing_new() {
    let servers = Failover::start().await;
    let owned = Owned::claim(&store(&servers, 0), "r").await;
    let kept = stamped(&owned, 1).await;
    until_covered(&owned.store, kept).await;
    let server = owned.store.watermark().server;
    servers.promote().await;
    let lost = stamped(&owned, 2).await;
    servers.fail_over();
    until("another server", async || {
        drop(owned.store.ask_durability().await);
        (owned.store.watermark().server > server).then_some(())
    })
    .await;
    assert_eq!(owned.load().await.auction.view().seq, Seq::new(1));
    assert!(owned.store.watermark().has_replicas, "the old primary may come back as one");
    assert!(!owned.store.watermark().covers(lost));
    assert!(!owned.store.watermark().covers(stamped(&owned, 2).await));
}

#[tokio::test]
async fn a_server_without_replicas_is_asked_for_nothing() {
    let server = Server::start().await;
    let owned = Owned::claim(&server.store(), "r").await;
    let stamp = stamped(&owned, 1).await;
    until("a look at it", async || {
        owned.store.ask_durability().await.unwrap();
        (owned.store.watermark().server == 1).then_some(())
    })
    .await;
    let mark = owned.store.watermark();
    assert!(!mark.has_replicas && !mark.covers(stamp));
    assert!(!server.send::<bool>(&["EXISTS", "gavel:watermark"]).await);
    let calls: String = server.send(&["INFO", "commandstats"]).await;
    assert!(!calls.contains("cmdstat_wait:"), "{calls}");
}
