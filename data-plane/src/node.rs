//! A data-plane node: what its parts share, and how they start and stop.

use crate::{
    address::Origins,
    admission::Admission,
    auth::Verifier,
    config::Config,
    contact::{self, Contact},
    control::{self, Control},
    heartbeat::Wheel,
    http::{self, AllowedOrigins},
    kept,
    kept::Kept,
    memory,
    metrics::{Breaker, Metrics},
    peers::Peers,
    places::{self, Places},
    room::{
        Rooms,
        relay::{Links, serve::Relay},
    },
    settings::Live,
    shed,
    store::{Holder, RoomStore},
};
use anyhow::Context as _;
use gavel_rules::{
    id::{Incarnation, NodeId},
    time::Timestamp,
};
use gavel_runtime::{
    breaker::BreakerState,
    clock, grpc,
    net::{self, TcpListener},
    tasks,
    tls::{Door, Tls},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// Bids that may be under way from the sockets of one node.
const BIDS_UNDER_WAY_MAX: usize = 16_384;
/// How often a node that leaves looks whether its rooms have moved.
const LEAVE_POLL: Duration = Duration::from_millis(20);
/// Where no room has moved for this long, no more will: there may be nobody to
/// take them, or no control plane to ask.
const NOBODY_TAKES: Duration = Duration::from_secs(3);

/// What all parts of a node share.
#[derive(Debug)]
pub(crate) struct Shell {
    /// The node's id.
    pub id: NodeId,
    /// This run of it.
    pub incarnation: Incarnation,
    /// What may not change while it runs.
    pub config: Config,
    /// What it shows to others, and whom it believes.
    pub tls: Tls,
    /// What may.
    pub live: Live,
    /// What it counts.
    pub metrics: Metrics,
    /// Its rooms.
    pub rooms: Rooms,
    /// Its streams to owners of rooms.
    pub links: Links,
    /// The other nodes.
    pub peers: Peers,
    /// What it keeps on its disk.
    pub kept: Kept,
    /// Its line to the control plane.
    pub control: Control,
    /// Where rooms are stored.
    pub store: Arc<dyn RoomStore>,
    /// Whether the store is there.
    pub contact: Arc<Contact>,
    /// The auction clock as this node knows it.
    pub clock: AuctionClock,
    /// Who is believed about where a request comes from.
    pub origins: Origins,
    /// Whose web pages may use the node.
    pub allowed_origins: AllowedOrigins,
    /// Who may open a socket.
    pub admission: Admission,
    /// Places that are counted over the whole cluster.
    pub places: Places,
    /// Whether connections wait outside.
    pub closed: watch::Sender<bool>,
    /// Its open sockets.
    pub sockets: http::Sockets,
    /// The heartbeats of its sockets.
    pub wheel: Wheel,
    /// Whose tokens are good.
    pub verifier: Verifier,
    /// A permit for each bid under way.
    pub bids_under_way: Arc<Semaphore>,
    /// Its long-lived tasks.
    pub tasks: tasks::Group,
    /// Set when the node stops.
    pub stop: CancellationToken,
    /// When it started, for its uptime.
    pub started_at: Timestamp,
}

/// The store's clock, estimated from what its answers tell. Between them it
/// goes by the clock that nobody sets: rooms wait by it, and one that jumped
/// ahead and was put right later would leave them waiting for as long.
#[derive(Debug)]
pub(crate) struct AuctionClock {
    started: Instant,
    /// What the machine's clock said then.
    started_ms: u64,
    ahead_ms: AtomicI64,
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    shell: Arc<Shell>,
    http_addr: SocketAddr,
    relay_addr: SocketAddr,
}

// === impl AuctionClock ===

impl Default for AuctionClock {
    fn default() -> Self {
        let (started, started_ms) = (clock::monotonic(), clock::now_ms());
        Self { started, started_ms, ahead_ms: AtomicI64::new(0) }
    }
}

impl AuctionClock {
    /// Now, as the store would tell it.
    #[must_use]
    pub(crate) fn now(&self) -> Timestamp {
        let since = clock::monotonic().saturating_duration_since(self.started);
        let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let now = self.started_ms.saturating_add(since_ms);
        Timestamp::new(now.saturating_add_signed(self.ahead_ms.load(Ordering::Relaxed)))
    }

    /// Takes the store's time from an answer to a question of `sent_at`. The
    /// answer was given somewhere between then and now: only a time outside
    /// of that proves the estimate wrong.
    pub(crate) fn observe(&self, told: Timestamp, sent_at: Timestamp) {
        let now = self.now();
        let nearest = told.clamp(sent_at.min(now), now);
        let by = i128::from(told.as_millis()) - i128::from(nearest.as_millis());
        self.ahead_ms.fetch_add(i64::try_from(by).unwrap_or(0), Ordering::Relaxed);
    }
}

// === impl Shell ===

impl Shell {
    /// Brings the gauges up to date, before they are read.
    pub(crate) fn take_stock(&self) {
        let count = |rooms: usize| i64::try_from(rooms).unwrap_or(i64::MAX);
        self.metrics.rooms_owned.set(count(self.rooms.owned().len()));
        self.metrics.rooms_joined.set(count(self.rooms.len()));
        let keys_age = self.verifier.keys_age().as_secs();
        self.metrics.token_keys_age_seconds.set(i64::try_from(keys_age).unwrap_or(i64::MAX));
        self.count_breakers();
    }

    fn count_breakers(&self) {
        let store = self.store.breakers();
        let count = |state| store.iter().filter(|breaker| **breaker == state).count();
        let (relays, down) = self.links.count();
        let away = usize::from(self.control.is_away());
        for (breaker, level) in [
            (Breaker::StoreClosed, count(BreakerState::Closed)),
            (Breaker::StoreOpen, count(BreakerState::Open)),
            (Breaker::StoreHalfOpen, count(BreakerState::HalfOpen)),
            (Breaker::RelayClosed, relays - down),
            (Breaker::RelayOpen, down),
            (Breaker::ControlClosed, 1 - away),
            (Breaker::ControlOpen, away),
        ] {
            self.metrics.breakers.set(breaker, u64::try_from(level).unwrap_or(u64::MAX));
        }
    }

    /// The auction clock.
    #[must_use]
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

// === impl Node ===

impl Node {
    /// Starts a node and returns once it listens. It serves rooms as soon as
    /// the control plane has assigned some.
    ///
    /// # Errors
    /// If a setting is out of range or an address cannot be bound.
    pub async fn start(mut config: Config, store: Arc<dyn RoomStore>) -> anyhow::Result<Self> {
        config.check()?;
        let relay = net::listen(config.relay.listen)
            .await
            .with_context(|| format!("relay.listen: cannot listen on {}", config.relay.listen))?;
        let http = net::listen(config.http.listen)
            .await
            .with_context(|| format!("http.listen: cannot listen on {}", config.http.listen))?;
        let (http_addr, relay_addr) = (http.local_addr()?, relay.local_addr()?);
        let tls = Tls::open(&config.tls)?;
        name_addresses(&mut config, &tls, http_addr, relay_addr);
        let incarnation = draw_incarnation(&*store).await;
        let mut shell = shell(config, store, incarnation)?;
        shell.tls = tls;
        let shell = Arc::new(shell);

        let tasks = &shell.tasks;
        drop(tasks.spawn("http", http::serve(Arc::clone(&shell), http)));
        drop(tasks.spawn("relay", serve_relay(Arc::clone(&shell), relay)));
        let (wheel, stop) = (shell.wheel.clone().run(Arc::clone(&shell)), shell.stop.clone());
        drop(tasks.spawn("heartbeat", async move {
            stop.run_until_cancelled(wheel).await;
        }));
        drop(tasks.spawn("tls", shell.tls.clone().keep_fresh(shell.stop.clone())));
        drop(tasks.spawn("sockets", http::sockets::run(Arc::clone(&shell))));
        drop(tasks.spawn("keys", shell.verifier.clone().keep_fresh(shell.stop.clone())));
        drop(tasks.spawn("contact", contact::run(Arc::clone(&shell))));
        drop(tasks.spawn("places", places::run(Arc::clone(&shell))));
        drop(tasks.spawn("kept", kept::run(Arc::clone(&shell))));
        drop(tasks.spawn("memory", memory::watch(Arc::clone(&shell))));
        drop(tasks.spawn("shed", shed::watch_threads(Arc::clone(&shell))));
        drop(tasks.spawn("replicas", contact::watch_durability(Arc::clone(&shell))));
        control::start(&shell);
        tracing::info!(node.id = %shell.id, http = %http_addr, relay = %relay_addr, "node listens");
        Ok(Self { shell, http_addr, relay_addr })
    }

    /// Where HTTP and WebSocket listen.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Where the relay listens.
    #[must_use]
    pub fn relay_addr(&self) -> SocketAddr {
        self.relay_addr
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> &NodeId {
        &self.shell.id
    }

    /// Lets the node be left: its rooms move to other nodes, then its sockets
    /// are sent away bit by bit. It goes on serving what stays.
    pub async fn leave(&self) {
        let shutdown = &self.shell.config.shutdown;
        self.shell.control.leave();
        self.lose_rooms(Duration::from_millis(shutdown.drain_ms)).await;
        http::send_away(&self.shell, Duration::from_millis(shutdown.spread_ms)).await;
    }

    /// Waits until the node owns no room, nobody takes any more, or it is time.
    async fn lose_rooms(&self, most: Duration) {
        let began = clock::monotonic();
        let (mut left, mut moved_at) = (usize::MAX, began);
        let mut tick = tokio::time::interval(LEAVE_POLL);
        loop {
            tick.tick().await;
            let (owned, now) = (self.shell.rooms.owned().len(), clock::monotonic());
            if owned < left {
                (left, moved_at) = (owned, now);
            }
            if owned == 0 {
                return tracing::info!("every room has moved");
            }
            if now - began >= most || now - moved_at >= NOBODY_TAKES {
                return tracing::warn!(
                    rooms = owned,
                    "some rooms stay: their owner will be missed"
                );
            }
        }
    }

    /// Stops the node: sockets are told that it goes away, bids under way are
    /// answered, then its tasks end.
    pub async fn stop(self) {
        let grace = Duration::from_millis(self.shell.config.shutdown.grace_ms);
        // Before the rooms end, so that the next run knows them.
        if !self.shell.kept.flush(&self.shell).await {
            tracing::warn!("the next run does not know all that this one was told");
        }
        self.shell.stop.cancel();
        http::close_sockets(&self.shell, grace).await;
        self.shell.rooms.clear();
        if let Err(overdue) = self.shell.tasks.shutdown(grace).await {
            tracing::warn!(%overdue, "stopped all the same");
        }
    }
}

/// Numbers this run by the store's clock, which all runs of the node share:
/// that of a machine may have been ahead in an earlier one.
async fn draw_incarnation(store: &dyn RoomStore) -> Incarnation {
    let now_ms = match store.now().await {
        Ok(now) => now.as_millis(),
        Err(error) => {
            tracing::warn!(%error, "this run is numbered by the clock of the machine");
            clock::now_ms()
        }
    };
    Incarnation::new(now_ms)
}

/// What the parts of a node with these settings share, in this run.
pub(crate) fn shell(
    config: Config,
    store: Arc<dyn RoomStore>,
    incarnation: Incarnation,
) -> anyhow::Result<Shell> {
    let id = match config.node.id.as_str() {
        "" => format!("node-{:08x}", rand::random::<u32>()),
        id => id.to_owned(),
    };
    let id: NodeId = id.parse()?;
    let (kept, live) = (Kept::open(&config.node, &id)?, Live::default());
    kept.restore(&live);
    let started_ms = clock::now_ms();
    let tasks = tasks::Group::new();
    let (contact, metrics) = (Arc::<Contact>::default(), Metrics::new());
    let verifier = Verifier::open(&config.auth, &metrics)?;
    let holder = Holder { node: id.clone(), incarnation };
    let alone = metrics.places_alone.clone();
    let places = Places::new(Arc::clone(&store), Arc::clone(&contact), holder, alone);
    Ok(Shell {
        id,
        incarnation,
        live,
        tls: Tls::default(),
        metrics,
        rooms: Rooms::default(),
        links: Links::default(),
        peers: Peers::new(kept.peers()),
        kept,
        control: Control::new(&config.control.endpoint),
        store,
        contact,
        clock: AuctionClock::default(),
        origins: Origins::new(&config.http),
        allowed_origins: AllowedOrigins::new(&config.http.allowed_origins, &config.http.public_url),
        admission: Admission::default(),
        places,
        closed: watch::Sender::new(false),
        sockets: http::Sockets::default(),
        wheel: Wheel::default(),
        verifier,
        bids_under_way: Arc::new(Semaphore::new(BIDS_UNDER_WAY_MAX)),
        stop: tasks.token(),
        tasks,
        started_at: Timestamp::new(started_ms),
        config,
    })
}

/// Where the settings leave it open, the node is reached where it listens.
fn name_addresses(config: &mut Config, tls: &Tls, http: SocketAddr, relay: SocketAddr) {
    if config.http.public_url.is_empty() {
        config.http.public_url = grpc::reachable(tls.scheme(Door::Web), http);
    }
    if config.relay.advertise.is_empty() {
        config.relay.advertise = grpc::reachable(tls.scheme(Door::Nodes), relay);
    }
}

async fn serve_relay(shell: Arc<Shell>, listener: TcpListener) {
    let service =
        Relay::service(Arc::clone(&shell)).max_decoding_message_size(grpc::REQUEST_BYTES_MAX);
    let served = grpc::server()
        .add_service(service)
        .serve_with_incoming_shutdown(
            grpc::incoming(listener, &shell.tls, Door::Nodes),
            shell.stop.clone().cancelled_owned(),
        )
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the relay stopped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_only_when_an_answer_proves_it_wrong() {
        let clock = AuctionClock::default();
        let sent_at = clock.now();
        clock.observe(sent_at, sent_at);
        assert_eq!(clock.ahead_ms.load(Ordering::Relaxed), 0);
        clock.observe(Timestamp::new(sent_at.as_millis() + 60_000), sent_at);
        let ahead = clock.ahead_ms.load(Ordering::Relaxed);
        assert!((59_000..=60_000).contains(&ahead), "{ahead}");
        clock.observe(sent_at, sent_at);
        assert!(clock.ahead_ms.load(Ordering::Relaxed).abs() <= 60_000);
    }
}
