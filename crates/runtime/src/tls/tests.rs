//! Real connections over loopback, with certificates of the test's own.

use super::*;
use crate::{grpc, http, net, proxies::Proxies};
use axum::{Router, routing::get};
use futures::StreamExt as _;
use gavel_testkit::{Authority, Issued, PATIENCE};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    sync::watch,
};

/// Settings of a process that others call, and that calls others.
fn config(authority: &Authority, issued: &Issued) -> TlsConfig {
    TlsConfig {
        cert_file: issued.cert_file.clone(),
        key_file: issued.key_file.clone(),
        ca_file: authority.ca_file(),
        client_ca_file: authority.ca_file(),
        ..TlsConfig::default()
    }
}

async fn listener() -> (net::TcpListener, SocketAddr) {
    let listener = net::listen((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Both ends of a connection; the near one came in.
async fn meet(near: &Tls, far: &Tls, door: Door) -> (io::Result<Stream>, io::Result<Stream>) {
    let (listener, addr) = listener().await;
    let accepting = async {
        let (stream, _) = listener.accept().await.unwrap();
        near.accept(door, stream).await
    };
    let calling = async {
        let stream = TcpStream::connect(addr).await.unwrap();
        far.connect("127.0.0.1", stream).await
    };
    tokio::join!(accepting, calling)
}

fn node(authority: &Authority, id: &str) -> Tls {
    let issued = authority.issue(id, &[&Names::uri_of_node(id)]);
    Tls::open(&config(authority, &issued)).unwrap()
}

#[tokio::test]
async fn bytes_and_names_go_both_ways() {
    let authority = Authority::new();
    let (a, b) = (node(&authority, "a"), node(&authority, "b"));
    let (near, far) = meet(&a, &b, Door::Nodes).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    assert!(near.names().unwrap().is_node("b") && far.names().unwrap().is_node("a"));
    let sent: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let writing = async {
        far.write_all(&sent).await.unwrap();
        far.shutdown().await.unwrap();
    };
    let mut read = Vec::new();
    let ((), length) = tokio::join!(writing, near.read_to_end(&mut read));
    assert_eq!(length.unwrap(), sent.len());
    assert!(read == sent, "not one byte differs");
}

#[tokio::test]
async fn what_the_kernel_does_not_take_waits_and_is_told_of() {
    let authority = Authority::new();
    let (a, b) = (node(&authority, "a"), node(&authority, "b"));
    let (near, far) = meet(&a, &b, Door::Nodes).await;
    let (near, mut far) = (near.unwrap(), far.unwrap());
    let chunk = [7; 10_000];
    let mut written = 0;
    let full = loop {
        match near.try_write(&chunk) {
            Ok(taken) => written += taken,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    assert!(near.has_unsent() && near.try_flush().is_err(), "nobody reads");
    let flushing = async {
        while near.has_unsent() {
            near.ready(Interest::WRITABLE).await.unwrap();
            drop(near.try_flush());
        }
        near.end_writes();
    };
    let mut read = Vec::new();
    let ((), length) = tokio::join!(flushing, far.read_to_end(&mut read));
    assert_eq!(length.unwrap(), written);

    // The other way: what was decrypted is there without another look at the wire.
    far.write_all(&[9; 100]).await.unwrap();
    far.flush().await.unwrap();
    let mut one = [0];
    for _ in 0..100 {
        let read = tokio::time::timeout(PATIENCE, async {
            loop {
                near.readable().await.unwrap();
                match near.try_read(&mut one) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    read => break read.unwrap(),
                }
            }
        });
        assert_eq!((read.await.unwrap(), one), (1, [9]));
    }
}

#[tokio::test]
async fn servers_of_others_are_believed_by_the_authority_that_is_named() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let near = node(&authority, "near");
    let others = |ca_file: &str| Tls::of_others("some.ca_file", ca_file);
    let far = others(&authority.ca_file()).unwrap();
    assert!(meet(&near, &far, Door::Operators).await.1.is_ok());
    let far = others(&stranger.ca_file()).unwrap();
    assert!(meet(&near, &far, Door::Operators).await.1.is_err());
    // No machine believes an authority of a test, and one may believe nobody.
    match others("") {
        Ok(far) => assert!(meet(&near, &far, Door::Operators).await.1.is_err()),
        Err(error) => assert_eq!(error.key, "some.ca_file"),
    }
    assert_eq!(others("/nowhere/ca.pem").unwrap_err().key, "some.ca_file");
}

#[tokio::test]
async fn nodes_come_in_with_a_certificate_that_is_good() {
    let (authority, strangers) = (Authority::new(), Authority::new());
    let near = node(&authority, "near");
    let uri = Names::uri_of_node("far");
    let mut bare = config(&authority, &authority.issue("far", &[&uri]));
    let good = Tls::open(&bare).unwrap();
    assert!(meet(&near, &good, Door::Nodes).await.0.is_ok());

    (bare.cert_file, bare.key_file) = (String::new(), String::new());
    let nobody = Tls::open(&bare).unwrap();
    let refused = |outcome: (io::Result<Stream>, _)| outcome.0.unwrap_err().to_string();
    let why = refused(meet(&near, &nobody, Door::Nodes).await);
    assert!(why.contains("no certificates"), "{why}");
    let (accepted, _) = meet(&near, &nobody, Door::Operators).await;
    assert_eq!(accepted.unwrap().names(), None, "operators may have a token instead");

    let mut strange = config(&authority, &strangers.issue("far", &[&uri]));
    let why = refused(meet(&near, &Tls::open(&strange).unwrap(), Door::Operators).await);
    assert!(why.contains("UnknownIssuer"), "{why}");
    let expired = authority.issue_expired("old", &[&uri]);
    (strange.cert_file, strange.key_file) = (expired.cert_file, expired.key_file);
    let why = refused(meet(&near, &Tls::open(&strange).unwrap(), Door::Operators).await);
    assert!(why.contains("expired"), "{why}");

    // Who calls does not believe everybody either.
    let (_, called) = meet(&node(&strangers, "near"), &good, Door::Nodes).await;
    assert!(called.unwrap_err().to_string().contains("UnknownIssuer"));
}

#[tokio::test]
async fn new_files_are_for_new_connections_and_bad_ones_for_nobody() {
    let authority = Authority::new();
    let (near, far) = (node(&authority, "near"), node(&authority, "far"));
    let (first, called) = meet(&near, &far, Door::Nodes).await;
    let (mut first, mut called) = (first.unwrap(), called.unwrap());

    let Issued { cert_file, key_file } = authority.issue("near", &["gavel:node:near2"]);
    let named = async |name: &str| {
        near.refresh();
        let (_, far) = meet(&near, &far, Door::Nodes).await;
        far.unwrap().names().unwrap().is_node(name)
    };
    assert!(named("near2").await);
    let good_key = std::fs::read(&key_file).unwrap();
    // A certificate whose key has not come yet, and no certificate at all.
    let other = authority.issue("other", &["gavel:node:near3"]);
    std::fs::copy(&other.cert_file, &cert_file).unwrap();
    assert!(named("near2").await, "the old pair stays");
    std::fs::write(&key_file, "").unwrap();
    assert!(named("near2").await);
    std::fs::write(&cert_file, "").unwrap();
    assert!(named("near2").await, "nothing is plain because both are empty");
    std::fs::copy(&other.cert_file, &cert_file).unwrap();
    let ca = std::fs::read(authority.ca_file()).unwrap();
    std::fs::write(authority.ca_file(), "").unwrap();
    assert!(named("near2").await, "nor does everybody come in");
    std::fs::write(authority.ca_file(), ca).unwrap();
    std::fs::remove_file(&key_file).unwrap();
    assert!(named("near2").await);
    std::fs::copy(&other.key_file, &key_file).unwrap();
    assert!(named("near3").await, "and in the end both are there");
    assert_ne!(std::fs::read(&key_file).unwrap(), good_key);

    called.write_all(b"still here").await.unwrap();
    called.flush().await.unwrap();
    let mut text = [0; 10];
    first.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"still here");
}

#[tokio::test]
async fn who_says_nothing_holds_nobody_up() {
    let authority = Authority::new();
    let (near, far) = (node(&authority, "near"), node(&authority, "far"));
    let (listener, addr) = listener().await;
    let mut incoming = std::pin::pin!(grpc::incoming(listener, &near, Door::Nodes));
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(addr).await.unwrap());
    }
    let calling = async {
        let stream = TcpStream::connect(addr).await.unwrap();
        far.connect("127.0.0.1", stream).await.unwrap()
    };
    let both = async { tokio::join!(incoming.next(), calling) };
    let (served, _called) = tokio::time::timeout(PATIENCE, both).await.expect("a handshake");
    served.unwrap().unwrap();
    // And is let go after a while.
    let mut first = silent.swap_remove(0);
    let end = tokio::time::timeout(PATIENCE, first.read_u8()).await.expect("an end");
    assert!(end.is_err());
}

