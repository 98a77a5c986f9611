//! `gavel` as a user starts it, set up to be measured.

use super::process::Process;
use crate::Outcome;
use serde_json::Value;
use std::{net::SocketAddr, process::Command, thread, time::Duration};

/// How often to look whether a setting is in force, and how many times.
const POLL: (Duration, u32) = (Duration::from_millis(50), 200);

/// A whole cluster in one process.
#[derive(Debug)]
pub(crate) struct Gavel {
    pub(crate) process: Process,
    addresses: Value,
}

// === impl Gavel ===

impl Gavel {
    /// Starts `gavel dev` with so many nodes and with these limits in force.
    pub(crate) fn start(nodes: usize, options: &[&str], limits: &str) -> Outcome<Self> {
        let node_ports = vec!["0"; nodes].join(",");
        let mut command = binary();
        command.args(["dev", "--print-json", "--control-ports", "0,0", "--node-ports"]);
        let process = Process::start(command.arg(node_ports).args(options))?;
        let addresses = serde_json::from_str(process.first_line())?;
        let gavel = Self { process, addresses };
        let set = gavel.ask(&format!("limits set {limits} --json"))?;
        gavel.in_force(set.get("version").and_then(Value::as_u64).ok_or("no version")?)?;
        Ok(gavel)
    }

    /// What an operator's verb prints; one that fails ends the run.
    pub(crate) fn ask(&self, line: &str) -> Outcome<Value> {
        let mut command = binary();
        command.env("GAVEL_ENDPOINT", self.control()?);
        let output = command.args(line.split_whitespace()).output()?;
        if !output.status.success() {
            return Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The URL of the control plane's gRPC.
    pub(crate) fn control(&self) -> Outcome<String> {
        let grpc = self.addresses.pointer("/control/grpc").and_then(Value::as_str);
        Ok(grpc.ok_or("no gRPC address")?.to_owned())
    }

    /// The WebSocket URLs of the nodes.
    pub(crate) fn urls(&self) -> Vec<&str> {
        let nodes = self.addresses.get("nodes").and_then(Value::as_array);
        nodes.into_iter().flatten().filter_map(|node| node.get("ws")?.as_str()).collect()
    }

    /// Where the first node listens.
    pub(crate) fn address(&self) -> Outcome<SocketAddr> {
        let url = *self.urls().first().ok_or("no node")?;
        Ok(url.trim_start_matches("ws://").trim_end_matches("/ws").parse()?)
    }

    fn in_force(&self, version: u64) -> Outcome<()> {
        for _ in 0..POLL.1 {
            let nodes = self.ask("nodes list --json")?;
            let holds =
                |node: &Value| node.get("limitsVersion").and_then(Value::as_u64) == Some(version);
            if nodes.as_array().is_some_and(|nodes| nodes.iter().all(holds)) {
                return Ok(());
            }
            thread::sleep(POLL.0);
        }
        Err("the limits did not come into force".into())
    }
}

/// The binary of this build, in an environment of its own.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
    command.env_clear().env("RUST_LOG", "error");
    command
}
