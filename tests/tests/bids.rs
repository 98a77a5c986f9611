//! A bid travels from a browser to every viewer, across two nodes.

use gavel_proto::admin::v1::{CloseRoomRequest, PauseRoomRequest, ResumeRoomRequest};
use gavel_rules::{
    auction::{Extension, ExtensionMode, GuestAccess},
    time::{Millis, Timestamp},
};
use gavel_runtime::clock;
use gavel_tests::{
    Client, Protocol, World, token,
    world::{minor, rules},
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite;

#[tokio::test]
async fn a_bid_on_either_node_is_seen_on_both() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    let mut at_owner = Client::connect(room.owner, Protocol::V1).await;
    let mut at_edge = Client::connect(room.edge, Protocol::V1).await;
    let start = at_owner.join(&room.id).await;
    assert_eq!(start["state"], "open");
    assert_eq!(start["minimumBid"], 100);
    assert_eq!(start["currentBidderId"], Value::Null);
    let seq = at_edge.join(&room.id).await["seq"].as_u64().unwrap();
    assert_eq!(start["seq"], seq);

    let first = at_owner.accepted(&room.id, 150, "b1").await;
    assert_eq!(first["durability"], "memory");
    assert_eq!(first["amount"], 150);
    assert_eq!(first["minimumBid"], 250);
    assert_eq!(first["seq"], seq + 1);
    let second = at_edge.accepted(&room.id, 250, "b2").await;
    assert_eq!(second["seq"], seq + 2);
    assert_eq!(second["durability"], "memory");

    let users = [at_owner.user().to_owned(), at_edge.user().to_owned()];
    for client in [&mut at_owner, &mut at_edge] {
        for (n, (user, amount)) in (1..).zip(users.iter().zip([150, 250])) {
            let update = client.update(seq + n).await;
            assert_eq!(update["currentBid"], amount);
            assert_eq!(update["currentBidderId"], **user);
            assert_eq!(update["bidCount"], n);
        }
    }
    let outbid = at_owner.expect("outbid", |m| m["type"] == "outbid").await;
    assert_eq!(outbid["currentBid"], 250);
    world.stop().await;
}

