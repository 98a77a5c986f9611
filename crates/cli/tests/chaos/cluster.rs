//! Redis, two control planes and three nodes as processes, with bids in six
//! rooms all the time.

use crate::{
    network::{Cut, Network},
    place::{GAVEL, Member, NODES, Place, REPLICAS, TOKEN},
    process::Process,
    store::{OTHERS, Redis, Shape},
};
use gavel_testkit::blocking::{free_port, until};
use rustix::process::Signal;
use serde_json::Value;
use std::{path::PathBuf, process::Output};

pub(crate) const ROOMS: [&str; 6] = ["lamp", "chair", "clock", "vase", "bowl", "desk"];
const BIDS_PER_SECOND: u32 = 600;
const SOCKETS: u32 = 36;
/// Bids that a room accepts before a fault, and after it.
const BIDS_BETWEEN: u64 = 30;
/// Lines of a process's log to print where a scenario fails.
const LAST: usize = 40;
/// The version of the limits once ours are set, or more if it took several tries.
const LIMITS: u64 = 2;

/// What runs; all of it ends with this value.
#[derive(Debug)]
pub(crate) struct Cluster {
    redis: Redis,
    replicas: Vec<Member>,
    nodes: Vec<Member>,
    load: Option<Process>,
    grpc: [u16; REPLICAS.len()],
    // Last, so that it goes when nothing runs in it.
    place: Place,
}

// === impl Cluster ===

impl Cluster {
    /// Only Redis runs yet.
    pub(crate) fn new(network: Option<Network>, redis: Shape) -> Self {
        let place = Place::new(network, redis);
        let grpc = REPLICAS.map(|_| free_port());
        let redis = Redis::start(&place);
        let (replicas, nodes) = (place.replicas(grpc), place.nodes(grpc));
        Self { redis, replicas, nodes, load: None, grpc, place }
    }

    /// Starts everything else and waits until bids are accepted in each room.
    pub(crate) fn start(&mut self) {
        for member in &mut self.replicas {
            member.start(&self.place, GAVEL);
            member.process().says("control plane listens");
        }
        for member in &mut self.nodes {
            member.start(&self.place, GAVEL);
            member.process().says("node listens");
        }
        self.prepare();
        self.load = Some(self.bid());
        self.bids_flow();
    }

    fn prepare(&self) {
        let limits = "sockets_per_ip_max=0 handshakes_per_ip_rate=0 bids_per_user_max=0 messages_per_session_rate=0";
        until("limits", || self.verb(&format!("limits set {limits}")));
        self.nodes_are_there();
        for room in ROOMS {
            until("a room", || {
                self.verb(&format!(
                    "rooms create {room} --opening-price 10.00 --increment 0.01 --closes-in 1h \
                     --guests bid"
                ))
            });
        }
    }

    fn bid(&self) -> Process {
        let line = format!(
            "load --url {} --sockets {SOCKETS} --room-ids {} --bids-per-second {BIDS_PER_SECOND} \
             --duration 1h --reconnect --json --record {}",
            self.place.urls(),
            ROOMS.join(","),
            self.history().display(),
        );
        let mut command = self.place.command("hub", GAVEL);
        Process::start(self.place.path(), "load", command.args(line.split(' ')))
    }

    // === What may happen to it ===

    /// The place in the list of the node that owns the first room, and all its rooms.
    pub(crate) fn an_owner(&self) -> (usize, Vec<String>) {
        until("an owner", || {
            let rooms = self.owners()?;
            let (_, owner) = rooms.iter().find(|(room, _)| room == "lamp")?;
            let node = self.nodes.iter().position(|node| node.name == *owner)?;
            let its = rooms.iter().filter(|(_, other)| other == owner);
            Some((node, its.map(|(room, _)| room.clone()).collect()))
        })
    }

