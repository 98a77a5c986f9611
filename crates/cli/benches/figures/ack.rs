//! Time from a bid that is due to its answer, as `gavel load` measures it.

use super::{
    gavel::{Gavel, binary},
    report::{Report, Section},
};
use crate::Outcome;
use gavel_testkit::blocking::free_port;
use serde_json::Value;
use std::{
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

pub(crate) const SOCKETS: u32 = 200;
const BIDS_PER_SECOND: u32 = 1_000;
/// How often to look whether Redis is there, and how many times.
const POLL: (Duration, u32) = (Duration::from_millis(20), 500);

/// Limits that are in no measurement's way.
pub(crate) const LIMITS: &str =
    "sockets_per_ip_max=0 handshakes_per_ip_rate=0 bids_per_user_max=0 messages_per_session_rate=0";

/// How long answers took, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acks {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// A Redis that ends with this value.
pub(crate) struct Redis {
    child: Child,
    pub(crate) url: String,
    _folder: tempfile::TempDir,
}

/// Measures each store.
pub(crate) fn measure(report: &mut Report) -> Outcome<()> {
    let title = format!(
        "From bid to answer at {BIDS_PER_SECOND} bids a second: 2 nodes, 10 rooms, {SOCKETS} sockets"
    );
    let mut section = Section::new(&title, "ms");
    load(&mut section, "memory", &[], Some(5.0))?;
    for (fsync, name) in [("no", "Redis, appendfsync no"), ("always", "Redis, appendfsync always")]
    {
        let redis = Redis::start(fsync)?;
        load(&mut section, name, &["--redis-url", &redis.url], Some(15.0))?;
    }
    report.add(section);
    Ok(())
}

fn load(section: &mut Section, store: &str, options: &[&str], p99_max: Option<f64>) -> Outcome<()> {
    let gavel = Gavel::start(2, options, LIMITS)?;
    let acks = Acks::under_load(&gavel, SOCKETS, BIDS_PER_SECOND, || Ok(()))?;
    section.row(&format!("{store}: p50"), acks.p50, None);
    section.row(&format!("{store}: p99"), acks.p99, p99_max);
    Ok(())
}

// === impl Acks ===

impl Acks {
    /// Puts load on every node by so many sockets in ten rooms, and does
    /// something over and over meanwhile. A fault that the load finds ends the
    /// run.
    pub(crate) fn under_load(
        gavel: &Gavel,
        sockets: u32,
        bids_per_second: u32,
        mut meanwhile: impl FnMut() -> Outcome<()>,
    ) -> Outcome<Self> {
        let mut load = binary()
            .args(["load", "--json", "--rooms", "10", "--duration", "10s"])
            .args(["--sockets", &sockets.to_string()])
            .args(["--bids-per-second", &bids_per_second.to_string()])
            .args(["--url", &gavel.urls().join(",")])
            .stdout(Stdio::piped())
            .spawn()?;
        while load.try_wait()?.is_none() {
            meanwhile()?;
            thread::sleep(POLL.0);
        }
        let output = load.wait_with_output()?;
        let found: Value = serde_json::from_slice(&output.stdout)?;
        if !output.status.success() {
            return Err(format!("the load found faults: {found}").into());
        }
        let ack = |quantile: &str| {
            let pointer = format!("/latency/ack/{quantile}Ms");
            found.pointer(&pointer).and_then(Value::as_f64).ok_or(pointer)
        };
        Ok(Self { p50: ack("p50")?, p99: ack("p99")? })
    }
}

// === impl Redis ===

impl Redis {
    pub(crate) fn start(fsync: &str) -> Outcome<Self> {
        let (folder, port) = (tempfile::tempdir()?, free_port());
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", fsync, "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("redis-server does not start: {error}"))?;
        let url = format!("redis://127.0.0.1:{port}");
        let redis = Self { child, url, _folder: folder };
        for _ in 0..POLL.1 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(redis);
            }
            thread::sleep(POLL.0);
        }
        Err("redis-server does not answer".into())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
