//! A redis-server of a test's own, on a free loopback port, that ends with the test.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gavel_runtime::redis::{FromRedisValue, Redis, cmd};
use tempfile::TempDir;

use crate::store::{RoomStore, open};

/// How often to look, 10 ms apart, before something is said not to happen.
const POLLS_MAX: u32 = 1000;

pub(super) struct Server {
    process: Child,
    url: String,
    /// For commands no store sends.
    redis: Redis,
    _directory: TempDir,
}

impl Server {
    pub(super) async fn start() -> Self {
        // Another process may take the port between here and there; then the server exits.
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
            .expect("redis-server must be on the PATH for the store tests: apt-get install redis-server");
        let url = format!("redis://127.0.0.1:{port}");
        let redis = Redis::connect(&url).unwrap();
        let mut server = Self { process, url, redis, _directory: directory };
        for _ in 0..POLLS_MAX {
            if server.process.try_wait().unwrap().is_some() {
                return None;
            }
            if server.redis.ping().await.is_ok() {
                return Some(server);
            }
            pause().await;
        }
        None
    }

    pub(super) fn store(&self) -> Arc<dyn RoomStore> {
        open(Some(&self.url)).unwrap()
    }

    /// Sends a command given in words.
    pub(super) async fn send<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let (name, args) = words.split_first().unwrap();
        self.redis.cmd(cmd(name).arg(args)).await.unwrap()
    }

    pub(super) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The child is still ours to reap, so its id cannot be another process by now.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A step of a bounded poll.
pub(super) async fn pause() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

/// Polls until `ready` gives something.
pub(super) async fn until<T>(what: &str, mut ready: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..POLLS_MAX {
        if let Some(found) = ready().await {
            return found;
        }
        pause().await;
    }
    panic!("{what} did not happen");
}
