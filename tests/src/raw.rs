//! A socket that is written byte by byte, for what a proper client never sends.

use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// An upgraded connection without a WebSocket library.
#[derive(Debug)]
pub struct RawSocket {
    stream: TcpStream,
}

// === impl RawSocket ===

impl RawSocket {
    /// Opens a socket as a guest.
    ///
    /// # Panics
    /// If the node does not upgrade.
    pub async fn open(addr: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(addr).await.expect("the node listens");
        let request = "GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("the request leaves");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a response head"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        Self { stream }
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// If the node is gone.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the bytes leave");
    }

    /// Sends a text frame, masked with zeros.
    ///
    /// # Panics
    /// If the text is too long for this simple client.
    pub async fn send_text(&mut self, text: &str) {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 126);
        let mut frame = vec![0x81, 0x80 | length.expect("a short text"), 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        self.send(&frame).await;
    }

    /// Reads to the end of the stream and answers nothing; gives the code of
    /// the close frame, if one came.
    ///
    /// # Panics
    /// If the stream does not end in time, or holds a broken frame.
    pub async fn read_to_end(mut self) -> Option<u16> {
        let mut close = None;
        let all = tokio::time::timeout(crate::PATIENCE, async {
            while let Some((opcode, payload)) = self.frame().await {
                if opcode == 8 {
                    let code = payload.first_chunk::<2>();
                    close = code.map(|code| u16::from_be_bytes(*code));
                    return;
                }
            }
        });
        all.await.expect("an end in time");
        close
    }

    async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await.ok()?;
        let length = match self.stream.read_u8().await.ok()? {
            126 => self.stream.read_u16().await.ok()?.into(),
            127 => self.stream.read_u64().await.ok()?,
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).ok()?];
        self.stream.read_exact(&mut payload).await.ok()?;
        Some((first & 0x0f, payload))
    }
}
