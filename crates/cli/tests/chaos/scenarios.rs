//! What happens to a cluster under bids, and what may come of it.

use crate::{
    cluster::{Cluster, ROOMS},
    network::{Cut, Network},
    outcome::Outcome,
    store::Shape,
};
use gavel_testkit::blocking::until;
use rustix::process::Signal;
use std::{panic::AssertUnwindSafe, thread, time::Duration};

/// Longer than the lease of a node.
const PAUSE: Duration = Duration::from_secs(5);
const REDIS_PAUSE: Duration = Duration::from_secs(3);
const PARTITION: Duration = Duration::from_secs(5);
/// Times each room moves in a storm.
const MOVES: usize = 10;

/// One thing that happens, and its bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Does it, waits until it is over, and names the rooms it was done to.
    fault: fn(&mut Cluster) -> Vec<String>,
    /// Whether it needs a network of namespaces, and with it root.
    needs_network: bool,
    /// What Redis consists of.
    redis: Shape,
    /// Whether bids may be refused as `unavailable` meanwhile.
    may_refuse: bool,
    /// How long an affected room may go without an ack.
    gap_max: Duration,
}

impl Scenario {
    const fn new(name: &'static str, fault: fn(&mut Cluster) -> Vec<String>) -> Self {
        let gap_max = Duration::from_secs(12);
        Self { name, fault, needs_network: false, redis: Shape::Alone, may_refuse: true, gap_max }
    }

    const fn refuses_nothing(self) -> Self {
        Self { may_refuse: false, gap_max: Duration::from_secs(3), ..self }
    }

    const fn within_seconds(self, seconds: u64) -> Self {
        Self { gap_max: Duration::from_secs(seconds), ..self }
    }

    const fn on(self, redis: Shape) -> Self {
        Self { redis, ..self }
    }

    const fn in_network(self) -> Self {
        Self { needs_network: true, ..self }
    }
}

pub(crate) const ALL: [Scenario; 18] = [
    Scenario::new("owner-killed", owner_killed),
    Scenario::new("owner-paused", owner_paused),
    Scenario::new("edge-killed", edge_killed).refuses_nothing(),
    Scenario::new("leader-killed", leader_killed).refuses_nothing(),
    Scenario::new("redis-killed", redis_killed),
    Scenario::new("redis-paused", redis_paused).within_seconds(6),
    Scenario::new("node-stopped", node_stopped).refuses_nothing(),
    Scenario::new("rolling-restart", rolling_restart).refuses_nothing(),
    Scenario::new("move-storm", move_storm).refuses_nothing(),
    Scenario::new("owner-redis-cut", |cluster| cut(cluster, "redis", Cut::BothWays))
        .in_network()
        .within_seconds(8),
    Scenario::new("owner-redis-deaf", |cluster| cut(cluster, "redis", Cut::Deaf))
        .in_network()
        .within_seconds(8),
    Scenario::new("owner-control-cut", |cluster| cut(cluster, "control", Cut::BothWays))
        .in_network(),
    Scenario::new("owner-control-deaf", |cluster| cut(cluster, "control", Cut::Deaf)).in_network(),
    Scenario::new("owner-edge-cut", |cluster| cut_edge(cluster, Cut::BothWays)).in_network(),
    Scenario::new("owner-edge-deaf", |cluster| cut_edge(cluster, Cut::Deaf)).in_network(),
    Scenario::new("sentinel-failover", sentinel_failover).on(Shape::Sentinels).within_seconds(5),
    Scenario::new("sentinel-zombie", sentinel_zombie)
        .on(Shape::Sentinels)
        .in_network()
        .within_seconds(8),
    Scenario::new("cluster-master-killed", Cluster::kill_server_of_a_room)
        .on(Shape::Cluster)
        .within_seconds(8),
];

/// The scenario of this name.
pub(crate) fn named(name: &str) -> Scenario {
    let found = ALL.into_iter().find(|scenario| scenario.name == name);
    found.unwrap_or_else(|| panic!("there is no scenario {name}"))
}

/// Runs a scenario once; panics if anything is not as it must be, and keeps
/// what all processes have said.
pub(crate) fn run(scenario: Scenario) -> Outcome {
    let mut cluster = Cluster::new(scenario.needs_network.then(Network::new), scenario.redis);
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| judged(scenario, &mut cluster)));
    match ran {
        Ok(outcome) => outcome,
        Err(_) => {
            let last = cluster.last_words();
            panic!("{}: see {}\n{last}", scenario.name, cluster.keep_logs().display())
        }
    }
}

