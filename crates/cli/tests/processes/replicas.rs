//! Three control planes, of which the one that leads is killed, stands still,
//! and is stopped, while bids flow all the time.

use super::{
    process::{POLL, Process},
    verbs::{done, in_force, start, start_redis},
};
use gavel_testkit::blocking::free_port;
use rustix::process::Signal;
use serde_json::Value;
use std::{path::Path, thread};

/// What a replica says when it leads, and when it hears of another that does.
const LEADS: &str = "replica: leads";
const FOLLOWS: &str = "replica: follows";
/// What the leader says of each node that comes to it.
const REGISTERS: &str = "a node registers";

/// Looks for a new leader: four times as long as it may take.
const TAKEOVER_POLLS: u32 = 300;

/// A replica, its gRPC port, and how often it had said that it leads and that
/// a node registers before the last thing happened.
struct Replica {
    process: Process,
    grpc: u16,
    led: usize,
    registered: usize,
}

impl Replica {
    fn start(folder: &Path, name: &str, redis: u16, grpc: u16) -> Self {
        let http = free_port();
        let line = format!(
            "control-plane --redis-url redis://127.0.0.1:{redis} --set cluster.replica_id={name} \
             --http-listen 127.0.0.1:{http} --grpc-listen 127.0.0.1:{grpc}"
        );
        Self { process: start(folder, name, &line), grpc, led: 0, registered: 0 }
    }

    fn endpoint(&self) -> String {
        format!("--endpoint http://127.0.0.1:{}", self.grpc)
    }

    /// Rooms with their owners and epochs, as this replica tells.
    fn rooms(&self) -> Vec<(String, String, u64)> {
        let listed = done(&format!("rooms list --json {}", self.endpoint())).stdout;
        let rooms: Vec<Value> = serde_json::from_slice(&listed).expect("JSON");
        let text = |room: &Value, key: &str| {
            let text = room.get(key).and_then(Value::as_str);
            text.unwrap_or_else(|| panic!("no {key} in {room}")).to_owned()
        };
        let epoch = |room: &Value| room.get("epoch").and_then(Value::as_u64).expect("an epoch");
        rooms.iter().map(|room| (text(room, "id"), text(room, "owner"), epoch(room))).collect()
    }

    /// Waits until somebody has bid in a room.
    fn bid_in(&self, room: &str) {
        for _ in 0..POLL.1 {
            let shown = done(&format!("rooms get {room} --json {}", self.endpoint())).stdout;
            let shown: Value = serde_json::from_slice(&shown).expect("JSON");
            if shown.pointer("/view/bidCount").and_then(Value::as_u64) > Some(0) {
                return;
            }
            thread::sleep(POLL.0);
        }
        panic!("nobody bids in {room}");
    }

    /// Waits until both nodes report their metrics to it.
    fn both_report(&self) {
        for _ in 0..POLL.1 {
            let metrics = done(&format!("metrics --json {}", self.endpoint())).stdout;
            let metrics: Value = serde_json::from_slice(&metrics).expect("JSON");
            if metrics.get("nodes").and_then(Value::as_u64) == Some(2) {
                return;
            }
            thread::sleep(POLL.0);
        }
        panic!("nodes still report to another leader");
    }

    fn create(&self, room: &str) {
        done(&format!(
            "rooms create {room} --title {room} --opening-price 10.00 --increment 1.00 \
             --closes-in 1h --guests bid {}",
            self.endpoint()
        ));
    }
}

/// Remembers what each has said, before something happens.
fn listen(replicas: &mut [Replica]) {
    for replica in replicas {
        replica.led = replica.process.said(LEADS);
        replica.registered = replica.process.said(REGISTERS);
    }
}

/// Waits until one of these leads anew and both nodes have come to it; takes
/// it out.
fn next_leader(replicas: &mut Vec<Replica>) -> Replica {
    for _ in 0..TAKEOVER_POLLS {
        let leads = |replica: &Replica| replica.process.said(LEADS) > replica.led;
        if let Some(place) = replicas.iter().position(leads) {
            let leader = replicas.remove(place);
            says_again(&leader, REGISTERS, leader.registered + 2);
            return leader;
        }
        thread::sleep(POLL.0);
    }
    panic!("nobody leads");
}

/// Waits until a replica says something more often than before.
fn says_again(replica: &Replica, words: &str, times: usize) {
    for _ in 0..POLL.1 {
        if replica.process.said(words) >= times {
            return;
        }
        thread::sleep(POLL.0);
    }
    panic!("{words:?} came {} times", replica.process.said(words));
}

