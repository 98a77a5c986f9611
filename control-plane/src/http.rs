//! Probes, Prometheus, and flags for OpenFeature.
//!
//! ```text
//!   /livez    the process runs
//!   /readyz   the store answers
//!   /metrics  gavel_cluster_*: all nodes together; gavel_control_*: this process
//!   /ofrep    what flags answer, see [`ofrep`]
//! ```

mod metrics;
pub(crate) mod ofrep;
#[cfg(test)]
mod tests;

use crate::{
    rollup::Rollup,
    store::{ClusterStore, MemoryStore},
};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use gavel_rules::time::Timestamp;
use gavel_runtime::{
    clock,
    http::{self, Door},
    net::TcpListener,
    proxies::Proxies,
    tls::Tls,
};
use ofrep::Ofrep;
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The text format of Prometheus.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long a request head may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How many connections come in within a second; more wait outside.
const CONNECTIONS_PER_SECOND: u32 = 500;

/// What is shown over HTTP.
#[derive(Debug)]
pub(crate) struct HttpState {
    /// Asked by `/readyz`.
    pub(crate) store: Arc<dyn ClusterStore>,
    /// What nodes reported.
    pub(crate) rollup: Arc<Mutex<Rollup>>,
    /// The term that this process leads under; zero while it does not.
    pub(crate) leading_term: AtomicU64,
    /// Nodes whose lease holds.
    pub(crate) nodes_live: AtomicI64,
    /// Nodes that are silent and keep their rooms for the brake.
    pub(crate) nodes_held: AtomicI64,
    /// One while the brake is on.
    pub(crate) brake: AtomicI64,
    /// Rooms that exist.
    pub(crate) rooms: AtomicI64,
    /// Assignments stored by this process.
    pub(crate) assignments: AtomicU64,
    /// Rooms that this process moved from one living node to another.
    pub(crate) moves: AtomicU64,
    /// Documents that nodes refused.
    pub(crate) config_refused: AtomicU64,
    /// Rollouts that a guard has ended.
    pub(crate) rollbacks: AtomicU64,
}

// === impl HttpState ===

impl HttpState {
    /// Everything at zero.
    pub(crate) fn new(store: Arc<dyn ClusterStore>, rollup: Arc<Mutex<Rollup>>) -> Self {
        Self {
            store,
            rollup,
            leading_term: AtomicU64::new(0),
            nodes_live: AtomicI64::new(0),
            nodes_held: AtomicI64::new(0),
            brake: AtomicI64::new(0),
            rooms: AtomicI64::new(0),
            assignments: AtomicU64::new(0),
            moves: AtomicU64::new(0),
            config_refused: AtomicU64::new(0),
            rollbacks: AtomicU64::new(0),
        }
    }

    /// Forgets what only a leader knows, or two replicas would tell of the
    /// same nodes.
    pub(crate) fn no_longer_leads(&self) {
        for gauge in [&self.nodes_live, &self.nodes_held, &self.brake, &self.rooms] {
            gauge.store(0, Ordering::Relaxed);
        }
        *self.rollup.lock() = Rollup::default();
    }
}

/// Answers until told to stop, and then what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    state: Arc<HttpState>,
    ofrep: Ofrep,
    tls: Tls,
    stop: CancellationToken,
) {
    let router = router(state).merge(ofrep::router(ofrep));
    // Probes and Prometheus are always let in.
    let (proxied, closed) = (Proxies::default(), watch::channel(false).1);
    let (per_second_max, header_timeout) = (CONNECTIONS_PER_SECOND, HEADER_TIMEOUT);
    let door = Door { tls, per_second_max, header_timeout, proxied, closed };
    http::serve(listener, router, door, stop).await;
}

fn router(state: Arc<HttpState>) -> Router {
    Router::new()
        .route("/livez", get(async || "live\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
        .with_state(state)
}

/// What `/metrics` shows of a control plane without nodes; docs/metrics.md is
/// made of it.
#[must_use]
pub fn metrics_at_start() -> String {
    let store = Arc::new(MemoryStore::default());
    metrics::page(&HttpState::new(store, Arc::default()), Timestamp::default())
}

async fn readyz(State(state): State<Arc<HttpState>>) -> (StatusCode, String) {
    match state.store.ping().await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

async fn metrics_page(State(state): State<Arc<HttpState>>) -> impl IntoResponse {
    let page = metrics::page(&state, Timestamp::new(clock::now_ms()));
    ([(header::CONTENT_TYPE, METRICS_TYPE)], page)
}
