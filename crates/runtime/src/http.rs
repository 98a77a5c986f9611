//! HTTP for both planes: our own accept loop in front of axum, with TLS where a
//! certificate is set, and with the limits that `axum::serve` does not have. A
//! head that does not come whole in time, or is too large, ends its connection;
//! an accept that fails does not end the loop.

pub mod fetch;
pub mod proxy;
#[cfg(test)]
mod tests;

use crate::{
    net::{self, Pace, TcpListener, TcpStream},
    proxies::Proxies,
    tasks,
    tls::{self, Tls},
};
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Bytes of one request head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The address a connection came from; every request has it as an extension.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// How connections come in.
#[derive(Debug, Clone)]
pub struct Door {
    /// With which certificate, if with any.
    pub tls: Tls,
    /// How many connections come in within a second; more wait outside.
    pub per_second_max: u32,
    /// How long a request head may take, and a header in front of it.
    pub header_timeout: Duration,
    /// Whose connections begin with a [`proxy`] header, which says where they come from.
    pub proxied: Proxies,
    /// While it says so, connections wait outside.
    pub closed: watch::Receiver<bool>,
}

/// Answers until told to stop, and then what is under way. A connection that
/// was upgraded is not under way any more.
pub async fn serve(listener: TcpListener, router: Router, door: Door, stop: CancellationToken) {
    let open = TaskTracker::new();
    let (mut closed, mut pace) = (door.closed.clone(), Pace::per_second(door.per_second_max));
    let mut admit =
        async || stop.run_until_cancelled(admit(&listener, &mut closed, &mut pace)).await;
    while let Some((stream, peer)) = admit().await {
        let peer = Peer(peer.ip());
        let served = connection(router.clone(), stream, peer, door.clone(), stop.clone());
        drop(tasks::spawn("http.connection", open.track_future(served)));
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// The next connection that may come in.
async fn admit(
    listener: &TcpListener,
    closed: &mut watch::Receiver<bool>,
    pace: &mut Pace,
) -> (TcpStream, SocketAddr) {
    pace.next().await;
    loop {
        // Where nobody is left who would open it, it is open.
        drop(closed.wait_for(|closed| !closed).await);
        tokio::select! {
            accepted = net::accept(listener) => return accepted,
            Ok(()) = closed.changed() => {}
        }
    }
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
    let opened = async {
        // What a proxy says comes before anything that its client says.
        let peer = introduce(&mut stream, peer, &door).await?;
        Ok::<_, io::Error>((door.tls.accept(tls::Door::Web, stream).await?, peer))
    };
    let (stream, peer) = match stop.run_until_cancelled(opened).await {
        Some(Ok(opened)) => opened,
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
