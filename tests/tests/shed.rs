//! What is refused, and in which order, while a room's bids wait for too long.

use gavel_rules::time::{Millis, Timestamp};
use gavel_runtime::clock;
use gavel_tests::{Client, Options, Protocol, Room, World, gate::GatedStore, until, world::rules};
use serde_json::json;
use std::{net::SocketAddr, sync::Arc};

/// Nodes whose store can be held back, with the limits of production for what is late.
async fn start() -> (Arc<GatedStore>, World) {
    let store = Arc::new(GatedStore::new());
    let options = Options { nodes: 2, store: Some(store.clone()), ..Options::default() };
    let world = World::with(options).await;
    world.limits(|limits| (limits.shed_target_ms, limits.shed_interval_ms) = (100, 500)).await;
    (store, world)
}

async fn until_shed(world: &World, node: SocketAddr, what: &str, rooms: usize) {
    let line = format!("gavel_shedding{{what=\"{what}\"}} {rooms}");
    until(&line, async || {
        let metrics = world.metrics(node).await;
        metrics.lines().any(|found| found == line).then_some(())
    })
    .await;
}

async fn count(world: &World, node: SocketAddr, what: &str) -> u64 {
    let metrics = world.metrics(node).await;
    let prefix = format!("gavel_shed_total{{what=\"{what}\"}} ");
    let count = metrics.lines().find_map(|line| line.strip_prefix(&prefix)?.parse().ok());
    count.expect("a count")
}

async fn bidders(room: &Room) -> [Client; 3] {
    let mut bidders = [
        Client::connect(room.owner, Protocol::V1).await,
        Client::connect(room.owner, Protocol::V1).await,
        Client::connect(room.owner, Protocol::V1).await,
    ];
    for bidder in &mut bidders {
        bidder.join(&room.id).await;
    }
    bidders
}

async fn send_bid(client: &mut Client, amount: u64, bid_id: &str) {
    let bid = json!({"type": "bid", "auctionId": "1", "amount": amount, "bidId": bid_id});
    client.send(&bid).await;
}

async fn join_answer(client: &mut Client) -> serde_json::Value {
    client.send(&json!({"type": "joinAuction", "auctionId": "1"})).await;
    client.expect("an answer", |m| m["type"] == "error" || m["type"] == "auctionState").await
}

#[tokio::test]
async fn a_room_that_is_held_back_sheds_joins_then_late_bids_and_recovers() {
    let (store, world) = start().await;
    let room = world.room("1", rules()).await;
    let [mut ada, mut ben, mut eve] = bidders(&room).await;
    let mut viewer = Client::connect(room.owner, Protocol::V1).await;
    let mut far = Client::connect(room.edge, Protocol::V1).await;
    far.join(&room.id).await;

    store.shut();
    send_bid(&mut ada, 100, "ada").await;
    store.until_waiting(1).await;
    send_bid(&mut ben, 200, "ben").await;
    until_shed(&world, room.owner, "joins", 1).await;
    let refused = join_answer(&mut viewer).await;
    assert_eq!((&refused["code"], &refused["auctionId"]), (&json!("unavailable"), &json!(1)));
    assert_eq!(refused["retryAfterMs"], 1_000, "{refused}");
    // Who is in stays in.
    assert_eq!(join_answer(&mut eve).await["type"], "auctionState");
    until_shed(&world, room.owner, "bids", 1).await;
    for client in [&mut eve, &mut far] {
        client.expect("a word of it", |m| m["type"] == "degraded" && m["level"] == "slow").await;
    }

    store.open();
    let answer = |bid: &'static str| move |m: &serde_json::Value| m["bidId"] == bid;
    assert_eq!(ada.expect("ada's", answer("ada")).await["type"], "bidAccepted");
    let late = ben.expect("ben's", answer("ben")).await;
    assert_eq!((&late["type"], &late["code"]), (&json!("error"), &json!("unavailable")), "{late}");
    assert!(late["retryAfterMs"].as_u64() > Some(0), "{late}");
    assert_eq!(
        (count(&world, room.owner, "joins").await, count(&world, room.owner, "bids").await),
        (1, 1)
    );
    // One that has not waited is decided, whatever became of those before it.
    eve.accepted(&room.id, 200, "eve").await;
    for what in ["joins", "bids"] {
        until_shed(&world, room.owner, what, 0).await;
    }
    for client in [&mut eve, &mut far] {
        client.expect("its end", |m| m["type"] == "degraded" && m["level"] == "full").await;
    }
    assert_eq!(join_answer(&mut viewer).await["type"], "auctionState");
    // What was shed was not stored, neither then nor later, and its retry is a new bid.
    assert_eq!(world.inspect("1").await.unwrap().view.unwrap().bid_count, 2);
    ben.accepted(&room.id, 300, "ben").await;
    world.audited(room.owner, "1").await;
    world.stop().await;
}

#[tokio::test]
async fn a_close_comes_before_all_that_waits() {
    let (store, world) = start().await;
    let closes_at = Timestamp::new(clock::now_ms()).saturating_add(Millis::new(3_000));
    let rules = gavel_rules::auction::AuctionRules { closes_at, ..rules() };
    let room = world.room("1", rules).await;
    let [mut ada, mut ben, mut eve] = bidders(&room).await;
    ada.accepted("1", 100, "first").await;

    store.shut();
    send_bid(&mut ada, 300, "ada").await;
    store.until_waiting(1).await;
    for n in 0..40 {
        send_bid(&mut ben, 400 + n * 100, &format!("ben{n}")).await;
    }
    until_shed(&world, room.owner, "bids", 1).await;
    until("the closing time", async || (clock::now_ms() > closes_at.as_millis()).then_some(()))
        .await;
    store.open();
    let closed = eve.expect("the close", |m| m["type"] == "auctionClosed").await;
    // It was created and opened, and took one bid.
    assert_eq!(closed["seq"], 4, "nothing came between the first bid and the close: {closed}");
    for n in 0..40 {
        let id = format!("ben{n}");
        let answer = ben.expect("an answer", |m| m["bidId"] == id.as_str()).await;
        assert_ne!(answer["type"], "bidAccepted", "{answer}");
    }
    world.audited(room.owner, "1").await;
    world.stop().await;
}
