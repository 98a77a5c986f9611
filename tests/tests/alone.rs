//! Nodes go on without any control plane: they start from what they kept, and
//! rooms whose owner is gone get another one.

use gavel_proto::admin::v1::BanUserRequest;
use gavel_rules::placement::{self, Candidate};
use gavel_tests::{
    Client, Options, PATIENCE, Protocol, RedisServer, World, http, token, until, world::rules,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
};

const ROOM: &str = "vase";

/// What kept files are named after, and where they are.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gavel-{}-{name}", std::process::id()));
        Self(path)
    }

    fn text(&self) -> String {
        self.0.display().to_string()
    }

    fn file(&self, n: usize) -> PathBuf {
        self.0.join(format!("node-{n}.node"))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A test that failed early has made none.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

async fn bidder(node: SocketAddr, name: &str) -> Client {
    Client::with_token(node, Protocol::V1, &token::bidder(name)).await
}

/// The node that is first in the room's order.
fn first_of(room: &str, nodes: &[String]) -> String {
    let ids: Vec<_> = nodes.iter().map(|node| node.parse().expect("an id")).collect();
    let candidate = |node| Candidate { node, weight: 100, load: 0, near: false };
    let candidates: Vec<_> = ids.iter().map(candidate).collect();
    let order = placement::order(&room.parse().expect("an id"), &candidates);
    order.first().expect("a node").node.to_string()
}

/// How many rooms a node says it owns.
async fn owned(world: &World, node: SocketAddr) -> u64 {
    let metrics = world.metrics(node).await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("gavel_rooms_owned "));
    line.expect("the metric").parse().expect("a number")
}

/// Bids until the bid is accepted; gives its answer. Amounts rise with each bid.
async fn bids(client: &mut Client, room: &str, amount: &mut u64) -> Value {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    *amount += 1_000;
    loop {
        let answer = client.bid(room, *amount, &format!("b-{amount}")).await;
        if answer.get("type").is_some_and(|kind| kind == "bidAccepted") {
            return answer;
        }
        assert!(answer.get("type").is_some_and(|kind| kind == "error"), "it is enough: {answer}");
        assert!(tokio::time::Instant::now() < deadline, "no bid is accepted: {answer}");
    }
}

/// Three nodes, of which the owner of the room is lost while no control plane
/// is there; the others decide on, and then one of them owns the room.
async fn the_owner_is_lost(mut world: World, comes_back: bool) {
    let room = world.room(ROOM, rules()).await;
    let (before, epoch) = world.claimed_by(ROOM).await;
    let left: Vec<_> = world.addrs().into_iter().filter(|node| *node != room.owner).collect();
    let mut clients = Vec::new();
    for (n, node) in left.iter().enumerate() {
        let mut client = bidder(*node, &format!("user-{n}")).await;
        client.join(ROOM).await;
        clients.push(client);
    }
    world.stop_control().await;
    world.lose_node(room.owner).await;
    let mut amount = 0;
    let (owner, claimed) = until("another owner", async || {
        for client in &mut clients {
            bids(client, ROOM, &mut amount).await;
        }
        Some(world.claimed_by(ROOM).await).filter(|(owner, _)| *owner != before)
    })
    .await;
    assert_eq!(claimed, epoch + 1);
    let others: Vec<String> =
        (1..=3).map(|n| format!("node-{n}")).filter(|node| *node != before).collect();
    assert!(others.contains(&owner), "{owner}");
    for _ in 0..5 {
        for client in &mut clients {
            bids(client, ROOM, &mut amount).await;
        }
    }
    let mut owners = 0;
    for node in &left {
        owners += owned(&world, *node).await;
    }
    assert_eq!(owners, 1, "one of them owns the room, and the other knows");
    assert_eq!(world.claimed_by(ROOM).await, (owner.clone(), epoch + 1));

    if comes_back {
        world.start_control().await;
        world.until_nodes("their return", |_| true).await;
        let room = until("the owner in the control plane", async || {
            let room = world.inspect(ROOM).await.ok()?;
            (room.owner == owner && room.view.is_some()).then_some(room)
        })
        .await;
        assert_eq!(room.epoch, epoch + 1, "what was claimed is kept");
        for client in &mut clients {
            bids(client, ROOM, &mut amount).await;
        }
        assert_eq!(world.claimed_by(ROOM).await, (owner, epoch + 1));
    }
    let node = *left.first().expect("a node");
    world.audited(node, ROOM).await;
    world.stop().await;
}

#[tokio::test]
async fn a_room_whose_owner_is_lost_gets_another_one() {
    let options = Options { nodes: 3, cables: true, ..Options::default() };
    the_owner_is_lost(World::with(options).await, false).await;
}

