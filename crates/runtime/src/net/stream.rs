//! One connection, plain or inside of TLS, with the interface of a TCP stream.
//!
//! Whoever has a `&Stream` may ask for readiness and then read or write what
//! goes at once. Inside of TLS what was written may wait as a record that the
//! kernel did not take: see [`Stream::has_unsent`].

use super::{TcpStream, end_writes};
use crate::tls::Names;
use parking_lot::Mutex;
use rustls::Connection;
use std::{
    io::{self, Read as _, Write as _},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};

/// What may wait inside of TLS for the kernel: one record, which is all that is
/// taken before the one ahead is gone.
const UNSENT_BYTES_MAX: usize = 16 * 1_024;

/// A connection.
#[derive(Debug)]
pub struct Stream {
    tcp: TcpStream,
    session: Option<Box<Mutex<Connection>>>,
}

/// The bytes of a session on the kernel's side, as far as they go at once.
struct AtOnce<'a>(&'a TcpStream);

/// The same, for a task that is woken when more goes.
struct Polled<'a, 'b>(&'a mut TcpStream, &'a mut Context<'b>);

// === impl Stream ===

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Self {
        Self { tcp, session: None }
    }
}

impl Stream {
    /// A connection whose handshake is done.
    pub(crate) fn secured(tcp: TcpStream, mut session: Connection) -> Self {
        session.set_buffer_limit(Some(UNSENT_BYTES_MAX));
        Self { tcp, session: Some(Box::new(Mutex::new(session))) }
    }

    /// The names in the peer's certificate, where it showed one.
    #[must_use]
    pub fn names(&self) -> Option<Names> {
        let session = self.session.as_ref()?.lock();
        session.peer_certificates()?.first().map(Names::of)
    }

    /// Whether small writes leave at once.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.tcp.set_nodelay(nodelay)
    }

    /// Waits until something comes in, or there is room to write. What has come
    /// in before is for [`Self::has_unread`] to tell; that apart keeps the future
    /// small, of which there is one for every socket.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> {
        self.tcp.ready(interest)
    }

    /// Waits until there is something to read.
    ///
    /// # Errors
    /// If the connection is broken.
    pub async fn readable(&self) -> io::Result<()> {
        if self.has_unread() {
            return Ok(());
        }
        self.ready(Interest::READABLE).await.map(drop)
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is; others if the connection is broken.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.session {
            None => self.tcp.try_read(buffer),
            Some(session) => read(&mut session.lock(), AtOnce(&self.tcp), buffer),
        }
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// `WouldBlock` where there is no room; others if the connection is broken.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.session {
            None => self.tcp.try_write(bytes),
            Some(session) => write(&mut session.lock(), AtOnce(&self.tcp), bytes),
        }
    }

    /// Writes what there is room for, from the first of the slices on.
    ///
    /// # Errors
    /// As for [`Self::try_write`].
    pub fn try_write_vectored(&self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match &self.session {
            None => self.tcp.try_write_vectored(slices),
            Some(_) => slices.first().map_or(Ok(0), |first| self.try_write(first)),
        }
    }

    /// Whether something that was written waits for room.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.lock().wants_write())
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// `WouldBlock` where some of it still waits; others if the connection is
    /// broken.
    pub fn try_flush(&self) -> io::Result<()> {
        match &self.session {
            None => Ok(()),
            Some(session) => flush(&mut session.lock(), &mut AtOnce(&self.tcp)),
        }
    }

    /// Ends this side; the peer's may go on. One that is gone already needs no
    /// telling.
    pub fn end_writes(&self) {
        if let Some(session) = &self.session {
            let mut session = session.lock();
            session.send_close_notify();
            // A peer that reads nothing misses the notice and sees the end.
            drop(flush(&mut session, &mut AtOnce(&self.tcp)));
        }
        end_writes(&self.tcp);
    }

    /// Whether a read goes at once, whatever comes in: decrypted bytes wait, or
    /// the end does.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        let Some(session) = &self.session else { return false };
        let state = session.lock().process_new_packets();
        state.map_or(true, |state| state.plaintext_bytes_to_read() > 0 || state.peer_has_closed())
    }
}

fn read(
    session: &mut Connection,
    mut wire: impl io::Read + io::Write,
    buffer: &mut [u8],
) -> io::Result<usize> {
    loop {
        match session.reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Who ends without a notice has ended: frames say for themselves whether they are whole.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
            read => return read,
        }
        if session.read_tls(&mut wire)? == 0 {
            return Ok(0);
        }
        let processed = session.process_new_packets().map_err(broken);
        // Answers of the protocol itself, such as the alert that tells what was wrong.
        match flush(session, &mut wire) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Ok(()) | Err(_) => {}
        }
        processed?;
    }
}

fn write(session: &mut Connection, mut wire: impl io::Write, bytes: &[u8]) -> io::Result<usize> {
    flush(session, &mut wire)?;
    let taken = session.writer().write(bytes)?;
    match flush(session, &mut wire) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        Ok(()) | Err(_) => Ok(taken),
    }
}

fn flush(session: &mut Connection, wire: &mut impl io::Write) -> io::Result<()> {
    while session.wants_write() {
        if session.write_tls(wire)? == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// `Pending` for what goes on later.
fn later<T>(outcome: io::Result<T>) -> Poll<io::Result<T>> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        outcome => Poll::Ready(outcome),
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { tcp, session } = self.get_mut();
        let Some(session) = session else { return Pin::new(tcp).poll_read(context, buffer) };
        let outcome = read(session.get_mut(), Polled(tcp, context), buffer.initialize_unfilled());
        later(outcome.map(|read| buffer.advance(read)))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { tcp, session } = self.get_mut();
        match session {
            None => Pin::new(tcp).poll_write(context, bytes),
            Some(session) => later(write(session.get_mut(), Polled(tcp, context), bytes)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { tcp, session } = self.get_mut();
        match session {
            None => Pin::new(tcp).poll_flush(context),
            Some(session) => later(flush(session.get_mut(), &mut Polled(tcp, context))),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { tcp, session } = self.get_mut();
        if let Some(session) = session {
            let session = session.get_mut();
            session.send_close_notify();
            let flushed = later(flush(session, &mut Polled(tcp, context)));
            if !matches!(flushed, Poll::Ready(Ok(()))) {
                return flushed;
            }
        }
        Pin::new(tcp).poll_shutdown(context)
    }
}

// === impl AtOnce ===

impl io::Read for AtOnce<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl io::Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Polled ===

impl Polled<'_, '_> {
    fn now<T>(outcome: Poll<io::Result<T>>) -> io::Result<T> {
        match outcome {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl io::Read for Polled<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        Self::now(Pin::new(&mut *self.0).poll_read(self.1, &mut buffer))?;
        Ok(buffer.filled().len())
    }
}

impl io::Write for Polled<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::now(Pin::new(&mut *self.0).poll_write(self.1, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
