//! The lean side of a measurement: sockets that count the messages they get.
//!
//! Frames are only skipped over, not decoded, so that the client takes little
//! of the processors that it shares with the server under test.

use crate::Outcome;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

/// Sockets that connect at the same time.
const CONNECTS_MAX: usize = 64;
/// What the kernel takes for a socket of whoever does not want to read.
const NARROW_BYTES: u32 = 4_096;
/// How often to look whether everything has come.
const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// An open WebSocket, written to by hand.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
}

/// Many sockets, each read by a task.
#[derive(Debug, Default)]
pub(crate) struct Viewers {
    seen: Arc<Seen>,
    tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Seen {
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// Finds the ends of frames in a stream of bytes.
#[derive(Debug, Default)]
struct Frames {
    header: Vec<u8>,
    payload_left: u64,
}

// === impl Client ===

impl Client {
    /// Opens a socket with the handshake of RFC 6455, section 4.1.
    pub(crate) async fn connect(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Self::open(stream, address).await
    }

    /// The same for one that the kernel takes hardly anything for, unless it is read.
    pub(crate) async fn connect_narrow(address: SocketAddr) -> Outcome<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(NARROW_BYTES)?;
        Self::open(socket.connect(address).await?, address).await
    }

    async fn open(mut stream: TcpStream, address: SocketAddr) -> Outcome<Self> {
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(format!("refused: {}", String::from_utf8_lossy(&head)).into());
        }
        Ok(Self { stream })
    }

    /// Sends a text of up to 64 KiB, masked with zeros.
    pub(crate) async fn say(&mut self, text: &str) -> Outcome<()> {
        let mut frame = vec![0x81];
        match u8::try_from(text.len()) {
            Ok(length @ ..126) => frame.push(0x80 | length),
            _ => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&u16::try_from(text.len())?.to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        Ok(self.stream.write_all(&frame).await?)
    }

    /// Throws away what has come; whether the server has ended the socket.
    pub(crate) fn has_ended(&self) -> bool {
        let mut sink = [0; 1_024];
        loop {
            match self.stream.try_read(&mut sink) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }
}

// === impl Viewers ===

impl Viewers {
    /// Opens so many sockets, and lets each say something if there is
    /// something to say.
    pub(crate) async fn open(address: SocketAddr, count: usize, say: &str) -> Outcome<Self> {
        let mut viewers = Self::default();
        let connects = stream::iter(0..count).map(|_| async {
            let mut client = Client::connect(address).await?;
            if !say.is_empty() {
                client.say(say).await?;
            }
            Outcome::Ok(client)
        });
        let clients: Vec<_> = connects.buffer_unordered(CONNECTS_MAX).try_collect().await?;
        for client in clients {
            viewers.watch(client);
        }
        Ok(viewers)
    }

    /// Counts what this socket gets, too.
    pub(crate) fn watch(&mut self, mut client: Client) {
        let seen = Arc::clone(&self.seen);
        self.tasks.spawn(async move {
            let (mut frames, mut buffer) = (Frames::default(), vec![0; 16 * 1024]);
            while let Ok(read @ 1..) = client.stream.read(&mut buffer).await {
                let messages = frames.skip(buffer.get(..read).unwrap_or_default());
                seen.messages.fetch_add(messages, Relaxed);
                seen.bytes.fetch_add(u64::try_from(read).unwrap_or_default(), Relaxed);
            }
        });
    }

    /// Messages that came so far.
    pub(crate) fn messages(&self) -> u64 {
        self.seen.messages.load(Relaxed)
    }

    /// Bytes that came so far, with the frames' headers.
    pub(crate) fn bytes(&self) -> u64 {
        self.seen.bytes.load(Relaxed)
    }

    /// Waits until so many messages have come.
    pub(crate) async fn until(&self, messages: u64) -> Outcome<()> {
        let all = async {
            while self.messages() < messages {
                sleep(POLL_INTERVAL).await;
            }
        };
        let late = |_| format!("{} of {messages} messages came", self.messages());
        Ok(timeout(PATIENCE, all).await.map_err(late)?)
    }
}

// === impl Frames ===

impl Frames {
    /// Goes over some bytes; returns how many frames ended in them.
    fn skip(&mut self, mut bytes: &[u8]) -> u64 {
        let mut ended = 0;
        while !bytes.is_empty() {
            if self.payload_left == 0 {
                let Some((byte, rest)) = bytes.split_first() else { break };
                self.header.push(*byte);
                bytes = rest;
                let Some(length) = payload_bytes(&self.header) else { continue };
                self.header.clear();
                self.payload_left = length;
            } else {
                let left = usize::try_from(self.payload_left).unwrap_or(usize::MAX);
                let (skipped, rest) = bytes.split_at(left.min(bytes.len()));
                self.payload_left -= u64::try_from(skipped.len()).unwrap_or_default();
                bytes = rest;
            }
            if self.payload_left == 0 {
                ended += 1;
            }
        }
        ended
    }
}

/// The payload's length once a server's header is complete.
fn payload_bytes(header: &[u8]) -> Option<u64> {
    match *header {
        [_, length @ ..126] => Some(u64::from(length)),
        [_, 126, high, low] => Some(u64::from(u16::from_be_bytes([high, low]))),
        [_, 127, a, b, c, d, e, f, g, h] => Some(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => None,
    }
}
