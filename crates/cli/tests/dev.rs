//! `gavel dev` and the operator's verbs against it, as a user types them.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::Duration,
};

/// How often to look at something that takes a moment, and how many times.
const POLL: (Duration, u32) = (Duration::from_millis(50), 400);

struct Dev {
    child: Child,
    addresses: Value,
}

// === impl Dev ===

impl Dev {
    fn start() -> Self {
        let ports = ["--node-ports", "0,0", "--control-ports", "0,0", "--print-json"];
        let mut child = Command::new(env!("CARGO_BIN_EXE_gavel"))
            .env_clear()
            .env("RUST_LOG", "warn")
            .arg("dev")
            .args(ports)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line comes");
        let addresses = serde_json::from_str(&line).expect("the line is JSON");
        Self { child, addresses }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
        let grpc = at(&self.addresses, "/control/grpc").as_str().expect("an address");
        command.env_clear().env("GAVEL_ENDPOINT", grpc).args(line.split_whitespace());
        command
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).output().expect("the binary runs")
    }

    /// What a verb that goes well prints.
    fn json(&self, line: &str) -> Value {
        let output = self.run(&format!("{line} --json"));
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("it prints JSON")
    }

    fn stop(mut self) -> ExitStatus {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("it has an id"), Signal::TERM).expect("it can be told");
        for _ in 0..POLL.1 {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            thread::sleep(POLL.0);
        }
        panic!("it does not stop");
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn at<'a>(json: &'a Value, path: &str) -> &'a Value {
    json.pointer(path).unwrap_or(&Value::Null)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_cluster_runs_is_steered_and_stops() {
    let dev = Dev::start();
    assert_eq!(*at(&dev.addresses, "/nodes/1/id"), "node-2");

    in_force(&dev);
    rooms(&dev);
    limits(&dev);
    flags(&dev);
    load(&dev);
    users(&dev);
    smoke(&dev);
    let metrics = dev.run("metrics");
    assert!(metrics.status.success(), "{}", text(&metrics.stderr));

    assert!(dev.stop().success());
}

/// Whoever has read the addresses meets no node with its defaults.
fn in_force(dev: &Dev) {
    let nodes = dev.json("nodes list");
    let nodes = nodes.as_array().expect("a list");
    assert_eq!(nodes.len(), 2, "{nodes:?}");
    for (verb, field) in [("limits get", "limitsVersion"), ("flags get", "flagsVersion")] {
        let newest = dev.json(verb);
        for node in nodes {
            assert_eq!(node.get(field), newest.get("version"), "{verb}: {node}");
        }
    }
}

fn rooms(dev: &Dev) {
    let rooms = dev.json("rooms list");
    assert!(rooms.as_array().is_some_and(|rooms| rooms.len() == 10), "{rooms}");
    let create = "rooms create vase --opening-price 10.00 --increment 1 --closes-in 5m";
    dev.json(create);
    let again = dev.run(create);
    assert_eq!(again.status.code(), Some(1), "{}", text(&again.stderr));
    let unknown = dev.run("rooms get no-such-room");
    assert_eq!(unknown.status.code(), Some(1), "{}", text(&unknown.stderr));

    assert_eq!(*at(&dev.json("rooms pause vase --reason lunch"), "/view/state"), "paused");
    assert_eq!(*at(&dev.json("rooms resume vase"), "/view/state"), "open");
    assert_eq!(*at(&dev.json("rooms close vase"), "/view/state"), "closed");
    let shown = text(&dev.run("rooms get vase").stdout);
    assert!(shown.contains("no bids"), "{shown}");
    assert_eq!(dev.run("rooms pause vase").status.code(), Some(1));
}

fn limits(dev: &Dev) {
    assert_eq!(*at(&dev.json("limits get"), "/limits/sockets_per_ip_max"), 0);
    let set = dev.json("limits set bids_per_user_max=1000 bids_window_ms=1000");
    assert_eq!(*at(&set, "/limits/bids_per_user_max"), 1000);
    assert_eq!(dev.json("limits get"), set);
    let refused = dev.run("limits set bids_window_ms=1");
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("bids_window_ms"), "{}", text(&refused.stderr));
}

