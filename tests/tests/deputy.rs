//! A node that cannot reach the owner of a room decides by itself, and there is
//! one order of bids all the same.

use gavel_tests::{Client, Options, Protocol, RedisServer, World, token, until, world::rules};
use serde_json::Value;

const ROOM: &str = "vase";

fn seq_of(message: &Value) -> u64 {
    message.get("seq").and_then(Value::as_u64).unwrap_or_default()
}

fn price_of(message: &Value) -> u64 {
    message.get("currentBid").and_then(Value::as_u64).unwrap_or_default()
}

/// The price once a viewer knows this seq, be it by an update or the whole state.
async fn price_at(viewer: &mut Client, seq: u64) -> u64 {
    price_of(&viewer.expect("the state", |m| price_of(m) > 0 && seq_of(m) >= seq).await)
}

/// The viewer was told each event after `joined` once, in order, and never the whole state again.
async fn saw_each_update(mut viewer: Client, joined: u64, last: u64) {
    for seq in joined + 1..=last {
        let told = viewer.expect("what comes next", |m| seq_of(m) > 0).await;
        let kind = told.get("type").and_then(Value::as_str);
        assert_eq!((kind, seq_of(&told)), (Some("auctionUpdate"), seq), "{told}");
    }
}

/// Cuts the edge off from the owner, has both decide in turns, and mends it.
async fn decides_apart(world: World) {
    let room = world.room(ROOM, rules()).await;
    let mut ada = Client::with_token(room.owner, Protocol::V1, &token::bidder("ada")).await;
    let mut bob = Client::with_token(room.edge, Protocol::V1, &token::bidder("bob")).await;
    for client in [&mut ada, &mut bob] {
        client.join(ROOM).await;
    }
    let mut viewers = Vec::new();
    for node in [room.owner, room.edge] {
        let mut viewer = Client::connect(node, Protocol::V1).await;
        let joined = seq_of(&viewer.join(ROOM).await);
        viewers.push((viewer, joined));
    }
    ada.accepted(ROOM, 100, "a-0").await;
    world.cable(room.owner).cut();
    for n in 1..=20_u64 {
        let at_edge = bob.accepted(ROOM, n * 1_000, &format!("b-{n}")).await;
        let at_owner = ada.accepted(ROOM, n * 1_000 + 500, &format!("a-{n}")).await;
        assert_eq!(seq_of(&at_owner), seq_of(&at_edge) + 1, "one order");
    }
    // A retry finds its answer wherever it is asked.
    let again = bob.accepted(ROOM, 20_000, "b-20").await;
    let low = ada.rejected(ROOM, 20_000, "a-low").await;
    assert_eq!(low, "own_bid");
    let last = price_at(&mut bob, seq_of(&again) + 1).await;
    assert_eq!(last, 20_500, "what the owner decided is seen at the edge");
    let alone = bob.accepted(ROOM, 30_000, "b-alone").await;
    let seen = price_at(&mut ada, seq_of(&alone)).await;
    assert_eq!(seen, 30_000, "an owner looks for what its deputy decided");

    world.cable(room.owner).mend();
    let before = ada.accepted(ROOM, 40_000, "a-after").await;
    assert_eq!(price_at(&mut bob, seq_of(&before)).await, 40_000);
    let last = seq_of(&bob.accepted(ROOM, 50_000, "b-after").await);
    for (viewer, joined) in viewers {
        saw_each_update(viewer, joined, last).await;
    }
    world.audited(room.owner, ROOM).await;
    world.stop().await;
}

#[tokio::test]
async fn an_edge_decides_while_its_owner_is_out_of_reach() {
    decides_apart(World::with(Options { cables: true, ..Options::default() }).await).await;
}

#[tokio::test]
async fn an_edge_decides_while_its_owner_is_out_of_reach_on_redis() {
    let redis = RedisServer::start().await;
    let options = Options { cables: true, redis_url: Some(redis.url()), ..Options::default() };
    decides_apart(World::with(options).await).await;
}

#[tokio::test]
async fn a_bid_that_is_under_way_when_the_line_falls_silent_is_settled() {
    let world = World::with(Options { cables: true, ..Options::default() }).await;
    let room = world.room(ROOM, rules()).await;
    let mut bob = Client::with_token(room.edge, Protocol::V1, &token::bidder("bob")).await;
    bob.join(ROOM).await;
    bob.accepted(ROOM, 100, "b-0").await;
    world.cable(room.owner).silence();
    let mut ada = Client::with_token(room.edge, Protocol::V1, &token::bidder("ada")).await;
    // Until the silence is noticed a bid may be told that nothing is known; its
    // retry settles it.
    let answer = until("an answer", async || {
        let answer = ada.bid(ROOM, 1_000, "a-1").await;
        (answer["type"] == "bidAccepted").then_some(answer)
    })
    .await;
    assert_eq!(ada.accepted(ROOM, 1_000, "a-1").await["seq"], answer["seq"]);
    world.cable(room.owner).mend();
    bob.accepted(ROOM, 2_000, "b-1").await;
    world.audited(room.owner, ROOM).await;
    world.stop().await;
}

#[tokio::test]
async fn no_refusal_comes_from_what_was_true_before_its_bid() {
    let redis = RedisServer::start().await;
    let world = World::with(Options { redis_url: Some(redis.url()), ..Options::default() }).await;
    let room = world.room(ROOM, rules()).await;
    let mut ada = Client::with_token(room.owner, Protocol::V1, &token::bidder("ada")).await;
    let mut bob = Client::with_token(room.owner, Protocol::V1, &token::bidder("bob")).await;
    ada.accepted(ROOM, 100, "a-1").await;
    // As far as the owner has heard, Ada holds the high bid.
    world.append_unseen(ROOM, "bob", 200, "b-1").await;
    ada.accepted(ROOM, 300, "a-2").await;

    // And a retry of what is stored is no bid too many.
    world.limits(|limits| limits.bids_per_user_max = 1).await;
    bob.accepted(ROOM, 400, "b-2").await;
    world.append_unseen(ROOM, "ada", 500, "a-3").await;
    world.append_unseen(ROOM, "bob", 600, "b-3").await;
    bob.accepted(ROOM, 600, "b-3").await;
    assert_eq!(bob.rejected(ROOM, 700, "b-4").await, "rate_limited");
    world.audited(room.owner, ROOM).await;
    world.stop().await;
}
