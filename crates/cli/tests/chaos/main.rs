//! Faults under load, each once: `make chaos` runs these and more many times.

mod cluster;
mod network;
mod outcome;
mod place;
#[path = "../processes/process.rs"]
mod process;
mod scenarios;
mod store;

use outcome::Outcome;
use std::sync::{Mutex, PoisonError};

/// Scenarios run one after the other, each with the machine for itself.
static MACHINE: Mutex<()> = Mutex::new(());

fn loses_nothing(name: &str) {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    scenarios::run(scenarios::named(name));
}

#[test]
fn a_killed_owner_loses_no_acknowledged_bid() {
    loses_nothing("owner-killed");
}

#[test]
fn an_owner_that_stood_still_is_fenced_when_it_wakes() {
    loses_nothing("owner-paused");
}

#[test]
fn a_killed_edge_costs_its_bidders_a_reconnect() {
    loses_nothing("edge-killed");
}

#[test]
fn a_killed_leader_costs_no_bid() {
    loses_nothing("leader-killed");
}

#[test]
fn a_killed_redis_comes_back_with_every_acknowledged_bid() {
    loses_nothing("redis-killed");
}

#[test]
fn a_node_that_is_asked_to_stop_refuses_no_bid() {
    loses_nothing("node-stopped");
}

#[test]
fn rooms_that_move_all_the_time_refuse_no_bid() {
    loses_nothing("move-storm");
}

#[test]
fn a_killed_primary_is_followed_by_the_one_that_its_sentinels_choose() {
    loses_nothing("sentinel-failover");
}

#[test]
fn a_killed_server_of_a_redis_cluster_is_followed_by_its_replica() {
    loses_nothing("cluster-master-killed");
}

#[test]
fn what_is_lost_or_there_twice_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let [history, streams] = ["history", "streams"].map(|name| folder.path().join(name));
    let ack = |bid: &str, seq: u64, at_us: u64| {
        let accepted = serde_json::json!({"accepted": {"seq": seq}});
        let answer = serde_json::json!({"at_us": at_us, "said": accepted});
        serde_json::json!({"bid": {"room": "lamp", "bid_id": bid, "answer": answer}})
    };
    let unanswered = r#"{"bid":{"room":"lamp","bid_id":"a","answer":null}}"#;
    let mut lines = vec![r#"{"format":"gavel-history-1"}"#.to_owned(), unanswered.to_owned()];
    let acks = [ack("a", 2, 1_000), ack("b", 3, 5_000), ack("c", 3, 9_000), ack("d", 5, 19_000)];
    lines.extend(acks.map(|ack| ack.to_string()));
    std::fs::write(&history, lines.join("\n")).expect("it can be written");
    let stored = r#"{"format":"gavel-stream-1","room":"lamp"}
{"seq":2,"bid_id":"a"}
{"seq":3,"bid_id":"b"}
{"seq":3,"bid_id":"b"}
{"seq":4,"kind":"closed","outcome":{"sold":{}}}
{"seq":5,"kind":"closed","outcome":{"sold":{}}}
{"format":"gavel-stream-1","room":"vase"}"#;
    std::fs::write(&streams, stored).expect("it can be written");
    let report = serde_json::json!({"bids": {"sent": 9, "rejected": {"unavailable": 2}}});
    let counted = Outcome::read(&report, &history, &streams, &["lamp".to_owned()]);
    assert_eq!((counted.sent, counted.acked, counted.unavailable), (9, 4, 2));
    assert_eq!(counted.unanswered, 1);
    assert_eq!(counted.lost, 2, "c, whose seq is another bid, and d, whose seq is a close");
    assert_eq!(counted.duplicates, 2, "seq 3 is acked for two bids and stored twice");
    assert_eq!(counted.winners, (0, 2));
    assert_eq!(counted.gap_ms, 14);
}
