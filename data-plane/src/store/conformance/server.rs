//! A redis-server of a test's own, and the store in it.

use std::sync::Arc;

use gavel_runtime::redis::{FromRedisValue, Redis, cmd};
use gavel_testkit::RedisServer;

use crate::store::{RoomStore, open};

pub(super) use gavel_testkit::until;

pub(super) struct Server {
    server: RedisServer,
    /// For commands no store sends.
    redis: Redis,
}

impl Server {
    pub(super) async fn start() -> Self {
        let server = RedisServer::start().await;
        let redis = Redis::connect(&server.url()).unwrap();
        Self { server, redis }
    }

    pub(super) fn store(&self) -> Arc<dyn RoomStore> {
        open(Some(&self.server.url())).unwrap()
    }

    /// Sends a command given in words.
    pub(super) async fn send<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let (name, args) = words.split_first().unwrap();
        self.redis.cmd(cmd(name).arg(args)).await.unwrap()
    }

    pub(super) fn kill(&mut self) {
        self.server.kill();
    }
}
