//! An echo server over the codec alone: what `tests/autobahn.sh` drives.
//!
//! `echo [address]` listens on 127.0.0.1 (any port, unless told) and prints where.

use std::io::{self, Write as _};
use std::time::Duration;

use bytes::BytesMut;
use gavel_data_plane::codec::frame::{self, Decoder, Incoming, Opcode};
use gavel_data_plane::codec::handshake;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

const MESSAGE_BYTES_MAX: usize = 32 << 20;
/// The suite sends 4 MiB in fragments of 64 bytes; no real client does.
const FRAGMENTS_MAX: u32 = 1 << 20;
const READ_BYTES: usize = 64 * 1024;
const REQUEST_BYTES_MAX: usize = 16 * 1024;
const SOCKETS_MAX: usize = 64;
/// How long a socket may keep talking after we closed it.
const LINGER: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    let mut sockets = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        while sockets.len() >= SOCKETS_MAX {
            sockets.join_next().await;
        }
        sockets.spawn(async move {
            // A peer that vanishes is what this server is for; there is nobody to tell.
            drop(serve(stream).await);
        });
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // What the client sent behind its request, without waiting for the answer, is the first input.
    let Some(mut buffer) = upgrade(&mut stream).await? else { return Ok(()) };
    let mut decoder = Decoder::new(MESSAGE_BYTES_MAX).with_fragments_max(FRAGMENTS_MAX);
    let mut output = BytesMut::new();
    loop {
        let over = echo(&mut decoder, &mut buffer, &mut output);
        stream.write_all(&output).await?;
        output.clear();
        if over {
            return linger(stream, buffer).await;
        }
        buffer.resize(READ_BYTES, 0);
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        buffer.truncate(read);
    }
}

/// Answers everything in `input`; true once the socket is to be closed.
fn echo(decoder: &mut Decoder, mut input: &mut [u8], output: &mut BytesMut) -> bool {
    loop {
        match decoder.decode(&mut input) {
            Ok(None) => return false,
            Ok(Some(Incoming::Text(text))) => frame::put(output, Opcode::Text, text.as_bytes()),
            Ok(Some(Incoming::Binary(bytes))) => frame::put(output, Opcode::Binary, bytes),
            Ok(Some(Incoming::Ping(payload))) => frame::put(output, Opcode::Pong, payload),
            Ok(Some(Incoming::Pong(_))) => {}
            Ok(Some(Incoming::Close { code, .. })) => {
                output.extend_from_slice(&frame::close(code, ""));
                return true;
            }
            Err(error) => {
                let reason = error.to_string();
                output.extend_from_slice(&frame::close(Some(error.close_code()), &reason));
                return true;
            }
        }
    }
}

/// Closes our side and reads the rest away, so that no reset overtakes the close frame.
async fn linger(mut stream: TcpStream, mut buffer: Vec<u8>) -> io::Result<()> {
    stream.shutdown().await?;
    buffer.resize(READ_BYTES, 0);
    let discard = async { while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
    timeout(LINGER, discard).await.map_err(io::Error::from)
}

/// Reads the request and answers it; the bytes behind it, if it became a WebSocket.
async fn upgrade(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut request = Vec::new();
    let end = loop {
        if let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if request.len() > REQUEST_BYTES_MAX || stream.read_buf(&mut request).await? == 0 {
            return Ok(None);
        }
    };
    let behind = request.split_off(end);
    let checked = parse(&request)
        .map(|(method, headers)| handshake::check(&headers, &method, Version::HTTP_11));
    let answer = match &checked {
        Some(Ok(upgrade)) => format!(
            "HTTP/1.1 101 Switching Protocols\r\nServer: gavel-echo\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            handshake::accept_key(&upgrade.key)
        ),
        Some(Err(error)) => {
            format!("HTTP/1.1 {}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", error.status())
        }
        None => {
            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_owned()
        }
    };
    stream.write_all(answer.as_bytes()).await?;
    Ok(matches!(checked, Some(Ok(_))).then_some(behind))
}

fn parse(request: &[u8]) -> Option<(Method, HeaderMap)> {
    let mut lines = str::from_utf8(request).ok()?.split("\r\n");
    let method = lines.next()?.strip_suffix(" HTTP/1.1")?.split(' ').next()?;
    let mut headers = HeaderMap::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
    }
    Some((Method::from_bytes(method.as_bytes()).ok()?, headers))
}
