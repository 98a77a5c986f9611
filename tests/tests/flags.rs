//! Flags and limits change what sockets get, live and without a reconnect.

use gavel_flags::{Context, Flags};
use gavel_proto::admin::v1::{GetFlagsRequest, UpdateFlagsRequest, UpdateLimitsRequest};
use gavel_tests::{
    Client, Protocol, World,
    load::{Bidding, Form, Watcher},
    until,
    world::rules,
};
use serde_json::{Value, json};

const WATCHERS: usize = 40;
/// Updates that are looked at for each watcher and step.
const UPDATES: usize = 20;

/// Both flags on for this percentage of users.
fn document(percent: u32) -> Value {
    let flag = json!({
        "state": "ENABLED",
        "variants": {"on": true, "off": false},
        "defaultVariant": "off",
        "targeting": {"fractional": [["on", percent], ["off", 100 - percent]]},
    });
    json!({"flags": {"changed-fields": flag, "batching": flag}})
}

#[tokio::test]
async fn a_rollout_moves_users_one_way_and_live() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    world.flags(&document(0)).await;
    let mut watchers = Vec::new();
    for n in 0..WATCHERS {
        let node = if n % 2 == 0 { room.owner } else { room.edge };
        watchers.push(Watcher::start(node, &room.id, format!("user-{n}")).await);
    }
    let bidding = Bidding::start(room);

    let mut already_on: Vec<String> = Vec::new();
    for percent in [0, 10, 100, 10, 0] {
        let document = document(percent);
        world.flags(&document).await;
        let flags = Flags::parse(&document.to_string()).unwrap();
        let on = |flag: &str, watcher: &Watcher| {
            flags.bool_value(flag, &Context::new(watcher.user.as_str()), true)
        };
        let settled = |watcher: &Watcher, forms: &[Form]| {
            let tail = forms.get(forms.len().checked_sub(UPDATES)?..)?;
            let changed = on("changed-fields", watcher);
            let fields = tail.iter().all(|form| form.changed_only == changed);
            let batched = tail.iter().filter(|form| form.batched).count();
            let batching = if on("batching", watcher) { batched > 0 } else { batched == 0 };
            (fields && batching).then_some(())
        };
        let before: Vec<usize> = watchers.iter().map(Watcher::count).collect();
        for (watcher, before) in watchers.iter().zip(&before) {
            let what = format!("{percent} % at {}", watcher.user);
            until(&what, async || settled(watcher, &watcher.since(*before))).await;
        }
        // And it stays so, for each user alike.
        let after: Vec<usize> = watchers.iter().map(Watcher::count).collect();
        for (watcher, after) in watchers.iter().zip(after) {
            until("more updates", async || (watcher.count() > after + UPDATES).then_some(())).await;
            let changed = on("changed-fields", watcher);
            let forms = watcher.since(after);
            assert!(forms.iter().all(|form| form.changed_only == changed), "{percent} %");
        }
        let now_on: Vec<String> = watchers
            .iter()
            .filter(|watcher| on("changed-fields", watcher))
            .map(|watcher| watcher.user.clone())
            .collect();
        match percent {
            0 => assert!(now_on.is_empty()),
            100 => assert_eq!(now_on.len(), WATCHERS),
            _ => assert!((1..=10).contains(&now_on.len()), "{} of {WATCHERS}", now_on.len()),
        }
        if percent > 0 {
            let smaller = already_on.len().min(now_on.len());
            let kept = already_on.iter().filter(|user| now_on.contains(user)).count();
            assert_eq!(kept, smaller, "who is in stays in as the share grows");
        }
        already_on = now_on;
    }
    bidding.stop().await;
    watchers.iter().for_each(Watcher::missed_nothing);
    world.stop().await;
}

#[tokio::test]
async fn a_bad_document_is_refused_and_the_last_good_one_stays() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    world.flags(&document(100)).await;
    let mut service = world.flag_service();
    let good = service.get_flags(GetFlagsRequest {}).await.unwrap().into_inner();
    for bad in [
        "",
        "{",
        "[]",
        r#"{"flags":{"batching":{"state":"MAYBE","variants":{"on":true}}}}"#,
        r#"{"flags":{"batching":{"state":"ENABLED","variants":{"on":true},"defaultVariant":"x"}}}"#,
        r#"{"flags":{"batching":{"state":"ENABLED","variants":{"on":true},
            "defaultVariant":"on","targeting":{"no-such-operator":[1]}}}}"#,
    ] {
        let request = UpdateFlagsRequest { document: bad.to_owned(), version: 0 };
        let status = service.update_flags(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{bad}: {status}");
        assert!(!status.message().is_empty());
    }
    let now = service.get_flags(GetFlagsRequest {}).await.unwrap().into_inner();
    assert_eq!(now, good);
    // An edit of an older version does not overwrite a newer one.
    world.flags(&document(100)).await;
    let request = UpdateFlagsRequest { document: document(0).to_string(), version: good.version };
    let status = service.update_flags(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Aborted, "{status}");

    let mut client = Client::connect(room.edge, Protocol::V1).await;
    client.join(&room.id).await;
    let ack = client.accepted(&room.id, 100, "b").await;
    let update = client.update(ack["seq"].as_u64().unwrap()).await;
    assert_eq!(update.get("opensAt"), None, "changed fields only, as before");
    world.stop().await;
}

#[tokio::test]
async fn bad_limits_are_refused_by_name() {
    let world = World::start().await;
    let mut service = world.limit_service();
    let request = gavel_proto::admin::v1::GetLimitsRequest {};
    let good = service.get_limits(request).await.unwrap().into_inner();
    type Change = fn(&mut gavel_proto::config::v1::Limits);
    let rows: [(&str, Change); 4] = [
        ("bids_window_ms", |limits| limits.bids_window_ms = 1),
        ("message_bytes_max", |limits| limits.message_bytes_max = 2_000_000),
        ("heartbeat_interval_ms", |limits| limits.heartbeat_interval_ms = 0),
        ("batch_window_ms", |limits| limits.batch_window_ms = 60_000),
    ];
    for (field, change) in rows {
        let mut limits = good.limits.unwrap();
        change(&mut limits);
        let request = UpdateLimitsRequest { limits: Some(limits), version: 0 };
        let status = service.update_limits(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument, "{field}");
        assert!(status.message().contains(field), "{field}: {status}");
    }
    let now = service.get_limits(request).await.unwrap().into_inner();
    assert_eq!(now, good);
    world.stop().await;
}

#[tokio::test]
async fn the_batch_may_be_switched_off_by_its_window() {
    let world = World::start().await;
    let room = world.room("chair", rules()).await;
    let mut client = Client::connect(room.owner, Protocol::V1).await;
    client.join(&room.id).await;
    let mut others = [
        Client::connect(room.owner, Protocol::V1).await,
        Client::connect(room.owner, Protocol::V1).await,
    ];
    let mut amount = 0;
    for (window_ms, batched) in [(1_000, true), (0, false), (1_000, true)] {
        world.limits(|limits| limits.batch_window_ms = window_ms).await;
        let mut seq = 0;
        for n in 0..10_usize {
            amount += 100;
            let bidder = others.get_mut(n % 2).unwrap();
            let ack = bidder.accepted(&room.id, amount, &format!("b{amount}")).await;
            seq = ack["seq"].as_u64().unwrap();
        }
        for seq in seq - 9..=seq {
            let wanted = |m: &Value| m["type"] == "auctionUpdate" && m["seq"] == seq;
            let received = client.expect_received("update", wanted).await;
            assert_eq!(received.batched, batched, "window {window_ms}");
        }
    }
    world.stop().await;
}