fn judged(scenario: Scenario, cluster: &mut Cluster) -> Outcome {
    cluster.start();
    let affected = (scenario.fault)(cluster);
    cluster.bids_flow();
    let report = cluster.finish();
    let (verified, streams) = cluster.verify();
    let said = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success(), "{said}{}", String::from_utf8_lossy(&verified.stderr));
    let outcome = Outcome::read(&report, &cluster.history(), &streams, &affected);
    let judged = (outcome.lost, outcome.duplicates, outcome.winners);
    assert_eq!(judged, (0, 0, (1, 1)), "{outcome:?}");
    let seconds = report.pointer("/seconds").and_then(serde_json::Value::as_f64);
    let rate = seconds.map(|seconds| outcome.sent as f64 / seconds);
    assert!(rate >= Some(500.0), "{rate:?} bids a second");
    assert!(outcome.acked > 100, "{outcome:?}");
    assert!(scenario.may_refuse || outcome.unavailable == 0, "{report}");
    assert!(Duration::from_millis(outcome.gap_ms) <= scenario.gap_max, "{outcome:?}");
    outcome
}

// === What happens ===

fn owner_killed(cluster: &mut Cluster) -> Vec<String> {
    let (owner, rooms) = cluster.an_owner();
    cluster.kill_node(owner);
    cluster.has_lost_its_rooms(owner);
    rooms
}

/// It wakes with appends in hand that are decided under an epoch of the past.
fn owner_paused(cluster: &mut Cluster) -> Vec<String> {
    let (owner, rooms) = cluster.an_owner();
    let before = cluster.stepped_down(owner);
    cluster.signal_node(owner, Signal::STOP);
    thread::sleep(PAUSE);
    cluster.has_lost_its_rooms(owner);
    cluster.signal_node(owner, Signal::CONT);
    until("it steps down", || (cluster.stepped_down(owner) > before).then_some(()));
    rooms
}

fn edge_killed(cluster: &mut Cluster) -> Vec<String> {
    let edge = cluster.an_edge();
    cluster.kill_node(edge);
    all_rooms()
}

fn leader_killed(cluster: &mut Cluster) -> Vec<String> {
    cluster.kill_leader();
    all_rooms()
}

fn redis_killed(cluster: &mut Cluster) -> Vec<String> {
    cluster.kill_redis();
    cluster.start_redis();
    all_rooms()
}

fn redis_paused(cluster: &mut Cluster) -> Vec<String> {
    cluster.signal_redis(Signal::STOP);
    thread::sleep(REDIS_PAUSE);
    cluster.signal_redis(Signal::CONT);
    all_rooms()
}

/// The killed primary stays away.
fn sentinel_failover(cluster: &mut Cluster) -> Vec<String> {
    cluster.redis_may_fail_over();
    cluster.kill_redis();
    cluster.has_another_primary();
    all_rooms()
}

/// Nodes still reach the old primary, which does not know that it is one.
fn sentinel_zombie(cluster: &mut Cluster) -> Vec<String> {
    cluster.redis_may_fail_over();
    cluster.isolate_redis();
    cluster.has_another_primary();
    thread::sleep(PARTITION);
    cluster.heal_redis();
    all_rooms()
}

fn node_stopped(cluster: &mut Cluster) -> Vec<String> {
    let (owner, rooms) = cluster.an_owner();
    cluster.stop_node(owner);
    rooms
}

fn rolling_restart(cluster: &mut Cluster) -> Vec<String> {
    for node in 0..cluster.nodes() {
        cluster.stop_node(node);
        cluster.start_node(node);
        cluster.bids_flow();
    }
    all_rooms()
}

fn move_storm(cluster: &mut Cluster) -> Vec<String> {
    for turn in 0..MOVES {
        for (place, room) in ROOMS.into_iter().enumerate() {
            cluster.move_room(room, (turn + place) % cluster.nodes());
        }
    }
    all_rooms()
}

fn cut(cluster: &Cluster, other: &str, cut: Cut) -> Vec<String> {
    let (owner, rooms) = cluster.an_owner();
    cluster.cut(owner, other, cut);
    thread::sleep(PARTITION);
    cluster.heal(owner);
    rooms
}

fn cut_edge(cluster: &Cluster, way: Cut) -> Vec<String> {
    let (owner, _) = cluster.an_owner();
    cut(cluster, cluster.name((owner + 1) % cluster.nodes()), way)
}

fn all_rooms() -> Vec<String> {
    ROOMS.map(str::to_owned).to_vec()
}
