//! Limits of sockets, bids and messages, and that all that a socket held is released.

use gavel_tests::{Client, Options, Protocol, World, http, raw::RawSocket, token, world::rules};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn the_sixth_guest_of_an_address_is_turned_away_until_one_leaves() {
    let world = World::with(Options { production_limits: true, ..Options::default() }).await;
    let node = world.first();
    let mut sockets = Vec::new();
    for _ in 0..5 {
        sockets.push(Client::connect(node, Protocol::Seed).await);
    }
    let mut sixth = Client::try_connect(node, Protocol::Seed, None).await.unwrap();
    let close = sixth.close_code().await;
    assert_eq!(close, (1008, "Connection limit exceeded".to_owned()));
    // Users with a token may share an address.
    let signed_in = Client::with_token(node, Protocol::V1, &token::bidder("ada")).await;
    signed_in.close().await;

    sockets.pop().unwrap().close().await;
    http::until_sockets(node, 4).await;
    let again = Client::connect(node, Protocol::Seed).await;
    let mut seventh = Client::try_connect(node, Protocol::Seed, None).await.unwrap();
    assert_eq!(seventh.close_code().await.0, 1008);

    // The limit may change while the node runs.
    world.limits(|limits| limits.sockets_per_ip_max = 6).await;
    let more = Client::connect(node, Protocol::Seed).await;
    drop((again, more, sockets));
    http::until_released(node).await;
    world.stop().await;
}

#[tokio::test]
async fn a_user_bids_five_times_a_minute_over_all_nodes() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    world.limits(|limits| limits.bids_per_user_max = 5).await;
    let token = token::bidder("ada");
    let mut clients = [
        Client::with_token(room.owner, Protocol::V1, &token).await,
        Client::with_token(room.edge, Protocol::V1, &token).await,
    ];
    for client in &mut clients {
        client.join(&room.id).await;
    }
    // Only the first can be the best; each counts all the same.
    let mut accepted = 0;
    for n in 0..5_usize {
        let client = clients.get_mut(n % 2).unwrap();
        let answer = client.bid(&room.id, 100, &format!("b{n}")).await;
        accepted += u32::from(answer["type"] == "bidAccepted");
        assert_ne!(answer["reason"], "rate_limited", "{answer}");
    }
    assert_eq!(accepted, 1);
    for client in &mut clients {
        let answer = client.bid(&room.id, 500, "over").await;
        assert_eq!(answer["reason"], "rate_limited", "{answer}");
        let after = answer["retryAfterMs"].as_u64().unwrap();
        assert!((1..=60_000).contains(&after), "{answer}");
    }
    // Somebody else still may, and so may everybody when the limit is lifted.
    let mut eve = Client::with_token(room.edge, Protocol::V1, &token::bidder("eve")).await;
    eve.accepted(&room.id, 200, "eve").await;
    world.limits(|limits| limits.bids_per_user_max = 6).await;
    for (client, amount) in clients.iter_mut().zip([300, 400]) {
        let answer = client.bid(&room.id, amount, &format!("more{amount}")).await;
        let limited = answer["reason"] == "rate_limited";
        assert_eq!(limited, amount == 400, "{answer}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_retry_of_an_accepted_bid_is_not_limited() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    world.limits(|limits| limits.bids_per_user_max = 1).await;
    for (node, amount) in [(room.owner, 150), (room.edge, 250)] {
        let mut client = Client::connect(node, Protocol::V1).await;
        client.join(&room.id).await;
        let ack = client.bid_received(&room.id, amount, "b").await.text;
        assert_eq!(client.bid_received(&room.id, amount, "b").await.text, ack);
        assert_eq!(client.rejected(&room.id, 900, "other").await, "rate_limited");
    }
    world.stop().await;
}

#[tokio::test]
async fn retries_of_an_accepted_bid_cost_nothing() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    world.limits(|limits| limits.bids_per_user_max = 3).await;
    for (node, amount) in [(room.owner, 100), (room.edge, 200)] {
        let mut client = Client::connect(node, Protocol::V1).await;
        let ack = client.bid_received(&room.id, amount, "b").await.text;
        for _ in 0..5 {
            assert_eq!(client.bid_received(&room.id, amount, "b").await.text, ack);
        }
        for bid_id in ["second", "third"] {
            assert_eq!(client.rejected(&room.id, 900, bid_id).await, "own_bid");
        }
        assert_eq!(client.rejected(&room.id, 900, "fourth").await, "rate_limited");
        assert_eq!(client.bid_received(&room.id, amount, "b").await.text, ack);
    }
    world.stop().await;
}

