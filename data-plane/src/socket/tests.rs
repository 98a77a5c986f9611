//! How a socket ends.

use super::*;
use futures::FutureExt as _;
use gavel_runtime::net::{self, TcpStream};
use std::{net::Ipv4Addr, pin::pin};

/// A socket and its peer.
async fn pair() -> (Socket, TcpStream) {
    let listener = net::listen((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = net::accept(&listener).await;
    (Socket::new(stream.into()), peer)
}

#[tokio::test]
async fn a_peer_that_goes_on_behind_a_close_is_read_bit_by_bit_until_it_ends() {
    let (socket, mut peer) = pair().await;
    peer.write_all(&[0; 8 * 1024]).await.unwrap();
    socket.stream.readable().await.unwrap();
    let mut lingering = pin!(socket.linger());
    // It gives others their turn, although there is more.
    assert!(lingering.as_mut().now_or_never().is_none());
    let left = socket.stream.try_read(&mut [0; 1024]);
    assert!(left.is_ok_and(|left| left > 0), "all of it was read at once");
    peer.shutdown().await.unwrap();
    lingering.await;
    assert_eq!(socket.stream.try_read(&mut [0]).unwrap(), 0, "all of it was read");
}
