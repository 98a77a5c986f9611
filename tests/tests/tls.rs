//! A node's doors with TLS: sockets inside of it, and a relay that knows who attaches.

#![expect(clippy::unwrap_used, reason = "clippy knows tests by their attribute alone")]

use futures::{SinkExt as _, StreamExt as _};
use gavel_data_plane::{Config, Node, store};
use gavel_proto::relay::v1::{
    AttachRequest, Hello, attach_request::Kind, relay_service_client::RelayServiceClient,
};
use gavel_runtime::{
    grpc, net, tasks,
    tls::{Names, Tls, TlsConfig},
};
use gavel_testkit::{Authority, Issued, PATIENCE};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Bytes, Message},
};
use tonic::{Code, Status, transport::Channel};

/// Bytes of a ping, which come back.
const PING_BYTES: usize = 125;
/// More than the kernel takes on both ends together.
const PINGS: usize = 200_000;

fn shows(authority: &Authority, issued: &Issued) -> TlsConfig {
    TlsConfig {
        cert_file: issued.cert_file.clone(),
        key_file: issued.key_file.clone(),
        ca_file: authority.ca_file(),
        client_ca_file: authority.ca_file(),
        ..TlsConfig::default()
    }
}

fn issued(authority: &Authority, id: &str) -> Issued {
    authority.issue(id, &[&Names::uri_of_node(id)])
}

/// A node without a control plane.
async fn start(tls: TlsConfig, secure: bool) -> Node {
    let mut config = Config::default();
    "node-1".clone_into(&mut config.node.id);
    config.http.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.relay.listen = config.http.listen;
    let scheme = if secure { "https" } else { "http" };
    config.control.endpoint = format!("{scheme}://127.0.0.1:1");
    config.tls = tls;
    Node::start(config, store::open(None).unwrap()).await.unwrap()
}

async fn attach(channel: Channel, id: &str) -> Result<(), Status> {
    let hello = Some(Kind::Hello(Hello { node_id: id.to_owned() }));
    let hello = futures::stream::iter([AttachRequest { kind: hello }]);
    RelayServiceClient::new(channel).attach(hello).await.map(drop)
}

#[tokio::test]
async fn a_relay_is_for_nodes_that_are_whom_they_say() {
    let authority = Authority::new();
    let node = start(shows(&authority, &issued(&authority, "node-1")), true).await;
    let url = format!("https://{}", node.relay_addr());
    let as_who = |tls: TlsConfig, owner: &str| {
        let tls = Tls::open(&tls).unwrap();
        grpc::channel_to_node(&url, &tls, owner).unwrap()
    };
    let second = shows(&authority, &issued(&authority, "node-2"));
    attach(as_who(second.clone(), "node-1"), "node-2").await.unwrap();
    let refused = attach(as_who(second.clone(), "node-1"), "node-3").await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    // Nor does an edge speak to another than the owner.
    let refused = attach(as_who(second, "node-9"), "node-2").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");

    let strangers = Authority::new();
    let mut strange = shows(&authority, &issued(&strangers, "node-2"));
    assert!(attach(as_who(strange.clone(), "node-1"), "node-2").await.is_err());
    (strange.cert_file, strange.key_file) = (String::new(), String::new());
    assert!(attach(as_who(strange, "node-1"), "node-2").await.is_err());
    node.stop().await;
}

/// Sends more than the node can answer while nobody reads, then reads it all.
#[tokio::test]
async fn a_socket_that_is_not_read_waits_inside_of_tls_and_loses_nothing() {
    let authority = Authority::new();
    let browsers = authority.issue("web", &[]);
    let tls = TlsConfig {
        http_cert_file: browsers.cert_file.clone(),
        http_key_file: browsers.key_file.clone(),
        ..TlsConfig::default()
    };
    let node = start(tls, false).await;
    let trust = TlsConfig { ca_file: authority.ca_file(), ..TlsConfig::default() };
    let trust = Tls::open(&trust).unwrap();
    let port = Some(node.http_addr().port());
    let stream = net::reach_web("localhost", port, true, &trust).await.unwrap();
    let (socket, _) = client_async("wss://localhost/ws", stream).await.unwrap();
    let (mut up, mut down) = socket.split();
    let (stalled, mut stall) = tokio::sync::watch::channel(false);
    let sending = tasks::spawn("test.pings", async move {
        for n in 0..PINGS {
            let mut payload = vec![0; PING_BYTES];
            payload[..8].copy_from_slice(&n.to_le_bytes());
            let ping = up.feed(Message::Ping(Bytes::from(payload)));
            let mut ping = std::pin::pin!(ping);
            if tokio::time::timeout(Duration::from_millis(500), ping.as_mut()).await.is_err() {
                stalled.send_replace(true);
                ping.await.unwrap();
            } else {
                continue;
            }
        }
        up.flush().await.unwrap();
    });
    tokio::time::timeout(PATIENCE * 6, stall.wait_for(|stalled| *stalled))
        .await
        .expect("the node stops reading")
        .unwrap();
    let mut answered = 0;
    while answered < PINGS {
        let next = tokio::time::timeout(PATIENCE, down.next()).await.expect("an answer");
        match next.expect("the socket stays").unwrap() {
            Message::Pong(payload) => {
                let number = usize::from_le_bytes(payload[..8].try_into().unwrap());
                assert_eq!((number, payload.len()), (answered, PING_BYTES));
                answered += 1;
            }
            Message::Text(_) => {}
            Message::Binary(_) | Message::Ping(_) | Message::Close(_) | Message::Frame(_) => {
                panic!("after {answered} answers")
            }
        }
    }
    sending.await.unwrap();
    node.stop().await;
}
