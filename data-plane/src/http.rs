//! Where browsers come in: our own accept loop in front of axum, with limits
//! that `axum::serve` does not have.

use crate::{close::CloseCode, node::Shell};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

mod pages;
mod rooms;
mod routes;
mod upgrade;

pub(crate) use upgrade::Sockets;

/// Connections that may wait to be accepted.
const LISTEN_BACKLOG: i32 = 4096;
/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Bytes of one request head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Pause after the process ran out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The address a connection came from.
#[derive(Debug, Clone, Copy)]
struct Peer(IpAddr);

/// Listens on an address.
///
/// # Errors
/// If it cannot be bound.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections until the node stops.
pub(crate) async fn serve(shell: Arc<Shell>, listener: TcpListener) {
    let router = routes::router(Arc::clone(&shell));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shell.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(Arc::clone(&shell), router.clone(), stream, peer);
                drop(gavel_runtime::tasks::spawn("http.connection", connection));
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
}

fn is_of_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

async fn connection(shell: Arc<Shell>, router: axum::Router, stream: TcpStream, peer: SocketAddr) {
    // Acks are small and must not wait for company; we coalesce ourselves.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = hyper::service::service_fn(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(Peer(peer.ip()));
        router.clone().oneshot(request)
    });
    let header_timeout = Duration::from_millis(shell.config.http.header_timeout_ms);
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, peer = %peer.ip(), "a connection ended badly");
    }
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