#[tokio::test]
async fn a_room_whose_owner_is_lost_gets_another_one_that_control_keeps_on_redis() {
    let redis = RedisServer::start().await;
    let redis_url = Some(redis.url());
    let options = Options { nodes: 3, cables: true, redis_url, ..Options::default() };
    the_owner_is_lost(World::with(options).await, true).await;
}

#[tokio::test]
async fn control_that_comes_back_gives_away_no_epoch_that_was_in_use() {
    let redis = RedisServer::start().await;
    let redis_url = Some(redis.url());
    let mut world = World::with(Options { nodes: 3, redis_url, ..Options::default() }).await;
    let room = world.room(ROOM, rules()).await;
    world.stop_control().await;
    world.lose_node(room.owner).await;
    let mut client = bidder(world.first(), "ada").await;
    client.join(ROOM).await;
    let claimant = until("another owner", async || {
        for node in world.addrs() {
            if owned(&world, node).await == 1 {
                return Some(node);
            }
        }
        None
    })
    .await;
    // It is gone before it could tell, and nobody is left who wants the room.
    client.close().await;
    world.lose_node(claimant).await;
    assert_eq!(world.claimed_by(ROOM).await.1, 2);
    world.start_control().await;
    world.until_nodes("its return", |_| true).await;
    until("an owner that is no memory", async || {
        Some(world.claimed_by(ROOM).await).filter(|(_, epoch)| *epoch > 2)
    })
    .await;
    bids(&mut bidder(world.first(), "bob").await, ROOM, &mut 10_000).await;
    assert_eq!(world.inspect(ROOM).await.expect("a room").epoch, world.claimed_by(ROOM).await.1);
    world.audited(world.first(), ROOM).await;
    world.stop().await;
}

#[tokio::test]
async fn who_is_first_in_a_rooms_order_owns_it_whoever_is_asked_first() {
    let mut world = World::with(Options { nodes: 3, ..Options::default() }).await;
    let mut rooms = Vec::new();
    for n in 0..24 {
        let room = world.room(&format!("r{n}"), rules()).await;
        rooms.push((room.owner, room.id));
    }
    let lost = *world.addrs().first().expect("a node");
    rooms.retain(|(owner, _)| *owner == lost);
    assert!(rooms.len() >= 4, "rooms are spread");
    world.stop_control().await;
    world.lose_node(lost).await;
    let left: Vec<String> = ["node-2", "node-3"].map(ToOwned::to_owned).to_vec();
    let (mut asked_first, mut asked_second) = (BTreeSet::new(), 0);
    for (n, (_, room)) in rooms.iter().enumerate() {
        let at = n % 2;
        let node = *world.addrs().get(at).expect("a node");
        let mut client = bidder(node, &format!("user-{n}")).await;
        client.join(room).await;
        bids(&mut client, room, &mut 0).await;
        let first = first_of(room, &left);
        let (owner, epoch) = until("an owner", async || {
            Some(world.claimed_by(room).await).filter(|(owner, _)| left.contains(owner))
        })
        .await;
        assert_eq!((owner.as_str(), epoch), (first.as_str(), 2), "{room}");
        bids(&mut bidder(node, "other").await, room, &mut 100_000).await;
        if left.get(at) == Some(&first) {
            asked_first.insert(room);
        } else {
            asked_second += 1;
        }
    }
    assert!(!asked_first.is_empty() && asked_second > 0, "both ways were tried");
    world.stop().await;
}

#[tokio::test]
async fn an_owner_that_lives_keeps_its_room_while_others_cannot_reach_it() {
    let mut world = World::with(Options { cables: true, ..Options::default() }).await;
    let room = world.room(ROOM, rules()).await;
    let before = world.claimed_by(ROOM).await;
    let mut ada = bidder(room.owner, "ada").await;
    let mut bob = bidder(room.edge, "bob").await;
    bob.join(ROOM).await;
    world.stop_control().await;
    world.cable(room.owner).cut();
    let (mut amount, began) = (0, tokio::time::Instant::now());
    // Longer than a node that is gone would be waited for.
    while began.elapsed().as_millis() < 5_000 {
        bids(&mut ada, ROOM, &mut amount).await;
        bids(&mut bob, ROOM, &mut amount).await;
    }
    assert_eq!(world.claimed_by(ROOM).await, before);
    world.audited(room.owner, ROOM).await;
    world.stop().await;
}

