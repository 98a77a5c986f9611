//! Operators read what is stored of a room, from any node.

use gavel_rules::{auction::StoredEvent, audit, audit::Stream};
use gavel_tests::{
    Client, Options, Protocol, RedisServer, World, http, token, world, world::rules,
};
use std::net::SocketAddr;

async fn page(node: SocketAddr, path: &str) -> String {
    let (status, body) = http::get(node, path, Some(world::ADMIN_TOKEN)).await;
    assert_eq!(status, 200, "{body}");
    body
}

/// Bids more often than a page has lines, and reads the room back on both nodes.
async fn reads_back(world: World) {
    let room = world.room("vase", rules()).await;
    let mut ada = Client::with_token(room.edge, Protocol::V1, &token::bidder("ada")).await;
    let mut bob = Client::with_token(room.owner, Protocol::V1, &token::bidder("bob")).await;
    for n in 1..=520_u64 {
        ada.bid_received(&room.id, n * 200, &format!("a{n}")).await;
        bob.bid_received(&room.id, n * 200 + 100, &format!("b{n}")).await;
    }
    for node in [room.owner, room.edge] {
        let mut stream: Stream =
            serde_json::from_str(&page(node, "/api/rooms/vase/snapshot").await).expect("a state");
        let mut pages = 0;
        loop {
            let after = stream.events.last().map_or(0, |last| last.event.seq.get());
            let body = page(node, &format!("/api/rooms/vase/events?after={after}")).await;
            if body.is_empty() {
                break;
            }
            let events = body.lines().map(serde_json::from_str::<StoredEvent>);
            stream.events.extend(events.map(|event| event.expect("an event")));
            pages += 1;
        }
        assert_eq!(pages, 2);
        let report = audit::audit(&stream, &[], false).expect("nothing is wrong");
        assert_eq!((report.bids, report.events, report.first.get()), (1_040, 1_042, 1));
    }
    world.stop().await;
}

#[tokio::test]
async fn a_room_in_memory_is_read_back() {
    reads_back(World::start().await).await;
}

#[tokio::test]
async fn a_room_in_redis_is_read_back() {
    let redis = RedisServer::start().await;
    let options = Options { redis_url: Some(redis.url()), ..Options::default() };
    reads_back(World::with(options).await).await;
}

#[tokio::test]
async fn what_is_stored_is_for_operators_only() {
    let world = World::start().await;
    let room = world.room("vase", rules()).await;
    for path in ["/api/rooms/vase/snapshot", "/api/rooms/vase/events"] {
        for bearer in [None, Some("wrong"), Some("")] {
            let (status, body) = http::get(room.owner, path, bearer).await;
            assert_eq!(status, 401, "{body}");
            assert!(!body.contains("vase"), "{body}");
        }
    }
    let bearer = Some(world::ADMIN_TOKEN);
    for (path, expected) in [
        ("/api/rooms/nothing/snapshot", 404),
        ("/api/rooms/a%20b/snapshot", 400),
        ("/api/rooms/vase/events?after=x", 400),
    ] {
        let (status, body) = http::get(room.owner, path, bearer).await;
        assert_eq!(status, expected, "{path}: {body}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_node_without_an_admin_token_shows_nobody_what_is_stored() {
    let options = Options { admin_token: String::new(), ..Options::default() };
    let world = World::with(options).await;
    let room = world.room("vase", rules()).await;
    for bearer in [None, Some("")] {
        let (status, body) = http::get(room.owner, "/api/rooms/vase/snapshot", bearer).await;
        assert_eq!(status, 403, "{body}");
        assert!(body.contains("admin.token"), "{body}");
    }
    world.stop().await;
}
