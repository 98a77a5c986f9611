//! A redis-server of a test's own, and the store in it.

use crate::store::{ClusterStore, open};
use gavel_runtime::redis::{Redis, Value, cmd};
use gavel_testkit::RedisServer;
use std::sync::Arc;

pub(super) struct Server(RedisServer);

// === impl Server ===

impl Server {
    pub(super) async fn start() -> Self {
        Self(RedisServer::start().await)
    }

    pub(super) fn store(&self) -> Arc<dyn ClusterStore> {
        open(Some(&self.0.url())).unwrap()
    }

    pub(super) fn url(&self) -> String {
        self.0.url()
    }

    /// Sends a command given in words.
    pub(super) async fn send(&self, words: &[&str]) {
        let (name, args) = words.split_first().unwrap();
        let redis = Redis::connect(&self.0.url()).unwrap();
        redis.cmd::<Value>(cmd(name).arg(args)).await.unwrap();
    }

    pub(super) fn kill(&mut self) {
        self.0.kill();
    }
}