    /// How many there are, running or not.
    pub(crate) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Empties the last node of rooms, so that it only holds sockets.
    pub(crate) fn an_edge(&self) -> usize {
        let edge = self.nodes.len() - 1;
        let name = &self.nodes.get(edge).expect("a node").name;
        until("a drain", || self.verb(&format!("nodes drain {name}")));
        until("an empty node", || {
            self.owners()?.iter().all(|(_, owner)| owner != name).then_some(())
        });
        edge
    }

    pub(crate) fn kill_node(&mut self, node: usize) {
        self.node(node).take().kill();
    }

    /// Asks it to stop, and waits until it has without a fault.
    pub(crate) fn stop_node(&mut self, node: usize) {
        self.node(node).take().stop();
    }

    pub(crate) fn signal_node(&mut self, node: usize, signal: Signal) {
        self.node(node).process().signal(signal);
    }

    pub(crate) fn start_node(&mut self, node: usize) {
        let member = self.nodes.get_mut(node).expect("a node");
        member.start(&self.place, GAVEL);
        member.process().says("node listens");
        self.nodes_are_there();
    }

    /// How often this node has found that a room is not its own any more: an
    /// append was fenced, or control said so before the next append.
    pub(crate) fn stepped_down(&mut self, node: usize) -> usize {
        let process = self.node(node).process();
        process.said("another node owns the room") + process.said("the room moves")
    }

    /// Waits until somebody else owns what this node did.
    pub(crate) fn has_lost_its_rooms(&self, node: usize) {
        let name = &self.nodes.get(node).expect("a node").name;
        until("other owners", || {
            self.owners()?.iter().all(|(_, owner)| owner != name).then_some(())
        });
    }

    pub(crate) fn kill_leader(&mut self) {
        let leads = |member: &Member| {
            member.process.as_ref().is_some_and(|process| process.said("replica: leads") > 0)
        };
        let leader = self.replicas.iter_mut().find(|member| leads(member)).expect("a leader");
        leader.take().kill();
        let next = self.replicas.iter_mut().find(|member| member.process.is_some());
        next.expect("another replica").process().says("replica: leads");
    }

    /// Kills the only Redis, or the primary.
    pub(crate) fn kill_redis(&mut self) {
        self.redis.kill(0);
    }

    pub(crate) fn start_redis(&mut self) {
        self.redis.restart(&self.place);
    }

    pub(crate) fn signal_redis(&mut self, signal: Signal) {
        self.redis.signal(signal);
    }

    /// Kills the server of a Redis cluster that holds the first room; all
    /// rooms that it holds.
    pub(crate) fn kill_server_of_a_room(&mut self) -> Vec<String> {
        let server = |room: &str| self.redis.server_of(&self.place, &format!("{{{room}}}"));
        let killed = server("lamp");
        let its = ROOMS.into_iter().filter(|room| server(room) == killed);
        let rooms = its.map(str::to_owned).collect();
        self.redis_may_fail_over();
        self.redis.kill(killed);
        rooms
    }

    /// Cuts the primary off from its replicas and sentinels, and from nobody else.
    pub(crate) fn isolate_redis(&self) {
        for other in OTHERS {
            self.place.network().cut("redis", other, Cut::BothWays);
        }
    }

    pub(crate) fn heal_redis(&self) {
        self.place.network().heal("redis");
    }

    /// From here on, a primary that is silent has a successor.
    pub(crate) fn redis_may_fail_over(&self) {
        self.redis.may_fail_over(&self.place);
    }

    pub(crate) fn has_another_primary(&self) {
        self.redis.has_another_primary(&self.place);
    }

    /// Gives a room to another node.
    pub(crate) fn move_room(&self, room: &str, to: usize) {
        let name = &self.nodes.get(to).expect("a node").name;
        until("a move", || self.verb(&format!("rooms move {room} --to {name}")));
    }

    /// Loses packets between a node and another host.
    pub(crate) fn cut(&self, node: usize, other: &str, cut: Cut) {
        self.place.network().cut(self.name(node), other, cut);
    }

    pub(crate) fn heal(&self, node: usize) {
        self.place.network().heal(self.name(node));
    }

