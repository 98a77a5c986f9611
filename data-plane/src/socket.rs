//! The shell around one socket: bytes in, a [`Session`] step, bytes out.
//!
//! An idle socket holds no buffer. Reads go through one buffer per thread and
//! are decoded in place; only a partial frame stays on the heap. Anybody may
//! [`Socket::send`] from anywhere: the frame goes straight to the kernel, and
//! only what the kernel does not take waits here, within bounds.
//!
//! ```text
//! readable -> READ_BUFFER -> Decoder -> Session::step -> Actions (this task)
//! send()   -> try_write   -> [backlog] -> writable -> try_write  (any task)
//! ```

use crate::{close::CloseCode, codec::frame};
use bytes::{Buf, Bytes};
use gavel_runtime::net::Stream;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncWriteExt, Interest},
    sync::Notify,
};

mod pump;
#[cfg(test)]
mod tests;

pub(crate) use pump::Pump;

/// Bytes that may wait for a client that reads slowly; over it the socket is
/// closed with 4408 and the client resumes.
pub(crate) const BACKLOG_BYTES_MAX: usize = 64 * 1024;
/// Frames that may wait for it.
const BACKLOG_FRAMES_MAX: usize = 256;
// What clients are told about both in `close`.
const _: () = assert!(BACKLOG_BYTES_MAX == 64 * 1024 && BACKLOG_FRAMES_MAX == 256);
/// How long a client may take to read what waits for it in front of its close.
const LAST_READS: Duration = Duration::from_secs(5);
/// How long a closing peer may take to answer.
const LINGER: Duration = Duration::from_secs(2);
/// How often to look whether it has. What it says meanwhile is nobody's business, and one that
/// floods has to wait.
const LINGER_PAUSE: Duration = Duration::from_millis(10);

/// The sending half of a socket, shared by all who have something to say.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    out: Mutex<Outgoing>,
    /// Tells the pump that a backlog began or the socket ends.
    wake: Notify,
    answered: AtomicBool,
}

#[derive(Debug, Default)]
struct Outgoing {
    backlog: VecDeque<Bytes>,
    bytes: usize,
    end: End,
}

/// How far the end of a socket has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// A close frame is sent or waits in the backlog; nothing follows it.
    Closing(CloseCode),
    /// The peer is gone or given up: nothing more is written.
    Dead,
}

// === impl Socket ===

