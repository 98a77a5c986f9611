//! A client that knows a part of an auction's history gets the rest of it.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that lacks a key gives null, which the test then names"
)]

use gavel_proto::admin::v1::{CloseRoomRequest, MoveRoomRequest};
use gavel_runtime::tasks;
use gavel_tests::{
    Client, Options, Protocol, RedisServer, World,
    world::{Room, rules},
};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio_tungstenite::tungstenite::Message;

const ROOM: &str = "vase";

/// What a client knows of the room.
#[derive(Debug, Clone)]
struct Position {
    generation: Value,
    seq: u64,
}

/// Two or more nodes and a room, with updates that do not wait for each other.
async fn start(options: Options) -> (World, Room) {
    let world = World::with(options).await;
    world.limits(|limits| limits.batch_window_ms = 0).await;
    let room = world.room(ROOM, rules()).await;
    (world, room)
}

/// Where a newcomer stands.
async fn position(node: SocketAddr) -> Position {
    let state = Client::connect(node, Protocol::V1).await.join(ROOM).await;
    Position { generation: state["generation"].clone(), seq: seq_of(&state) }
}

fn seq_of(message: &Value) -> u64 {
    message["seq"].as_u64().unwrap_or_else(|| panic!("no seq: {message}"))
}

/// Bids so many times, by two bidders in turn, from `first` on.
async fn bid(node: SocketAddr, first: u64, bids: u64) {
    let mut bidders =
        [Client::connect(node, Protocol::V1).await, Client::connect(node, Protocol::V1).await];
    for (n, bidder) in (first..first + bids).zip([0, 1].into_iter().cycle()) {
        bidders[bidder].accepted(ROOM, n * 100, &format!("b-{n}")).await;
    }
}

/// Comes back to a node, and gets exactly what came after the position.
async fn comes_back(node: SocketAddr, known: &Position, last: u64) -> (Client, Vec<Value>) {
    let mut client = Client::connect(node, Protocol::V1).await;
    let resumed = client.resume(ROOM, &known.generation, known.seq).await;
    assert_eq!(resumed["type"], "auctionResumed", "{resumed}");
    assert_eq!((&resumed["from"], &resumed["generation"]), (&known.seq.into(), &known.generation));
    let now = seq_of(&resumed);
    assert!(now <= last, "{resumed}");
    let mut missed = Vec::new();
    for seq in known.seq + 1..=last {
        let update = client.next().await.json;
        assert_eq!(seq_of(&update), seq, "no gap, nothing twice: {update}");
        missed.push(update);
    }
    (client, missed)
}

