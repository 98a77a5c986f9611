//! Which server is the primary, as its sentinels say.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Client, FromRedisValue, Value, cmd, pipe};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::RedisError;
use super::address::{Servers, joined};
use super::ask::{Answer, Newest, Peer};
use super::link::{Era, Link, State};

/// How often to ask whether a primary in use is still the one. A primary that
/// was cut off from its sentinels answers as before, so only they can tell.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// The sentinels of one primary.
pub(super) struct Sentinels {
    peers: Vec<Peer>,
    primary: String,
    servers: Servers,
    newest: Newest,
}

// === impl Sentinels ===

impl Sentinels {
    pub(super) fn new(
        addresses: Vec<String>,
        primary: String,
        servers: Servers,
    ) -> Result<Self, RedisError> {
        let open = servers.open()?;
        let peer = |address: String| {
            let link = Arc::new(Link::to_server(open.client(&address)?));
            Ok(Peer { address, link })
        };
        let peers = addresses.into_iter().map(peer).collect::<Result<_, _>>()?;
        Ok(Self { peers, primary, servers, newest: Newest::default() })
    }

    /// The address of the primary.
    ///
    /// Boxed because the sentinels are asked over links, which could have
    /// sentinels of their own as far as the compiler can tell.
    pub(super) fn primary(&self) -> BoxFuture<'_, Result<String, RedisError>> {
        async move {
            let mut question = pipe();
            question.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.primary);
            question.cmd("SENTINEL").arg("MASTER").arg(&self.primary);
            let known = self.newest.ask(&self.peers, &question, |_, values| read(values)).await;
            known.map_err(|error| {
                let text = format!("no sentinel knows {}: {}", self.primary, error.text());
                RedisError::Unavailable(text)
            })
        }
        .boxed()
    }

    pub(super) fn client(&self, primary: &str) -> Result<Client, RedisError> {
        self.servers.client(primary)
    }

    /// Drops the connection of an era when its server is the primary no more.
    ///
    /// Sentinels that cannot be reached say nothing about the primary, which
    /// then stays in use.
    pub(super) async fn watch(
        self: Arc<Self>,
        state: Weak<parking_lot::Mutex<State>>,
        era: Era,
        connected: String,
    ) {
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            if !state.upgrade().is_some_and(|state| state.lock().is_in(era)) {
                return;
            }
            let Ok(primary) = self.primary().await else { continue };
            if primary != connected {
                tracing::warn!(%connected, %primary, "redis: the primary is another server now");
                if let Some(state) = state.upgrade() {
                    state.lock().end(era);
                }
                return;
            }
        }
    }
}

/// What a sentinel says: where the primary is, and the epoch of that.
fn read(values: Vec<Value>) -> Result<Answer<String>, String> {
    type Said = (Option<(String, u16)>, std::collections::BTreeMap<String, Value>);
    let said = Said::from_redis_value(Value::Array(values));
    let (address, about) = said.map_err(|error| error.to_string())?;
    let (host, port) = address.ok_or("it knows no such primary")?;
    let epoch = about.get("config-epoch").cloned().ok_or("it tells no epoch")?;
    let epoch = u64::from_redis_value(epoch).map_err(|error| error.to_string())?;
    Ok(Answer { epoch, said: joined(&host, port) })
}

/// Makes sure that a server is what sentinels say, as they may be late.
pub(super) async fn check_role(
    connection: &mut MultiplexedConnection,
    address: &str,
) -> Result<(), RedisError> {
    let role: Vec<Value> =
        cmd("ROLE").query_async(connection).await.map_err(RedisError::unavailable)?;
    let word = role.into_iter().next().and_then(|word| String::from_redis_value(word).ok());
    match word.as_deref() {
        Some("master") => Ok(()),
        other => {
            let text = format!("{address} should be the primary and says it is {other:?}");
            Err(RedisError::Unavailable(text))
        }
    }
}
