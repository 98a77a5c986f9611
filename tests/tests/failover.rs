//! Redis fails over to a replica that lacks what was acknowledged last.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy knows tests by their attribute and not by their directory"
)]

use gavel_data_plane::{
    config::RedisConfig,
    store::{self, Appended, RoomStore},
};
use gavel_proto::admin::v1::MoveRoomRequest;
use gavel_rules::{
    Bid, Event, EventKind, Guard, RoomId, Seq, Version,
    auction::{Action, Input},
};
use gavel_runtime::clock;
use gavel_tests::{
    Client, Failover, Options, Protocol, RedisServer, Sentinels, World, token, until,
    world::{Room, minor, rules},
};
use serde_json::Value;
use std::{net::SocketAddr, sync::Arc};

const ROOM: &str = "vase";

fn at(url: String, replicas_min: u32) -> RedisConfig {
    RedisConfig { url, replicas_min, ..Default::default() }
}

async fn world_on(servers: &Failover, replicas_min: u32) -> (World, Room) {
    world_at(at(servers.url(), replicas_min)).await
}

async fn world_at(rooms: RedisConfig) -> (World, Room) {
    let rooms = Some(rooms);
    let world = World::with(Options { rooms, cables: true, ..Options::default() }).await;
    world.limits(|limits| limits.batch_window_ms = 0).await;
    let room = world.room(ROOM, rules()).await;
    (world, room)
}

fn open(url: String) -> Arc<dyn RoomStore> {
    store::configured(&at(url, 0)).unwrap()
}

fn seq_of(message: &Value) -> u64 {
    message["seq"].as_u64().unwrap_or_else(|| panic!("no seq: {message}"))
}

/// Two bidders, one at each node.
struct Bidders {
    clients: [Client; 2],
    bids: u64,
    acked: Vec<Value>,
}

impl Bidders {
    async fn join(room: &Room) -> Self {
        let mut ada = Client::with_token(room.owner, Protocol::V1, &token::bidder("ada")).await;
        let mut bob = Client::with_token(room.edge, Protocol::V1, &token::bidder("bob")).await;
        ada.join(&room.id).await;
        bob.join(&room.id).await;
        Self { clients: [ada, bob], bids: 0, acked: Vec::new() }
    }

    /// The next bid, under the same id until it is accepted; each outbids the other.
    async fn bid(&mut self) {
        self.bids += 1;
        let (amount, bid_id) = (self.bids * 100, format!("b-{}", self.bids));
        let mut turn = usize::try_from(self.bids).unwrap() % 2;
        let ack = until("an ack", async || {
            let answer = self.clients[turn].bid(ROOM, amount, &bid_id).await;
            if answer["type"] == "bidAccepted" {
                return Some(answer);
            }
            // After a loss the high bid may be one's own.
            turn = if answer["reason"] == "own_bid" { 1 - turn } else { turn };
            None
        });
        let ack = ack.await;
        self.acked.push(ack);
    }

    async fn bid_times(&mut self, times: u64) {
        for _ in 0..times {
            self.bid().await;
        }
    }

    /// Every ack speaks of the event that is stored at its seq.
    async fn assert_stored(&self, store: &Arc<dyn RoomStore>) {
        let stored = store.range(&ROOM.parse().unwrap(), Seq::new(0), 10_000).await.unwrap();
        let seqs = stored.iter().map(|stored| stored.event.seq.get());
        assert!(seqs.eq(1..=u64::try_from(stored.len()).unwrap()), "one order");
        for ack in &self.acked {
            let index = usize::try_from(seq_of(ack) - 1).unwrap();
            let kind = stored.get(index).map(|stored| &stored.event.kind);
            let Some(EventKind::BidAccepted { bid_id, amount, .. }) = kind else {
                panic!("{ack} is lost: {kind:?}");
            };
            assert_eq!(bid_id.as_ref(), ack["bidId"].as_str().unwrap(), "{ack}");
            let units = ack["amount"].as_u64().unwrap();
            assert_eq!(*amount, minor(units), "{ack}");
        }
    }
}

