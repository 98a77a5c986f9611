//! TCP between the hosts of a simulation, with as much of Tokio's interface
//! as Gavel uses.

use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, Waker},
};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use turmoil::net;

/// A listener of one host.
pub struct TcpListener(net::TcpListener);

/// One end of a connection between two hosts.
#[derive(Debug)]
pub struct TcpStream(Mutex<net::TcpStream>);

/// Connects to the host that a URI names.
pub(super) async fn connect(uri: http::Uri) -> io::Result<TokioIo<TcpStream>> {
    let host = uri.host().unwrap_or_default();
    let stream = net::TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    Ok(TokioIo::new(TcpStream(Mutex::new(stream))))
}

// === impl TcpListener ===

impl TcpListener {
    pub(super) async fn bind(addr: SocketAddr) -> io::Result<Self> {
        net::TcpListener::bind(addr).await.map(Self)
    }

    /// The next connection, and where it comes from.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.0.accept().await?;
        Ok((TcpStream(Mutex::new(stream)), peer))
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl std::fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TcpListener").field(&self.0.local_addr()).finish()
    }
}

// === impl TcpStream ===

impl TcpStream {
    /// Connects to a host by its name or address.
    pub async fn connect(addr: impl turmoil::ToSocketAddrs) -> io::Result<Self> {
        net::TcpStream::connect(addr).await.map(|stream| Self(Mutex::new(stream)))
    }

    /// Does nothing: what is written leaves at once.
    pub fn set_nodelay(&self, _: bool) -> io::Result<()> {
        Ok(())
    }

    /// Waits until it can be read, or else written.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        if interest.is_readable() {
            self.readable().await.map(|()| Ready::READABLE)
        } else {
            poll_fn(|context| {
                let stream = self.0.lock();
                let writable = std::pin::pin!(stream.writable());
                writable.poll(context)
            })
            .await
            .map(|()| Ready::WRITABLE)
        }
    }

    /// Waits until it can be read.
    pub async fn readable(&self) -> io::Result<()> {
        let mut first = [0];
        poll_fn(|context| self.0.lock().poll_peek(context, &mut ReadBuf::new(&mut first)))
            .await
            .map(|_| ())
    }

    /// Reads what is there.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(&mut *self.0.lock()).poll_read(&mut context, &mut buffer) {
            Poll::Ready(read) => read.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes what there is room for.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().try_write(bytes)
    }

    /// Writes what there is room for, from the first of the slices.
    pub fn try_write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        slices.first().map_or(Ok(0), |first| self.try_write(first))
    }

    pub(super) fn end_writes(&self) {
        let mut context = Context::from_waker(Waker::noop());
        drop(Pin::new(&mut *self.0.lock()).poll_shutdown(&mut context));
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_read(context, buffer)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.0.get_mut()).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_shutdown(context)
    }
}
