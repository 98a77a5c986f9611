//! A redis-server of a test's own, on a free loopback port, that ends with the
//! test.

use crate::store::{ClusterStore, open};
use gavel_runtime::redis::{Redis, Value, cmd};
use std::{
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

/// How often to look for an answer, 10 ms apart.
const POLLS_MAX: u32 = 1000;

pub(super) struct Server {
    process: Child,
    url: String,
    _directory: TempDir,
}

// === impl Server ===

impl Server {
    pub(super) async fn start() -> Self {
        // Another process may take the port between here and there; then the
        // server exits.
        for _ in 0..10 {
            if let Some(server) = Self::try_start().await {
                return server;
            }
        }
        panic!("redis-server did not come up on any of ten ports");
    }

    async fn try_start() -> Option<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let directory = tempfile::tempdir().unwrap();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server must be on the PATH: apt-get install redis-server");
        let url = format!("redis://127.0.0.1:{port}");
        let mut server = Self { process, url, _directory: directory };
        let redis = Redis::connect(&server.url).unwrap();
        for _ in 0..POLLS_MAX {
            if server.process.try_wait().unwrap().is_some() {
                return None;
            }
            if redis.ping().await.is_ok() {
                return Some(server);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }

    pub(super) fn store(&self) -> Arc<dyn ClusterStore> {
        open(Some(&self.url)).unwrap()
    }

    /// Sends a command given in words.
    pub(super) async fn send(&self, words: &[&str]) {
        let (name, args) = words.split_first().unwrap();
        let redis = Redis::connect(&self.url).unwrap();
        redis.cmd::<Value>(cmd(name).arg(args)).await.unwrap();
    }

    pub(super) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The child is still ours to reap, so its id cannot be another process
        // by now.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
