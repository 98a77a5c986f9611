//! Rooms move from node to node under bids, and nobody in them notices.

use gavel_proto::admin::v1::{DrainNodeRequest, MoveRoomRequest, UndrainNodeRequest};
use gavel_tests::{Client, Options, Protocol, RedisServer, World, token, until, world::rules};
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::task::JoinSet;
use tonic::Code;

const ROOM: &str = "vase";

/// Bidders who bid one after the other as fast as they are answered, over
/// every node; any answer but a verdict fails the test.
struct Bidding {
    bidders: JoinSet<u64>,
    stop: Arc<AtomicBool>,
    /// The highest amount that anybody bid.
    price: Arc<AtomicU64>,
}

impl Bidding {
    async fn start(nodes: &[SocketAddr]) -> Self {
        let (stop, price) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut bidders = JoinSet::new();
        for (n, node) in nodes.iter().enumerate() {
            let name = format!("bidder-{n}");
            let bidder = token::bidder(&name);
            let mut client = Client::with_token(*node, Protocol::V1, &bidder).await;
            let (stop, price) = (Arc::clone(&stop), Arc::clone(&price));
            bidders.spawn(async move {
                let (mut accepted, mut bids) = (0, 0_u64);
                while !stop.load(Ordering::Relaxed) {
                    bids += 1;
                    let amount = price.fetch_add(100, Ordering::Relaxed) + 100;
                    let answer = client.bid(ROOM, amount, &format!("{name}-{bids}")).await;
                    match answer.get("type").and_then(Value::as_str) {
                        Some("bidAccepted") => accepted += 1,
                        Some("bidRejected") => {}
                        _ => panic!("bid {bids} of {name}: {answer}"),
                    }
                }
                accepted
            });
        }
        Self { bidders, stop, price }
    }

    /// How many bids were sent so far.
    fn sent(&self) -> u64 {
        self.price.load(Ordering::Relaxed) / 100
    }

    /// How many bids were accepted.
    async fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut accepted = 0;
        while let Some(bidder) = self.bidders.join_next().await {
            accepted += bidder.expect("no bid went wrong");
        }
        accepted
    }
}

fn is(message: &Value, kind: &str) -> bool {
    message.get("type").and_then(Value::as_str) == Some(kind)
}

fn seq_of(message: &Value) -> u64 {
    message.get("seq").and_then(Value::as_u64).unwrap_or_default()
}

/// Watches the room from a node until a seq; every one must come, once.
async fn watches(mut viewer: Client, from: u64, to: u64) {
    for seq in from + 1..=to {
        let is_next = |m: &Value| is(m, "auctionUpdate") && seq_of(m) >= seq;
        let update = viewer.expect("an update", is_next).await;
        assert_eq!(seq_of(&update), seq, "no gap, nothing twice");
    }
}

