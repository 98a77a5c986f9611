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
    stop: CancellationToken,
    served: JoinHandle<()>,
}

async fn start(header_timeout: Duration) -> Server {
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
    let served = serve(listener, router, Tls::default(), header_timeout, stop.clone());
    Server { addr, slow, stop, served: tasks::spawn("test.http", served) }
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
