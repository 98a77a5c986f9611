//! A recorded load on a running cluster is found good; the same record with
//! one thing changed is not.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

/// How often to look at something that takes a moment, and how many times.
const POLL: (Duration, u32) = (Duration::from_millis(20), 1_000);

/// `gavel dev` with a room of ours, and a folder for files.
struct Bench {
    child: Child,
    addresses: Value,
    folder: tempfile::TempDir,
}

// === impl Bench ===

impl Bench {
    fn start() -> Self {
        let ports = ["--node-ports", "0,0", "--control-ports", "0,0", "--print-json"];
        let mut child = gavel("dev")
            .env("RUST_LOG", "warn")
            .args(ports)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line comes");
        let addresses = serde_json::from_str(&line).expect("the line is JSON");
        let bench = Self { child, addresses, folder: tempfile::tempdir().expect("a folder") };
        bench.good("limits set bids_per_user_max=0 messages_per_session_rate=0");
        for room in ["vase", "lamp"] {
            bench.good(&format!(
                "rooms create {room} --opening-price 10.00 --increment 1.00 --closes-in 1h \
                 --guests bid"
            ));
        }
        bench
    }

    fn at(&self, path: &str) -> String {
        let text = self.addresses.pointer(path).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("no {path} in {}", self.addresses)).to_owned()
    }

    fn command(&self, line: &str) -> Command {
        let mut command = gavel(line);
        command.env("GAVEL_ENDPOINT", self.at("/control/grpc")).current_dir(self.folder.path());
        command
    }

    fn good(&self, line: &str) -> Output {
        let output = self.command(line).output().expect("the binary runs");
        assert!(output.status.success(), "{line}: {}", said(&output));
        output
    }

    fn load_line(&self) -> String {
        let urls = ["/nodes/0/ws", "/nodes/1/ws"].map(|path| self.at(path));
        format!("load --url {} --json", urls.join(","))
    }

    fn verify(&self, line: &str) -> Output {
        let node = self.at("/nodes/0/http");
        let token = self.at("/adminToken");
        let line = format!("verify {line} --node {node} --token {token}");
        self.command(&line).output().expect("the binary runs")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Bench {
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

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Every line but the first, and all that matters of a bid.
fn recorded(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("the history");
    text.lines().skip(1).map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Writes a history anew with the first line that `change` takes changed.
fn altered(from: &Path, to: &Path, change: impl Fn(&mut Value) -> bool) {
    let text = fs::read_to_string(from).expect("the history");
    let mut changed = false;
    let lines = text.lines().map(|line| {
        let mut json: Value = serde_json::from_str(line).expect("a line of JSON");
        changed = changed || change(&mut json);
        format!("{json}\n")
    });
    let lines: String = lines.collect();
    assert!(changed, "nothing to change");
    fs::write(to, lines).expect("a file");
}

fn raise(json: &mut Value, path: &str) -> bool {
    let Some(number) = json.pointer_mut(path) else { return false };
    *number = Value::from(number.as_u64().expect("a number") + 1);
    true
}

#[test]
fn a_recorded_run_is_good_and_one_altered_ack_is_not() {
    let bench = Bench::start();
    let load = bench.load_line();
    let crowd = "--sockets 12 --room-ids vase,lamp --bids-per-second 100 --duration 2s";
    bench.good(&format!("{load} {crowd} --record run.jsonl"));
    // Whoever bids alone holds the high bid and is refused from then on.
    let alone = "--sockets 1 --room-ids vase --bids-per-second 20 --duration 1s";
    bench.good(&format!("{load} {alone} --record alone.jsonl"));
    let acks = recorded(&bench.file("run.jsonl"));
    let acks = acks.iter().filter(|line| line.pointer("/bid/answer/said/accepted").is_some());
    assert!(acks.count() > 10);

    let output = bench.verify("--history run.jsonl,alone.jsonl --complete --save stream.jsonl");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let lines = said(&output);
    assert!(lines.lines().any(|line| line.starts_with("vase") && line.ends_with("ok")), "{lines}");

    for (name, path, invariant) in [
        ("run.jsonl", "/bid/answer/said/accepted/amount", 1),
        ("run.jsonl", "/bid/answer/said/accepted/seq", 1),
        ("alone.jsonl", "/bid/answer/said/rejected/price", 7),
        ("run.jsonl", "/sight/shown/update/price", 12),
    ] {
        let (from, to) = (bench.file(name), bench.file("altered.jsonl"));
        altered(&from, &to, |line| raise(line, path));
        let output = bench.verify("--history altered.jsonl --json");
        assert_eq!(output.status.code(), Some(1), "{path}: {}", said(&output));
        let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(json.pointer("/ok"), Some(&Value::from(false)), "{json}");
        let rooms = json.pointer("/rooms").and_then(Value::as_array).expect("rooms");
        let broken = rooms.iter().find_map(|room| room.get("invariant"));
        assert_eq!(broken, Some(&Value::from(invariant)), "{path}: {json}");
    }
    let text = said(&bench.verify("--history altered.jsonl"));
    assert!(text.contains("invariant 12 (prefix): socket"), "{text}");

    kept(&bench);
    whole_cluster(&bench);
}

/// What was saved is checked without the cluster.
fn kept(bench: &Bench) {
    bench.good("verify --stream stream.jsonl --history run.jsonl,alone.jsonl --complete");
    let mut lacking = bench.command("verify --stream stream.jsonl --history run.jsonl --complete");
    let output = lacking.output().expect("the binary runs");
    assert!(said(&output).contains("invariant 6 (no phantom)"), "{}", said(&output));
    altered(&bench.file("stream.jsonl"), &bench.file("other.jsonl"), |line| raise(line, "/amount"));
    for (line, code, words) in [
        ("verify --stream other.jsonl", 1, "invariant 3 (rising)"),
        ("verify --stream run.jsonl", 64, "run.jsonl, line 1"),
        ("verify --stream stream.jsonl --history stream.jsonl", 64, "stream.jsonl, line 1"),
        ("verify --stream no-such-file", 64, "no-such-file"),
        ("verify nothing --stream stream.jsonl", 1, "no room nothing"),
    ] {
        let output = bench.command(line).output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(code), "{line}: {}", said(&output));
        assert!(said(&output).contains(words), "{line}: {}", said(&output));
    }
}

fn whole_cluster(bench: &Bench) {
    let output = bench.verify("--all --json");
    assert!(output.status.success(), "{}", said(&output));
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rooms = json.pointer("/rooms").and_then(Value::as_array).map(Vec::len);
    assert_eq!(rooms, Some(12), "{json}");
    for (line, code, words) in [
        ("verify vase --token wrong", 1, "wants another token"),
        ("verify vase", 1, "wants another token"),
    ] {
        let line = format!("{line} --node {}", bench.at("/nodes/1/http"));
        let output = bench.command(&line).output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(code), "{line}: {}", said(&output));
        assert!(said(&output).contains(words), "{line}: {}", said(&output));
    }
    let output = bench.verify("nothing");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("no such room"), "{}", said(&output));
}