/// Moves the room over three nodes, for as long as it takes to bid 500 times.
async fn moves_to_and_fro(world: World) {
    world.limits(|limits| limits.batch_window_ms = 0).await;
    let nodes = world.addrs();
    let room = world.room(ROOM, rules()).await;
    let mut viewers = Vec::new();
    for node in &nodes {
        let mut viewer = Client::connect(*node, Protocol::V1).await;
        let state = viewer.join(ROOM).await;
        viewers.push((viewer, seq_of(&state)));
    }
    let bidding = Bidding::start(&nodes).await;
    let mut owners = Vec::new();
    while bidding.sent() < 500 {
        let id = ROOM.to_owned();
        let moved = world.rooms().move_room(MoveRoomRequest { id, node_id: String::new() }).await;
        let moved = moved.expect("it moves").into_inner().room.expect("a room");
        owners.push((moved.owner, moved.epoch));
    }
    let accepted = bidding.end().await;
    for (before, after) in owners.iter().zip(owners.iter().skip(1)) {
        assert!(before.0 != after.0 && before.1 < after.1, "{owners:?}");
    }

    let report = world.audited(room.owner, ROOM).await;
    assert_eq!(
        u64::try_from(report.bids),
        Ok(accepted),
        "what was acknowledged is stored, and nothing else"
    );
    assert!(owners.len() >= 10 && accepted >= 100, "{} moves, {accepted} bids", owners.len());
    let last = until("the last bid to be seen", async || {
        let seq = world.inspect(ROOM).await.ok()?.view?.seq;
        (seq > accepted).then_some(seq)
    })
    .await;
    for (viewer, from) in viewers {
        watches(viewer, from, last).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_room_moves_under_bids_in_memory() {
    moves_to_and_fro(World::with(Options { nodes: 3, ..Options::default() }).await).await;
}

#[tokio::test]
async fn a_room_moves_under_bids_on_redis() {
    let redis = RedisServer::start().await;
    let redis_url = Some(redis.url());
    moves_to_and_fro(World::with(Options { nodes: 3, redis_url, ..Options::default() }).await)
        .await;
}

#[tokio::test]
async fn a_room_moves_only_where_it_can() {
    let world = World::start().await;
    let room = world.room(ROOM, rules()).await;
    let owner = world.inspect(ROOM).await.expect("a room").owner;
    for (id, node_id, code, why) in [
        ("nothing", "", Code::NotFound, "no room nothing"),
        ("a b", "", Code::InvalidArgument, "id"),
        (ROOM, "a b", Code::InvalidArgument, "node_id"),
        (ROOM, "nobody", Code::FailedPrecondition, "takes no rooms"),
        (ROOM, owner.as_str(), Code::FailedPrecondition, "owns the room already"),
    ] {
        let request = MoveRoomRequest { id: id.to_owned(), node_id: node_id.to_owned() };
        let refused = world.rooms().move_room(request).await.expect_err(why);
        assert_eq!(refused.code(), code, "{refused:?}");
        assert!(refused.message().contains(why), "{refused:?}");
    }
    let mut ada = Client::connect(room.edge, Protocol::V1).await;
    ada.accepted(ROOM, 100, "b-1").await;
    world.stop().await;
}

#[tokio::test]
async fn a_node_is_drained_under_bids_and_takes_rooms_again() {
    let world = World::start().await;
    let nodes = world.addrs();
    let _room = world.room(ROOM, rules()).await;
    for n in 0..80 {
        world.create(&format!("r{n}"), rules()).await.expect("created");
    }
    let bidding = Bidding::start(&nodes).await;
    let id = world.inspect(ROOM).await.expect("a room").owner;
    let mut service = world.node_service();
    service.drain_node(DrainNodeRequest { id: id.clone() }).await.expect("it is told");
    until("the node to be empty", async || {
        let nodes = world.list_nodes().await.ok()?;
        let node = nodes.into_iter().find(|node| node.id == id)?;
        (node.draining && node.rooms == 0).then_some(())
    })
    .await;
    world.create("late", rules()).await.expect("created");
    assert_ne!(world.placed("late").await.owner, world.placed(ROOM).await.edge, "none comes back");
    assert!(bidding.end().await > 0);

    service.undrain_node(UndrainNodeRequest { id: id.clone() }).await.expect("it is told");
    until("the node to take rooms", async || {
        let nodes = world.list_nodes().await.ok()?;
        nodes.into_iter().find(|node| node.id == id && !node.draining)
    })
    .await;
    let request = MoveRoomRequest { id: ROOM.to_owned(), node_id: id.clone() };
    let back = world.rooms().move_room(request).await.expect("it moves").into_inner();
    assert_eq!(back.room.expect("a room").owner, id);

    let unknown = service.drain_node(DrainNodeRequest { id: "nobody".to_owned() }).await;
    assert_eq!(unknown.expect_err("no such node").code(), Code::NotFound);
    world.stop().await;
}

#[tokio::test]
async fn a_node_that_leaves_gives_its_rooms_away_and_then_its_sockets() {
    let mut world = World::with(Options { nodes: 3, ..Options::default() }).await;
    let room = world.room(ROOM, rules()).await;
    let others: Vec<_> = world.addrs().into_iter().filter(|node| *node != room.owner).collect();
    let mut viewer = Client::connect(room.owner, Protocol::V1).await;
    viewer.join(ROOM).await;
    let bidding = Bidding::start(&others).await;
    world.leave(room.owner).await;
    assert_eq!(viewer.close_code().await.0, 1012);
    assert!(bidding.end().await > 0);
    let after = world.placed(ROOM).await;
    assert!(others.contains(&after.owner));
    assert!(world.audited(after.owner, ROOM).await.bids > 0);
    world.stop().await;
}
