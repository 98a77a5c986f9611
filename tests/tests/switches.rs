//! Each flag that changes what nodes do: on, off, and switched while bids flow.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that lacks a key gives null, which the test then names"
)]

use gavel_proto::admin::v1::CloseRoomRequest;
use gavel_rules::{
    auction::{AuctionRules, Extension, ExtensionMode},
    time::Millis,
};
use gavel_tests::{
    Client, Options, Protocol, Room, World, http,
    load::{Bidding, Watcher},
    token, until,
    world::{ADMIN_TOKEN, rules},
};
use serde_json::{Value, json};

/// A document with this one flag at one value for all.
fn all(key: &str, value: impl Into<Value>) -> Value {
    let (variants, rest) = (json!({"it": value.into()}), json!("it"));
    let flag = json!({"state": "ENABLED", "variants": variants, "defaultVariant": rest});
    json!({"flags": {key: flag}})
}

/// A document without flags.
fn none() -> Value {
    json!({"flags": {}})
}

async fn watchers(room: &Room) -> [Watcher; 2] {
    let at_owner = Watcher::start(room.owner, &room.id, "watcher-1".to_owned()).await;
    let at_edge = Watcher::start(room.edge, &room.id, "watcher-2".to_owned()).await;
    [at_owner, at_edge]
}

async fn bidder(node: std::net::SocketAddr, room: &str, user: &str) -> Client {
    let mut client = Client::with_token(node, Protocol::V1, &token::bidder(user)).await;
    client.join(room).await;
    client
}

#[tokio::test]
async fn heartbeats_come_as_the_flag_says() {
    let world = World::start().await;
    world.limits(|limits| limits.pong_deadline_ms = 500).await;
    let room = world.room("chair", rules()).await;
    let (watchers, bidding) = (watchers(&room).await, Bidding::start(room.clone()));
    let heartbeat = |client: &Client| client.welcome["heartbeatMs"].as_u64();
    let mut fast = bidder(room.edge, &room.id, "fast").await;
    let mut slow = bidder(room.edge, &room.id, "slow").await;
    assert_eq!(heartbeat(&fast), Some(30_000), "the limit, without a flag");
    let for_user = |user: &str| {
        let mut document = all("heartbeat-interval", 300_000);
        let flag = &mut document["flags"]["heartbeat-interval"];
        flag["variants"]["often"] = 1_000.into();
        flag["targeting"] = json!({"if": [{"==": [{"var": "userId"}, user]}, "often"]});
        document
    };
    // Whoever has a socket already does not wait for its old interval to pass.
    for (mine, user) in [(&mut fast, "fast"), (&mut slow, "slow")] {
        world.flags(&for_user(user)).await;
        for _ in 0..2 {
            mine.until_pinged().await;
        }
        for (other, told) in [("fast", 300_000), ("slow", 300_000), (user, 1_000)] {
            if other == user && told != 1_000 {
                continue;
            }
            let client = bidder(room.owner, &room.id, other).await;
            assert_eq!(heartbeat(&client), Some(told), "{other} where {user} is fast");
        }
    }
    let pings = fast.pings();
    for _ in 0..3 {
        slow.until_pinged().await;
    }
    fast.drain().await;
    assert!(fast.pings() <= pings + 1, "one was due: {} after {pings}", fast.pings());
    world.flags(&none()).await;
    assert_eq!(heartbeat(&bidder(room.edge, &room.id, "fast").await), Some(30_000));
    bidding.stop().await;
    watchers.iter().for_each(Watcher::missed_nothing);
    world.stop().await;
}

