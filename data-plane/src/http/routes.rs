//! What a node answers over plain HTTP.

use super::{come_later, pages, rooms, tickets, upgrade};
use crate::{metrics::Shed, node::Shell};
use axum::{
    Json, Router,
    extract::{Extension, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use gavel_runtime::{http::Peer, memory};
use serde_json::json;
use std::sync::Arc;
use subtle::ConstantTimeEq;

pub(super) fn router(shell: Arc<Shell>) -> Router {
    let pages = Router::new()
        .route("/api/websocket/metrics", get(websocket_metrics))
        .route("/api/rooms/{id}/snapshot", get(rooms::snapshot))
        .route("/api/rooms/{id}/events", get(rooms::events))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&shell), shed_pages));
    Router::new()
        .merge(pages)
        .route("/ws", get(upgrade::upgrade))
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/tickets", post(tickets::issue).layer(tickets::cors(&shell)))
        .fallback(pages::page)
        .with_state(shell)
}

/// Under load nobody looks at pages that take the place of bids.
async fn shed_pages(State(shell): State<Arc<Shell>>, request: Request, next: Next) -> Response {
    if shell.sheds(Shed::Pages) { come_later() } else { next.run(request).await }
}

/// Ready means: new sockets are welcome. The control plane need not be there.
async fn readyz(State(shell): State<Arc<Shell>>) -> Response {
    if shell.stop.is_cancelled() || shell.control.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining").into_response();
    }
    if shell.metrics.shedding.get(Shed::Sockets) > 0 {
        return (StatusCode::SERVICE_UNAVAILABLE, "overloaded").into_response();
    }
    "ok".into_response()
}

async fn metrics(State(shell): State<Arc<Shell>>) -> impl IntoResponse {
    shell.take_stock();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shell.metrics.encode())
}

/// The seed's monitoring endpoint, in the seed's shape.
async fn websocket_metrics(
    State(shell): State<Arc<Shell>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    if !may_read(&shell, peer, &headers) {
        let ask = [(header::WWW_AUTHENTICATE, "Bearer")];
        return (StatusCode::UNAUTHORIZED, ask, "a bearer token is needed").into_response();
    }
    let (active, by_ip) = (shell.admission.sockets(), shell.places.addresses());
    let uptime_ms = shell.now().since(shell.started_at).get();
    Json(json!({
        "connections": {
            "active": active,
            "byUser": shell.sockets.len(),
            "byIP": by_ip,
        },
        "rooms": {
            "auctions": shell.rooms.len(),
            "totalConnections": shell.rooms.seats(),
        },
        "memory": { "rss": memory::resident_bytes().unwrap_or(0) },
        "uptime": uptime_ms / 1000,
    }))
    .into_response()
}

/// Without a token only this machine may read, and nobody through a proxy on it.
fn may_read(shell: &Shell, Peer(peer): Peer, headers: &HeaderMap) -> bool {
    let token = &shell.config.admin.token;
    if token.is_empty() {
        let client = shell.origins.client(peer, headers);
        return client.is_loopback() && peer.to_canonical().is_loopback();
    }
    shows_token(token, headers)
}

/// Whether a request shows this token.
pub(super) fn shows_token(token: &str, headers: &HeaderMap) -> bool {
    bearer(headers).is_some_and(|given| bool::from(given.as_bytes().ct_eq(token.as_bytes())))
}

/// The bearer token that a request shows.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}
