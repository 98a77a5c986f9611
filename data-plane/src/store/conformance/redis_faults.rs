//! What only Redis can do wrong: never an ack, and never something half done.

use gavel_rules::{Epoch, Incarnation, Millis};

use super::fixture::{Owned, assert_stored, claimed, node};
use super::server::{Server, until};
use crate::store::{Appended, Counted, Durability, Holder, PLACES_KEPT, StoreError, Take, Wanted};

const META: &str = "gavel:room:{r}:meta";
const EVENTS: &str = "gavel:room:{r}:events";

#[tokio::test]
async fn every_limiter_key_has_an_expiry_and_goes() {
    let server = Server::start().await;
    let store = server.store();
    let window = Millis::new(150);
    for n in 0..20 {
        let user = format!("u-{n}").parse().unwrap();
        assert_eq!(store.take_bid(&user, None, 2, window).await, Ok(Take::Taken));
        let key = format!("gavel:limit:bid:{{u-{n}}}");
        let left: i64 = server.send(&["PTTL", &key]).await;
        // -2: the window is already over. -1 would be a key without an expiry.
        assert!(left != -1 && left <= 150, "{left}");
    }
    let holder = Holder { node: node("n"), incarnation: Incarnation::new(1) };
    let addresses = ["192.0.2.1", "2001:db8::"].map(|ip| Counted::Address(ip.parse().unwrap()));
    let others = [Counted::User("u".parse().unwrap()), Counted::Room("r".parse().unwrap())];
    for counted in addresses.into_iter().chain(others) {
        // Taken, refused, noted again.
        for (least, most, max) in [(0, 1, 1), (0, 2, 1), (1, 1, 1)] {
            let wanted = Wanted { least, most, max, buries: true };
            assert_eq!(store.hold(&counted, &holder, wanted).await.unwrap().mine, 1);
            let key = format!("gavel:limit:sockets:{{{counted}}}");
            let left: i64 = server.send(&["PTTL", &key]).await;
            assert!(left > 0 && left <= 5_000, "{key}: {left}");
        }
    }
    assert_eq!(PLACES_KEPT.get(), 5_000);
    until("the end of all limiter keys", async || {
        let keys: Vec<String> = server.send(&["KEYS", "*"]).await;
        keys.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_append_that_fails_leaves_nothing_behind() {
    let server = Server::start().await;
    let owned = Owned::claim(&server.store(), "r").await;
    let before: Vec<String> = server.send(&["HGETALL", META]).await;
    server.send::<()>(&["SET", EVENTS, "not a stream"]).await;
    let outcome = owned.append(1, 3).await;
    assert!(matches!(outcome, Err(StoreError::Corrupt(_))), "{outcome:?}");
    let after: Vec<String> = server.send(&["HGETALL", META]).await;
    assert_eq!(before, after);

    server.send::<()>(&["DEL", EVENTS]).await;
    assert_stored(&owned.append(1, 3).await);
    owned.assert_holds(3).await;
}

#[tokio::test]
async fn durable_is_said_only_while_each_append_is_synced() {
    let server = Server::start().await;
    let store = server.store();
    let becomes = async |level| {
        until("another level", async || {
            store.ask_durability().await.unwrap();
            (store.durability() == level).then_some(())
        })
        .await;
    };
    becomes(Durability::Primary).await;
    server.send::<()>(&["CONFIG", "SET", "appendfsync", "always"]).await;
    server.send::<()>(&["CONFIG", "SET", "appendonly", "yes"]).await;
    assert_eq!(store.durability(), Durability::Primary, "nobody has asked yet");
    becomes(Durability::Durable).await;
    server.send::<()>(&["CONFIG", "SET", "appendfsync", "everysec"]).await;
    becomes(Durability::Primary).await;
    server.send::<()>(&["CONFIG", "SET", "appendfsync", "always"]).await;
    becomes(Durability::Durable).await;
    // Over a new connection there may be another server.
    server.send::<()>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    until("a new connection", async || store.now().await.ok()).await;
    assert_eq!(store.durability(), Durability::Primary);
    becomes(Durability::Durable).await;
    server.send::<()>(&["ACL", "SETUSER", "default", "-config"]).await;
    becomes(Durability::Primary).await;
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_unavailable_until_it_does() {
    let server = Server::start().await;
    let owned = Owned::claim(&server.store(), "r").await;
    assert_stored(&owned.append(1, 1).await);
    for (next, setting, bad, good) in
        [(2, "maxmemory", "1", "0"), (3, "min-replicas-to-write", "1", "0")]
    {
        server.send::<()>(&["CONFIG", "SET", setting, bad]).await;
        assert_eq!(owned.append(next, next).await, Err(StoreError::Unavailable), "{setting}");
        server.send::<()>(&["CONFIG", "SET", setting, good]).await;
        owned.assert_holds(next - 1).await;
        assert_stored(&owned.append(next, next).await);
    }
    server.send::<()>(&["REPLICAOF", "127.0.0.1", "1"]).await;
    assert_eq!(owned.append(4, 4).await, Err(StoreError::Unavailable));
    server.send::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    assert_stored(&owned.append(4, 4).await);
    owned.assert_holds(4).await;
}

#[tokio::test]
async fn a_frozen_server_leaves_the_outcome_unknown_and_a_load_settles_it() {
    let server = Server::start().await;
    let owned = Owned::claim(&server.store(), "r").await;
    assert_stored(&owned.append(1, 2).await);
    server.send::<()>(&["CLIENT", "PAUSE", "600", "ALL"]).await;
    assert_eq!(owned.append(3, 3).await, Err(StoreError::Unknown));
    until("the thaw", async || owned.store.load(&owned.room).await.ok()).await;
    // It was done or not; a second try tells which, and cannot do it twice.
    let again = owned.append(3, 3).await.unwrap();
    assert!(matches!(again, Appended::Stored { .. } | Appended::Conflict { .. }), "{again:?}");
    owned.assert_holds(3).await;
}

#[tokio::test]
async fn a_server_that_is_gone_acknowledges_nothing() {
    let mut server = Server::start().await;
    let owned = Owned::claim(&server.store(), "r").await;
    assert_stored(&owned.append(1, 1).await);
    server.kill();
    until("unavailability", async || match owned.append(2, 2).await {
        Err(StoreError::Unavailable) => Some(()),
        Err(StoreError::Unknown) => None,
        other => panic!("{other:?}"),
    })
    .await;
}

#[tokio::test]
async fn a_lost_stream_is_noticed_and_not_continued() {
    let server = Server::start().await;
    let owned = Owned::claim(&server.store(), "r").await;
    owned.fill(1, 9).await;
    server.send::<()>(&["DEL", EVENTS]).await;
    let outcome = owned.store.load(&owned.room).await;
    assert!(matches!(outcome, Err(StoreError::Corrupt(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_history_that_starts_over_has_another_generation() {
    let server = Server::start().await;
    let owned = Owned::claim(&server.store(), "r").await;
    let first = owned.load().await;
    until("the next millisecond", async || {
        (owned.store.now().await.unwrap() > first.now).then_some(())
    })
    .await;
    server.send::<()>(&["FLUSHALL"]).await;
    let second = claimed(owned.store.claim(&owned.room, Epoch::new(1), &node("node-1")).await);
    assert!(second.generation > first.generation);
}

#[tokio::test]
async fn the_store_names_its_durability() {
    let server = Server::start().await;
    assert_eq!(server.store().durability(), Durability::Primary);
    assert_eq!(server.store().durability().as_str(), "primary");
    assert_eq!(crate::store::open(None).unwrap().durability(), Durability::Memory);
}