/// What a node's metric of this name counts.
async fn count(world: &World, node: SocketAddr, name: &str) -> u64 {
    let text = world.metrics(node).await;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

/// The sum over the nodes.
async fn sum(world: &World, name: &str) -> u64 {
    let mut sum = 0;
    for node in world.addrs() {
        sum += count(world, node, name).await;
    }
    sum
}

#[tokio::test]
async fn the_owner_puts_back_what_the_replica_lacks() {
    let servers = Failover::start().await;
    let (world, room) = world_on(&servers, 0).await;
    let quiet = world.room("lamp", rules()).await;
    let mut bidders = Bidders::join(&room).await;
    bidders.bid_times(5).await;
    servers.promote().await;
    // Long enough for the primary to be asked several times how far its replica is.
    let asked_often_at = clock::now_ms() + 500;
    while clock::now_ms() < asked_often_at {
        bidders.bid().await;
    }
    let lost = bidders.bids - 5;
    let last_bidder = if bidders.bids.is_multiple_of(2) { "ada" } else { "bob" };
    let last = bidders.acked.last().unwrap().clone();
    assert_eq!(last["durability"], "primary");
    let mut other = Client::connect(quiet.edge, Protocol::V1).await;
    let before = other.join(&quiet.id).await;
    let kept = other.accepted(&quiet.id, 100, "q").await;
    servers.fail_over();

    // Also where nobody bids any more.
    let replica = open(servers.replica.url());
    let id: RoomId = quiet.id.parse().unwrap();
    let found = until("the quiet room's bid", async || {
        let found = replica.range(&id, Seq::new(seq_of(&kept) - 1), 9).await.ok()?;
        (!found.is_empty()).then_some(found)
    })
    .await;
    assert!(matches!(&found[0].event.kind, EventKind::BidAccepted { bid_id, .. }
        if bid_id.as_ref() == "q"));
    bidders.bid_times(5).await;
    bidders.assert_stored(&replica).await;
    assert_eq!(seq_of(bidders.acked.last().unwrap()), seq_of(&last) + 5, "nothing is between");
    let state = other.join(&quiet.id).await;
    assert_eq!(state["generation"], before["generation"], "the history is the same");
    assert_eq!(sum(&world, "gavel_replayed_events_total").await, lost + 1);
    assert_eq!(sum(&world, "gavel_histories_replaced_total").await, 0);
    // A retry finds the answer of then, on any node.
    let mut again = Client::with_token(room.edge, Protocol::V1, &token::bidder(last_bidder)).await;
    again.join(ROOM).await;
    let retried = again.bid(ROOM, last["amount"].clone(), last["bidId"].as_str().unwrap()).await;
    assert_eq!((&retried["seq"], &retried["type"]), (&last["seq"], &last["type"]), "{retried}");
    world.audited(room.owner, ROOM).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_sentinels_what_a_primary_of_the_past_took_is_put_back() {
    let servers = Sentinels::start().await;
    let (world, room) = world_at(at(servers.url(), 0)).await;
    let quiet = world.room("lamp", rules()).await;
    let mut other = Client::connect(quiet.edge, Protocol::V1).await;
    other.join(&quiet.id).await;
    let mut bidders = Bidders::join(&room).await;
    bidders.bid_times(5).await;
    let length_of = |room: &str, at: usize| {
        servers.servers[at].ask(&format!("XLEN gavel:room:{{{room}}}:events"))
    };
    let length = |at| length_of(ROOM, at);
    until("a replica with all of it", async || (length(1) == length(0)).then_some(())).await;
    // Nodes still reach the old primary, which has another replica and knows of no other primary.
    servers.servers[1].tell("REPLICAOF NO ONE");
    let replaced_at = clock::now_ms() + 500;
    while clock::now_ms() < replaced_at {
        bidders.bid().await;
    }
    other.accepted(&quiet.id, 100, "q").await;
    assert_ne!(length(1), length(0));
    servers.point_to(1);
    // Also where nobody bids any more.
    let lengths = || [0, 1].map(|at| length_of(&quiet.id, at));
    until("the quiet room's bid", async || (lengths()[0] == lengths()[1]).then_some(())).await;
    until("a replay", async || {
        bidders.bid().await;
        (sum(&world, "gavel_replayed_events_total").await > 0).then_some(())
    })
    .await;
    bidders.bid_times(5).await;
    bidders.assert_stored(&open(format!("redis://{}", servers.servers[1].address()))).await;
    assert_eq!(sum(&world, "gavel_histories_replaced_total").await, 0);
    world.audited(room.owner, ROOM).await;
    world.stop().await;
}

#[tokio::test]
async fn a_claim_that_the_replica_lacks_is_made_again_before_the_rest() {
    let servers = Failover::start().await;
    let (world, room) = world_on(&servers, 0).await;
    let mut bidders = Bidders::join(&room).await;
    bidders.bid_times(3).await;
    let replica = open(servers.replica.url());
    let id: RoomId = ROOM.parse().unwrap();
    let stale = until("the replica's room", async || replica.load(&id).await.ok()).await.epoch;
    servers.promote().await;
    let to = world.list_nodes().await.unwrap();
    let owner = world.inspect(ROOM).await.unwrap().owner;
    let to = to.into_iter().find(|node| node.id != owner).unwrap().id;
    let request = MoveRoomRequest { id: ROOM.to_owned(), node_id: to.clone() };
    world.rooms().move_room(request).await.unwrap();
    until("the move", async || (world.inspect(ROOM).await.ok()?.owner == to).then_some(())).await;
    bidders.bid_times(6).await;
    servers.fail_over();
    bidders.bid_times(4).await;
    bidders.assert_stored(&replica).await;
    let loaded = replica.load(&id).await.unwrap();
    assert!(loaded.epoch > stale, "{loaded:?}");
    let (seq, guard) = (loaded.auction.view().seq, Guard::default());
    let late = Event { seq: seq.next(), ..other_bid(&loaded.auction, "late") };
    let outcome = replica.append(&id, stale, seq, guard, &[late]).await;
    assert!(matches!(outcome, Ok(Appended::Fenced { .. })), "{outcome:?}");
    world.audited(room.edge, ROOM).await;
    world.stop().await;
}

/// What an owner of before would decide on this state.
fn other_bid(auction: &gavel_rules::Auction, bid_id: &str) -> Event {
    let (mut auction, mut actions) = (auction.clone(), Vec::new());
    let bid = Bid {
        bidder: "eve".parse().unwrap(),
        bid_id: bid_id.parse().unwrap(),
        amount: auction.view().minimum,
        flags: Version::default(),
        limits: Version::default(),
    };
    let now = auction.view().opens_at;
    auction.step(Input::Bid { bid, token: 1 }, now, &mut actions);
    let events = actions.into_iter().filter_map(|action| match action {
        Action::Append(event) => Some(event),
        Action::Answer { .. } | Action::Refused(_) => None,
    });
    events.last().expect("an event")
}

#[tokio::test]
async fn another_history_gets_another_generation_and_everybody_is_told() {
    let servers = Failover::start().await;
    let (world, room) = world_on(&servers, 0).await;
    let mut bidders = Bidders::join(&room).await;
    bidders.bid_times(4).await;
    let generation = bidders.clients[0].join(ROOM).await["generation"].clone();
    servers.promote().await;
    let replica = open(servers.replica.url());
    bidders.bid_times(5).await;
    let lost = bidders.acked.last().unwrap().clone();
    // Somebody who could reach the replica wrote there, as an owner of before that woke up.
    let id: RoomId = ROOM.parse().unwrap();
    let loaded = replica.load(&id).await.unwrap();
    let (seq, other) = (loaded.auction.view().seq, other_bid(&loaded.auction, "other"));
    let outcome = replica.append(&id, loaded.epoch, seq, Guard::default(), &[other]).await;
    assert!(matches!(outcome, Ok(Appended::Stored { .. })), "{outcome:?}");
    let mut viewers = Vec::new();
    for node in [room.owner, room.edge] {
        let mut viewer = Client::connect(node, Protocol::V1).await;
        assert_eq!(viewer.join(ROOM).await["seq"], lost["seq"]);
        viewers.push((node, viewer));
    }
    servers.fail_over();

    let next = generation.as_u64().unwrap() + 1;
    for (node, viewer) in &mut viewers {
        let told = viewer.expect("another history", |m| m["generation"] == next).await;
        assert_eq!((&told["type"], seq_of(&told)), (&"auctionState".into(), seq.next().get()));
        assert_eq!(told["currentBidderId"], "eve", "{told}");
        let mut comes_back = Client::connect(*node, Protocol::V1).await;
        let told = comes_back.resume(ROOM, &generation, seq_of(&lost)).await;
        assert_eq!((&told["type"], &told["generation"]), (&"auctionState".into(), &next.into()));
    }
    assert_eq!(count(&world, room.owner, "gavel_histories_replaced_total").await, 1);
    assert_eq!(sum(&world, "gavel_replayed_events_total").await, 0);
    // What was lost is as if it had never been: its id is free again.
    let mut ada = Client::with_token(room.owner, Protocol::V1, &token::bidder("ada")).await;
    ada.join(ROOM).await;
    let again = ada.accepted(ROOM, 50_000, lost["bidId"].as_str().unwrap()).await;
    assert_eq!(seq_of(&again), seq.next().next().get(), "{again}");
    world.audited(room.owner, ROOM).await;
    world.stop().await;
}

#[tokio::test]
async fn what_a_deputy_acknowledged_comes_back_too() {
    let servers = Failover::start().await;
    let (world, room) = world_on(&servers, 0).await;
    let mut bidders = Bidders::join(&room).await;
    bidders.bid_times(4).await;
    world.cable(room.owner).cut();
    bidders.bid_times(2).await;
    servers.promote().await;
    // The last one is the edge's own.
    bidders.bid_times(5).await;
    servers.fail_over();
    let replica = open(servers.replica.url());
    until("the lost bids", async || {
        let loaded = replica.load(&ROOM.parse().unwrap()).await.ok()?;
        (loaded.auction.view().seq.get() >= seq_of(bidders.acked.last()?)).then_some(())
    })
    .await;
    bidders.assert_stored(&replica).await;
    bidders.bid_times(4).await;
    world.cable(room.owner).mend();
    bidders.bid_times(4).await;
    bidders.assert_stored(&replica).await;
    assert_eq!(sum(&world, "gavel_histories_replaced_total").await, 0);
    world.audited(room.owner, ROOM).await;
    world.stop().await;
}

#[tokio::test]
async fn replicated_bids_are_on_the_replica_before_their_ack() {
    let servers = Failover::start().await;
    let (world, room) = world_on(&servers, 1).await;
    let mut bidders = Bidders::join(&room).await;
    bidders.bid_times(4).await;
    assert!(bidders.acked.iter().all(|ack| ack["durability"] == "replicated"));
    let replica = open(servers.replica.url());
    let [_, bob] = &mut bidders.clients;
    servers.replica.freeze();
    // Long enough for the room to be read again, where the bid is found.
    let read_at = clock::now_ms() + 1_000;
    while clock::now_ms() < read_at {
        let answer = bob.bid(ROOM, 5_000, "b-frozen").await;
        assert_eq!(answer["code"], "unavailable", "{answer}");
    }
    servers.replica.thaw();
    let ack = until("an ack", async || {
        let answer = bob.bid(ROOM, 5_000, "b-frozen").await;
        (answer["type"] == "bidAccepted").then_some(answer)
    })
    .await;
    assert_eq!(seq_of(&ack), seq_of(bidders.acked.last().unwrap()) + 1, "once: {ack}");
    assert_eq!(ack["durability"], "replicated");
    bidders.acked.push(ack);
    bidders.assert_stored(&replica).await;
    servers.promote().await;
    for _ in 0..5 {
        let answer = bidders.clients[0].bid(ROOM, 6_000, "b-alone").await;
        assert_eq!(answer["code"], "unavailable", "{answer}");
    }
    bidders.assert_stored(&replica).await;
    world.stop().await;
}

#[tokio::test]
async fn a_redis_that_has_forgotten_everything_begins_another_history() {
    let mut redis = RedisServer::start().await;
    let rooms = Some(at(redis.url(), 0));
    let world = World::with(Options { rooms, ..Options::default() }).await;
    let room = world.room(ROOM, rules()).await;
    let mut viewers = Vec::new();
    for node in [room.owner, room.edge] {
        let mut viewer = Client::connect(node, Protocol::V1).await;
        let state = viewer.join(ROOM).await;
        viewers.push((viewer, state["generation"].clone()));
    }
    let mut bidder = Client::connect(room.edge, Protocol::V1).await;
    bidder.join(ROOM).await;
    bidder.accepted(ROOM, 1_000, "b").await;
    redis.kill();
    redis.restart().await;
    for (viewer, generation) in &mut viewers {
        let another = |m: &Value| m["type"] == "auctionState" && m["generation"] != *generation;
        let state = viewer.expect("another history", another).await;
        assert_eq!(state["bidCount"], 0, "{state}");
    }
    assert_eq!(count(&world, room.owner, "gavel_histories_replaced_total").await, 1);
    world.stop().await;
}
