//! A Redis cluster: each command goes to the server that owns its keys.
//!
//! The driver has a client for clusters, which sends anew by itself whatever
//! got no answer. An append that is sent twice is told of a conflict with
//! itself, and nobody could tell that from a conflict with another owner
//! without reading the room; and a call that is tried again and again has no
//! bound. So there is a [`Link`] for each server here, with its bounds, and a
//! command is sent once more only where a server has said that it did not run
//! it and who will: MOVED and ASK. All else is told to the caller, and the map
//! of slots is asked for anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ::redis::{Client, Cmd, FromRedisValue, Pipeline, Value, pipe};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::address::{Servers, split};
use super::ask::{Answer, Newest, Peer};
use super::link::{Call, Link};
use super::slots::{Owners, Slot, redirected};
use super::{RESPONSE_TIMEOUT, RedisError, Script};
use crate::breaker::BreakerState;
use crate::{clock, tasks};

/// How often to ask for the map though nothing seems wrong: a server that was
/// cut off from its cluster takes a while to notice.
const MAP_INTERVAL: Duration = Duration::from_secs(1);
/// The least time between two questions for the map.
const MAP_PAUSE: Duration = Duration::from_millis(100);

/// Servers that may send a command on, one after the other.
const REDIRECTS_MAX: usize = 4;

/// The servers of a cluster and what each of them owns.
pub(super) struct Cluster {
    seeds: Vec<String>,
    servers: Servers,
    map: Mutex<Map>,
    newest: Newest,
    /// Held while asking for the first map, so that one caller asks at a time.
    first: tokio::sync::Mutex<()>,
    /// Tells the watch that something is not as the map says.
    doubts: Arc<Notify>,
    watched: AtomicBool,
}

#[derive(Default)]
struct Map {
    owners: Owners,
    links: BTreeMap<String, Arc<Link>>,
}

// === impl Cluster ===

impl Cluster {
    pub(super) fn new(seeds: Vec<String>, servers: Servers) -> Self {
        Self {
            seeds,
            servers,
            map: Mutex::new(Map::default()),
            newest: Newest::default(),
            first: tokio::sync::Mutex::new(()),
            doubts: Arc::new(Notify::new()),
            watched: AtomicBool::new(false),
        }
    }

    pub(super) fn breakers(&self) -> Vec<BreakerState> {
        self.map.lock().links.values().map(|link| link.breaker()).collect()
    }

    /// Sends a command to the owner of its keys, or to any server if it has
    /// none.
    pub(super) async fn call(
        self: &Arc<Self>,
        command: &Cmd,
        script: Option<&Script>,
    ) -> Result<Value, RedisError> {
        let call = Call { command, script, asking: false };
        self.mapped().await?;
        match Slot::of(command) {
            Some(slot) => self.call_owner(slot, call).await,
            None => self.call_any(call).await,
        }
    }

    /// Sends commands that are all of one slot.
    pub(super) async fn pipeline<T: FromRedisValue>(
        self: &Arc<Self>,
        pipeline: &Pipeline,
    ) -> Result<T, RedisError> {
        let slot = Slot::of_all(pipeline).map_err(|()| {
            RedisError::Refused("the commands of a pipeline are of several slots".to_owned())
        })?;
        self.mapped().await?;
        let peer = self.owner(slot.unwrap_or(Slot::of_key(&[])))?;
        peer.link.pipeline(pipeline).await.map_err(|failure| {
            self.doubt(&failure.error);
            // The slot may have moved after the first of them.
            let in_part = !pipeline.is_transaction();
            match failure.error {
                RedisError::Unavailable(text) if in_part => RedisError::Unknown(text),
                error @ (RedisError::Unavailable(_)
                | RedisError::Unknown(_)
                | RedisError::Refused(_)) => error,
            }
        })
    }

    /// For connections of the caller's own to where a key is.
    pub(super) async fn client(self: &Arc<Self>, key: &str) -> Result<Client, RedisError> {
        self.mapped().await?;
        self.owner(Slot::of_key(key.as_bytes()))?.link.client().await
    }

    async fn call_owner(&self, slot: Slot, mut call: Call<'_>) -> Result<Value, RedisError> {
        let start = clock::monotonic();
        let mut peer = self.owner(slot)?;
        for _ in 0..=REDIRECTS_MAX {
            let failure = match peer.link.call(call).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            self.doubt(&failure.error);
            let host = split(&peer.address, 0)?.0;
            let redirect = failure.redirect.filter(|_| start.elapsed() < RESPONSE_TIMEOUT);
            let Some(redirect) = redirect else { return Err(failure.error) };
            let Some(next) = redirected(&redirect.to, &host) else { return Err(failure.error) };
            let mut map = self.map.lock();
            if !redirect.asking {
                map.owners.moved(slot, next.clone());
            }
            peer = map.peer(&next, &self.servers)?;
            drop(map);
            call.asking = redirect.asking;
        }
        Err(RedisError::Unavailable("servers of the cluster send on in circles".to_owned()))
    }