#[tokio::test]
async fn batches_wait_as_the_flag_says() {
    let world = World::start().await;
    world.limits(|limits| limits.batch_window_ms = 0).await;
    let room = world.room("chair", rules()).await;
    let (watchers, bidding) = (watchers(&room).await, Bidding::start(room.clone()));
    let other = {
        let mut document = all("batch-window", 0);
        let flag = &mut document["flags"]["batch-window"];
        flag["variants"]["long"] = 1_000.into();
        flag["targeting"] = json!({"if": [{"==": [{"var": "roomId"}, "vase"]}, "long"]});
        document
    };
    let steps =
        [(none(), false), (all("batch-window", 1_000), true), (other, false), (none(), false)];
    for (document, batched) in steps {
        world.flags(&document).await;
        for watcher in &watchers {
            let before = watcher.count();
            until("updates in the new form", async || {
                let forms = watcher.since(before);
                let last = forms.last_chunk::<20>()?;
                last.iter().all(|form| form.batched == batched).then_some(())
            })
            .await;
        }
    }
    bidding.stop().await;
    watchers.iter().for_each(Watcher::missed_nothing);
    world.stop().await;
}

#[tokio::test]
async fn who_joins_is_steered_to_the_owner() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    let (watchers, bidding) = (watchers(&room).await, Bidding::start(room.clone()));
    let suggested = async |node| {
        let mut client = Client::connect(node, Protocol::V1).await;
        let state = client.join(&room.id).await;
        let resumed = client.resume(&room.id, &state["generation"], 1).await;
        assert_eq!(state.get("suggested"), resumed.get("suggested"), "{resumed}");
        state.get("suggested").cloned()
    };
    let owner = json!(format!("http://{}", room.owner));
    for (document, at_edge) in [
        (none(), None),
        (all("steering", true), Some(owner.clone())),
        (all("steering", false), None),
        (all("steering", true), Some(owner)),
    ] {
        world.flags(&document).await;
        assert_eq!(suggested(room.owner).await, None, "it is there already");
        assert_eq!(suggested(room.edge).await, at_edge, "{document}");
    }
    bidding.stop().await;
    watchers.iter().for_each(Watcher::missed_nothing);
    world.stop().await;
}

#[tokio::test]
async fn an_edge_decides_in_the_owner_s_place_only_where_it_may() {
    let world = World::with(Options { cables: true, ..Options::default() }).await;
    let room = world.room("chair", rules()).await;
    let watchers = watchers(&room).await;
    let mut bob = bidder(room.edge, &room.id, "bob").await;
    let mut ada = bidder(room.edge, &room.id, "ada").await;
    world.flags(&all("degraded-path", false)).await;
    bob.accepted(&room.id, 100, "b-0").await;
    world.cable(room.owner).cut();
    let (mut amount, mut n) = (1_000, 0);
    // Until the cut is noticed nothing is known; then nobody stands in.
    let refused = async |client: &mut Client, n: u64| {
        let answer = client.bid(&room.id, 900_000, &format!("r-{n}")).await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!("unavailable")));
    };
    for _ in 0..3 {
        n += 1;
        refused(&mut ada, n).await;
    }
    let told = async |client: &mut Client, level: &str| {
        let is = |m: &Value| m["type"] == "degraded" && m["level"] == level;
        client.expect("a level", is).await;
    };
    told(&mut bob, "paused").await;
    for _ in 0..2 {
        world.flags(&all("degraded-path", true)).await;
        for client in [&mut ada, &mut bob] {
            amount += 1_000;
            n += 1;
            let bid_id = format!("a-{n}");
            until("a deputy", async || {
                let answer = client.bid(&room.id, amount, &bid_id).await;
                (answer["type"] == "bidAccepted").then_some(())
            })
            .await;
        }
        told(&mut bob, "full").await;
        world.flags(&all("degraded-path", false)).await;
        told(&mut bob, "paused").await;
        n += 1;
        refused(&mut ada, n).await;
    }
    world.cable(room.owner).mend();
    let last = until("the owner", async || {
        let answer = ada.bid(&room.id, 1_000_000, "a-last").await;
        (answer["type"] == "bidAccepted").then_some(answer)
    })
    .await;
    let last = last["seq"].as_u64().expect("a seq");
    for watcher in &watchers {
        let seen = || watcher.since(0).last().is_some_and(|form| form.seq >= last);
        until("the last update", async || seen().then_some(())).await;
        watcher.missed_nothing();
    }
    world.audited(room.owner, &room.id).await;
    world.stop().await;
}

