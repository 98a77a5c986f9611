//! The connections that a gRPC server serves, each with who is behind it.

use crate::{
    net::{self, Pace, Stream, TcpListener, TcpStream},
    tasks,
    tls::{Door, Names, Tls},
};
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tonic::transport::server::Connected;

/// Connections that one server holds; further ones are closed at once.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Connections that come in within a second; more wait outside.
const PER_SECOND_MAX: u32 = 500;
/// Connections that may wait for the server to take them.
const QUEUE_MAX: usize = 64;

/// Who is behind a connection; every request has it as an extension.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Where the connection came from.
    pub addr: SocketAddr,
    /// The names in the certificate that was shown, if one was.
    pub names: Option<Arc<Names>>,
}

/// A connection that counts among those of its server.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    peer: Peer,
    _place: OwnedSemaphorePermit,
}

/// What there is to serve, as it comes. Handshakes take as long as they take
/// and keep nobody else waiting.
pub fn incoming(
    listener: TcpListener,
    tls: &Tls,
    door: Door,
) -> impl futures::Stream<Item = io::Result<Connection>> + use<> {
    let (sender, mut receiver) = mpsc::channel(QUEUE_MAX);
    let tls = tls.clone();
    drop(tasks::spawn("grpc.accept", async move {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut pace = Pace::per_second(PER_SECOND_MAX);
        loop {
            pace.next().await;
            let (stream, addr) = tokio::select! {
                accepted = net::accept(&listener) => accepted,
                () = sender.closed() => return,
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::warn!(%addr, CONNECTIONS_MAX, "too many connections; one is closed");
                continue;
            };
            let opened = open(stream, addr, tls.clone(), door, place, sender.clone());
            drop(tasks::spawn("grpc.handshake", opened));
        }
    }));
    futures::stream::poll_fn(move |context| receiver.poll_recv(context))
}

async fn open(
    stream: TcpStream,
    addr: SocketAddr,
    tls: Tls,
    door: Door,
    place: OwnedSemaphorePermit,
    sender: mpsc::Sender<io::Result<Connection>>,
) {
    let secured = match stream.set_nodelay(true) {
        Ok(()) => tls.accept(door, stream).await,
        Err(error) => Err(error),
    };
    match secured {
        Ok(stream) => {
            let peer = Peer { addr, names: stream.names().map(Arc::new) };
            // A server that stops takes no more.
            drop(sender.send(Ok(Connection { stream, peer, _place: place })).await);
        }
        Err(error) => tracing::debug!(%error, %addr, "a connection came to nothing"),
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
