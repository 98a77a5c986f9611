//! What a client must not send, and what comes of it.

use gavel_tests::{Client, Options, Protocol, World, http, raw::RawSocket, token, world::rules};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::{self, Message};

#[tokio::test]
async fn bad_messages_are_answered_by_name_and_cost_nothing() {
    let world = World::start().await;
    world.room("1", rules()).await;
    let mut client = Client::connect(world.first(), Protocol::V1).await;
    let long = "a".repeat(65);
    let rows = [
        (json!({"type": "dance"}), "unknown_type"),
        (json!({"type": 7}), "bad_field"),
        (json!({"type": null}), "bad_field"),
        (json!({}), "bad_field"),
        (json!({"type": "joinAuction"}), "bad_field"),
        (json!({"type": "joinAuction", "auctionId": true}), "bad_field"),
        (json!({"type": "joinAuction", "auctionId": ["1"]}), "bad_field"),
        (json!({"type": "joinAuction", "auctionId": {"id": 1}}), "bad_field"),
        (json!({"type": "joinAuction", "auctionId": 1.5}), "bad_field"),
        (json!({"type": "joinAuction", "auctionId": ""}), "bad_id"),
        (json!({"type": "joinAuction", "auctionId": "a b"}), "bad_id"),
        (json!({"type": "joinAuction", "auctionId": "a:b"}), "bad_id"),
        (json!({"type": "joinAuction", "auctionId": "{1}"}), "bad_id"),
        (json!({"type": "joinAuction", "auctionId": "1\r\n2"}), "bad_id"),
        (json!({"type": "joinAuction", "auctionId": "1\u{0}"}), "bad_id"),
        (json!({"type": "joinAuction", "auctionId": "../1"}), "bad_id"),
        (json!({"type": "joinAuction", "auctionId": "größe"}), "bad_id"),
        (json!({"type": "joinAuction", "auctionId": long}), "bad_id"),
        (json!({"type": "leaveAuction", "auctionId": "*"}), "bad_id"),
        (json!({"type": "bid", "auctionId": "*", "amount": 100}), "bad_id"),
        (json!({"type": "bid", "auctionId": "1", "amount": 100, "bidId": "a:b"}), "bad_id"),
        (json!({"type": "bid", "auctionId": "1", "amount": 100, "bidId": 5}), "bad_field"),
        (json!({"type": "bid", "auctionId": "1", "amount": 100, "tp": 5}), "bad_field"),
        (json!({"type": "bid", "auctionId": "1", "amount": 1, "maxAmount": 9}), "unsupported"),
        (json!({"type": "ping", "t": {}}), "bad_field"),
        (json!({"type": "auth"}), "bad_field"),
        (json!({"type": "auth", "token": "nonsense"}), "unauthenticated"),
    ];
    for (message, code) in rows {
        assert_eq!(client.error_of(Message::text(message.to_string())).await, code, "{message}");
    }
    client.join("1").await;
    world.stop().await;
}