fn flags(dev: &Dev) {
    let document = at(&dev.json("flags get"), "/document").to_string();
    let mut child = dev.command("flags set -").stdin(Stdio::piped()).spawn().expect("it runs");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(document.as_bytes()).expect("it reads");
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
    assert_eq!(at(&dev.json("flags get"), "/document").to_string(), document);
    dev.json("flags set batching --percent 10 --by room");
    let flags = dev.json("flags get");
    let shares = at(&flags, "/document/flags/batching/targeting/fractional");
    assert_eq!(shares.pointer("/1/1"), Some(&Value::from(10)), "{flags}");
    let told = dev.json("flags explain batching --user anna --room 1 --attribute plan=gold");
    let draw = at(&told, "/draws/0");
    assert_eq!(at(draw, "/subject"), "batching1", "drawn by the room: {told}");
    let of = |name: &str| draw.get(name).and_then(Value::as_u64).expect("a number");
    assert!((of("from")..of("to")).contains(&of("bucket")) && of("total") == 100, "{told}");
    assert_eq!(at(&told, "/value"), &Value::from(of("to") == 10), "{told}");
    let unknown = dev.run("flags set no-such-flag --percent 10");
    assert_eq!(unknown.status.code(), Some(1), "{}", text(&unknown.stderr));
    let started = dev.json("flags rollout start batching off --by node --steps 5,50 --hold 1h");
    assert_eq!(at(&started, "/0/percent"), &Value::from(5));
    let refused = dev.run("flags rollout start batching off");
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("under way already"));
    let paused = dev.json("flags rollout pause batching");
    assert_eq!(at(&paused, "/0/state"), &Value::from("paused"));
    dev.json("flags rollout abort batching --reason enough");
    let said = text(&dev.run("flags rollout status batching").stdout);
    assert!(said.contains("batching is aborted: enough"), "{said}");
    let watched = dev.run("flags rollout status batching --watch");
    assert_eq!(watched.status.code(), Some(1));
    let after = dev.json("flags get");
    assert_eq!(at(&after, "/document/flags/batching/targeting/fractional"), shares);
}

fn smoke(dev: &Dev) {
    let done = dev.json("smoke --token gavel-dev");
    assert_eq!(*at(&done, "/moved"), true, "{done}");
    let room = at(&done, "/room").as_str().expect("a room").to_owned();
    assert_eq!(*at(&dev.json(&format!("rooms get {room}")), "/view/state"), "closed");
    let said = dev.run("smoke --token gavel-dev");
    let lines = text(&said.stdout);
    for step in ["nodes:", "create:", "join:", "bid:", "move:", "close:", "verify:", "ok: room"] {
        assert!(lines.contains(step), "{step} {lines} {}", text(&said.stderr));
    }
    // Each failure names its step.
    for (line, step) in [
        ("smoke --url ws://127.0.0.1:1/ws", "join: "),
        ("smoke --token wrong", "verify: "),
        ("smoke --token gavel-dev --user-tokens a.b.c,a.b.c", "join: "),
    ] {
        let failed = dev.run(line);
        assert_eq!(failed.status.code(), Some(1), "{line}");
        let why = text(&failed.stderr);
        assert!(why.starts_with(&format!("gavel: {step}")), "{line}: {why}");
    }
}

fn users(dev: &Dev) {
    let banned = dev.json("users ban ann --room vase --for 2h --reason shilling");
    assert_eq!(*at(&banned, "/denial/room"), "vase");
    let again = dev.json("users ban ann");
    assert_eq!((at(&again, "/denial/room"), at(&again, "/denial/until")), (&"".into(), &0.into()));
    assert_eq!(*at(&dev.json("users kick bob"), "/denial/user"), "bob");
    assert_eq!(*at(&dev.json("users revoke ann --for 7d"), "/denial/kind"), "user");
    let revoked = dev.json("users revoke --token 4f1a");
    assert_eq!(*at(&revoked, "/denial/token"), "4f1a");
    let both = dev.run("users revoke ann --token 4f1a");
    assert_eq!(both.status.code(), Some(64), "{}", text(&both.stderr));
    let neither = dev.run("users revoke");
    assert_eq!(neither.status.code(), Some(64), "{}", text(&neither.stderr));

    let listed = text(&dev.run("users list").stdout);
    for said in [
        "everywhere  for ever",
        "shilling",
        "a token",
        "tokens from before",
        "sessions from before",
    ] {
        assert!(listed.contains(said), "{said}: {listed}");
    }
    assert_eq!(dev.json("users list").as_array().map(Vec::len), Some(5));
    dev.json("users unban ann");
    let not_banned = dev.run("users unban ann");
    assert_eq!(not_banned.status.code(), Some(1));
    let said = text(&not_banned.stderr);
    assert!(said.contains("ann is not banned from all rooms"), "{said}");
    assert_eq!(dev.json("users list").as_array().map(Vec::len), Some(4));
}

fn load(dev: &Dev) {
    let url = |path| at(&dev.addresses, path).as_str().expect("a URL").to_owned();
    let urls = ["/nodes/0/ws", "/nodes/1/ws"].map(url);
    let report = dev.json(&format!(
        "load --url {} --sockets 40 --rooms 10 --bids-per-second 50 --duration 2s",
        urls.join(",")
    ));
    assert_eq!(*at(&report, "/faultsTotal"), 0, "{report}");
    assert_eq!(*at(&report, "/bids/sent"), 100, "{report}");
    assert!(at(&report, "/bids/accepted").as_u64() > Some(0), "{report}");
}
