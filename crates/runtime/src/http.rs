//! HTTP for both planes: our own accept loop in front of axum, with TLS where a
//! certificate is set, and with the limits that `axum::serve` does not have. A
//! head that does not come whole in time, or is too large, ends its connection;
//! an accept that fails does not end the loop.

#[cfg(test)]
mod tests;

use crate::{
    net::{self, TcpListener, TcpStream},
    tasks,
    tls::{Door, Tls},
};
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{net::IpAddr, pin::pin, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Bytes of one request head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The address a connection came from; every request has it as an extension.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Answers until told to stop, and then what is under way. A request head may
/// take as long as `header_timeout`. A connection that was upgraded is not
/// under way any more.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Tls,
    header_timeout: Duration,
    stop: CancellationToken,
) {
    let open = TaskTracker::new();
    while let Some((stream, peer)) = stop.run_until_cancelled(net::accept(&listener)).await {
        let (router, tls, peer) = (router.clone(), tls.clone(), Peer(peer.ip()));
        let served = connection(router, stream, tls, peer, header_timeout, stop.clone());
        drop(tasks::spawn("http.connection", open.track_future(served)));
    }
    drop(listener);
    open.close();
    open.wait().await;
}

async fn connection(
    router: Router,
    stream: TcpStream,
    tls: Tls,
    peer: Peer,
    header_timeout: Duration,
    stop: CancellationToken,
) {
    // What becomes a WebSocket coalesces its small messages by itself.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let stream = match stop.run_until_cancelled(tls.accept(Door::Web, stream)).await {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => {
            return tracing::debug!(%error, peer = %peer.0, "a connection came to nothing");
        }
        None => return,
    };
    let service = hyper::service::service_fn(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, peer = %peer.0, "a connection ended badly");
    }
}