#[tokio::test]
async fn seq_has_no_gap_on_any_node() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    let mut watchers = Vec::new();
    for node in world.addrs() {
        let mut watcher = Client::connect(node, Protocol::V1).await;
        watcher.join(&room.id).await;
        watchers.push(watcher);
    }
    let mut bidders = [
        Client::connect(room.owner, Protocol::V1).await,
        Client::connect(room.edge, Protocol::V1).await,
    ];
    let mut last = 0;
    for n in 1..=100_u64 {
        let bidder = bidders.get_mut(usize::from(n % 2 == 0)).unwrap();
        let ack = bidder.accepted(&room.id, n * 100 + 50, &format!("b{n}")).await;
        last = ack["seq"].as_u64().unwrap();
    }
    for watcher in &mut watchers {
        for seq in last - 99..=last {
            let update = watcher.expect("update", |m| m["type"] == "auctionUpdate").await;
            assert_eq!(update["seq"], seq);
            assert_eq!(update["currentBid"], (seq + 100 - last) * 100 + 50);
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn a_snapshot_comes_first_and_then_what_changed() {
    let world = World::start().await;
    let room = world.room("7", rules()).await;
    for node in [room.owner, room.edge] {
        let mut client = Client::connect(node, Protocol::V1).await;
        let state = client.join(&room.id).await;
        for field in [
            "title",
            "currency",
            "state",
            "currentBid",
            "currentBidderId",
            "bidCount",
            "minimumBid",
            "opensAt",
            "closesAt",
            "round",
            "generation",
            "seq",
            "viewers",
            "serverTime",
        ] {
            assert!(state.get(field).is_some(), "{field}: {state}");
        }
        let amount = state["minimumBid"].as_u64().unwrap();
        let ack = client.accepted(&room.id, amount, "bid").await;
        let update = client.update(ack["seq"].as_u64().unwrap()).await;
        for field in ["title", "state", "opensAt", "closesAt", "timeExtended", "round"] {
            assert_eq!(update.get(field), None, "{update}");
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn each_dialect_has_its_own_amounts() {
    let world = World::start().await;
    let room = world.room("7", rules()).await;
    let mut seed = Client::connect(room.owner, Protocol::Seed).await;
    let mut v1 = Client::connect(room.edge, Protocol::V1).await;
    seed.send(&json!({"type": "joinAuction", "auctionId": 7})).await;
    let state = seed.expect("state", |m| m["type"] == "auctionState").await;
    assert_eq!(state["auctionId"], 7);
    assert_eq!(state["minimumBid"], 1);
    assert_eq!(v1.join("7").await["auctionId"], 7);

    // The seed's amounts have any number of decimals; what is below a cent is cut.
    seed.send(&json!({"type": "bid", "auctionId": 7, "amount": 512.7391})).await;
    let ack = seed.expect("ack", |m| m["type"] == "bidAccepted").await;
    assert_eq!(ack["amount"], 512.73);
    assert_eq!(ack["minimumBid"], 513.73);
    let update = v1.update(ack["seq"].as_u64().unwrap()).await;
    assert_eq!(update["currentBid"], 51_273);
    assert_eq!(v1.accepted("7", "600.50", "b").await["amount"], 60_050);
    world.stop().await;
}

#[tokio::test]
async fn a_bid_needs_no_join() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    for (node, amount) in [(room.owner, 100), (room.edge, 200)] {
        let mut client = Client::connect(node, Protocol::V1).await;
        client.accepted(&room.id, amount, "b").await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_retry_gets_the_same_answer_on_any_node() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    let token = token::bidder("ada");
    let mut acks = Vec::new();
    let mut other = Client::connect(room.owner, Protocol::V1).await;
    for node in [room.owner, room.edge] {
        let mut client = Client::with_token(node, Protocol::V1, &token).await;
        assert_eq!(client.user(), "ada");
        client.join(&room.id).await;
        acks.push(client.bid_received(&room.id, 100, "retried").await.text);
        // Later bids do not change what was answered.
        if acks.len() == 1 {
            other.accepted(&room.id, 200, "other").await;
        }
        acks.push(client.bid_received(&room.id, 100, "retried").await.text);
    }
    assert!(acks.iter().all(|ack| *ack == acks[0]), "{acks:#?}");
    let view = world.inspect(&room.id).await.unwrap().view.unwrap();
    assert_eq!(view.bid_count, 2);
    world.stop().await;
}

#[tokio::test]
async fn a_guest_that_comes_back_is_the_same_bidder_on_any_node() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    let mut first = Client::connect(room.owner, Protocol::V1).await;
    let (user, token) = (first.user().to_owned(), first.welcome["guestToken"].clone());
    let ack = first.bid_received(&room.id, 100, "retried").await.text;
    first.reset();
    for node in [room.edge, room.owner] {
        let mut again = Client::as_guest(node, token.as_str().expect("a guest's token")).await;
        assert_eq!((again.user(), &again.welcome["guestToken"]), (user.as_str(), &token));
        assert_eq!(again.bid_received(&room.id, 100, "retried").await.text, ack);
        assert_eq!(again.rejected(&room.id, 900, "raise").await, "own_bid");
    }
    // Without the token, and with the id that everybody sees, it is somebody else.
    let mut other = Client::connect(room.edge, Protocol::V1).await;
    assert_ne!(other.user(), user);
    assert_eq!(other.rejected(&room.id, 100, "retried").await, "too_low");
    let seen = user.trim_start_matches("guest-");
    for forged in [seen, &seen.repeat(2), "", "0"] {
        let protocols = ["gavel.v1.json", &format!("guest.{forged}")];
        let opened = Client::try_offering(room.edge, &protocols).await;
        let Err(tungstenite::Error::Http(refused)) = opened else { panic!("{forged}: let in") };
        assert_eq!(refused.status(), 401, "{forged}");
    }
    // A user with a token of the application is no guest, and needs no other.
    let ada = Client::with_token(room.edge, Protocol::V1, &token::bidder("ada")).await;
    assert_eq!(ada.welcome.get("guestToken"), None);
    world.stop().await;
}

#[tokio::test]
async fn every_rejection_has_its_reason() {
    let world = World::start().await;
    let later = clock::now_ms() + 3_600_000;
    let scheduled = gavel_rules::auction::AuctionRules {
        opens_at: Timestamp::new(later),
        closes_at: Timestamp::new(later + 1_000),
        ..rules()
    };
    world.room("scheduled", scheduled).await;
    let seller = Some("seller".parse().unwrap());
    let room = world.room("chair", gavel_rules::auction::AuctionRules { seller, ..rules() }).await;
    for node in [room.owner, room.edge] {
        let mut client = Client::connect(node, Protocol::V1).await;
        for room in ["chair", "scheduled"] {
            client.join(room).await;
        }
        let early = client.bid("scheduled", 100, "early").await;
        assert_eq!(early["reason"], "not_open", "{early}");
        let (now, after) = (early["serverTime"].as_u64(), early["retryAfterMs"].as_u64());
        assert_eq!(now.zip(after).map(|(now, after)| now + after), Some(later), "{early}");
        let minimum = client.join("chair").await["minimumBid"].as_u64().unwrap();
        let answer = client.bid("chair", minimum - 1, "low").await;
        assert_eq!(answer["reason"], "too_low", "{answer}");
        assert_eq!(answer["minimumBid"], minimum);
        client.accepted("chair", minimum, "good").await;
        assert_eq!(client.rejected("chair", minimum + 500, "again").await, "own_bid");

        let token = token::bidder("seller");
        let mut seller = Client::with_token(node, Protocol::V1, &token).await;
        seller.join("chair").await;
        assert_eq!(seller.rejected("chair", minimum + 500, "mine").await, "seller");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_paused_auction_takes_no_bids_until_it_resumes() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    let mut clients = [
        Client::connect(room.owner, Protocol::V1).await,
        Client::connect(room.edge, Protocol::V1).await,
    ];
    for client in &mut clients {
        client.join(&room.id).await;
    }
    let pause = PauseRoomRequest { id: room.id.clone(), reason: "a question".to_owned() };
    world.rooms().pause_room(pause).await.unwrap();
    for client in &mut clients {
        let update = client.expect("update", |m| m["type"] == "auctionUpdate").await;
        assert_eq!(update["state"], "paused");
        assert_eq!(client.rejected(&room.id, 100, "b1").await, "paused");
    }
    world.rooms().resume_room(ResumeRoomRequest { id: room.id.clone() }).await.unwrap();
    for (client, amount) in clients.iter_mut().zip([100, 200]) {
        let open = |m: &Value| m["type"] == "auctionUpdate" && m["state"] == "open";
        let update = client.expect("update", open).await;
        assert!(update.get("closesAt").is_some(), "the time paused is credited: {update}");
        client.accepted(&room.id, amount, "b2").await;
    }
    world.stop().await;
}

#[tokio::test]
async fn a_late_bid_extends_and_the_close_has_one_winner_everywhere() {
    let world = World::start().await;
    let now_ms = clock::now_ms();
    let extension = Extension {
        mode: ExtensionMode::ResetTo,
        window: Millis::new(60_000),
        by: Millis::new(2_000),
        extensions_max: 5,
    };
    let soft = gavel_rules::auction::AuctionRules {
        closes_at: Timestamp::new(now_ms + 1_500),
        extension: Some(extension),
        ..rules()
    };
    let room = world.room("soft", soft).await;
    let mut at_owner = Client::connect(room.owner, Protocol::V1).await;
    let mut at_edge = Client::connect(room.edge, Protocol::V1).await;
    for client in [&mut at_owner, &mut at_edge] {
        client.join(&room.id).await;
    }
    let ack = at_edge.accepted(&room.id, 100, "late").await;
    let winner = at_edge.user().to_owned();
    for client in [&mut at_owner, &mut at_edge] {
        let update = client.update(ack["seq"].as_u64().unwrap()).await;
        assert_eq!(update["timeExtended"], true, "{update}");
        assert!(update["closesAt"].as_u64().unwrap() > now_ms + 1_500);
        let closed = client.expect("close", |m| m["type"] == "auctionClosed").await;
        assert_eq!(closed["winner"], *winner);
        assert_eq!(closed["amount"], 100);
        assert_eq!(closed["reserveMet"], true);
        assert_eq!(client.rejected(&room.id, 900, "too-late").await, "closed");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_reserve_stays_hidden_and_decides_the_close() {
    let world = World::start().await;
    let reserved = gavel_rules::auction::AuctionRules { reserve: Some(minor(5_000)), ..rules() };
    let room = world.room("reserved", reserved).await;
    let mut client = Client::connect(room.edge, Protocol::V1).await;
    let state = client.join(&room.id).await;
    assert_eq!(state["reserveMet"], false);
    assert!(!state.to_string().contains("5000"), "{state}");
    client.accepted(&room.id, 4_999, "near").await;
    world.rooms().close_room(CloseRoomRequest { id: room.id.clone() }).await.unwrap();
    let closed = client.expect("close", |m| m["type"] == "auctionClosed").await;
    assert_eq!(closed["winner"], Value::Null);
    assert_eq!(closed["reserveMet"], false);
    world.stop().await;
}

#[tokio::test]
async fn grants_decide_who_may_look_and_bid() {
    let world = World::start().await;
    let view = gavel_rules::auction::AuctionRules { guests: GuestAccess::View, ..rules() };
    let shut = gavel_rules::auction::AuctionRules { guests: GuestAccess::None, ..rules() };
    let room = world.room("view", view).await;
    world.room("shut", shut).await;
    for (node, amount) in [(room.owner, 100), (room.edge, 200)] {
        let mut guest = Client::connect(node, Protocol::V1).await;
        guest.join("view").await;
        assert_eq!(guest.rejected("view", amount, "guest").await, "forbidden");
        guest.send(&json!({"type": "joinAuction", "auctionId": "shut"})).await;
        let error = guest.expect("error", |m| m["type"] == "error").await;
        assert_eq!(error["code"], "forbidden");

        let token = token::signed("ada", &json!({"view": ["view"]}));
        let mut viewer = Client::with_token(node, Protocol::V1, &token).await;
        viewer.join("view").await;
        assert_eq!(viewer.bid("view", amount, "v").await["code"], "forbidden");
        viewer.send(&json!({"type": "joinAuction", "auctionId": "shut"})).await;
        let error = viewer.expect("error", |m| m["type"] == "error").await;
        assert_eq!(error["code"], "forbidden");

        let token = token::signed(&format!("eve-{amount}"), &json!({"view": ["bid"]}));
        let mut bidder = Client::with_token(node, Protocol::V1, &token).await;
        bidder.accepted("view", amount, "b").await;
        // A guest may come with a token later.
        guest.send(&json!({"type": "auth", "token": token})).await;
        let welcome = guest.expect("welcome", |m| m["type"] == "welcome").await;
        assert_eq!(welcome["userId"], format!("eve-{amount}"));
    }
    world.stop().await;
}

#[tokio::test]
async fn a_bad_token_opens_nothing() {
    let world = World::start().await;
    let now = clock::now_ms() / 1_000;
    let claims = |claims: Value| token::claims(&claims, token::SECRET);
    let good = json!({"sub": "ada", "exp": now + 60, "grants": {"*": ["bid"]}});
    for token in [
        "nonsense".to_owned(),
        token::claims(&good, "another secret of at least 32 bytes"),
        claims(json!({"sub": "ada", "grants": {}})),
        claims(json!({"sub": "ada", "exp": now - 60})),
        claims(json!({"sub": "ada", "exp": now + 60, "nbf": now + 60})),
        claims(json!({"sub": "a b", "exp": now + 60})),
        claims(json!({"exp": now + 60})),
    ] {
        let opened = Client::try_connect(world.first(), Protocol::V1, Some(&token)).await;
        let error = opened.err().map(|error| error.to_string()).unwrap();
        assert!(error.contains("401"), "{token}: {error}");
    }
    assert!(Client::try_connect(world.first(), Protocol::V1, Some(&claims(good))).await.is_ok());
    world.stop().await;
}

#[tokio::test]
async fn an_unknown_room_is_told_as_an_error() {
    let world = World::start().await;
    for node in world.addrs() {
        let mut client = Client::connect(node, Protocol::V1).await;
        client.send(&json!({"type": "joinAuction", "auctionId": "nowhere"})).await;
        let error = client.expect("error", |m| m["type"] == "error").await;
        assert_eq!(error["code"], "unknown_room", "{error}");
        assert_eq!(error["auctionId"], "nowhere");
        let answer = client.bid("nowhere", 100, "b").await;
        assert_eq!(answer["code"], "unknown_room", "{answer}");
    }
    world.stop().await;
}
