//! Where browsers come in.

use crate::{close::CloseCode, config::ProxyProtocol, node::Shell, shed::SHED_RETRY};
use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use gavel_rules::time::Millis;
use gavel_runtime::{
    http::{self, Door},
    net::TcpListener,
    proxies::Proxies,
};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};

mod origin;
mod pages;
mod rooms;
mod routes;
pub(crate) mod sockets;
#[cfg(test)]
mod tests;
mod tickets;
mod upgrade;
mod visitor;

pub(crate) use origin::{AllowedOrigins, is_setting as is_allowed_origins};
pub(crate) use sockets::Sockets;

/// Between two slices of sockets that are sent away.
const SLICE: Duration = Duration::from_millis(50);

/// A slice comes back spread over this time.
const RETURN_WITHIN_MS: u64 = 1_000;

/// Refuses a request because of load.
fn come_later() -> Response {
    let seconds = SHED_RETRY.get().div_ceil(1_000);
    let later = [(header::RETRY_AFTER, seconds.to_string())];
    (StatusCode::SERVICE_UNAVAILABLE, later, "the node is overloaded").into_response()
}

/// Answers requests and upgrades until the node stops.
pub(crate) async fn serve(shell: Arc<Shell>, listener: TcpListener) {
    let config = &shell.config.http;
    let door = Door {
        tls: shell.tls.clone(),
        per_second_max: config.connections_per_second,
        header_timeout: Duration::from_millis(config.header_timeout_ms),
        proxied: match config.proxy_protocol {
            ProxyProtocol::Off => Proxies::default(),
            ProxyProtocol::V2 => config.proxies(),
        },
        closed: shell.closed.subscribe(),
    };
    let stop = shell.stop.clone();
    http::serve(listener, routes::router(shell), door, stop).await;
}

/// Sends the sockets to other nodes, over `spread` so that they do not come
/// there all at once.
pub(crate) async fn send_away(shell: &Arc<Shell>, spread: Duration) {
    let sockets = shell.sockets.all();
    let slices = u32::try_from(spread.as_millis() / SLICE.as_millis()).unwrap_or(u32::MAX).max(1);
    let slice = sockets.len().div_ceil(usize::try_from(slices).unwrap_or(usize::MAX)).max(1);
    let mut tick = tokio::time::interval(SLICE);
    for sockets in sockets.chunks(slice) {
        tick.tick().await;
        for member in sockets.iter().filter_map(Weak::upgrade) {
            member.send_away(Millis::new(rand::random_range(0..RETURN_WITHIN_MS)));
        }
    }
}

/// Tells every socket that the node goes away, and waits until they are gone
/// or the grace is over.
pub(crate) async fn close_sockets(shell: &Arc<Shell>, grace: Duration) {
    shell.sockets.close_all(CloseCode::GoingAway);
    let gone = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while shell.admission.sockets() > 0 {
            tick.tick().await;
        }
    };
    if tokio::time::timeout(grace, gone).await.is_err() {
        tracing::warn!("some sockets did not read their close in time");
    }
}
