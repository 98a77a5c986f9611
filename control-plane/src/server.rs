//! A control plane: how its parts start and stop.

use crate::{
    config::Config,
    grpc::{self, Documents, Entrance, Holders, Readers, Services, Tokens},
    http::{self, HttpState, ofrep::Ofrep},
    replica::{self, Office, Replica, Standing},
    rollout,
    rollup::Rollup,
    store::{self, Candidate, ClusterStore},
};
use anyhow::Context as _;
use gavel_rules::time::Millis;
use gavel_runtime::{
    backoff::Backoff,
    grpc as runtime_grpc,
    net::{self, TcpListener},
    shutdown::Shutdown,
    tasks,
    tls::{Door, Tls},
};
use parking_lot::Mutex;
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// How long calls under way may take when the control plane stops.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    grpc_addr: SocketAddr,
    http_addr: SocketAddr,
    replica: Replica,
    tasks: tasks::Group,
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Starts with the store that the settings name, and returns once it
    /// listens.
    ///
    /// # Errors
    /// If a setting is out of range, an address cannot be bound, or the store
    /// does not answer.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        config.check()?;
        let store = store::configured(&config.redis).context("redis.url")?;
        Self::start_with(config, store).await
    }

    /// Starts with this store.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub async fn start_with(config: Config, store: Arc<dyn ClusterStore>) -> anyhow::Result<Self> {
        config.check()?;
        let grpc = bind("grpc.listen", config.grpc.listen).await?;
        let http = bind("http.listen", config.http.listen).await?;
        let (grpc_addr, http_addr) = (grpc.local_addr()?, http.local_addr()?);
        let tls = Tls::open(&config.tls)?;
        let tokens = Tokens::new(&config.admin)?;
        let candidate = candidate(&config, &tls, grpc_addr);
        let tasks = tasks::Group::new();
        drop(tasks.spawn("tls", tls.clone().keep_fresh(tasks.token())));
        drop(tasks.spawn("tokens", tokens.clone().keep_fresh(tasks.token())));
        let rollup = Arc::new(Mutex::new(Rollup::default()));
        let state = Arc::new(HttpState::new(Arc::clone(&store), Arc::clone(&rollup)));
        let lease = Millis::new(config.cluster.lease_ms);
        let heartbeat = Millis::new(config.cluster.heartbeat_ms);
        let documents = Documents::new();
        let office = Office {
            store: Arc::clone(&store),
            state: Arc::clone(&state),
            documents: documents.clone(),
            tls: tls.clone(),
            lease,
            heartbeat,
        };
        let started = replica::Task::start(office, candidate).await;
        let (task, replica) = started.context("the store cannot be read")?;
        drop(tasks.spawn("replica", task.run(tasks.token())));
        let readers = Readers::new(tokens.clone(), tls.is_mutual());
        let ofrep = Ofrep { documents: documents.clone(), readers };
        let serve = http::serve(http, Arc::clone(&state), ofrep, tls.clone(), tasks.token());
        drop(tasks.spawn("http", serve));
        let services = Services {
            replica: replica.clone(),
            store,
            documents,
            edits: Arc::default(),
            holders: Holders::default(),
            rollup,
            state,
            lease,
            audit_keep: config.audit.entries_max,
            stop: tasks.token(),
        };
        drop(tasks.spawn("rollouts", rollout::run(services.clone())));
        let entrance = Entrance { tls, tokens };
        drop(tasks.spawn("grpc", grpc::serve(services, grpc, entrance)));
        tracing::info!(grpc = %grpc_addr, http = %http_addr, "control plane listens");
        Ok(Self { grpc_addr, http_addr, replica, tasks })
    }

    /// Where gRPC listens.
    #[must_use]
    pub fn grpc_addr(&self) -> SocketAddr {
        self.grpc_addr
    }

    /// Where HTTP listens.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Waits until this replica leads.
    pub async fn leads(&self) {
        let mut standing = self.replica.watch();
        let leads = |now: &Standing| matches!(now, Standing::Leads { .. });
        // A replica that stops will not lead any more.
        drop(standing.wait_for(leads).await);
    }

    /// Ends all sessions and stops.
    pub async fn stop(self) {
        if let Err(overdue) = self.tasks.shutdown(STOP_GRACE).await {
            tracing::warn!(%overdue, "stopped all the same");
        }
    }
}

/// How this replica is known to others.
fn candidate(config: &Config, tls: &Tls, grpc_addr: SocketAddr) -> Candidate {
    let replica = match config.cluster.replica_id.as_str() {
        "" => format!("control-{:08x}", rand::random::<u32>()),
        id => id.to_owned(),
    };
    let advertise = config.grpc.advertise.as_str();
    let scheme = tls.scheme(Door::Operators);
    let endpoint = match advertise.parse() {
        Ok(ip) => runtime_grpc::reachable(scheme, SocketAddr::new(ip, grpc_addr.port())),
        Err(_) if advertise.is_empty() => runtime_grpc::reachable(scheme, grpc_addr),
        Err(_) => advertise.to_owned(),
    };
    Candidate { replica, endpoint }
}

async fn bind(key: &str, addr: SocketAddr) -> anyhow::Result<TcpListener> {
    net::listen(addr).await.with_context(|| format!("{key}: cannot listen on {addr}"))
}

/// Runs a control plane until the process is asked to stop. A store that does
/// not answer is waited for.
///
/// # Errors
/// If it cannot start.
pub async fn run(config: Config) -> anyhow::Result<()> {
    config.check()?;
    let shutdown = Shutdown::on_signals()?;
    let store = store::configured(&config.redis).context("redis.url")?;
    let mut backoff = Backoff::standard();
    while let Err(error) = store.ping().await {
        let delay = backoff.next_delay();
        tracing::warn!(%error, retry_ms = delay.as_millis(), "redis.url: no answer; trying again");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = shutdown.wait() => return Ok(()),
        }
    }
    let plane = ControlPlane::start_with(config, store).await?;
    shutdown.wait().await;
    plane.stop().await;
    Ok(())
}