/// Bids on three rooms until told to stop.
fn bidders(folder: &Path, ports: [u16; 2]) -> Process {
    let urls = ports.map(|port| format!("ws://127.0.0.1:{port}/ws")).join(",");
    let line = format!(
        "load --url {urls} --sockets 24 --room-ids lamp,chair,clock --bids-per-second 30 \
         --duration 10m --json"
    );
    start(folder, "load", &line)
}

/// No socket was lost, no bid refused for want of an owner, and none lost.
fn flowed(said: &str) {
    let report = said.lines().rev().find(|line| line.starts_with('{')).expect("a report");
    let report: Value = serde_json::from_str(report).expect("JSON");
    let number = |path: &str| report.pointer(path).and_then(Value::as_u64);
    assert_eq!(number("/faultsTotal"), Some(0), "{report}");
    assert_eq!(number("/bids/rejected/unavailable"), None, "{report}");
    assert!(number("/bids/accepted") > Some(100), "{report}");
}

#[test]
fn whatever_happens_to_the_leader_another_leads_and_bids_flow_all_the_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let [redis, ws_1, ws_2, relay_1, relay_2, grpc_1, grpc_2, grpc_3] =
        [(); 8].map(|()| free_port());
    let _redis = start_redis(folder, redis);
    let grpc = [("one", grpc_1), ("two", grpc_2), ("three", grpc_3)];
    let mut replicas: Vec<_> =
        grpc.iter().map(|(name, grpc)| Replica::start(folder, name, redis, *grpc)).collect();
    for replica in &mut replicas {
        replica.process.says("control plane listens");
    }
    let endpoints = grpc.map(|(_, grpc)| format!("http://127.0.0.1:{grpc}")).join(",");
    let node = |id: &str, ws: u16, relay: u16| {
        let line = format!(
            "data-plane --redis-url redis://127.0.0.1:{redis} --node-id {id} \
             --http-listen 127.0.0.1:{ws} --relay-listen 127.0.0.1:{relay} \
             --control-endpoint {endpoints}"
        );
        start(folder, id, &line)
    };
    let nodes = [node("node-1", ws_1, relay_1), node("node-2", ws_2, relay_2)];
    let mut leader = next_leader(&mut replicas);
    // By way of followers, which pass it on.
    let [follower, other] = replicas.as_slice() else { panic!("two follow") };
    for room in ["lamp", "chair", "clock"] {
        follower.create(room);
    }
    done(&format!("limits set sockets_per_ip_max=0 bids_per_user_max=0 {}", other.endpoint()));
    in_force(2, 2, &leader.endpoint());
    let before = leader.rooms();
    let load = bidders(folder, [ws_1, ws_2]);
    // All sockets have joined by the first bid.
    leader.bid_in("lamp");

    // It is killed.
    listen(&mut replicas);
    let (killed, grpc_of_killed) = (leader.process, leader.grpc);
    killed.kill();
    leader = next_leader(&mut replicas);
    assert_eq!(leader.rooms(), before, "nothing has moved");
    leader.both_report();
    leader.create("vase");
    replicas.push(Replica::start(folder, "one-again", redis, grpc_of_killed));
    replicas[1].process.says(FOLLOWS);

    // It stands still for longer than its lease, and has a successor.
    listen(&mut replicas);
    leader.process.signal(Signal::STOP);
    let still = std::mem::replace(&mut leader, next_leader(&mut replicas));
    let follows = still.process.said(FOLLOWS);
    still.process.signal(Signal::CONT);
    says_again(&still, FOLLOWS, follows + 1);
    leader.both_report();
    still.create("bowl");
    assert_eq!(still.rooms(), leader.rooms());
    assert_eq!(leader.rooms().iter().filter(|room| before.contains(room)).count(), 3);
    replicas.push(still);

    // It is asked to stop, and gives its lease back.
    listen(&mut replicas);
    let said = leader.process.stop();
    assert!(said.contains("gave the lease back"), "{said}");
    leader = next_leader(&mut replicas);
    leader.create("desk");
    assert_eq!(leader.rooms().len(), 6);
    assert_eq!(leader.rooms().iter().filter(|room| before.contains(room)).count(), 3);

    flowed(&load.stop());
    for node in nodes {
        node.stop();
    }
}
