//! Limits that hold over several nodes, whoever is behind a proxy, and what
//! happens to whoever exceeds one.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that lacks a key gives null, which the test then names"
)]

use gavel_proto::config::v1::{LimitAction, Limits};
use gavel_runtime::clock;
use gavel_tests::{
    Client, Options, Protocol, RedisServer, World, http, token, until, world::rules,
};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio_tungstenite::tungstenite::{Error, Message};

const V1: &str = "gavel.v1.json";

/// Nodes behind a proxy on this machine.
async fn behind_proxy(redis: Option<&RedisServer>) -> World {
    let trusted_proxies = "127.0.0.0/8".to_owned();
    let redis_url = redis.map(RedisServer::url);
    World::with(Options { redis_url, trusted_proxies, ..Options::default() }).await
}

/// What became of a handshake.
#[derive(Debug)]
enum Opened {
    Welcome(Box<Client>),
    /// The status, and the seconds of `Retry-After`.
    Http(u16, u64),
    /// The code of the close, and of the error in front of it.
    Closed(u16, String),
}

// === impl Opened ===

impl Opened {
    fn welcome(self) -> Client {
        match self {
            Self::Welcome(client) => *client,
            Self::Http(..) | Self::Closed(..) => panic!("not welcome: {self:?}"),
        }
    }
}

/// Opens a socket as a proxy on this machine does for somebody.
async fn open(node: SocketAddr, user: Option<&str>, forwarded_for: Option<&str>) -> Opened {
    let bearer = user.map(|user| format!("bearer.{}", token::bidder(user)));
    let protocols: Vec<&str> = std::iter::once(V1).chain(bearer.as_deref()).collect();
    let mut client = match Client::try_behind(node, &protocols, forwarded_for).await {
        Ok(client) => client,
        Err(Error::Http(response)) => {
            let after = response.headers().get("retry-after").expect("a time to come again");
            let after = after.to_str().expect("text").parse().expect("seconds");
            return Opened::Http(response.status().as_u16(), after);
        }
        Err(error) => panic!("{error}"),
    };
    let first = client.next().await.json;
    if first["type"] == "welcome" {
        client.welcome = first;
        return Opened::Welcome(Box::new(client));
    }
    assert!(first["retryAfterMs"].as_u64() > Some(0), "{first}");
    let (close, _) = client.close_code().await;
    Opened::Closed(close, first["code"].as_str().expect("a code").to_owned())
}

fn is_turned_away(opened: &Opened) -> bool {
    matches!(opened, Opened::Closed(1008, code) if code == "too_many_sockets")
}

#[tokio::test]
async fn sockets_of_an_address_and_of_a_user_count_over_all_nodes() {
    let redis = RedisServer::start().await;
    for redis in [None, Some(&redis)] {
        let world = behind_proxy(redis).await;
        world
            .limits(|limits| {
                limits.sockets_per_ip_max = 3;
                limits.sockets_per_user_max = 3;
            })
            .await;
        let nodes = world.addrs();
        for user in [None, Some("ada")] {
            // The same customer, and no more of one than of the other.
            let from = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"];
            let mut held = Vec::new();
            for (n, from) in from.iter().take(3).enumerate() {
                held.push(open(nodes[n % 2], user, Some(from)).await.welcome());
            }
            for node in &nodes {
                let over = open(*node, user, Some(from[3])).await;
                assert!(is_turned_away(&over), "{user:?}: {over:?}");
            }
            let other = if user.is_some() { Some("eve") } else { None };
            drop(open(nodes[0], other, Some("192.0.2.1")).await.welcome());
            // One that leaves makes room at any node.
            held.remove(0).close().await;
            let again =
                until("a free place", async || match open(nodes[1], user, Some(from[3])).await {
                    Opened::Welcome(client) => Some(client),
                    Opened::Http(..) | Opened::Closed(..) => None,
                })
                .await;
            assert!(is_turned_away(&open(nodes[0], user, Some(from[3])).await));
            drop((again, held));
            for node in &nodes {
                http::until_released(*node).await;
            }
        }
        world.stop().await;
    }
}