#[test]
fn an_interrupted_run_loses_nothing_of_its_history() {
    let bench = Bench::start();
    let line = format!(
        "{} --sockets 12 --room-ids vase,lamp --bids-per-second 100 --duration 10m \
         --record run.jsonl",
        bench.load_line()
    );
    let load = bench.command(&line).stdout(Stdio::piped()).spawn().expect("the binary runs");
    let bids = || {
        let room = bench.good("rooms get vase --json");
        let room: Value = serde_json::from_slice(&room.stdout).expect("JSON");
        room.pointer("/view/bidCount").and_then(Value::as_u64).unwrap_or(0)
    };
    let mut polls = 0..POLL.1;
    while bids() < 20 {
        assert!(polls.next().is_some(), "no bids");
        thread::sleep(POLL.0);
    }
    let pid = i32::try_from(load.id()).ok().and_then(Pid::from_raw).expect("it has an id");
    kill_process(pid, Signal::INT).expect("it can be told");
    let output = load.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", said(&output));

    // Every bid that is stored is in the history, or it would be a phantom.
    let output = bench.verify("--history run.jsonl --complete");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let sent = recorded(&bench.file("run.jsonl"));
    let sent = sent.iter().filter(|line| line.get("bid").is_some()).count();
    assert!(sent >= 20, "{sent}");
}