#[tokio::test]
async fn who_comes_back_to_the_node_gets_what_it_missed_and_what_follows() {
    let (world, room) = start(Options::default()).await;
    for node in [room.owner, room.edge] {
        // Somebody stays, so that the edge is told everything.
        let mut stays = Client::connect(node, Protocol::V1).await;
        let first = seq_of(&stays.join(ROOM).await);
        let known = position(node).await;
        bid(node, first, 3).await;
        stays.update(first + 3).await;
        let (mut client, missed) = comes_back(node, &known, first + 3).await;
        assert_eq!(missed[2]["currentBid"], (first + 2) * 100);
        assert!(missed[2].get("closesAt").is_none(), "only what changed: {:?}", missed[2]);
        // Nothing is missing: only what follows comes.
        let known = Position { seq: first + 3, ..known };
        let (mut same, _) = comes_back(node, &known, first + 3).await;
        bid(node, first + 3, 1).await;
        for viewer in [&mut client, &mut same] {
            let next = viewer.next().await.json;
            assert_eq!((&next["type"], seq_of(&next)), (&"auctionUpdate".into(), first + 4));
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn a_node_that_never_had_the_room_asks_its_owner_for_what_was_missed() {
    let (world, room) = start(Options::default()).await;
    let known = position(room.owner).await;
    bid(room.owner, 1, 20).await;
    let (_client, missed) = comes_back(room.edge, &known, known.seq + 20).await;
    // The state that the client knows came along, to tell what changed.
    assert!(missed[0].get("closesAt").is_none(), "{:?}", missed[0]);
    // And it stays: others come back from where they are.
    let behind = Position { seq: known.seq + 7, ..known };
    comes_back(room.edge, &behind, known.seq + 20).await;
    world.stop().await;
}

/// Moves the room to a node that reads it from the store.
async fn after_a_move(options: Options) {
    let (world, room) = start(Options { nodes: 3, ..options }).await;
    let known = position(room.owner).await;
    bid(room.owner, 1, 20).await;
    let owner = world.inspect(ROOM).await.expect("a room").owner;
    let cold = world.list_nodes().await.expect("nodes").into_iter().find(|node| node.id != owner);
    let node_id = cold.expect("another node").id;
    let request = MoveRoomRequest { id: ROOM.to_owned(), node_id };
    world.rooms().move_room(request).await.expect("it moves");
    let moved = world.placed(ROOM).await;
    assert_ne!(moved.owner, room.owner);
    for node in world.addrs() {
        comes_back(node, &known, known.seq + 20).await;
    }
    bid(moved.owner, 21, 1).await;
    comes_back(moved.owner, &known, known.seq + 21).await;
    world.stop().await;
}

#[tokio::test]
async fn an_owner_that_read_the_room_from_memory_knows_what_was_missed() {
    after_a_move(Options::default()).await;
}

#[tokio::test]
async fn an_owner_that_read_the_room_from_redis_knows_what_was_missed() {
    let redis = RedisServer::start().await;
    after_a_move(Options { redis_url: Some(redis.url()), ..Options::default() }).await;
}

#[tokio::test]
async fn a_close_that_was_missed_is_told_as_a_close() {
    let (world, room) = start(Options::default()).await;
    let known = position(room.owner).await;
    bid(room.owner, 1, 1).await;
    let closed = world.rooms().close_room(CloseRoomRequest { id: ROOM.to_owned() }).await;
    closed.expect("it closes");
    let (_client, missed) = comes_back(room.edge, &known, known.seq + 2).await;
    assert_eq!(
        (&missed[0]["type"], &missed[1]["type"]),
        (&"auctionUpdate".into(), &"auctionClosed".into())
    );
    assert_eq!(missed[1]["amount"], 100);
    // Also where only the close was missed.
    let behind = Position { seq: known.seq + 1, ..known };
    let (_client, missed) = comes_back(room.owner, &behind, known.seq + 2).await;
    assert_eq!(missed[0]["type"], "auctionClosed");
    world.stop().await;
}

#[tokio::test]
async fn a_position_that_leads_nowhere_gets_the_state() {
    let (world, room) = start(Options::default()).await;
    let known = position(room.owner).await;
    bid(room.owner, 1, 600).await;
    let last = known.seq + 600;
    let other = json!(known.generation.as_u64().expect("a number") + 1);
    for node in [room.owner, room.edge] {
        for (generation, seq) in [
            (&known.generation, known.seq),
            (&known.generation, last + 1),
            (&known.generation, u64::MAX),
            (&other, last),
            (&json!(0), 0),
        ] {
            let mut client = Client::connect(node, Protocol::V1).await;
            let state = client.resume(ROOM, generation, seq).await;
            assert_eq!(state["type"], "auctionState", "from {generation}, {seq}: {state}");
            assert_eq!((seq_of(&state), &state["currentBid"]), (last, &60_000.into()));
            assert!(client.drain().await.is_empty(), "and nothing else");
        }
    }
    // What a socket is sent at once goes back a good way.
    comes_back(room.owner, &Position { seq: last - 200, ..known }, last).await;
    world.stop().await;
}

#[tokio::test]
async fn what_is_no_position_is_refused() {
    let (world, room) = start(Options::default()).await;
    let mut client = Client::connect(room.owner, Protocol::V1).await;
    for position in [
        r#""generation":1"#,
        r#""seq":1"#,
        r#""generation":"1","seq":1"#,
        r#""generation":1,"seq":-1"#,
        r#""generation":1,"seq":1.5"#,
        r#""generation":{},"seq":[]"#,
        r#""generation":1,"seq":99999999999999999999"#,
    ] {
        let join = format!(r#"{{"type":"joinAuction","auctionId":"{ROOM}",{position}}}"#);
        assert_eq!(client.error_of(Message::text(join)).await, "bad_field", "{position}");
    }
    client.join(ROOM).await;
    world.stop().await;
}

#[tokio::test]
async fn a_member_with_a_gap_gets_it_closed() {
    let (world, room) = start(Options::default()).await;
    let mut member = Client::connect(room.edge, Protocol::V1).await;
    let state = member.join(ROOM).await;
    let first = seq_of(&state);
    bid(room.owner, 1, 5).await;
    member.update(first + 5).await;
    member.drain().await;
    // As if it had lost the last three.
    let resumed = member.resume(ROOM, &state["generation"], first + 2).await;
    assert_eq!((&resumed["type"], seq_of(&resumed)), (&"auctionResumed".into(), first + 5));
    bid(room.owner, 6, 1).await;
    for seq in first + 3..=first + 6 {
        assert_eq!(seq_of(&member.next().await.json), seq);
    }
    world.stop().await;
}

/// Comes back to one node after the other while bids fly, and sees each event once.
async fn hops(world: &World, batch_window_ms: u32) {
    world.limits(|limits| limits.batch_window_ms = batch_window_ms.into()).await;
    let nodes = world.addrs();
    let room = world.placed(ROOM).await;
    let mut known = position(room.owner).await;
    let first = known.seq;
    let price = first - 1;
    let bids = 500;
    let bidding = tasks::spawn("bids", bid(room.edge, price, bids));
    let mut hops = 0;
    for node in nodes.iter().cycle() {
        let mut client = Client::connect(*node, Protocol::V1).await;
        let resumed = client.resume(ROOM, &known.generation, known.seq).await;
        if resumed["type"] == "auctionState" {
            // The other node was a little ahead of this one.
            assert!(seq_of(&resumed) < known.seq, "{resumed} after {known:?}");
            continue;
        }
        hops += 1;
        for _ in 0..20 {
            if known.seq == first + bids {
                break;
            }
            let update = client.next().await.json;
            assert_eq!(seq_of(&update), known.seq + 1, "no gap, nothing twice: {update}");
            known.seq += 1;
        }
        if known.seq == first + bids {
            break;
        }
    }
    assert!(hops >= 20, "{hops} hops");
    bidding.await.expect("every bid is accepted");
}

#[tokio::test]
async fn nobody_who_hops_between_nodes_under_bids_misses_or_repeats_anything() {
    let (world, _room) = start(Options { nodes: 3, ..Options::default() }).await;
    hops(&world, 0).await;
    hops(&world, 20).await;
    world.stop().await;
}

#[tokio::test]
async fn a_node_that_leaves_says_when_to_come_back_to_who_understands_it() {
    let (mut world, room) = start(Options::default()).await;
    let mut v1 = Vec::new();
    for _ in 0..20 {
        v1.push(Client::connect(room.owner, Protocol::V1).await);
    }
    let mut seed = Client::connect(room.owner, Protocol::Seed).await;
    let known = position(room.owner).await;
    bid(room.owner, 1, 3).await;
    world.leave(room.owner).await;

    let mut waits = Vec::new();
    for mut client in v1 {
        let reconnect = client.expect("a word", |m| m["type"] == "reconnect").await;
        assert_eq!(reconnect["reason"], "leaving");
        let after_ms = reconnect["afterMs"].as_u64().expect("a time");
        assert!(after_ms < 1_000);
        waits.push(after_ms);
        assert_eq!(client.close_code().await.0, 1012);
    }
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 10, "they are spread: {waits:?}");
    assert_eq!(seed.close_code().await.0, 1012);
    assert!(seed.next_or_end().await.is_none(), "the seed knows no such message");
    comes_back(room.edge, &known, known.seq + 3).await;
    world.stop().await;
}
