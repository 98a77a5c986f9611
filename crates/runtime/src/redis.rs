//! Redis with bounded answers: a call succeeds, or fails within about half a
//! second with an error that says whether it may have taken effect.
//!
//! A handle connects at its first call and again after each loss, for ever.
//! Between attempts to connect, calls fail at once. This is the only module
//! that knows the driver's connection types, so that a new major version of
//! the driver is a change in one place.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client};

pub use ::redis::aio::PubSub;
pub use ::redis::{Cmd, FromRedisValue, Pipeline, ToRedisArgs, Value, cmd, pipe};

mod error;
mod link;
mod script;
#[cfg(test)]
mod tests;

pub use error::RedisError;
pub use script::{Invocation, Script};

use crate::backoff::Backoff;
use link::Link;

/// How long an answer may take; a frozen server is noticed after this.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_millis(250);
/// How long connecting may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);

/// What came of a command once there was a connection to send it over.
struct Reply {
    outcome: Result<Value, RedisError>,
    /// The server does not know the script that was named.
    no_script: bool,
}

/// Short, because every bid of every room waits for it.
fn reconnect_backoff() -> Backoff {
    Backoff::try_new(Duration::from_millis(20), Duration::from_millis(500))
        .unwrap_or_else(|_| Backoff::standard())
}

/// A shared connection to one Redis; clones share it.
#[derive(Clone)]
pub struct Redis {
    link: Arc<Link>,
}

// === impl Redis ===

impl Redis {
    /// A handle on the server at `url` (`redis://host:port/database`).
    ///
    /// Nothing is sent before the first call; only a bad URL fails.
    pub fn connect(url: &str) -> Result<Self, RedisError> {
        let client = Client::open(url).map_err(RedisError::refused)?;
        Ok(Self { link: Arc::new(Link::new(client)) })
    }

    /// Asks whether the server answers.
    pub async fn ping(&self) -> Result<(), RedisError> {
        self.cmd::<()>(&cmd("PING")).await
    }

    /// Sends one command and reads its reply as `T`.
    pub async fn cmd<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        let reply = self.send(command).await?;
        error::read(reply.outcome?)
    }

    /// Sends several commands in one trip and reads their replies as `T`;
    /// the pipeline's `atomic` makes them a transaction.
    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, RedisError> {
        let (mut connection, era) = self.link.connection().await?;
        let reply = pipeline.query_async::<T>(&mut connection).await;
        self.link.judge(era, reply)
    }

    /// Prepares a call of `script`.
    pub fn script<'a>(&'a self, script: &'a Script) -> Invocation<'a> {
        Invocation::new(self, script)
    }

    async fn send(&self, command: &Cmd) -> Result<Reply, RedisError> {
        let (mut connection, era) = self.link.connection().await?;
        let reply = connection.send_packed_command(command).await;
        let reply = reply.and_then(Value::extract_error);
        let no_script = reply.as_ref().is_err_and(error::is_no_script);
        Ok(Reply { outcome: self.link.judge(era, reply), no_script })
    }

    /// A connection of its own, for commands that block (`XREAD BLOCK`);
    /// `response_timeout` must be longer than they block.
    pub async fn dedicated(
        &self,
        response_timeout: Duration,
    ) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(response_timeout));
        self.link
            .client()
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(RedisError::unavailable)
    }

    /// A connection of its own that receives published messages.
    pub async fn subscriber(&self) -> Result<PubSub, RedisError> {
        let connecting = self.link.client().get_async_pubsub();
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected.map_err(RedisError::unavailable),
            Err(_) => Err(RedisError::Unavailable("connecting timed out".to_owned())),
        }
    }
}

impl std::fmt::Debug for Redis {
    // The URL may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}