#[tokio::test]
async fn http_is_inside_where_a_certificate_is_set_and_nowhere_else() {
    let authority = Authority::new();
    let tls = node(&authority, "web");
    let (listener, addr) = listener().await;
    let router = Router::new().route("/", get(async || "inside"));
    let stop = CancellationToken::new();
    let (proxied, closed) = (Proxies::default(), watch::channel(false).1);
    let (per_second_max, header_timeout) = (1_000, PATIENCE);
    let door = http::Door { tls: tls.clone(), per_second_max, header_timeout, proxied, closed };
    let served = http::serve(listener, router, door, stop.clone());
    let served = crate::tasks::spawn("test.http", served);
    let ask = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(addr).await.unwrap();
    drop(stream.write_all(ask.as_bytes()).await);
    let mut plain = Vec::new();
    drop(stream.read_to_end(&mut plain).await);
    assert!(!String::from_utf8_lossy(&plain).contains("inside"), "{plain:?}");

    let stream = TcpStream::connect(addr).await.unwrap();
    let mut stream = tls.connect_to_web("localhost", stream).await.unwrap();
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("inside"), "{answer}");
    // Its certificate is not for every host.
    let stream = TcpStream::connect(addr).await.unwrap();
    assert!(tls.connect_to_web("example.org", stream).await.is_err());
    stop.cancel();
    served.await.unwrap();
}

