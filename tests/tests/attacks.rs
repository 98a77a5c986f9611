//! What would cost a process much if it let itself in for it.

use gavel_runtime::{grpc, tls::Tls};
use gavel_tests::{Client, Protocol, World, http, raw::RawSocket, token, until, world::rules};
use serde_json::json;
use std::{collections::BTreeSet, future::poll_fn, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{Service as _, http as wire},
};

/// Every series of a page, without its value.
fn series(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').expect("a value").0.to_owned()).collect()
}

#[tokio::test]
async fn names_of_rooms_users_and_bids_make_no_series() {
    let world = World::start().await;
    let node = world.first();
    let room = world.room("1", rules()).await;
    let before = series(&world.metrics(node).await);
    assert!(before.len() > 100, "{before:?}");
    for n in 0..50 {
        world.create(&format!("room-{n}"), rules()).await.expect("a room");
        let bidder = token::bidder(&format!("user-{n}"));
        let mut client = Client::with_token(node, Protocol::V1, &bidder).await;
        client.accepted(&room.id, (n + 1) * 100, &format!("bid-{n}")).await;
        for m in 0..20 {
            client
                .send(&json!({"type": "joinAuction", "auctionId": format!("none-{n}-{m}")}))
                .await;
        }
        client.expect("a refusal", |m| m["code"] == "unknown_room").await;
        client.close().await;
    }
    let after = world.metrics(node).await;
    assert_eq!(series(&after), before);
    assert!(!after.contains("user-") && !after.contains("none-") && !after.contains("bid-"));
    http::until_released(node).await;
    world.stop().await;
}

#[tokio::test]
async fn who_never_reads_is_given_up_before_a_heartbeat_would_end_it() {
    let world = World::start().await;
    let room = world.room("vase", rules()).await;
    let mut bidders = Vec::new();
    for user in ["ann", "bob"] {
        bidders.push(Client::with_token(room.owner, Protocol::V1, &token::bidder(user)).await);
    }
    let mut stuck = RawSocket::open(room.owner).await;
    stuck.send_text(r#"{"type":"joinAuction","auctionId":"vase"}"#).await;
    // Its own answers fill the buffers of both kernels, and then nobody reads what it says.
    let ping = format!(r#"{{"type":"ping","t":"{}"}}"#, "t".repeat(60));
    let filling = async {
        loop {
            stuck.send_text(&ping).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(2), filling).await.is_err());
    let mut amount = 0;
    let given_up = "gavel_slow_consumers_total 1";
    until("the socket to be given up", async || {
        for _ in 0..20 {
            for bidder in &mut bidders {
                amount += 100;
                let bid = json!({"type": "bid", "auctionId": "vase", "amount": amount});
                bidder.send(&bid).await;
            }
        }
        for bidder in &mut bidders {
            bidder.drain().await;
        }
        world.metrics(room.owner).await.contains(given_up).then_some(())
    })
    .await;
    http::until_sockets(room.owner, 2).await;
    drop(stuck);
    world.stop().await;
}

#[tokio::test]
async fn nothing_compressed_is_unpacked_on_a_socket() {
    let world = World::start().await;
    let node = world.first();
    let mut stream = TcpStream::connect(node).await.unwrap();
    let head = "GET /ws HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert!(!answer.contains("sec-websocket-extensions"), "{answer}");
    drop(stream);

    // A block of DEFLATE that stands for 258 times as many bytes as it has, as RFC 7692 frames it.
    let bomb = [0xc1, 0x88, 0, 0, 0, 0, 0xed, 0xc1, 0x01, 0x01, 0x00, 0x00, 0x00, 0x80];
    let mut socket = RawSocket::open(node).await;
    socket.send(&bomb).await;
    assert_eq!(socket.read_to_end().await, Some(1002));
    http::until_released(node).await;
    world.stop().await;
}

#[tokio::test]
async fn nothing_compressed_is_unpacked_at_a_port_of_grpc() {
    let world = World::start().await;
    let endpoint = world.endpoint();
    let mut channel = grpc::channel(&endpoint, &Tls::default()).unwrap();
    // The flag in front of a message says that it is compressed.
    let message = "\u{1}\0\0\0\u{4}bomb";
    for (encoding, code) in [
        (Some("gzip"), Code::Unimplemented),
        (Some("deflate"), Code::Unimplemented),
        (Some("zstd"), Code::Unimplemented),
        (Some("identity"), Code::Internal),
        (None, Code::Internal),
    ] {
        let request =
            wire::Request::post(format!("{endpoint}/gavel.admin.v1.RoomService/ListRooms"));
        let request = request.header("content-type", "application/grpc").header("te", "trailers");
        let request = match encoding {
            Some(encoding) => request.header("grpc-encoding", encoding),
            None => request,
        };
        let request = request.body(Body::new(message.to_owned())).unwrap();
        poll_fn(|context| channel.poll_ready(context)).await.unwrap();
        let answer = channel.call(request).await.unwrap();
        let status = Status::from_header_map(answer.headers()).expect("a status");
        assert_eq!(status.code(), code, "{encoding:?}: {status}");
    }
    world.list_nodes().await.expect("others are answered");
    world.stop().await;
}
