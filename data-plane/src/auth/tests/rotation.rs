//! Keys that change while the node runs, over real connections and files.

use super::*;
use crate::{Config, Node, metrics::Metrics, store};
use axum::{Router, http::StatusCode, response::IntoResponse as _, routing::get};
use futures::{SinkExt as _, StreamExt as _};
use gavel_runtime::{
    clock, http,
    net::{self, TcpListener},
    proxies::Proxies,
    tasks,
    tls::{Tls, TlsConfig},
};
use gavel_testkit::{Authority, until};
use parking_lot::Mutex;
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest as _};

/// What the issuer answers: a status, a place to go instead, and a body.
#[derive(Debug, Clone)]
struct Answer(StatusCode, String, Vec<u8>);

/// An issuer's server.
struct Issuer {
    answer: Arc<Mutex<Answer>>,
    asked: Arc<Mutex<u32>>,
    addr: SocketAddr,
    tasks: tasks::Group,
}

/// A verifier at work.
struct Watcher {
    verifier: Verifier,
    metrics: Metrics,
}

// === impl Answer ===

impl Answer {
    fn of(keys: &[&TokenKey]) -> Self {
        Self(StatusCode::OK, String::new(), key_set(keys).into())
    }
}

// === impl Issuer ===

impl Issuer {
    async fn start(keys: &[&TokenKey]) -> Self {
        let listener = net::listen((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        Self::at(listener, Tls::default(), keys)
    }

    fn at(listener: TcpListener, tls: Tls, keys: &[&TokenKey]) -> Self {
        let answer = Arc::new(Mutex::new(Answer::of(keys)));
        let (asked, tasks) = (Arc::<Mutex<u32>>::default(), tasks::Group::new());
        let addr = listener.local_addr().unwrap();
        let (told, counted) = (Arc::clone(&answer), Arc::clone(&asked));
        let router = Router::new().route(
            "/keys",
            get(move || async move {
                *counted.lock() += 1;
                let Answer(status, location, body) = told.lock().clone();
                (status, [("location", location)], body).into_response()
            }),
        );
        let (proxied, closed) = (Proxies::default(), watch::channel(false).1);
        let (per_second_max, header_timeout) = (1_000, Duration::from_secs(5));
        let door = http::Door { tls, per_second_max, header_timeout, proxied, closed };
        drop(tasks.spawn("test.issuer", http::serve(listener, router, door, tasks.token())));
        Self { answer, asked, addr, tasks }
    }

    fn says(&self, answer: Answer) {
        *self.answer.lock() = answer;
    }

    fn config(&self) -> AuthConfig {
        AuthConfig { keys_url: format!("http://{}/keys", self.addr), ..AuthConfig::default() }
    }

    /// One that asks it each second.
    fn watcher(&self) -> Watcher {
        self.watcher_by(&AuthConfig { keys_refresh_ms: 1_000, ..self.config() })
    }

    fn watcher_by(&self, config: &AuthConfig) -> Watcher {
        Watcher::start(config, &self.tasks)
    }
}

// === impl Watcher ===

impl Watcher {
    fn start(config: &AuthConfig, tasks: &tasks::Group) -> Self {
        let metrics = Metrics::new();
        let verifier = Verifier::open(config, &metrics).unwrap();
        drop(tasks.spawn("test.keys", verifier.clone().keep_fresh(tasks.token())));
        Self { verifier, metrics }
    }

    fn takes(&self, key: &TokenKey) -> bool {
        self.takes_token(&key.sign(&claims(&json!({}))))
    }

    fn takes_token(&self, token: &str) -> bool {
        self.verifier.check(token, NOW).is_ok()
    }

    async fn waits_for(&self, key: &TokenKey) -> bool {
        self.verifier.identify(&key.sign(&claims(&json!({}))), NOW).await.is_ok()
    }

    async fn until_taken(&self, key: &TokenKey, taken: bool) {
        // To sign takes long here, and all that the test waits for is done by the same thread.
        let token = key.sign(&claims(&json!({})));
        until("other keys", async || (self.takes_token(&token) == taken).then_some(())).await;
    }

    async fn until_refused(&self, sets: u64) {
        let refused = || self.metrics.token_keys_refused.get();
        until("a set that is refused", async || (refused() >= sets).then_some(())).await;
    }
}

#[tokio::test]
async fn a_token_of_a_new_key_waits_until_the_key_is_there() {
    let (old, new, none) = (TokenKey::eddsa("old"), TokenKey::es256("new"), TokenKey::eddsa("no"));
    let issuer = Issuer::start(&[&old]).await;
    let watcher = issuer.watcher_by(&issuer.config());
    watcher.until_taken(&old, true).await;
    issuer.says(Answer::of(&[&old, &new]));
    assert!(!watcher.takes(&new), "nobody has asked since");
    assert!(watcher.waits_for(&new).await && watcher.takes(&old));
    // Whoever makes up names of keys has nobody asked again.
    let asked = *issuer.asked.lock();
    assert!((2..=3).contains(&asked), "{asked}");
    for _ in 0..100 {
        assert!(!watcher.waits_for(&none).await);
    }
    assert_eq!(*issuer.asked.lock(), asked);
}

#[tokio::test]
async fn a_key_that_is_taken_back_is_good_no_more() {
    let (old, new) = (TokenKey::eddsa("old"), TokenKey::eddsa("new"));
    let issuer = Issuer::start(&[&old]).await;
    let watcher = issuer.watcher();
    watcher.until_taken(&old, true).await;
    issuer.says(Answer::of(&[&new]));
    watcher.until_taken(&old, false).await;
    assert!(watcher.takes(&new));
}

#[tokio::test]
async fn bad_answers_leave_the_last_good_keys() {
    let (good, evil) = (TokenKey::eddsa("good"), TokenKey::eddsa("evil"));
    let issuer = Issuer::start(&[&good]).await;
    let elsewhere = Issuer::start(&[&evil]).await;
    let watcher = issuer.watcher();
    watcher.until_taken(&good, true).await;

    let there = format!("http://{}/keys", elsewhere.addr);
    let with_a_secret = json!({"keys": [evil.public(), {"kty": "oct", "k": "AAAA"}]}).to_string();
    let mut oversized = key_set(&[&evil]).into_bytes();
    oversized.resize(256 * 1024 + 1, b' ');
    let ok = |body: Vec<u8>| Answer(StatusCode::OK, String::new(), body);
    for (sets, answer) in (1..).zip([
        Answer(StatusCode::INTERNAL_SERVER_ERROR, String::new(), key_set(&[&evil]).into()),
        Answer(StatusCode::FOUND, there, Vec::new()),
        ok(b"<html>".to_vec()),
        ok(Vec::new()),
        ok(br#"{"keys":[]}"#.to_vec()),
        ok(with_a_secret.into()),
        ok(oversized),
    ]) {
        let before = watcher.metrics.token_keys_refused.get();
        issuer.says(answer);
        // One that was under way may have had the answer before.
        watcher.until_refused(before + 2).await;
        assert!(watcher.takes(&good) && !watcher.takes(&evil), "answer {sets}");
    }
    assert_eq!(*elsewhere.asked.lock(), 0, "nobody is sent elsewhere");
    issuer.says(Answer::of(&[&evil]));
    watcher.until_taken(&evil, true).await;
}

#[tokio::test]
async fn a_server_that_comes_late_or_goes_away_stops_nobody() {
    let key = TokenKey::eddsa("key");
    let listener = net::listen((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let config = AuthConfig {
        keys_url: format!("http://{addr}/keys"),
        keys_refresh_ms: 1_000,
        ..AuthConfig::default()
    };
    let tasks = tasks::Group::new();
    let watcher = Watcher::start(&config, &tasks);
    watcher.until_refused(2).await;
    assert!(!watcher.takes(&key));
    let age = || watcher.verifier.keys_age();
    until("an age", async || (age() >= Duration::from_secs(2)).then_some(())).await;

    let listener = net::listen(addr).await.unwrap();
    let issuer = Issuer::at(listener, Tls::default(), &[&key]);
    watcher.until_taken(&key, true).await;
    assert!(age() < Duration::from_secs(2));

    issuer.tasks.shutdown(Duration::ZERO).await.ok();
    let refused = watcher.metrics.token_keys_refused.get();
    watcher.until_refused(refused + 2).await;
    assert!(watcher.takes(&key));
}

#[tokio::test]
async fn of_two_keys_of_one_name_that_of_the_file_counts() {
    let (kept, published) = (TokenKey::es256("key"), TokenKey::es256("key"));
    let issuer = Issuer::start(&[&published]).await;
    let watcher = issuer.watcher_by(&issuer.config());
    watcher.until_taken(&published, true).await;
    watcher.verifier.believe(KeySet::read(key_set(&[&kept]).as_bytes()).unwrap());
    assert!(watcher.takes(&kept) && !watcher.takes(&published));
}

#[tokio::test]
async fn a_token_waits_for_a_silent_server_only_a_moment() {
    let listener = net::listen((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let config = AuthConfig { keys_url: format!("http://{addr}/keys"), ..AuthConfig::default() };
    let tasks = tasks::Group::new();
    let watcher = Watcher::start(&config, &tasks);
    let began = clock::monotonic();
    assert!(!watcher.waits_for(&TokenKey::eddsa("key")).await);
    let waited = clock::monotonic() - began;
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(5), "{waited:?}");
    drop(listener);
}

#[tokio::test]
async fn only_the_issuer_itself_is_believed_over_tls() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let issued = authority.issue("issuer", &[]);
    let tls = Tls::open(&TlsConfig {
        cert_file: issued.cert_file,
        key_file: issued.key_file,
        ..TlsConfig::default()
    });
    let listener = net::listen((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let key = TokenKey::eddsa("key");
    let issuer = Issuer::at(listener, tls.unwrap(), &[&key]);
    let config = |ca: &Authority| AuthConfig {
        keys_url: format!("https://{}/keys", issuer.addr),
        keys_ca_file: ca.ca_file(),
        keys_refresh_ms: 1_000,
        ..AuthConfig::default()
    };
    let watcher = issuer.watcher_by(&config(&authority));
    watcher.until_taken(&key, true).await;
    let asked = *issuer.asked.lock();
    assert!(asked > 0);

    let wary = issuer.watcher_by(&config(&stranger));
    wary.until_refused(2).await;
    assert!(!wary.takes(&key));
    // Those who speak in plain text to it get nothing either.
    let plain = issuer.watcher();
    plain.until_refused(2).await;
    assert!(!plain.takes(&key));
    let missing = AuthConfig { keys_ca_file: "/nowhere/ca.pem".to_owned(), ..config(&authority) };
    let refused = Verifier::open(&missing, &Metrics::new()).unwrap_err();
    assert_eq!(refused.key, "auth.keys_ca_file");
}

#[tokio::test]
async fn a_file_may_be_replaced_at_any_time() {
    let (old, new) = (TokenKey::eddsa("old"), TokenKey::es256("new"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let config = AuthConfig {
        secret: String::from_utf8(SECRET.to_vec()).unwrap(),
        keys_file: path.to_str().unwrap().to_owned(),
        ..AuthConfig::default()
    };
    let refused = |config: &AuthConfig| Verifier::open(config, &Metrics::new()).unwrap_err().key;
    assert_eq!(refused(&config), "auth.keys_file", "there is none");
    std::fs::write(&path, "{}").unwrap();
    assert_eq!(refused(&config), "auth.keys_file", "it holds none");

    std::fs::write(&path, key_set(&[&old])).unwrap();
    let tasks = tasks::Group::new();
    let watcher = Watcher::start(&config, &tasks);
    assert!(watcher.takes(&old) && watcher.takes(&TokenKey::hs256(SECRET)) && !watcher.takes(&new));
    std::fs::write(&path, key_set(&[&new])).unwrap();
    watcher.until_taken(&new, true).await;
    assert!(!watcher.takes(&old));
    for bad in [Some("{"), None] {
        let before = watcher.metrics.token_keys_refused.get();
        match bad {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        watcher.until_refused(before + 1).await;
        assert!(watcher.takes(&new) && watcher.takes(&TokenKey::hs256(SECRET)));
    }
}

#[test]
fn a_secret_may_stand_in_a_file_and_is_long_enough_there_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let secret_file = path.to_str().unwrap().to_owned();
    let config = AuthConfig { secret_file, ..AuthConfig::default() };
    let opened = || Verifier::open(&config, &Metrics::new());
    assert_eq!(opened().unwrap_err().key, "auth.secret_file", "there is none");
    for short in [&b""[..], b"\n", &[b's'; 31], &[b' '; 40]] {
        std::fs::write(&path, short).unwrap();
        let refused = opened().unwrap_err().to_string();
        assert!(refused.contains("must hold 32 bytes at least"), "{refused}");
    }
    std::fs::write(&path, [SECRET, b"\n"].concat()).unwrap();
    let token = TokenKey::hs256(SECRET).sign(&claims(&json!({})));
    assert!(opened().unwrap().verify(&token, NOW).is_ok());
}

/// What the handshake of a socket with this token came to.
async fn knocks(node: SocketAddr, token: &str) -> StatusCode {
    let mut request = format!("ws://{node}/ws").into_client_request().unwrap();
    let offered = format!("gavel.v1.json, bearer.{token}").try_into().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", offered);
    match tokio_tungstenite::connect_async(request).await {
        Ok((_, response)) => response.status(),
        Err(tungstenite::Error::Http(response)) => response.status(),
        Err(error) => panic!("{error}"),
    }
}

/// A token that is good now.
fn token(key: &TokenKey) -> String {
    let exp = clock::now_ms() / 1_000 + 60;
    key.sign(&json!({"sub": "ann", "exp": exp}))
}

/// A node of its own, with these settings.
async fn node_by(auth: AuthConfig) -> Node {
    let mut config = Config { auth, ..Config::for_one_process() };
    config.http.listen = (Ipv4Addr::LOCALHOST, 0).into();
    config.control.endpoint = "http://127.0.0.1:1".to_owned();
    Node::start(config, store::open(None).unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_node_opens_its_door_by_keys_from_a_url() {
    let (old, new) = (TokenKey::eddsa("old"), TokenKey::eddsa("new"));
    let issuer = Issuer::start(&[&old]).await;
    let node = node_by(issuer.config()).await;
    assert_eq!(knocks(node.http_addr(), &token(&old)).await, StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(knocks(node.http_addr(), &token(&new)).await, StatusCode::UNAUTHORIZED);
    node.stop().await;
}

#[tokio::test]
async fn what_is_said_behind_a_token_waits_for_its_key_with_it() {
    let key = TokenKey::es256("key");
    let issuer = Issuer::start(&[&key]).await;
    issuer.says(Answer(StatusCode::NOT_FOUND, String::new(), Vec::new()));
    let node = node_by(issuer.config()).await;
    until("a question", async || (*issuer.asked.lock() > 0).then_some(())).await;
    let url = format!("ws://{}/ws", node.http_addr());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    issuer.says(Answer::of(&[&key]));
    let auth = json!({"type": "auth", "token": token(&key)}).to_string();
    for said in [&auth, r#"{"type":"ping","t":1}"#] {
        socket.feed(Message::text(said)).await.unwrap();
    }
    socket.flush().await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < 3 {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            let said: Value = serde_json::from_str(&text).unwrap();
            heard.push((said["type"].as_str().unwrap().to_owned(), said["userId"] == "ann"));
        }
    }
    let expected = [("welcome", false), ("welcome", true), ("pong", false)];
    assert_eq!(heard, expected.map(|(what, ann)| (what.to_owned(), ann)));
    node.stop().await;
}
