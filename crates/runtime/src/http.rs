//! Plain HTTP for both planes: our own accept loop in front of axum, with the
//! limits that `axum::serve` does not have. A head that does not come whole in
//! time, or is too large, ends its connection; an accept that fails does not
//! end the loop.

pub mod proxy;
#[cfg(test)]
mod tests;

use crate::{
    net::{TcpListener, TcpStream},
    proxies::Proxies,
    tasks,
};
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{io, net::IpAddr, pin::pin, time::Duration};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Bytes of one request head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Pause after the process ran out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The address a connection came from; every request has it as an extension.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// How connections come in.
#[derive(Debug, Clone)]
pub struct Door {
    /// How long a request head may take, and a header in front of it.
    pub header_timeout: Duration,
    /// Whose connections begin with a [`proxy`] header, which says where they come from.
    pub proxied: Proxies,
}

/// Answers until told to stop, and then what is under way. A connection that
/// was upgraded is not under way any more.
pub async fn serve(listener: TcpListener, router: Router, door: Door, stop: CancellationToken) {
    let open = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let peer = Peer(peer.ip());
                let served = connection(router.clone(), stream, peer, door.clone(), stop.clone());
                drop(tasks::spawn("http.connection", open.track_future(served)));
            }
            // A peer that left early is not our trouble; without descriptors
            // the next accept would fail at once as well.
            Err(error) if is_of_peer(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    open.close();
    open.wait().await;
}

fn is_of_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

async fn connection(
    router: Router,
    mut stream: TcpStream,
    peer: Peer,
    door: Door,
    stop: CancellationToken,
) {
    // What becomes a WebSocket coalesces its small messages by itself.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let introduced = tokio::select! {
        introduced = introduce(&mut stream, peer, &door) => introduced,
        () = stop.cancelled() => return,
    };
    let peer = match introduced {
        Ok(peer) => peer,
        Err(error) => {
            return tracing::debug!(%error, peer = %peer.0, "a proxy did not say for whom");
        }
    };
    let service = hyper::service::service_fn(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(door.header_timeout)
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

/// Where a connection comes from: the peer, or whom it names if it is a proxy that has to.
async fn introduce(stream: &mut TcpStream, peer: Peer, door: &Door) -> io::Result<Peer> {
    if !door.proxied.trust(peer.0) {
        return Ok(peer);
    }
    let source = tokio::time::timeout(door.header_timeout, proxy::read(stream)).await??;
    Ok(source.map_or(peer, Peer))
}