#[tokio::test]
async fn the_id_of_a_rejected_bid_counts_each_time() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    world.limits(|limits| limits.bids_per_user_max = 3).await;
    for (node, amount) in [(room.owner, 100), (room.edge, 200)] {
        let mut client = Client::connect(node, Protocol::V1).await;
        assert_eq!(client.rejected(&room.id, 1, "b").await, "too_low");
        assert_eq!(client.rejected(&room.id, 1, "b").await, "too_low");
        // It is a new bid, which may be accepted, and then has its one answer.
        let ack = client.accepted(&room.id, amount, "b").await;
        assert_eq!(client.accepted(&room.id, amount, "b").await, ack);
        let over = client.bid(&room.id, 900, "c").await;
        assert_eq!(over["reason"], "rate_limited", "{over}");
        assert!(over["retryAfterMs"].as_u64() > Some(0), "{over}");
        let mut other = Client::connect(node, Protocol::V1).await;
        for _ in 0..3 {
            assert_eq!(other.rejected(&room.id, 1, "x").await, "too_low");
        }
        let over = other.bid(&room.id, 900, "x").await;
        assert_eq!(over["reason"], "rate_limited", "{over}");
        assert!(over["retryAfterMs"].as_u64() > Some(0), "{over}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_flood_of_messages_is_answered_once_and_then_cut() {
    let world = World::start().await;
    world
        .limits(|limits| {
            limits.messages_per_session_rate = 1;
            limits.messages_per_session_burst = 3;
        })
        .await;
    let mut client = Client::connect(world.first(), Protocol::V1).await;
    for _ in 0..3 {
        client.send(&json!({"type": "ping"})).await;
        client.expect("pong", |m| m["type"] == "pong").await;
    }
    client.send(&json!({"type": "ping"})).await;
    let error = client.expect("error", |m| m["type"] == "error").await;
    assert_eq!(error["code"], "rate_limited");
    assert!(error["retryAfterMs"].as_u64().unwrap() <= 1_000, "{error}");
    // All of it leaves before the close can come back.
    let flood = vec![Message::text(r#"{"type":"ping"}"#); 250];
    for message in flood {
        client.try_send(message).await;
    }
    let (code, _) = client.close_code().await;
    assert_eq!(code, 4429);
    world.stop().await;
}

#[tokio::test]
async fn a_session_joins_only_so_many_rooms() {
    let world = World::start().await;
    for id in ["a", "b", "c"] {
        world.room(id, rules()).await;
    }
    world.limits(|limits| limits.rooms_per_session_max = 2).await;
    let mut client = Client::connect(world.first(), Protocol::V1).await;
    for id in ["a", "b", "a"] {
        client.join(id).await;
    }
    client.send(&json!({"type": "joinAuction", "auctionId": "c"})).await;
    let error = client.expect("error", |m| m["type"] == "error").await;
    assert_eq!(error["code"], "too_many_rooms");
    client.send(&json!({"type": "leaveAuction", "auctionId": "a"})).await;
    client.join("c").await;
    world.stop().await;
}

#[tokio::test]
async fn a_room_that_is_not_entered_takes_no_place() {
    let world = World::start().await;
    world.room("a", rules()).await;
    world.limits(|limits| limits.rooms_per_session_max = 1).await;
    let mut client = Client::connect(world.first(), Protocol::V1).await;
    client.send(&json!({"type": "joinAuction", "auctionId": "nowhere"})).await;
    let error = client.expect("error", |m| m["type"] == "error").await;
    assert_eq!(error["code"], "unknown_room");
    client.join("a").await;
    world.stop().await;
}

#[tokio::test]
async fn a_closed_socket_ends_at_once() {
    let world = World::start().await;
    for by_node in [false, true] {
        let mut client = Client::connect(world.first(), Protocol::V1).await;
        let started = gavel_runtime::clock::monotonic();
        if by_node {
            client.send_raw(Message::binary(vec![1])).await;
            assert_eq!(client.close_code().await.0, 1003);
        } else {
            client.close().await;
        }
        // A client waits for the node to end the connection (RFC 6455, 7.1.1).
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    }
    world.stop().await;
}

#[tokio::test]
async fn a_socket_that_never_pongs_is_terminated() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    world
        .limits(|limits| {
            limits.heartbeat_interval_ms = 1_000;
            limits.pong_deadline_ms = 500;
        })
        .await;
    for node in [room.owner, room.edge] {
        let mut silent = RawSocket::open(node).await;
        silent.send_text(r#"{"type":"joinAuction","auctionId":"chair"}"#).await;
        http::until_sockets(node, 1).await;
        assert_eq!(silent.read_to_end().await, None, "it is terminated, not closed");
        http::until_released(node).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_socket_that_pongs_outlives_many_heartbeats() {
    let world = World::start().await;
    world
        .limits(|limits| {
            limits.heartbeat_interval_ms = 1_000;
            limits.pong_deadline_ms = 500;
        })
        .await;
    let mut client = Client::connect(world.first(), Protocol::V1).await;
    let mut silent = RawSocket::open(world.first()).await;
    silent.send_text(r#"{"type":"ping"}"#).await;
    // The silent one measures the time: its end is one whole heartbeat.
    let (_, pong) = tokio::join!(silent.read_to_end(), async {
        for _ in 0..2 {
            client.until_pinged().await;
        }
        client.send(&json!({"type": "ping"})).await;
        client.expect("pong", |m| m["type"] == "pong").await
    });
    assert!(pong["serverTime"].is_u64());
    world.stop().await;
}

#[tokio::test]
async fn whatever_way_sockets_leave_nothing_stays() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    world.room("other", rules()).await;
    let mut clients = Vec::new();
    for n in 0..50_usize {
        let node = if n % 2 == 0 { room.owner } else { room.edge };
        let mut client = if n % 3 == 0 {
            Client::with_token(node, Protocol::V1, &token::bidder(&format!("u{n}"))).await
        } else {
            Client::connect(node, Protocol::Seed).await
        };
        client.join("chair").await;
        client.join("other").await;
        clients.push(client);
    }
    for node in [room.owner, room.edge] {
        http::until_sockets(node, 25).await;
        gavel_tests::until("all seats", async || {
            let metrics = http::metrics(node).await;
            (metrics.pointer("/rooms/totalConnections")? == 50).then_some(())
        })
        .await;
    }
    for (n, mut client) in clients.into_iter().enumerate() {
        match n % 5 {
            0 => client.close().await,
            1 => drop(client),
            2 => client.reset(),
            // The node cuts these.
            3 => client.send_raw(Message::binary(vec![1, 2, 3])).await,
            _ => {
                client.send(&json!({"type": "leaveAuction", "auctionId": "chair"})).await;
                client.send_raw(Message::text("x".repeat(20_000))).await;
            }
        }
    }
    for node in [room.owner, room.edge] {
        http::until_released(node).await;
    }
    let view = world.inspect("chair").await.unwrap();
    assert_eq!(view.viewers, 0);
    world.stop().await;
}

#[tokio::test]
async fn metrics_need_the_admin_token() {
    let world = World::start().await;
    for bearer in [None, Some("wrong"), Some("")] {
        let (status, _) = http::get(world.first(), "/api/websocket/metrics", bearer).await;
        assert_eq!(status, 401);
    }
    let metrics = http::metrics(world.first()).await;
    for path in ["/connections/active", "/memory/rss", "/uptime"] {
        assert!(metrics.pointer(path).is_some_and(Value::is_u64), "{path}: {metrics}");
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(http::get(world.first(), path, None).await.0, 200);
    }
    let (status, text) = http::get(world.first(), "/metrics", None).await;
    assert_eq!(status, 200);
    assert!(text.contains("gavel_") && text.ends_with("# EOF\n"));
    world.stop().await;
}
