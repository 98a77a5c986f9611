//! The sockets of every process: TCP of this machine, or, where the whole of
//! Gavel runs in the simulation (`--cfg gavel_sim`), of a network in memory.

#[cfg(gavel_sim)]
mod simulated;

#[cfg(not(gavel_sim))]
pub use tokio::net::{TcpListener, TcpStream};

#[cfg(gavel_sim)]
pub use simulated::{TcpListener, TcpStream};

#[cfg(gavel_sim)]
use futures::Stream;
use std::{io, net::SocketAddr};
use tonic::transport::{Channel, Endpoint};

/// Connections that may wait to be accepted.
#[cfg(not(gavel_sim))]
const LISTEN_BACKLOG: i32 = 4096;

/// Listens on an address.
///
/// # Errors
/// If it cannot be bound.
#[cfg(not(gavel_sim))]
pub async fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Listens on an address of this simulated host.
///
/// # Errors
/// If it is taken.
#[cfg(gavel_sim)]
pub async fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr).await
}

/// Ends this side of a stream; the peer's may go on. One that is gone already
/// needs no telling.
pub fn end_writes(stream: &TcpStream) {
    #[cfg(not(gavel_sim))]
    drop(socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write));
    #[cfg(gavel_sim)]
    stream.end_writes();
}

/// What a gRPC server serves: the connections of a listener, as they come.
#[cfg(not(gavel_sim))]
pub fn incoming(listener: TcpListener) -> tonic::transport::server::TcpIncoming {
    tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true))
}

/// What a gRPC server serves: the connections of a listener, as they come.
#[cfg(gavel_sim)]
pub fn incoming(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    futures::stream::unfold(listener, async |listener| {
        let accepted = listener.accept().await.map(|(stream, _)| stream);
        Some((accepted, listener))
    })
}

/// A channel that connects at its first call and again after each loss.
pub(crate) fn channel(endpoint: &Endpoint) -> Channel {
    #[cfg(not(gavel_sim))]
    return endpoint.connect_lazy();
    #[cfg(gavel_sim)]
    endpoint.connect_with_connector_lazy(tower::service_fn(simulated::connect))
}
