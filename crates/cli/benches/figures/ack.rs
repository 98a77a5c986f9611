//! Time from a bid that is due to its answer, as `gavel load` measures it.

use super::{
    gavel::{Gavel, binary},
    process::free_port,
    report::{Report, Section},
};
use crate::Outcome;
use serde_json::Value;
use std::{
    net::TcpStream,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

const BIDS_PER_SECOND: u32 = 1_000;
/// How often to look whether Redis is there, and how many times.
const POLL: (Duration, u32) = (Duration::from_millis(20), 500);

/// A Redis that ends with this value.
struct Redis {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

/// Measures each store.
pub(crate) fn measure(report: &mut Report) -> Outcome<()> {
    let title = format!(
        "From bid to answer at {BIDS_PER_SECOND} bids a second: 2 nodes, 10 rooms, 200 sockets"
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
    let limits = "sockets_per_ip_max=0 bids_per_user_max=0 messages_per_session_rate=0";
    let gavel = Gavel::start(2, options, limits)?;
    let bids = BIDS_PER_SECOND.to_string();
    let output = binary()
        .args(["load", "--json", "--sockets", "200", "--rooms", "10", "--duration", "10s"])
        .args(["--bids-per-second", &bids, "--url", &gavel.urls().join(",")])
        .output()?;
    if !output.status.success() {
        return Err(format!("{store}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let ack = |quantile: &str| {
        let pointer = format!("/latency/ack/{quantile}Ms");
        found.pointer(&pointer).and_then(Value::as_f64).ok_or(pointer)
    };
    section.row(&format!("{store}: p50"), ack("p50")?, None);
    section.row(&format!("{store}: p99"), ack("p99")?, p99_max);
    Ok(())
}

// === impl Redis ===

impl Redis {
    fn start(fsync: &str) -> Outcome<Self> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
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