impl Socket {
    /// Takes over an upgraded stream.
    #[must_use]
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, out: Mutex::default(), wake: Notify::new(), answered: AtomicBool::new(true) }
    }

    /// Sends a framed message, or keeps it until the kernel takes it. A client
    /// that leaves more waiting than it may is closed as too slow.
    pub(crate) fn send(&self, frame: &Bytes) {
        let mut out = self.out.lock();
        if out.end == End::Open {
            self.push(&mut out, frame);
        }
    }

    /// Sends a framed message unless `over` is set. Whatever is sent by others
    /// after they set it comes behind all that this lets through.
    pub(crate) fn send_unless(&self, frame: &Bytes, over: &AtomicBool) {
        let mut out = self.out.lock();
        if out.end == End::Open && !over.load(Ordering::Relaxed) {
            self.push(&mut out, frame);
        }
    }

    /// Sends text.
    pub(crate) fn send_text(&self, json: &str) {
        self.send(&frame::text(json.as_bytes()));
    }

    /// Ends the socket with a close frame behind what waits already.
    pub(crate) fn close(&self, code: CloseCode) {
        let mut out = self.out.lock();
        if out.end == End::Open {
            self.push(&mut out, &frame::close(Some(code.code()), code.reason()));
            if out.end == End::Open {
                out.end = End::Closing(code);
            }
            self.wake.notify_one();
        }
    }

    /// Ends the socket at once, as for a peer that does not answer.
    pub(crate) fn terminate(&self) {
        self.out.lock().end = End::Dead;
        self.wake.notify_one();
    }

    /// Sends a heartbeat; [`Self::has_answered`] is false until the pong.
    pub(crate) fn probe(&self, ping: &Bytes) {
        self.answered.store(false, Ordering::Relaxed);
        self.send(ping);
    }

    /// Lets the pump look what there is to do.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Whether a pong has come since the last probe.
    #[must_use]
    pub(crate) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Whether nothing more is accepted for sending.
    #[must_use]
    pub(crate) fn is_closing(&self) -> bool {
        self.out.lock().end != End::Open
    }

    /// Writes what the kernel takes and keeps the rest.
    fn push(&self, out: &mut Outgoing, frame: &Bytes) {
        let mut written = 0;
        if out.backlog.is_empty() {
            match self.stream.try_write(frame) {
                Ok(all) if all == frame.len() => {
                    if self.stream.has_unsent() {
                        self.wake.notify_one();
                    }
                    return;
                }
                Ok(some) => written = some,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return self.die(out),
            }
            self.wake.notify_one();
        }
        // Only what waits counts a reference: thousands of sockets share the frame.
        let rest = frame.slice(written..);
        out.bytes += rest.len();
        out.backlog.push_back(rest);
        if out.bytes > BACKLOG_BYTES_MAX || out.backlog.len() > BACKLOG_FRAMES_MAX {
            self.give_up(out);
        }
    }

    /// Drops all whole frames that wait, so that the close frame is the next
    /// one the client reads; its position lets it resume.
    fn give_up(&self, out: &mut Outgoing) {
        let close = frame::close(Some(CloseCode::TooSlow.code()), CloseCode::TooSlow.reason());
        // The first may be written in part: it has to be completed.
        out.backlog.truncate(1);
        out.backlog.push_back(close);
        out.bytes = out.backlog.iter().map(Bytes::len).sum();
        out.end = End::Closing(CloseCode::TooSlow);
        self.wake.notify_one();
    }

    fn die(&self, out: &mut Outgoing) {
        *out = Outgoing { end: End::Dead, ..Outgoing::default() };
        self.wake.notify_one();
    }

    /// Writes what waits.
    fn flush(&self) {
        let mut out = self.out.lock();
        while !out.backlog.is_empty() {
            let slices: Vec<io::IoSlice<'_>> =
                out.backlog.iter().take(64).map(|frame| io::IoSlice::new(frame)).collect();
            let mut written = match self.stream.try_write_vectored(&slices) {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.die(&mut out),
            };
            out.bytes = out.bytes.saturating_sub(written);
            while let Some(first) = out.backlog.front_mut() {
                if written < first.len() {
                    first.advance(written);
                    break;
                }
                written -= first.len();
                out.backlog.pop_front();
            }
        }
        // The ring's memory goes back with its content.
        out.backlog = VecDeque::new();
        match self.stream.try_flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => self.die(&mut out),
            Ok(()) | Err(_) => {}
        }
    }

    /// What the pump is to wait for.
    fn wants(&self) -> Want {
        let out = self.out.lock();
        match (out.end, out.backlog.is_empty() && !self.stream.has_unsent()) {
            (End::Dead, _) => Want::End,
            (End::Closing(code), _) => Want::Finish(code),
            (End::Open, false) => Want::Wait(Interest::WRITABLE),
            (End::Open, true) => Want::Wait(Interest::READABLE),
        }
    }

    /// Writes what waits, up to the close frame, and lets the peer answer it. A peer that does not
    /// read is given up.
    async fn finish(&self) {
        let written = async {
            while self.has_unwritten() {
                if self.stream.ready(Interest::WRITABLE).await.is_err() {
                    return;
                }
                self.flush();
            }
        };
        match tokio::time::timeout(LAST_READS, written).await {
            Ok(()) => self.linger().await,
            Err(_) => self.terminate(),
        }
    }

    fn has_unwritten(&self) -> bool {
        let out = self.out.lock();
        out.end != End::Dead && (!out.backlog.is_empty() || self.stream.has_unsent())
    }

    /// Half-closes and discards what still comes, until the peer closes too.
    async fn linger(&self) {
        // The peer sees the end of our side at once.
        self.stream.end_writes();
        let discard = async {
            let mut sink = [0; 1024];
            while self.stream.readable().await.is_ok() {
                match self.stream.try_read(&mut sink) {
                    Ok(0) => break,
                    Ok(_) => tokio::time::sleep(LINGER_PAUSE).await,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
            }
        };
        // Whether it took too long makes no difference: the socket ends here.
        drop(tokio::time::timeout(LINGER, discard).await);
    }
}

/// What the pump is to wait for.
enum Want {
    Wait(Interest),
    Finish(CloseCode),
    End,
}

/// Refuses a socket that has just been upgraded, and says why.
pub(crate) async fn refuse(mut stream: Stream, why: String, code: CloseCode) {
    let close = frame::close(Some(code.code()), code.reason());
    let said = [frame::text(why.as_bytes()), close].concat();
    if stream.write_all(&said).await.is_ok() && stream.flush().await.is_ok() {
        Socket::new(stream).linger().await;
    }
}