/// What each opening that is stored was pinned to.
async fn pinned(room: &Room) -> Vec<Value> {
    let path = format!("/api/rooms/{}/events", room.id);
    let (status, body) = http::get(room.owner, &path, Some(ADMIN_TOKEN)).await;
    assert_eq!(status, 200, "{body}");
    let events = body.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let openings = events.filter(|event| event["kind"] == "opened");
    openings.map(|event| event["soft_close"].clone()).collect()
}

/// By how much the next bid moves the close, where the rules would count from
/// the bid.
async fn moves_the_close(client: &mut Client, room: &Room, amount: u64) -> u64 {
    let before = client.join(&room.id).await;
    let ack = client.accepted(&room.id, amount, &format!("b{}-{amount}", before["round"])).await;
    let after = client.join(&room.id).await;
    assert!(after["seq"].as_u64() >= ack["seq"].as_u64(), "{after}");
    after["closesAt"].as_u64().expect("a close") - before["closesAt"].as_u64().expect("a close")
}

#[tokio::test]
async fn the_soft_close_is_pinned_when_bidding_opens() {
    const BY: u64 = 600_000;
    let world = World::start().await;
    world.flags(&all("soft-close", "add")).await;
    let mode = ExtensionMode::ResetTo;
    let (window, by) = (Millis::new(7_200_000), Millis::new(BY));
    let extension = Some(Extension { mode, window, by, extensions_max: 1_000 });
    let reopen_after = Some(Millis::new(1));
    // Half an hour to go: counted from the bid, ten minutes move nothing.
    let closes_at = rules().opens_at.saturating_add(Millis::new(1_800_000));
    let soft = AuctionRules { extension, reopen_after, closes_at, ..rules() };
    let room = world.room("chair", soft.clone()).await;
    let mut bidders =
        [bidder(room.edge, &room.id, "ada").await, bidder(room.owner, &room.id, "bob").await];
    let steps = ["add", "reset_to", "as-created", "add"].map(|word| all("soft-close", word));
    for (document, amount) in steps.iter().zip((100..).step_by(100)) {
        world.flags(document).await;
        let n = usize::try_from(amount / 100 % 2).expect("0 or 1");
        let moved = moves_the_close(&mut bidders[n], &room, amount).await;
        assert_eq!(moved, BY, "the round keeps what it opened with: {document}");
    }
    assert_eq!(pinned(&room).await, ["add"]);
    // The next round takes what holds then, and a new auction does.
    for (round, (word, moved)) in
        [("reset_to", 0), ("as-created", 0), ("add", BY)].into_iter().enumerate()
    {
        world.flags(&all("soft-close", word)).await;
        world.rooms().close_room(CloseRoomRequest { id: room.id.clone() }).await.expect("a close");
        until("the next round", async || (pinned(&room).await.len() == round + 2).then_some(()))
            .await;
        for (bidder, amount) in bidders.iter_mut().zip([100, 200]) {
            assert_eq!(moves_the_close(bidder, &room, amount).await, moved, "{word}");
        }
    }
    let stored = [json!("add"), json!("reset_to"), Value::Null, json!("add")];
    assert_eq!(pinned(&room).await, stored);
    world.audited(room.owner, &room.id).await;
    world.stop().await;
}

#[tokio::test]
async fn the_soft_close_may_be_switched_under_bids() {
    let world = World::start().await;
    let (mode, window) = (ExtensionMode::Add, Millis::new(7_200_000));
    let extension =
        Some(Extension { mode, window, by: Millis::new(1_000), extensions_max: u32::MAX });
    let room = world.room("chair", AuctionRules { extension, ..rules() }).await;
    let (watchers, bidding) = (watchers(&room).await, Bidding::start(room.clone()));
    for word in ["reset_to", "add", "as-created", "reset_to"] {
        world.flags(&all("soft-close", word)).await;
        let before = watchers[1].count();
        until("more bids", async || (watchers[1].count() > before + 20).then_some(())).await;
    }
    bidding.stop().await;
    watchers.iter().for_each(Watcher::missed_nothing);
    assert_eq!(pinned(&room).await, [Value::Null]);
    world.audited(room.owner, &room.id).await;
    world.stop().await;
}
