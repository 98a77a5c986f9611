//! The sockets of every process: TCP of this machine, or, where the whole of
//! Gavel runs in the simulation (`--cfg gavel_sim`), of a network in memory.

mod pace;
#[cfg(gavel_sim)]
mod simulated;
mod stream;

#[cfg(not(gavel_sim))]
pub use tokio::net::{TcpListener, TcpStream};

#[cfg(gavel_sim)]
pub use simulated::{TcpListener, TcpStream};

pub use pace::Pace;
pub use stream::Stream;

use crate::tls::Tls;
use std::{io, net::SocketAddr, time::Duration};
use tonic::transport::{Channel, Endpoint};

/// Connections that may wait to be accepted.
#[cfg(not(gavel_sim))]
const LISTEN_BACKLOG: i32 = 4096;
/// Pause after the process ran out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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

/// The next connection, and where it comes from. An accept that fails does not
/// end the wait.
pub async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
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

/// Connects to a port of a host.
///
/// # Errors
/// If nobody listens there.
pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    TcpStream::connect((host, port)).await
}

/// Connects to the HTTP of a host, at its usual port unless one is given.
///
/// # Errors
/// If nobody listens there, or it is not who it should be.
pub async fn reach_web(
    host: &str,
    port: Option<u16>,
    secure: bool,
    tls: &Tls,
) -> io::Result<Stream> {
    let stream = connect(host, port.unwrap_or(if secure { 443 } else { 80 })).await?;
    stream.set_nodelay(true)?;
    if secure { tls.connect_to_web(host, stream).await } else { Ok(stream.into()) }
}

/// Ends this side of a stream; the peer's may go on. One that is gone already
/// needs no telling.
fn end_writes(stream: &TcpStream) {
    #[cfg(not(gavel_sim))]
    drop(socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write));
    #[cfg(gavel_sim)]
    stream.end_writes();
}

/// A channel that connects at its first call and again after each loss.
pub(crate) fn channel(endpoint: &Endpoint) -> Channel {
    #[cfg(not(gavel_sim))]
    return endpoint.connect_lazy();
    #[cfg(gavel_sim)]
    endpoint.connect_with_connector_lazy(tower::service_fn(simulated::connect))
}