/// A node whose limits and flags are no defaults and that does not let mallory in, and a room of
/// its own.
async fn told(options: Options) -> (World, SocketAddr) {
    let world = World::with(Options { nodes: 2, ..options }).await;
    world
        .limits(|limits| {
            limits.bids_per_user_max = 3;
            limits.batch_window_ms = 0;
        })
        .await;
    let off = json!({"state": "ENABLED", "variants": {"on": true, "off": false},
        "defaultVariant": "off"});
    world.flags(&json!({"flags": {"changed-fields": off}})).await;
    let ban = BanUserRequest { user_id: "mallory".to_owned(), ..BanUserRequest::default() };
    let version = world.user_service().ban_user(ban).await.expect("a ban").into_inner().version;
    world.until_nodes("the ban", |node| node.denials_version == version).await;
    let room = world.room(ROOM, rules()).await;
    (world, room.owner)
}

/// Bids as often as the limit allows, and once more; gives the first answer.
async fn uses_up(node: SocketAddr, most: u64) -> Value {
    let mut ada = bidder(node, "ada").await;
    ada.join(ROOM).await;
    let answer = ada.accepted(ROOM, 1_000, "a-1").await;
    for n in 2..=most {
        assert_eq!(ada.rejected(ROOM, 1_000 * n, &format!("a-{n}")).await, "own_bid");
    }
    assert_eq!(ada.rejected(ROOM, 80_000, "a-over").await, "rate_limited");
    answer
}

/// The owner stops and starts while no control plane is there.
async fn a_node_starts_alone(options: Options, comes_back: bool) {
    let (mut world, owner) = told(options).await;
    let before = world.claimed_by(ROOM).await;
    world.stop_control().await;
    let n = world.lose_node(owner).await;
    let started = world.start_node(n).await;
    let (status, body) = http::get(started, "/readyz", None).await;
    assert_eq!((status, body.as_str()), (200, "ok"));
    let mallory = token::bidder("mallory");
    let mallory = Client::try_connect(started, Protocol::V1, Some(&mallory)).await;
    assert_eq!(mallory.expect("an upgrade").close_code().await.0, 4403, "still banned");
    // Nobody has asked for the room: its last owner takes it up by itself.
    until("the room to be owned", async || {
        Some(world.claimed_by(ROOM).await).filter(|now| *now == (before.0.clone(), before.1 + 1))
    })
    .await;
    let mut eve = bidder(started, "eve").await;
    eve.join(ROOM).await;
    let answer = uses_up(started, 3).await;
    let seq = answer.get("seq").and_then(Value::as_u64).expect("a seq");
    let update = eve.update(seq).await;
    assert!(update.get("opensAt").is_some(), "the flag is still off: {update}");
    for node in world.addrs() {
        assert_eq!(bidder(node, "ada").await.rejected(ROOM, 90_000, "a-9").await, "rate_limited");
    }
    if comes_back {
        world.start_control().await;
        world.until_nodes("their return", |node| node.limits_version > 0).await;
        let room = world.placed(ROOM).await;
        assert_eq!(room.owner, started);
        assert_eq!(world.inspect(ROOM).await.expect("a room").epoch, before.1 + 1);
        // Documents go on from the versions that were kept.
        world.limits(|limits| limits.bids_per_user_max = 100).await;
        let mut ada = bidder(started, "ada").await;
        assert_eq!(ada.rejected(ROOM, 90_000, "a-10").await, "own_bid", "a limit no longer");
    }
    world.audited(started, ROOM).await;
    world.stop().await;
}

#[tokio::test]
async fn a_node_that_starts_alone_goes_on_as_it_was() {
    let directory = Directory::new("alone");
    a_node_starts_alone(Options { state_dir: directory.text(), ..Options::default() }, false).await;
}

#[tokio::test]
async fn a_node_that_starts_alone_goes_on_as_it_was_on_redis() {
    let (redis, directory) = (RedisServer::start().await, Directory::new("alone-redis"));
    let (redis_url, state_dir) = (Some(redis.url()), directory.text());
    a_node_starts_alone(Options { redis_url, state_dir, ..Options::default() }, true).await;
}

fn flip_last_byte(file: &Path) {
    let mut bytes = std::fs::read(file).expect("a file");
    *bytes.last_mut().expect("a byte") ^= 1;
    std::fs::write(file, bytes).expect("written");
}

#[tokio::test]
async fn a_damaged_file_is_left_out() {
    let directory = Directory::new("damaged");
    let (mut world, owner) =
        told(Options { state_dir: directory.text(), ..Options::default() }).await;
    world.stop_control().await;
    let n = world.lose_node(owner).await;
    flip_last_byte(&directory.file(n));
    let started = world.start_node(n).await;
    uses_up(started, 5).await;
    world.stop().await;
}

#[tokio::test]
async fn a_room_that_was_never_created_is_unknown() {
    let mut world = World::start().await;
    world.stop_control().await;
    let mut ada = bidder(world.first(), "ada").await;
    let answer = ada.bid("nothing", 1_000, "a-1").await;
    assert_eq!(answer.get("code").and_then(Value::as_str), Some("unknown_room"), "{answer}");
    world.stop().await;
}