    pub(crate) fn name(&self, node: usize) -> &'static str {
        self.nodes.get(node).expect("a node").name
    }

    // === What is asked of it ===

    /// Waits until each room has accepted some bids after this was called.
    pub(crate) fn bids_flow(&self) {
        for room in ROOMS {
            let before = until("a room's state", || self.bid_count(room));
            until("more bids", || {
                self.bid_count(room).filter(|count| *count >= before + BIDS_BETWEEN)
            });
        }
    }

    /// Closes all rooms, ends the load and returns its report.
    pub(crate) fn finish(&mut self) -> Value {
        for room in ROOMS {
            until("a close", || {
                // Of a retry only the effect can be told.
                drop(self.verb(&format!("rooms close {room}")));
                let state = self.room(room)?.pointer("/view/state")?.clone();
                (state == "closed").then_some(())
            });
        }
        let said = self.load.take().expect("a load").stop();
        let report = said.lines().rev().find(|line| line.starts_with('{')).expect("a report");
        serde_json::from_str(report).expect("JSON")
    }

    /// Holds what is stored against what the load recorded; keeps it in a file.
    pub(crate) fn verify(&self) -> (Output, PathBuf) {
        let streams = self.place.path().join("streams.jsonl");
        let line = format!(
            "verify --complete --redis-url {} --history {} --save {}",
            self.place.redis_url(),
            self.history().display(),
            streams.display(),
        );
        let mut command = self.place.command("hub", GAVEL);
        (command.args(line.split(' ')).output().expect("the binary runs"), streams)
    }

    pub(crate) fn history(&self) -> PathBuf {
        self.place.path().join("history.jsonl")
    }

    /// What each of our processes has said last.
    pub(crate) fn last_words(&self) -> String {
        let last = |member: &Member| {
            let log = member.process.as_ref().map(Process::log).unwrap_or_default();
            let from = log.lines().count().saturating_sub(LAST);
            let lines: Vec<_> = log.lines().skip(from).collect();
            format!("--- {} ---\n{}\n", member.name, lines.join("\n"))
        };
        self.replicas.iter().chain(&self.nodes).map(last).collect()
    }

    /// All that was said, for whoever looks for the cause of a fault.
    pub(crate) fn keep_logs(self) -> PathBuf {
        self.place.keep()
    }

    fn nodes_are_there(&self) {
        until("all nodes", || {
            let nodes = self.verb("nodes list")?;
            let ready =
                |node: &&Value| node.get("limitsVersion").and_then(Value::as_u64) >= Some(LIMITS);
            (nodes.as_array()?.iter().filter(ready).count() == NODES.len()).then_some(())
        });
    }

    fn owners(&self) -> Option<Vec<(String, String)>> {
        let rooms = self.verb("rooms list")?;
        let text = |room: &Value, key: &str| Some(room.get(key)?.as_str()?.to_owned());
        rooms
            .as_array()?
            .iter()
            .map(|room| Some((text(room, "id")?, text(room, "owner")?)))
            .collect()
    }

    fn bid_count(&self, room: &str) -> Option<u64> {
        self.room(room)?.pointer("/view/bidCount")?.as_u64()
    }

    fn room(&self, room: &str) -> Option<Value> {
        self.verb(&format!("rooms get {room}"))
    }

    /// What a living replica answers; none if it cannot now.
    fn verb(&self, line: &str) -> Option<Value> {
        let living = self.replicas.iter().position(|member| member.process.is_some())?;
        let port = self.grpc.get(living)?;
        let endpoint = format!("http://{}:{port}", self.place.address("control"));
        let mut command = self.place.command("hub", GAVEL);
        command.args(line.split(' ')).args(["--json", "--token", TOKEN, "--endpoint", &endpoint]);
        let output = command.output().expect("the binary runs");
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap_or_default())
    }

    fn node(&mut self, node: usize) -> &mut Member {
        self.nodes.get_mut(node).expect("a node")
    }
}