#[tokio::test]
async fn who_signs_in_later_counts_as_the_user() {
    let world = World::start().await;
    world.limits(|limits| limits.sockets_per_user_max = 1).await;
    let auth = json!({"type": "auth", "token": token::bidder("ada")});
    let mut first = Client::connect(world.first(), Protocol::V1).await;
    for _ in 0..2 {
        first.send(&auth).await;
        first.expect("welcome", |m| m["type"] == "welcome" && m["userId"] == "ada").await;
    }
    until("the count of the user", async || {
        let over = open(world.addrs()[1], Some("ada"), None).await;
        is_turned_away(&over).then_some(())
    })
    .await;
    let mut second = Client::connect(world.first(), Protocol::V1).await;
    second.send(&auth).await;
    let error = second.expect("error", |m| m["type"] == "error").await;
    assert_eq!(error["code"], "too_many_sockets");
    assert_eq!(second.close_code().await.0, 1008);
    world.stop().await;
}

async fn try_join(client: &mut Client, room: &str) -> Value {
    client.send(&json!({"type": "joinAuction", "auctionId": room})).await;
    client.expect("answer", |m| m["type"] == "auctionState" || m["type"] == "error").await
}

#[tokio::test]
async fn sockets_in_a_room_count_over_all_nodes() {
    let redis = RedisServer::start().await;
    let redis_url = Some(redis.url());
    let world = World::with(Options { redis_url, ..Options::default() }).await;
    let room = world.room("chair", rules()).await;
    world.room("other", rules()).await;
    // One is in it before there is a limit, and counts all the same.
    let mut before = Client::connect(room.owner, Protocol::V1).await;
    before.join("chair").await;
    world.limits(|limits| limits.sockets_per_room_max = 3).await;
    let mut clients = Vec::new();
    for node in [room.owner, room.edge, room.edge] {
        clients.push(Client::connect(node, Protocol::V1).await);
    }
    let (last, others) = clients.split_last_mut().unwrap();
    for client in others.iter_mut() {
        assert_eq!(try_join(client, "chair").await["type"], "auctionState");
        // Whoever is in it already is not refused.
        assert_eq!(try_join(client, "chair").await["type"], "auctionState");
    }
    let full = until("the count of the first", async || {
        let answer = try_join(last, "chair").await;
        let full = answer["code"] == "room_full";
        if !full {
            last.send(&json!({"type": "leaveAuction", "auctionId": "chair"})).await;
        }
        full.then_some(answer)
    })
    .await;
    assert!(full["retryAfterMs"].as_u64() > Some(0) && full["auctionId"] == "chair", "{full}");
    assert_eq!(try_join(last, "other").await["type"], "auctionState");
    let first = others.first_mut().unwrap();
    first.send(&json!({"type": "leaveAuction", "auctionId": "chair"})).await;
    until("a free place", async || {
        (try_join(last, "chair").await["type"] == "auctionState").then_some(())
    })
    .await;
    assert_eq!(try_join(first, "chair").await["code"], "room_full");
    drop((before, clients));
    for node in [room.owner, room.edge] {
        http::until_released(node).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn what_happens_at_a_limit_is_chosen() {
    let world = World::start().await;
    world.room("chair", rules()).await;
    let node = world.first();
    let _held = open(node, Some("ada"), None).await.welcome();
    type Set = fn(&mut Limits, i32);
    let rows: [(Set, &str, Option<&str>, u16); 3] = [
        (
            |l, a| (l.sockets_per_ip_max, l.sockets_per_ip_action) = (1, a),
            "sockets_per_ip",
            None,
            429,
        ),
        (
            |l, a| (l.sockets_per_user_max, l.sockets_per_user_action) = (1, a),
            "sockets_per_user",
            Some("ada"),
            429,
        ),
        (
            |l, a| (l.sockets_per_node_max, l.sockets_per_node_action) = (1, a),
            "sockets_per_node",
            None,
            503,
        ),
    ];
    let mut guest = None;
    for (set, name, user, status) in rows {
        for action in
            [LimitAction::Refuse, LimitAction::Close, LimitAction::Shed, LimitAction::DryRun]
        {
            world.limits(|limits| set(limits, action.into())).await;
            if guest.is_none() {
                guest = Some(open(node, None, None).await.welcome());
            }
            let opened = until("the limit", async || {
                let opened = open(node, user, None).await;
                let is_there =
                    !matches!(opened, Opened::Welcome(_)) || action == LimitAction::DryRun;
                is_there.then_some(opened)
            })
            .await;
            let fine = match (action, &opened) {
                (LimitAction::Refuse, Opened::Http(code, after)) => *code == status && *after > 0,
                (LimitAction::Close, Opened::Closed(1008, code)) => code == "too_many_sockets",
                (LimitAction::Shed, Opened::Closed(1013, code)) => code == "too_many_sockets",
                (LimitAction::DryRun, Opened::Welcome(_)) => true,
                _ => false,
            };
            assert!(fine, "{name} {action:?}: {opened:?}");
            let word = gavel_proto::limits::word(action);
            let line = format!("gavel_limit_hits_total{{limit=\"{name}\",action=\"{word}\"}} ");
            let metrics = world.metrics(node).await;
            let count = metrics.lines().find_map(|found| found.strip_prefix(&line));
            assert!(count.is_some_and(|count| count != "0"), "{line}{count:?}");
        }
        world.limits(|limits| set(limits, LimitAction::DryRun.into())).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn what_happens_to_bids_over_the_limit_is_chosen() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    for (n, action) in
        [LimitAction::Close, LimitAction::Shed, LimitAction::DryRun].into_iter().enumerate()
    {
        world
            .limits(|limits| {
                limits.bids_per_user_max = 1;
                limits.bids_per_user_action = action.into();
            })
            .await;
        let user = token::bidder(&format!("user-{n}"));
        let mut client = Client::with_token(room.edge, Protocol::V1, &user).await;
        client.bid(&room.id, 100, "first").await;
        let over = client.bid(&room.id, 100, "over").await;
        if action == LimitAction::DryRun {
            assert_ne!(over["reason"], "rate_limited", "{over}");
            continue;
        }
        assert_eq!((&over["type"], &over["code"]), (&json!("error"), &json!("rate_limited")));
        assert!(over["retryAfterMs"].as_u64() > Some(0) && over["auctionId"] == "chair", "{over}");
        let code = if action == LimitAction::Close { 4429 } else { 1013 };
        assert_eq!(client.close_code().await.0, code);
    }
    world.stop().await;
}

#[tokio::test]
async fn who_is_refused_again_and_again_is_closed() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    world
        .limits(|limits| {
            limits.bids_per_user_max = 1;
            limits.refusals_per_session_max = 5;
            limits.refusals_window_ms = 3_600_000;
        })
        .await;
    let mut client = Client::with_token(room.edge, Protocol::V1, &token::bidder("ada")).await;
    client.accepted(&room.id, 100, "first").await;
    for n in 0..5 {
        assert_eq!(client.rejected(&room.id, 900, &format!("over-{n}")).await, "rate_limited");
    }
    client.send(&json!({"type": "ping"})).await;
    let error = client.expect("error", |m| m["type"] == "error").await;
    assert_eq!(error["code"], "rate_limited");
    assert!(error["retryAfterMs"].as_u64() > Some(0), "{error}");
    assert_eq!(client.close_code().await.0, 4429);
    // What makes no sense is refused as well.
    let mut client = Client::connect(room.owner, Protocol::V1).await;
    for _ in 0..5 {
        client.try_send(Message::text(r#"{"type":"nothing"}"#)).await;
    }
    assert_eq!(client.close_code().await.0, 4429);
    world.stop().await;
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_to_wait_before_it_gets_a_socket() {
    let world = behind_proxy(None).await;
    world
        .limits(|limits| {
            limits.handshakes_per_ip_rate = 1;
            limits.handshakes_per_ip_burst = 2;
        })
        .await;
    let node = world.first();
    for from in ["192.0.2.1", "192.0.2.2"] {
        let mut outcomes = Vec::new();
        for _ in 0..4 {
            let opened = open(node, Some("ada"), Some(from)).await;
            outcomes.push(!matches!(opened, Opened::Http(429, 1)));
        }
        // The rest may have come late on a slow machine; the first two are the burst.
        assert!(outcomes.starts_with(&[true, true]) && outcomes.contains(&false), "{outcomes:?}");
    }
    world.limits(|limits| limits.handshakes_per_ip_action = LimitAction::DryRun.into()).await;
    for _ in 0..4 {
        open(node, None, Some("192.0.2.1")).await.welcome();
    }
    world.stop().await;
}

#[tokio::test]
async fn an_address_is_that_which_the_proxy_saw() {
    let world = behind_proxy(None).await;
    world.limits(|limits| limits.sockets_per_ip_max = 1).await;
    let node = world.first();
    let _held = open(node, None, Some("192.0.2.1")).await.welcome();
    // Whatever a client writes itself stands to the left of what the proxy saw.
    for from in ["192.0.2.1", "198.51.100.7, 192.0.2.1", "127.0.0.1, ::ffff:192.0.2.1"] {
        let opened = open(node, None, Some(from)).await;
        assert!(is_turned_away(&opened), "{from}: {opened:?}");
    }
    let _other = open(node, None, Some("192.0.2.1, 192.0.2.2")).await.welcome();
    world.stop().await;
    // Nobody is believed where no proxy is named.
    let world = World::start().await;
    world.limits(|limits| limits.sockets_per_ip_max = 1).await;
    let _held = open(world.first(), None, Some("192.0.2.1")).await.welcome();
    assert!(is_turned_away(&open(world.first(), None, Some("192.0.2.2")).await));
    world.stop().await;
}

#[tokio::test]
async fn many_users_behind_one_address_are_all_served_by_default() {
    let world = World::with(Options { production_limits: true, ..Options::default() }).await;
    let nodes = world.addrs();
    let mut held = Vec::new();
    for n in 0..300_usize {
        let user = format!("user-{n}");
        held.push(open(nodes[n % 2], Some(&user), None).await.welcome());
    }
    assert_eq!(held.len(), 300);
    world.stop().await;
}

#[tokio::test]
async fn a_changed_limit_is_in_force_on_every_node_within_a_second() {
    let world = World::start().await;
    let nodes = world.addrs();
    let held = open(nodes[0], None, None).await.welcome();
    let mut service = world.limit_service();
    let request = gavel_proto::admin::v1::GetLimitsRequest {};
    let mut limits = service.get_limits(request).await.unwrap().into_inner().limits.unwrap();
    limits.sockets_per_ip_max = 1;
    let request = gavel_proto::admin::v1::UpdateLimitsRequest { limits: Some(limits), version: 0 };
    service.update_limits(request).await.unwrap();
    let changed = clock::monotonic();
    for node in nodes {
        until("the new limit", async || {
            is_turned_away(&open(node, None, None).await).then_some(())
        })
        .await;
    }
    assert!(changed.elapsed() <= Duration::from_secs(1), "{:?}", changed.elapsed());
    for (field, action) in [("sockets_per_ip_action", 9), ("sockets_per_ip_action", -1)] {
        limits.sockets_per_ip_action = action;
        let limits = Some(limits);
        let request = gavel_proto::admin::v1::UpdateLimitsRequest { limits, version: 0 };
        let status = service.update_limits(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(status.message().contains(field), "{status}");
    }
    drop(held);
    world.stop().await;
}
