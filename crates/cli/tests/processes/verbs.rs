//! What a test of processes starts, and asks of it.

use crate::process::{POLL, Process};
use std::{
    path::Path,
    process::{Command, Output},
    thread,
};

pub(crate) fn start_redis(folder: &Path, port: u16) -> Process {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    Process::start(folder, "redis", command.arg("--dir").arg(folder))
}

pub(crate) fn start(folder: &Path, name: &str, line: &str) -> Process {
    Process::start(folder, name, gavel(line).env("RUST_LOG", "info"))
}

pub(crate) fn gavel(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
    command.env_clear().args(line.split_whitespace());
    command
}

pub(crate) fn done(line: &str) -> Output {
    let output = gavel(line).output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{line}:\n{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}");
    output
}

/// Waits until so many nodes have this version of the limits: one is stored first
/// and in force a moment later.
pub(crate) fn in_force(nodes: usize, version: u64, endpoint: &str) {
    for _ in 0..POLL.1 {
        let listed = done(&format!("nodes list --json {endpoint}")).stdout;
        let listed: Vec<serde_json::Value> = serde_json::from_slice(&listed).expect("JSON");
        let holds = |node: &&serde_json::Value| {
            node.get("limitsVersion").and_then(serde_json::Value::as_u64) == Some(version)
        };
        if listed.iter().filter(holds).count() == nodes {
            return;
        }
        thread::sleep(POLL.0);
    }
    panic!("limits {version} are not in force on every node");
}
