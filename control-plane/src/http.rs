//! Probes and Prometheus.

use crate::{rollup::Rollup, store::ClusterStore};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use gavel_rules::time::{Millis, Timestamp};
use gavel_runtime::clock;
use parking_lot::Mutex;
use std::{
    collections::HashSet,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A node silent for so long no longer counts in the gauges.
const AGE_MAX: Millis = Millis::new(10_000);

/// What the pages show.
#[derive(Debug)]
pub(crate) struct HttpState {
    store: Arc<dyn ClusterStore>,
    rollup: Arc<Mutex<Rollup>>,
    pub(crate) nodes_live: AtomicI64,
    pub(crate) rooms: AtomicI64,
    pub(crate) assignments: AtomicU64,
    pub(crate) config_refused: AtomicU64,
}

// === impl HttpState ===

impl HttpState {
    pub(crate) fn new(store: Arc<dyn ClusterStore>, rollup: Arc<Mutex<Rollup>>) -> Self {
        Self {
            store,
            rollup,
            nodes_live: AtomicI64::new(0),
            rooms: AtomicI64::new(0),
            assignments: AtomicU64::new(0),
            config_refused: AtomicU64::new(0),
        }
    }
}

/// Serves until the control plane stops.
pub(crate) async fn serve(listener: TcpListener, state: Arc<HttpState>, stop: CancellationToken) {
    let router = Router::new()
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "HTTP stopped");
    }
}

async fn readyz(State(state): State<Arc<HttpState>>) -> Response {
    match state.store.ping().await {
        Ok(()) => "ok".into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

async fn metrics(State(state): State<Arc<HttpState>>) -> impl IntoResponse {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], page(&state, Timestamp::new(clock::now_ms())))
}

/// Our own values, then those of all nodes under `gavel_cluster_`.
fn page(state: &HttpState, now: Timestamp) -> String {
    let mut page = String::new();
    let mut typed = HashSet::new();
    let mut line = |name: &str, value: String| {
        let family = name.split('{').next().unwrap_or(name);
        if typed.insert(family.to_owned()) {
            let kind = if family.ends_with("_total") { "counter" } else { "gauge" };
            let written = writeln!(page, "# TYPE {family} {kind}");
            debug_assert!(written.is_ok(), "a String takes whatever is written");
        }
        let written = writeln!(page, "{name} {value}");
        debug_assert!(written.is_ok(), "a String takes whatever is written");
    };
    let own = Ordering::Relaxed;
    line("gavel_nodes_live", state.nodes_live.load(own).to_string());
    line("gavel_rooms", state.rooms.load(own).to_string());
    line("gavel_assignments_total", state.assignments.load(own).to_string());
    line("gavel_config_refused_total", state.config_refused.load(own).to_string());
    let rollup = state.rollup.lock();
    for sample in rollup.samples(now, AGE_MAX) {
        if let Some(name) = cluster_name(&sample.name) {
            line(&name, sample.value.to_string());
        }
    }
    for one in rollup.percentiles() {
        let Some(name) = cluster_name(&one.name) else { continue };
        for (quantile, value) in [("0.5", one.p50), ("0.9", one.p90), ("0.99", one.p99)] {
            line(&format!("{name}{{quantile=\"{quantile}\"}}"), value.to_string());
        }
    }
    page
}

/// `gavel_x{a="b"}` as `gavel_cluster_x{a="b"}`; none for a name that
/// Prometheus would not read.
fn cluster_name(name: &str) -> Option<String> {
    let rest = name.strip_prefix("gavel_")?;
    let (family, labels) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let labels_fine = labels.is_empty()
        || labels.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).is_some_and(|pairs| {
            pairs.split(',').all(|pair| {
                let value = |(key, value): (&str, &str)| {
                    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
                    plain(key) && value.is_some_and(plain)
                };
                pair.split_once('=').is_some_and(value)
            })
        });
    (plain(family) && !family.is_empty() && labels_fine)
        .then(|| format!("gavel_cluster_{family}{labels}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_prometheus_reads_are_shown() {
        assert_eq!(cluster_name("gavel_bids").as_deref(), Some("gavel_cluster_bids"));
        let labelled = cluster_name(r#"gavel_bids{outcome="too_low"}"#);
        assert_eq!(labelled.as_deref(), Some(r#"gavel_cluster_bids{outcome="too_low"}"#));
        for bad in ["bids", "gavel_", "gavel_a b", "gavel_a\n", r#"gavel_a{b="c"d}"#, "gavel_a{"] {
            assert_eq!(cluster_name(bad), None, "{bad}");
        }
    }
}
