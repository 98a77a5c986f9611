//! As little as a broadcast over WebSocket can be: each message that comes is
//! written as it is to every socket, one system call each, by one task.

use crate::Outcome;
use gavel_runtime::tasks;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

type Sockets = Arc<Mutex<Vec<Arc<TcpStream>>>>;

/// Accepts for ever. The clients here do not check the answer to their key.
pub(crate) async fn serve(listener: TcpListener) -> Outcome<()> {
    let sockets = Sockets::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        drop(tasks::spawn("bare.socket", pass_on(stream, Arc::clone(&sockets))));
    }
}

async fn pass_on(mut stream: TcpStream, sockets: Sockets) -> Outcome<()> {
    let mut buffer = vec![0; 16 * 1024];
    let mut read = 0;
    while !buffer.get(..read).unwrap_or_default().ends_with(b"\r\n\r\n") {
        read += stream.read(buffer.get_mut(read..).unwrap_or_default()).await?;
    }
    // The switch, and a first frame of no text.
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x00").await?;
    let stream = Arc::new(stream);
    sockets.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&stream));
    loop {
        stream.readable().await?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => broadcast(buffer.get(..read).unwrap_or_default(), &sockets),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends on a masked frame of 126 to 65,535 bytes, whose mask is zero.
fn broadcast(frame: &[u8], sockets: &Sockets) {
    let [opcode, length, high, low, _, _, _, _, text @ ..] = frame else { return };
    let mut out = vec![*opcode, length & 0x7f, *high, *low];
    out.extend_from_slice(text);
    for socket in sockets.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        drop(socket.try_write(&out));
    }
}
