//! A cluster of separate processes on a real Redis, as the README starts it.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

/// How often to look at something that takes a moment, and how many times.
const POLL: (Duration, u32) = (Duration::from_millis(50), 600);

/// A process of ours, and where its log goes.
struct Process {
    child: Child,
    log: PathBuf,
}

// === impl Process ===

impl Process {
    fn start(folder: &Path, name: &str, command: &mut Command) -> Self {
        let log = folder.join(format!("{name}.log"));
        let out = File::create(&log).expect("a log file");
        let err = out.try_clone().expect("the same file");
        let child = command.stdout(out).stderr(err).stdin(Stdio::null()).spawn();
        Self { child: child.unwrap_or_else(|error| panic!("{name} does not start: {error}")), log }
    }

    fn redis(folder: &Path, port: u16) -> Self {
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        Self::start(folder, "redis", command.arg("--dir").arg(folder))
    }

    fn gavel(folder: &Path, name: &str, line: &str) -> Self {
        Self::start(folder, name, gavel(line).env("RUST_LOG", "info"))
    }

    /// Waits until the log says so.
    fn says(&mut self, words: &str) {
        for _ in 0..POLL.1 {
            let log = std::fs::read_to_string(&self.log).expect("the log");
            if log.contains(words) {
                return;
            }
            let ended = self.child.try_wait().expect("it can be waited for");
            assert!(ended.is_none(), "it ended with {ended:?}:\n{log}");
            thread::sleep(POLL.0);
        }
        panic!("{words:?} never came:\n{}", std::fs::read_to_string(&self.log).expect("the log"));
    }

    fn stop(mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("it has an id"), Signal::TERM).expect("it can be told");
        for _ in 0..POLL.1 {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return assert!(status.success(), "{status:?}");
            }
            thread::sleep(POLL.0);
        }
        panic!("it does not stop");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn gavel(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
    command.env_clear().args(line.split_whitespace());
    command
}

fn done(line: &str) -> Output {
    let output = gavel(line).output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{line}:\n{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}");
    output
}

/// Waits until both nodes have this version of the limits: one is stored first
/// and in force a moment later.
fn in_force(version: u64, endpoint: &str) {
    for _ in 0..POLL.1 {
        let listed = done(&format!("nodes list --json {endpoint}")).stdout;
        let nodes: Vec<serde_json::Value> = serde_json::from_slice(&listed).expect("JSON");
        let holds = |node: &&serde_json::Value| {
            node.get("limitsVersion").and_then(serde_json::Value::as_u64) == Some(version)
        };
        if nodes.iter().filter(holds).count() == 2 {
            return;
        }
        thread::sleep(POLL.0);
    }
    panic!("limits {version} are not in force on both nodes");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

#[test]
fn separate_processes_wait_for_redis_and_then_are_one_cluster() {
    let folder = tempfile::tempdir().expect("a folder");
    let [redis, http, grpc, ws_1, ws_2, relay_1, relay_2] = [(); 7].map(|()| free_port());
    let control = format!(
        "control-plane --redis-url redis://127.0.0.1:{redis} \
         --http-listen 127.0.0.1:{http} --grpc-listen 127.0.0.1:{grpc}"
    );
    let node = |id: &str, ws: u16, relay: u16| {
        format!(
            "data-plane --redis-url redis://127.0.0.1:{redis} --node-id {id} \
             --http-listen 127.0.0.1:{ws} --relay-listen 127.0.0.1:{relay} \
             --control-endpoint http://127.0.0.1:{grpc}"
        )
    };
    let mut control = Process::gavel(folder.path(), "control", &control);
    let mut first = Process::gavel(folder.path(), "node-1", &node("node-1", ws_1, relay_1));
    let mut second = Process::gavel(folder.path(), "node-2", &node("node-2", ws_2, relay_2));
    for process in [&mut control, &mut first, &mut second] {
        process.says("redis.url: no answer; trying again");
    }

    let _redis = Process::redis(folder.path(), redis);
    control.says("control plane listens");
    first.says("node listens");
    second.says("node listens");
    control.says("a node registers");

    let endpoint = format!("--endpoint http://127.0.0.1:{grpc}");
    for room in ["lamp", "chair", "clock"] {
        done(&format!(
            "rooms create {room} --title {room} --opening-price 10.00 --increment 1.00 \
             --closes-in 1h --guests bid {endpoint}"
        ));
    }
    done(&format!("limits set sockets_per_ip_max=0 bids_per_user_max=0 {endpoint}"));
    in_force(2, &endpoint);
    let urls = format!("ws://127.0.0.1:{ws_1}/ws,ws://127.0.0.1:{ws_2}/ws");
    let history = folder.path().join("run.jsonl");
    let history = history.display();
    done(&format!(
        "load --url {urls} --sockets 40 --room-ids lamp,chair,clock --bids-per-second 40 \
         --duration 3s --json --record {history}"
    ));
    for process in [first, second, control] {
        process.stop();
    }
    // What was acknowledged outlives the cluster.
    let redis = format!("--redis-url redis://127.0.0.1:{redis}");
    done(&format!("verify --history {history} --complete {redis}"));
    let output = gavel(&format!("verify nothing {redis}")).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}
