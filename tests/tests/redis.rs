//! The same cluster with Redis, which goes away and comes back; so does the
//! control plane.

use gavel_proto::admin::v1::ListRoomsRequest;
use gavel_rules::{
    AuctionRules, EventKind, Millis, OutageCredit, Seq, Timestamp,
    audit::{Stream, StreamFormat, audit},
};
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
async fn an_outage_of_the_store_is_given_back_where_the_rules_say_so() {
    const LOST_MS: u64 = 3_000;
    let mut redis = RedisServer::durable().await;
    let world = world_on(&redis).await;
    let closes_at = Timestamp::new(clock::now_ms()).saturating_add(Millis::new(4_000));
    let (from, total_max) = (Millis::new(2_000), Millis::new(60_000));
    let outage_credit = Some(OutageCredit { from, total_max });
    // Both run out while Redis is away.
    let credited = world.room("vase", AuctionRules { outage_credit, closes_at, ..rules() }).await;
    let plain = world.room("lamp", AuctionRules { closes_at, ..rules() }).await;
    let mut viewer = Client::connect(credited.edge, Protocol::V1).await;
    assert!(viewer.join(&credited.id).await.get("creditedMs").is_none());
    let mut bidder = Client::connect(credited.owner, Protocol::V1).await;
    bidder.join(&credited.id).await;
    let ack = bidder.accepted(&credited.id, 100, "before").await;
    let mut other = Client::connect(plain.edge, Protocol::V1).await;
    other.join(&plain.id).await;

    redis.kill();
    // It is away for so long, and until the close is over in any case.
    let back_at = clock::now_ms().max(closes_at.as_millis() - 2_000) + LOST_MS;
    until("the outage", async || (clock::now_ms() > back_at).then_some(())).await;
    redis.restart().await;

    let seq = ack["seq"].as_u64().unwrap() + 1;
    let update = viewer.update(seq).await;
    let credited_ms = update["creditedMs"].as_u64().unwrap();
    assert!(credited_ms >= LOST_MS, "{update}");
    assert_eq!(update["closesAt"], closes_at.as_millis() + credited_ms, "{update}");
    assert!(update.get("timeExtended").is_none(), "no bid moved it: {update}");
    let answer = viewer.bid_received(&credited.id, 200, "after").await.json;
    assert_eq!(answer["type"], "bidAccepted", "{answer}");
    let closed = other.expect("the close", |m| m["type"] == "auctionClosed").await;
    assert_eq!(closed["auctionId"], "lamp", "what promises nothing closes when its time is over");
    let closed = viewer.expect("the close", |m| m["type"] == "auctionClosed").await;
    assert_eq!((&closed["auctionId"], &closed["amount"]), (&"vase".into(), &200.into()));

    // And the stream tells what happened, which its audit finds right.
    let store = gavel_data_plane::store::open(Some(&redis.url())).unwrap();
    let id = "vase".parse().unwrap();
    let events = store.range(&id, Seq::new(0), 100).await.unwrap();
    let loaded = store.load(&id).await.unwrap();
    let credits: Vec<_> = events
        .iter()
        .filter(|stored| matches!(stored.event.kind, EventKind::Credited { .. }))
        .collect();
    assert_eq!(credits.len(), 1, "{events:?}");
    assert_eq!(credits[0].event.seq, Seq::new(seq));
    let stream = Stream {
        format: StreamFormat::V1,
        room: id,
        generation: loaded.generation,
        epoch: loaded.epoch,
        snapshot: Some(loaded.auction.to_snapshot()),
        events,
    };
    audit(&stream, &[], false).unwrap();
    world.stop().await;
}

#[tokio::test]
async fn the_next_owner_gives_back_what_the_last_one_left() {
    let redis = RedisServer::durable().await;
    let mut world = world_on(&redis).await;
    let (from, total_max) = (Millis::new(2_000), Millis::new(60_000));
    let outage_credit = Some(OutageCredit { from, total_max });
    let rules = AuctionRules { outage_credit, ..rules() };
    let closes_at = rules.closes_at.as_millis();
    let room = world.room("vase", rules).await;
    // Nobody is there to give the room to; a new leader gives its owner a
    // lease to come back, and only then another owner to the room.
    world.stop_control().await;
    world.leave(room.owner).await;
    world.start_control().await;
    let view = until("the credit", async || {
        let view = world.inspect(&room.id).await.ok()?.view?;
        (view.credited_ms > 0).then_some(view)
    })
    .await;
    assert!(view.credited_ms >= from.get(), "{view:?}");
    assert_eq!((view.closes_at, view.seq), (closes_at + view.credited_ms, 3), "{view:?}");
    let mut client = Client::connect(room.edge, Protocol::V1).await;
    assert_eq!(client.join(&room.id).await["creditedMs"], view.credited_ms);
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

#[tokio::test]
async fn viewers_on_every_node_are_told_that_nobody_can_decide() {
    let redis = RedisServer::durable().await;
    let world = world_on(&redis).await;
    let room = world.room("chair", rules()).await;
    let mut viewers = Vec::new();
    for node in [room.owner, room.edge] {
        let mut viewer = Client::connect(node, Protocol::V1).await;
        viewer.join(&room.id).await;
        viewers.push((node, viewer));
    }
    let mut of_seed = Client::connect(room.owner, Protocol::Seed).await;
    of_seed.join(&room.id).await;
    viewers[0].1.accepted(&room.id, 100, "b-1").await;
    let is = |level: &'static str| move |m: &Value| m["type"] == "degraded" && m["level"] == level;

    redis.freeze();
    // A room without bids finds out by its next one.
    viewers[0]
        .1
        .send(&serde_json::json!({"type": "bid", "auctionId": "chair", "amount": 200}))
        .await;
    for (node, viewer) in &mut viewers {
        let told = viewer.expect("that nothing is decided", is("paused")).await;
        assert!(told["staleMs"].as_u64() >= Some(1_000), "{told}");
        let mut late = Client::connect(*node, Protocol::V1).await;
        late.join(&room.id).await;
        late.expect("the same", is("paused")).await;
    }
    let open = "gavel_breakers{dependency=\"store\",state=\"closed\"} 0";
    until("an open breaker", async || world.metrics(room.owner).await.contains(open).then_some(()))
        .await;

    redis.thaw();
    for (_, viewer) in &mut viewers {
        viewer.expect("that it goes on", is("full")).await;
    }
    viewers[1].1.accepted(&room.id, 300, "b-2").await;
    let words = of_seed.drain().await;
    assert!(words.iter().all(|one| one.json["type"] != "degraded"), "the seed knows no such word");
    world.stop().await;
}