#[test]
fn settings_that_do_not_go_together_are_refused_by_name() {
    type Change = fn(&mut TlsConfig);
    let with = |change: Change| {
        let mut config = TlsConfig::default();
        change(&mut config);
        config.check().err().map(|error| error.key)
    };
    let wrong: [(&str, Change); 7] = [
        ("tls.key_file", |c| c.cert_file = "c".into()),
        ("tls.cert_file", |c| c.key_file = "k".into()),
        ("tls.ca_file", |c| (c.cert_file, c.key_file) = ("c".into(), "k".into())),
        ("tls.cert_file", |c| c.ca_file = "a".into()),
        ("tls.cert_file", |c| c.client_ca_file = "a".into()),
        ("tls.http_key_file", |c| c.http_cert_file = "c".into()),
        ("tls.http_cert_file", |c| {
            c.http_plain = true;
            (c.http_cert_file, c.http_key_file) = ("c".into(), "k".into());
        }),
    ];
    for (key, change) in wrong {
        assert_eq!(with(change).as_deref(), Some(key));
    }
    assert_eq!(with(|_| {}), None);
    let http = |c: &mut TlsConfig| (c.http_cert_file, c.http_key_file) = ("c".into(), "k".into());
    assert_eq!(with(http), None);
    let plain = TlsConfig::default();
    assert!(plain.check_urls("k", "http://a:1,http://b:1").is_ok());
    assert_eq!(plain.check_urls("k", "http://a:1, https://b:1").unwrap_err().key, "k");
    let missing = TlsConfig { http_cert_file: "/nowhere".into(), ..TlsConfig::default() };
    assert_eq!(Tls::open(&missing).unwrap_err().key, "tls.http_cert_file");
}

#[test]
fn names_are_read_as_they_are_written() {
    let operator = Names::uri_of_operator(Role::Viewer, "eve");
    let uris = [
        "gavel:node:n1",
        &operator,
        "gavel:operator:root:bob",
        "gavel:operator:admin:a b",
        "https://x",
        "gavel:node:n2",
    ];
    let names: Names = uris.into_iter().collect();
    assert!(
        names.is_node("n1") && names.is_node("n2") && !names.is_node("n") && !names.is_node("")
    );
    assert_eq!(names.operator(), Some((Role::Viewer, "eve")), "a role that is none is nobody's");
}
