//! The same cluster with Redis, which goes away and comes back; so does the
//! control plane.

use gavel_proto::admin::v1::ListRoomsRequest;
use gavel_runtime::clock;
use gavel_tests::{Client, Options, Protocol, RedisServer, World, token, until, world::rules};
use serde_json::Value;
use std::time::Duration;

async fn world_on(redis: &RedisServer) -> World {
    World::with(Options { redis_url: Some(redis.url()), ..Options::default() }).await
}

#[tokio::test]
async fn bids_travel_across_two_nodes() {
    let redis = RedisServer::durable().await;
    let world = world_on(&redis).await;
    let room = world.room("chair", rules()).await;
    let token = token::bidder("ada");
    let mut at_owner = Client::connect(room.owner, Protocol::V1).await;
    let mut at_edge = Client::with_token(room.edge, Protocol::V1, &token).await;
    at_owner.join(&room.id).await;
    at_edge.join(&room.id).await;
    let ack = at_edge.bid_received(&room.id, 150, "b1").await;
    assert_eq!(ack.json["durability"], "primary", "{}", ack.text);
    let seq = ack.json["seq"].as_u64().unwrap();
    for client in [&mut at_owner, &mut at_edge] {
        assert_eq!(client.update(seq).await["currentBid"], 150);
    }
    let mut again = Client::with_token(room.owner, Protocol::V1, &token).await;
    assert_eq!(again.bid_received(&room.id, 150, "b1").await.text, ack.text);
    // The limit of bids is counted in Redis, too.
    world.limits(|limits| limits.bids_per_user_max = 2).await;
    let mut reasons = Vec::new();
    reasons.push(at_edge.rejected(&room.id, 900, "l1").await);
    reasons.push(again.rejected(&room.id, 900, "l2").await);
    reasons.push(at_edge.rejected(&room.id, 900, "l3").await);
    assert_eq!(reasons, ["own_bid", "own_bid", "rate_limited"]);
    world.stop().await;
}

#[tokio::test]
async fn without_redis_nothing_is_accepted_and_nothing_is_lost() {
    let mut redis = RedisServer::durable().await;
    let world = world_on(&redis).await;
    let room = world.room("chair", rules()).await;
    let mut clients = [
        Client::connect(room.owner, Protocol::V1).await,
        Client::connect(room.edge, Protocol::V1).await,
    ];
    let mut acked = 0;
    for (client, amount) in clients.iter_mut().zip([100, 200]) {
        client.join(&room.id).await;
        acked = client.accepted(&room.id, amount, "kept").await["seq"].as_u64().unwrap();
    }

    redis.kill();
    for round in 0..3 {
        for client in &mut clients {
            let asked = clock::monotonic();
            let answer = client.bid(&room.id, 1_000, &format!("lost{round}")).await;
            assert_eq!(answer["code"], "unavailable", "{answer}");
            assert!(answer["retryAfterMs"].is_u64(), "{answer}");
            assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        }
    }
    redis.restart().await;
    for (n, client) in clients.iter_mut().enumerate() {
        // Both tried 1000 in vain; the first to succeed shows that neither was stored.
        let amount = 5_000 + 100 * u64::try_from(n).unwrap();
        let bid_id = format!("back{n}");
        let mut attempts = 0;
        let ack = loop {
            let answer = client.bid(&room.id, amount, &bid_id).await;
            if answer["type"] == "bidAccepted" {
                break answer;
            }
            assert_eq!(answer["code"], "unavailable", "{answer}");
            attempts += 1;
            assert!(attempts < 1_000, "no recovery");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        acked += 1;
        assert_eq!(ack["seq"], acked, "what was not acked was not stored");
    }
    let view = world.inspect(&room.id).await.unwrap().view.unwrap();
    assert_eq!(view.bid_count, 4);
    for client in &mut clients {
        client.update(acked).await;
        let messages = client.drain().await;
        let too_many = |m: &Value| m["currentBid"] == 1_000;
        assert!(!messages.iter().any(|message| too_many(&message.json)));
    }
    world.stop().await;
}

#[tokio::test]
async fn bids_flow_while_the_control_plane_is_away() {
    let redis = RedisServer::durable().await;
    let mut world = world_on(&redis).await;
    let mut rooms = Vec::new();
    for id in ["a", "b", "c"] {
        rooms.push(world.room(id, rules()).await);
    }
    let mut before = Vec::new();
    let mut clients = Vec::new();
    for room in &rooms {
        let seen = world.inspect(&room.id).await.unwrap();
        before.push((seen.owner, seen.epoch));
        for node in [room.owner, room.edge] {
            let mut client = Client::connect(node, Protocol::V1).await;
            client.join(&room.id).await;
            clients.push((client, room.id.clone()));
        }
    }
    let version = world.list_nodes().await.unwrap()[0].limits_version;
    let mut amount = 0;
    world.stop_control().await;
    for _ in 0..5 {
        amount += 100;
        for (n, (client, room)) in (0..).zip(&mut clients) {
            // A room's two clients outbid each other.
            let amount = 10 * amount + 100 * (n % 2);
            client.accepted(room, amount, &format!("b{amount}")).await;
        }
    }
    world.start_control().await;
    world.until_nodes("their return", |node| node.limits_version == version).await;
    let list = ListRoomsRequest { page_size: 0, page_token: String::new() };
    let listed = world.rooms().list_rooms(list).await.unwrap().into_inner().rooms;
    let ids: Vec<_> = listed.iter().map(|room| room.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    for (room, (owner, epoch)) in rooms.iter().zip(before) {
        let after = until("the room's state", async || {
            world.inspect(&room.id).await.ok().filter(|room| room.view.is_some())
        })
        .await;
        assert_eq!((after.owner, after.epoch), (owner, epoch), "nothing has moved");
        assert_eq!(after.view.unwrap().bid_count, 10);
    }
    // New rooms are served again, too.
    let room = world.room("d", rules()).await;
    let mut client = Client::connect(room.edge, Protocol::V1).await;
    client.join("d").await;
    client.accepted("d", 100, "b").await;
    world.stop().await;
}

#[tokio::test]
async fn a_restart_of_everything_keeps_the_rooms() {
    let redis = RedisServer::durable().await;
    let world = world_on(&redis).await;
    let room = world.room("chair", rules()).await;
    let token = token::bidder("ada");
    let mut client = Client::with_token(room.edge, Protocol::V1, &token).await;
    client.join(&room.id).await;
    let ack = client.bid_received(&room.id, 100, "kept").await;
    let generation = client.join(&room.id).await["generation"].clone();
    world.stop().await;

    let world = world_on(&redis).await;
    let room = world.placed("chair").await;
    for node in [room.owner, room.edge] {
        let mut client = Client::with_token(node, Protocol::V1, &token).await;
        let state = client.join(&room.id).await;
        assert_eq!(state["currentBid"], 100);
        assert_eq!(state["currentBidderId"], "ada");
        assert_eq!(state["generation"], generation, "the history is the same");
        assert_eq!(client.bid_received(&room.id, 100, "kept").await.text, ack.text);
    }
    world.stop().await;
}
