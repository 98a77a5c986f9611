//! The loop over real sockets.

use super::*;
use crate::net;
use axum::{Extension, routing::get};
use gavel_testkit::PATIENCE;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Semaphore,
    task::JoinHandle,
};

/// A server; `/slow` answers once there is a permit.
struct Server {
    addr: SocketAddr,
    slow: Arc<Semaphore>,
    close: watch::Sender<bool>,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

async fn start(header_timeout: Duration) -> Server {
    start_behind("", header_timeout).await
}

/// One whose proxies introduce their connections.
async fn start_behind(proxies: &str, header_timeout: Duration) -> Server {
    let slow = Arc::new(Semaphore::new(0));
    let permits = Arc::clone(&slow);
    let router = Router::new()
        .route("/peer", get(async |Extension(Peer(peer)): Extension<Peer>| peer.to_string()))
        .route(
            "/slow",
            get(async move || {
                permits.acquire().await.unwrap().forget();
                "done"
            }),
        );
    let listener = net::listen((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let (addr, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let (close, closed) = watch::channel(false);
    let proxied = proxies.parse().unwrap();
    let (tls, per_second_max) = (Tls::default(), 1_000);
    let door = Door { tls, per_second_max, header_timeout, proxied, closed };
    let served = serve(listener, router, door, stop.clone());
    Server { addr, slow, close, stop, served: tasks::spawn("test.http", served) }
}

async fn say(addr: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // The server may cut before it has read all.
    drop(stream.write_all(text.as_bytes()).await);
    stream
}

/// All that comes until the server ends the connection.
async fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // A reset is an end as well.
    drop(read.expect("the server ends it"));
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn half_a_head_is_cut_and_a_large_one_refused_while_others_are_served() {
    let server = start(Duration::from_millis(200)).await;
    let half = say(server.addr, "GET /peer HTTP/1.1\r\nHost: x\r\nHalf: a hea").await;
    let never = say(server.addr, "").await;
    let many = "X: y\r\n".repeat(HEADERS_MAX);
    let long = format!("X: {}\r\n", "y".repeat(2 * HEAD_BYTES_MAX));
    for headers in [many, long] {
        let head = format!("GET /peer HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let refused = answer(say(server.addr, &head).await).await;
        assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");
    }
    let good = "GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let served = answer(say(server.addr, good).await).await;
    assert!(served.starts_with("HTTP/1.1 200 ") && served.ends_with("\r\n\r\n127.0.0.1"));
    for cut in [half, never] {
        let said = answer(cut).await;
        assert!(!said.contains(" 200 "), "{said}");
    }
    server.stop.cancel();
    server.served.await.unwrap();
}

#[tokio::test]
async fn a_stop_waits_for_what_is_under_way_and_for_nothing_else() {
    let server = start(PATIENCE * 2).await;
    let mut idle = say(server.addr, "GET /peer HTTP/1.1\r\nHost: x\r\n\r\n").await;
    // Its answer is read, and the connection kept.
    let mut read = Vec::new();
    while !read.ends_with(b"127.0.0.1") {
        read.push(idle.read_u8().await.unwrap());
    }
    // Browsers open connections ahead of any request.
    let ahead = say(server.addr, "").await;
    let slow = say(server.addr, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    // A request that came later was answered, so the slow one is there.
    let after = "GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    answer(say(server.addr, after).await).await;
    server.stop.cancel();
    assert_eq!((answer(idle).await, answer(ahead).await), (String::new(), String::new()));
    assert!(!server.served.is_finished(), "a request is under way");
    server.slow.add_permits(1);
    assert!(answer(slow).await.ends_with("done"));
    tokio::time::timeout(PATIENCE, server.served).await.expect("it stops").unwrap();
    assert!(TcpStream::connect(server.addr).await.is_err(), "nobody listens");
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of the PROXY protocol: version and command, family and protocol, and the rest.
fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

/// Addresses as a header has them: source, destination, both ports, extensions.
fn from_ipv4(source: [u8; 4], extensions: &[u8]) -> Vec<u8> {
    [&source[..], &[10, 0, 0, 1, 0x12, 0x34, 0, 80], extensions].concat()
}

fn from_ipv6(source: &str) -> Vec<u8> {
    let source: std::net::Ipv6Addr = source.parse().unwrap();
    [source.octets(), [0; 16]].concat().into_iter().chain([0, 1, 0, 80]).collect()
}

#[tokio::test]
async fn a_proxy_says_for_whom_it_connects() {
    let server = start_behind("127.0.0.0/8", PATIENCE).await;
    let unix = [0; 216];
    let name = [0x02, 0, 3, b'a', b'.', b'b', 0x04, 0, 0];
    let large = [&[0x04, 0x0f, 0][..], &[0; 0x0f00]].concat();
    for (header, peer) in [
        (header(0x21, 0x11, &from_ipv4([192, 0, 2, 1], &[])), "192.0.2.1"),
        (header(0x21, 0x11, &from_ipv4([192, 0, 2, 1], &name)), "192.0.2.1"),
        (header(0x21, 0x11, &from_ipv4([192, 0, 2, 1], &large)), "192.0.2.1"),
        (header(0x21, 0x21, &from_ipv6("2001:db8::1")), "2001:db8::1"),
        (header(0x21, 0x21, &from_ipv6("::ffff:192.0.2.1")), "192.0.2.1"),
        // The proxy itself, and what has no address.
        (header(0x20, 0x00, &[]), "127.0.0.1"),
        (header(0x20, 0x11, &from_ipv4([192, 0, 2, 1], &[])), "127.0.0.1"),
        (header(0x21, 0x00, &[]), "127.0.0.1"),
        (header(0x21, 0x00, b"anything"), "127.0.0.1"),
        (header(0x21, 0x31, &unix), "127.0.0.1"),
    ] {
        let request = b"GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        // In pieces, as a network may deliver it.
        for piece in header.chunks(7) {
            stream.write_all(piece).await.unwrap();
        }
        stream.write_all(request).await.unwrap();
        let said = answer(stream).await;
        assert!(said.ends_with(&format!("\r\n\r\n{peer}")), "{header:?}: {said}");
    }
    server.stop.cancel();
    server.served.await.unwrap();
}

#[tokio::test]
async fn a_proxy_that_does_not_say_for_whom_is_cut_and_a_stranger_not_asked() {
    let server = start_behind("127.0.0.1", Duration::from_millis(300)).await;
    let good = from_ipv4([192, 0, 2, 1], &[]);
    let whole = header(0x21, 0x11, &good);
    let request = b"GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for bad in [
        vec![],
        request.to_vec(),
        b"PROXY TCP4 192.0.2.1 10.0.0.1 1 80\r\n".to_vec(),
        whole.get(..12).unwrap().to_vec(),
        whole.get(..15).unwrap().to_vec(),
        whole.get(..27).unwrap().to_vec(),
        header(0x11, 0x11, &good),
        header(0x22, 0x11, &good),
        header(0x21, 0x41, &good),
        header(0x21, 0x13, &good),
        header(0x21, 0x12, &good),
        header(0x21, 0x11, good.get(..11).unwrap()),
        header(0x21, 0x21, &good),
        header(0x21, 0x11, &from_ipv4([192, 0, 2, 1], &[0x04, 0])),
        header(0x21, 0x11, &from_ipv4([192, 0, 2, 1], &[0x04, 0, 9, 1])),
        header(0x21, 0x11, &[0; 5_000]),
        [&b"\r\n\r\n\0\r\nQUIT\r"[..], &[0x21, 0x11, 0, 12], &good].concat(),
    ] {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(&bad).await.unwrap();
        if bad.len() == 16 + 12 || bad.len() > 5_000 {
            drop(stream.write_all(request).await);
        }
        assert_eq!(answer(stream).await, "", "{bad:?}");
    }
    server.stop.cancel();
    server.served.await.unwrap();
    // Whoever is none of our proxies speaks HTTP from the first byte.
    let server = start_behind("192.0.2.0/24", PATIENCE).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(&[&whole[..], request].concat()).await.unwrap();
    let refused = answer(stream).await;
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    assert!(answer(stream).await.ends_with("127.0.0.1"));
    server.stop.cancel();
    server.served.await.unwrap();
}

#[tokio::test]
async fn while_the_door_is_closed_connections_wait_outside() {
    let server = start(PATIENCE).await;
    let good = "GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let slow = say(server.addr, "GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer(say(server.addr, good).await).await.starts_with("HTTP/1.1 200 "));
    server.close.send_replace(true);
    let outside = say(server.addr, good).await;
    // Who is in is served, for as long as it takes; nothing came out of the door meanwhile.
    server.slow.add_permits(1);
    assert!(answer(slow).await.ends_with("done"));
    let mut nothing = [0];
    assert!(outside.try_read(&mut nothing).is_err(), "it has no answer yet");
    server.close.send_replace(false);
    assert!(answer(outside).await.starts_with("HTTP/1.1 200 "));
    // Nobody is left who could close it.
    drop(server.close);
    assert!(answer(say(server.addr, good).await).await.starts_with("HTTP/1.1 200 "));
    server.stop.cancel();
    server.served.await.unwrap();
}