    /// A server that cannot be reached has done nothing, and the next will do.
    async fn call_any(&self, call: Call<'_>) -> Result<Value, RedisError> {
        let mut last = RedisError::Unavailable("no server owns a slot".to_owned());
        for peer in self.owners()? {
            match peer.link.call(call).await {
                Ok(value) => return Ok(value),
                Err(failure) => {
                    self.doubt(&failure.error);
                    last = failure.error;
                }
            }
            if !matches!(last, RedisError::Unavailable(_)) {
                break;
            }
        }
        Err(last)
    }

    fn owner(&self, slot: Slot) -> Result<Peer, RedisError> {
        let mut map = self.map.lock();
        let Some(owner) = map.owners.owner(slot).map(str::to_owned) else {
            self.doubts.notify_one();
            return Err(RedisError::Unavailable("no server owns the slot".to_owned()));
        };
        map.peer(&owner, &self.servers)
    }

    /// Whatever is no answer to the command itself may be for want of a map.
    fn doubt(&self, error: &RedisError) {
        if !matches!(error, RedisError::Refused(_)) {
            self.doubts.notify_one();
        }
    }

    // === The map ===

    /// Makes sure that there is a map, and somebody who keeps it.
    async fn mapped(self: &Arc<Self>) -> Result<(), RedisError> {
        if !self.map.lock().owners.is_empty() {
            return Ok(());
        }
        let _first = self.first.lock().await;
        if !self.map.lock().owners.is_empty() {
            return Ok(());
        }
        self.ask_for_map().await?;
        if !self.watched.swap(true, Ordering::Relaxed) {
            let (cluster, doubts) = (Arc::downgrade(self), Arc::clone(&self.doubts));
            tasks::spawn("redis.slots", watch(cluster, doubts));
        }
        Ok(())
    }

    async fn ask_for_map(&self) -> Result<(), RedisError> {
        let mut question = pipe();
        question.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
        let owners = self.newest.ask(&self.known()?, &question, read).await?;
        let mut map = self.map.lock();
        let known: Vec<String> = owners.servers().chain(&self.seeds).cloned().collect();
        map.links.retain(|address, _| known.contains(address));
        map.owners = owners;
        Ok(())
    }

    /// The servers that own slots.
    fn owners(&self) -> Result<Vec<Peer>, RedisError> {
        self.map.lock().peers(&[], &self.servers)
    }

    /// These and those of the URL, which may be all that is left when a whole
    /// cluster has new addresses.
    fn known(&self) -> Result<Vec<Peer>, RedisError> {
        self.map.lock().peers(&self.seeds, &self.servers)
    }
}

// === impl Map ===

impl Map {
    /// The owners of slots and some more, each once.
    fn peers(&mut self, more: &[String], servers: &Servers) -> Result<Vec<Peer>, RedisError> {
        let addresses: BTreeSet<String> = self.owners.servers().chain(more).cloned().collect();
        addresses.iter().map(|address| self.peer(address, servers)).collect()
    }

    fn peer(&mut self, address: &str, servers: &Servers) -> Result<Peer, RedisError> {
        let link = match self.links.get(address) {
            Some(link) => Arc::clone(link),
            None => {
                let link = Arc::new(Link::to_server(servers.client(address)?));
                self.links.insert(address.to_owned(), Arc::clone(&link));
                link
            }
        };
        Ok(Peer { address: address.to_owned(), link })
    }
}

/// Asks for the map until the cluster is dropped.
async fn watch(cluster: Weak<Cluster>, doubts: Arc<Notify>) {
    loop {
        // Whether there was a doubt or the time has come is all the same.
        drop(tokio::time::timeout(MAP_INTERVAL, doubts.notified()).await);
        let Some(cluster) = cluster.upgrade() else { return };
        if let Err(error) = cluster.ask_for_map().await {
            tracing::debug!(%error, "redis: no map of the cluster");
        }
        drop(cluster);
        tokio::time::sleep(MAP_PAUSE).await;
    }
}

/// What a server says about the slots; nothing if it is not part of a working
/// cluster, as one that was cut off from the others is not.
fn read(peer: &Peer, values: Vec<Value>) -> Result<Answer<Owners>, String> {
    let (info, slots): (String, Value) =
        FromRedisValue::from_redis_value(Value::Array(values)).map_err(|e| e.to_string())?;
    let said = |key: &str| info.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    match said("cluster_state:") {
        Some("ok") => {}
        other => return Err(format!("cluster_state {other:?}")),
    }
    let epoch = said("cluster_current_epoch:").and_then(|epoch| epoch.parse().ok());
    let host = split(&peer.address, 0).map_err(|error| error.to_string())?.0;
    Ok(Answer { epoch: epoch.ok_or("it tells no epoch")?, said: Owners::read(slots, &host)? })
}
