//! Where browsers come in.

use crate::{close::CloseCode, node::Shell};
use gavel_runtime::http;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;

mod pages;
mod rooms;
mod routes;
mod upgrade;

pub(crate) use upgrade::Sockets;

/// Answers requests and upgrades until the node stops.
pub(crate) async fn serve(shell: Arc<Shell>, listener: TcpListener) {
    let header_timeout = Duration::from_millis(shell.config.http.header_timeout_ms);
    let stop = shell.stop.clone();
    http::serve(listener, routes::router(shell), header_timeout, stop).await;
}

/// Tells every socket that the node goes away, and waits until they are gone
/// or the grace is over.
pub(crate) async fn close_sockets(shell: &Arc<Shell>, grace: Duration) {
    shell.sockets.close_all(CloseCode::GoingAway);
    let gone = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while shell.admission.counts().0 > 0 {
            tick.tick().await;
        }
    };
    if tokio::time::timeout(grace, gone).await.is_err() {
        tracing::warn!("some sockets did not read their close in time");
    }
}
