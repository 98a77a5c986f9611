//! Redis with bounded answers: a call succeeds, or fails within about half a
//! second with an error that says whether it may have taken effect. Where the
//! server must be looked for first, that takes as long again.
//!
//! A handle connects at its first call and again after each loss, for ever.
//! Between attempts to connect, calls fail at once. This is the only module
//! that knows the driver's connection types, so that a new major version of
//! the driver is a change in one place.
//!
//! ```text
//! address   what a URL names: a server, a primary behind sentinels, a cluster
//! link      one connection, made anew when it breaks or its server is no primary any more
//! sentinel  which server is the primary
//! cluster   a link for each server, and which of them a command is for (slots)
//! ask       of several servers that may not agree, the newest answer
//! ```

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client};

pub use ::redis::aio::PubSub;
pub use ::redis::{Cmd, FromRedisValue, Pipeline, ToRedisArgs, Value, cmd, pipe};

mod address;
mod ask;
mod cluster;
mod error;
mod link;
mod script;
mod sentinel;
mod slots;
#[cfg(test)]
mod tests;

pub use error::RedisError;
pub use script::{Invocation, Script};

use crate::backoff::Backoff;
use crate::breaker::BreakerState;
use address::Address;
use cluster::Cluster;
use link::{Call, Link};
use sentinel::Sentinels;

/// How long an answer may take; a frozen server is noticed after this.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_millis(250);
/// How long connecting may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);

/// Short, because every bid of every room waits for it.
fn reconnect_backoff() -> Backoff {
    Backoff::try_new(Duration::from_millis(20), Duration::from_millis(500))
        .unwrap_or_else(|_| Backoff::standard())
}

/// A shared connection to one Redis; clones share it.
#[derive(Clone)]
pub struct Redis {
    way: Way,
}

#[derive(Clone)]
enum Way {
    /// To one server at a time.
    Link(Arc<Link>),
    /// To the servers of a cluster.
    Cluster(Arc<Cluster>),
}

// === impl Redis ===

impl Redis {
    /// A handle on the server at `redis://host:port/database`, on the primary
    /// of `redis+sentinel://host:port,host:port/name/database`, or on the
    /// cluster of `redis+cluster://host:port,host:port`.
    ///
    /// With `rediss` in the place of `redis`, servers are called by TLS and have to show
    /// certificates of authorities that the system believes.
    ///
    /// Nothing is sent before the first call; only a bad URL fails.
    pub fn connect(url: &str) -> Result<Self, RedisError> {
        Self::connect_to(Address::parse(url, None)?)
    }

    /// The same, where the authorities in this PEM file are the ones to believe; an empty name
    /// stands for those of the system.
    pub fn connect_trusting(url: &str, ca_file: &str) -> Result<Self, RedisError> {
        if ca_file.is_empty() {
            return Self::connect(url);
        }
        let authorities = std::fs::read(ca_file)
            .map_err(|error| RedisError::Refused(format!("cannot read {ca_file}: {error}")))?;
        Self::connect_to(Address::parse(url, Some(authorities.into()))?)
    }

    fn connect_to(address: Address) -> Result<Self, RedisError> {
        let way = match address {
            Address::Server(client) => Way::Link(Arc::new(Link::to_server(client))),
            Address::Sentinels { sentinels, primary, servers } => {
                let sentinels = Sentinels::new(sentinels, primary, servers)?;
                Way::Link(Arc::new(Link::to_primary_of(sentinels)))
            }
            Address::Cluster { seeds, servers } => {
                Way::Cluster(Arc::new(Cluster::new(seeds, servers)))
            }
        };
        Ok(Self { way })
    }

    /// Asks whether the server answers.
    pub async fn ping(&self) -> Result<(), RedisError> {
        self.cmd::<()>(&cmd("PING")).await
    }

    /// Sends one command and reads its reply as `T`.
    pub async fn cmd<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisError> {
        self.run(command, None).await
    }

    /// Sends several commands in one trip and reads their replies as `T`;
    /// the pipeline's `atomic` makes them a transaction. In a cluster the keys of
    /// all must be of one slot.
    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, RedisError> {
        match &self.way {
            Way::Link(link) => link.pipeline(pipeline).await.map_err(|failure| failure.error),
            Way::Cluster(cluster) => cluster.pipeline(pipeline).await,
        }
    }

    /// How many connections have been made so far. What was asked while this
    /// number stood still was asked over one connection, and so of one server.
    /// There is no such number in a cluster, which is several servers at once.
    #[must_use]
    pub fn connections(&self) -> Option<u64> {
        match &self.way {
            Way::Link(link) => Some(link.connections()),
            Way::Cluster(_) => None,
        }
    }

    /// The circuit breakers to its servers.
    #[must_use]
    pub fn breakers(&self) -> Vec<BreakerState> {
        match &self.way {
            Way::Link(link) => vec![link.breaker()],
            Way::Cluster(cluster) => cluster.breakers(),
        }
    }

    /// Prepares a call of `script`.
    pub fn script<'a>(&'a self, script: &'a Script) -> Invocation<'a> {
        Invocation::new(self, script)
    }

    async fn run<T: FromRedisValue>(
        &self,
        command: &Cmd,
        script: Option<&Script>,
    ) -> Result<T, RedisError> {
        let value = match &self.way {
            Way::Link(link) => {
                let reply = link.call(Call { command, script, asking: false }).await;
                reply.map_err(|failure| failure.error)?
            }
            Way::Cluster(cluster) => cluster.call(command, script).await?,
        };
        error::read(value)
    }

    async fn run_then<T: FromRedisValue, U: FromRedisValue>(
        &self,
        command: &Cmd,
        script: &Script,
        then: &Cmd,
    ) -> Result<(T, Result<U, RedisError>), RedisError> {
        let Way::Link(link) = &self.way else {
            let why = "in a cluster nothing is sent behind a script";
            return Err(RedisError::Refused(why.to_owned()));
        };
        let replies = link.call_then(command, script, then).await;
        let (reply, next) = replies.map_err(|failure| failure.error)?;
        Ok((error::read(reply)?, next.and_then(error::read)))
    }

    /// A connection of its own to where `key` is, for commands that block
    /// (`XREAD BLOCK`); `response_timeout` must be longer than they block.
    pub async fn dedicated(
        &self,
        key: &str,
        response_timeout: Duration,
    ) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(response_timeout));
        self.client(key)
            .await?
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(RedisError::unavailable)
    }

    /// A connection of its own that receives published messages. Servers of a
    /// cluster pass them on to each other, so that any will do.
    pub async fn subscriber(&self) -> Result<PubSub, RedisError> {
        let client = self.client("").await?;
        match tokio::time::timeout(CONNECT_TIMEOUT, client.get_async_pubsub()).await {
            Ok(connected) => connected.map_err(RedisError::unavailable),
            Err(_) => Err(RedisError::Unavailable("connecting timed out".to_owned())),
        }
    }

    async fn client(&self, key: &str) -> Result<Client, RedisError> {
        match &self.way {
            Way::Link(link) => link.client().await,
            Way::Cluster(cluster) => cluster.client(key).await,
        }
    }
}

impl std::fmt::Debug for Redis {
    // The URL may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}