#[tokio::test]
async fn amounts_are_read_without_a_float() {
    let world = World::start().await;
    let room = world.room("1", rules()).await;
    let both = [
        "-5",
        "-0",
        "\"-5\"",
        "1e308",
        "1e3",
        "\"1e3\"",
        "\"NaN\"",
        "\"Infinity\"",
        "\"\"",
        "\" 5\"",
        "\"5 \"",
        "\"0x10\"",
        "\"5,00\"",
        "\"1.2.3\"",
        "null",
        "true",
        "[]",
        "{}",
        "18446744073709551616",
        "9007199254740993",
        "\"18446744073709551616\"",
        "\"٣\"",
    ];
    let rows = [
        (Protocol::V1, &["1.005", "\"1.005\"", "100.5", "\".5\"", "\"5.\""][..]),
        (Protocol::Seed, &["92233720368547758.08", "\".5\"", "\"5.\""]),
    ];
    for (protocol, own) in rows {
        let mut client = Client::connect(room.edge, protocol).await;
        for amount in both.iter().chain(own) {
            let bid = format!(r#"{{"type":"bid","auctionId":"1","amount":{amount}}}"#);
            assert_eq!(client.error_of(Message::text(bid)).await, "bad_amount", "{amount}");
        }
    }
    let mut client = Client::connect(room.edge, Protocol::V1).await;
    let bid = r#"{"type":"bid","auctionId":"1","amount":NaN}"#;
    assert_eq!(client.error_of(Message::text(bid)).await, "bad_json");
    client.join("1").await;
    assert_eq!(client.rejected("1", 0, "zero").await, "invalid_amount");
    let view = world.inspect("1").await.unwrap().view.unwrap();
    assert_eq!(view.bid_count, 0);
    world.stop().await;
}

#[tokio::test]
async fn the_fifth_bad_json_closes_the_socket() {
    let world = World::start().await;
    let mut client = Client::connect(world.first(), Protocol::V1).await;
    for text in ["", "{", "[]", "null", r#"{"type":"ping","type":"ping"}"#] {
        assert_eq!(client.error_of(Message::text(text)).await, "bad_json", "{text}");
    }
    assert_eq!(client.close_code().await.0, 1007);
    http::until_released(world.first()).await;
    world.stop().await;
}

#[tokio::test]
async fn what_the_dialect_does_not_hold_closes_the_socket() {
    let world = World::start().await;
    for (message, code) in
        [(Message::text("x".repeat(16_385)), 1009), (Message::binary(vec![0; 16]), 1003)]
    {
        let mut client = Client::connect(world.first(), Protocol::V1).await;
        client.send_raw(message).await;
        assert_eq!(client.close_code().await.0, code);
    }
    // A message of just the size is read.
    let mut client = Client::connect(world.first(), Protocol::V1).await;
    let ping = format!(r#"{{"type":"ping","x":"{}"}}"#, "y".repeat(16_362));
    assert_eq!(ping.len(), 16_384);
    client.send_raw(Message::text(ping)).await;
    client.expect("pong", |m| m["type"] == "pong").await;
    client.close().await;
    http::until_released(world.first()).await;
    world.stop().await;
}

#[tokio::test]
async fn broken_frames_close_the_socket() {
    let world = World::start().await;
    for (frame, code) in [
        // Not masked.
        (&[0x81, 0x02, b'h', b'i'][..], 1002),
        // A reserved bit.
        (&[0xc1, 0x80, 0, 0, 0, 0], 1002),
        // A reserved opcode.
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),
        // A ping in parts.
        (&[0x09, 0x80, 0, 0, 0, 0], 1002),
        // A continuation of nothing.
        (&[0x80, 0x80, 0, 0, 0, 0], 1002),
        // No UTF-8.
        (&[0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], 1007),
        // 2^63 bytes announced, refused before any of them comes.
        (&[0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], 1009),
    ] {
        let mut socket = RawSocket::open(world.first()).await;
        socket.send(frame).await;
        assert_eq!(socket.read_to_end().await, Some(code), "{frame:x?}");
    }
    http::until_released(world.first()).await;
    world.stop().await;
}

#[tokio::test]
async fn half_a_request_head_is_cut() {
    let options = Options { header_timeout_ms: 300, nodes: 1, ..Options::default() };
    let world = World::with(options).await;
    let started = gavel_runtime::clock::monotonic();
    let mut slow = TcpStream::connect(world.first()).await.unwrap();
    slow.write_all(b"GET /ws HTTP/1.1\r\nHost: te").await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(gavel_tests::PATIENCE, slow.read_to_end(&mut answer));
    // A reset is an end as well.
    drop(read.await.expect("the node cuts it"));
    assert!(started.elapsed().as_millis() >= 250, "it had its time");
    // Others are served meanwhile and after.
    Client::connect(world.first(), Protocol::V1).await.close().await;
    world.stop().await;
}

#[tokio::test]
async fn a_token_without_a_dialect_is_refused_with_a_word_on_why() {
    let world = World::start().await;
    let bearer = format!("bearer.{}", token::bidder("ada"));
    for offered in [&[bearer.as_str()][..], &["chat"], &["bearer.nonsense", "gavel.v2.json"]] {
        let opened = Client::try_offering(world.first(), offered).await;
        let Err(tungstenite::Error::Http(refused)) = opened else { panic!("{offered:?}: let in") };
        assert_eq!(refused.status(), 400, "{offered:?}");
        let body = String::from_utf8(refused.into_body().unwrap_or_default()).unwrap();
        assert!(body.contains("must offer gavel.v1.json"), "{body}");
    }
    assert!(Client::try_offering(world.first(), &["chat", "gavel.v1.json", &bearer]).await.is_ok());
    world.stop().await;
}

#[tokio::test]
async fn a_bad_handshake_is_refused() {
    let world = World::start().await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let rows = [
        ("GET", format!("Upgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n"), 426),
        ("GET", format!("Sec-WebSocket-Version: 13\r\n{key}\r\n"), 0),
        ("GET", "X: ".to_owned() + &"y".repeat(64 * 1_024) + "\r\n", 431),
        ("GET", "X: y\r\n".repeat(200), 431),
        ("POST", String::new(), 405),
    ];
    for (method, headers, expected) in rows {
        let mut stream = TcpStream::connect(world.first()).await.unwrap();
        let head =
            format!("{method} /ws HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{headers}\r\n");
        // The node may cut before it has read all.
        drop(stream.write_all(head.as_bytes()).await);
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        let status: u16 = std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap();
        let fine = if expected == 0 { (400..500).contains(&status) } else { status == expected };
        assert!(fine, "{status} for {}", head.get(..80).unwrap_or(&head));
    }
    world.stop().await;
}
