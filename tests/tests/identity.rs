//! Who is let in, for how long, and what they may do: sockets on a real cluster.

use gavel_runtime::clock;
use gavel_tests::{Client, Options, Protocol, World, http, token, world::rules};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio_tungstenite::tungstenite::{Error, Message};

const V1: &str = "gavel.v1.json";
const SHOP: &str = "https://shop.example";

/// A token of `anna` that expires after so many seconds.
fn for_seconds(seconds: u64) -> String {
    let exp = clock::now_ms() / 1_000 + seconds;
    let claims = json!({"sub": "anna", "exp": exp, "jti": "t1", "grants": {"*": ["bid"]}});
    token::claims(&claims, token::SECRET)
}

fn auth(token: &str) -> Message {
    Message::text(json!({"type": "auth", "token": token}).to_string())
}

/// The status of a handshake that is refused.
fn refused(opened: Result<Client, Error>) -> u16 {
    match opened {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    }
}

async fn ticket(node: SocketAddr, token: &str) -> http::Answer {
    let bearer = format!("Authorization: Bearer {token}");
    http::ask(node, "POST /api/tickets", &[&bearer, "Content-Length: 0"]).await
}

async fn welcomed(node: SocketAddr, proof: &str) -> Value {
    let mut client = Client::try_offering(node, &[V1, proof]).await.expect("an upgrade");
    client.expect("welcome", |m| m["type"] == "welcome").await
}

#[tokio::test]
async fn a_ticket_opens_one_socket_on_any_node() {
    let redis = gavel_tests::RedisServer::start().await;
    let options = Options { redis_url: Some(redis.url()), ..Options::default() };
    let world = World::with(options).await;
    let [one, two] = world.addrs()[..] else { panic!("two nodes") };
    let answer = ticket(one, &token::bidder("anna")).await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(body["expiresInMs"], 30_000);
    let proof = format!("ticket.{}", body["ticket"].as_str().expect("a ticket"));
    let welcome = welcomed(two, &proof).await;
    assert_eq!(welcome["userId"], "anna");
    assert!(welcome["tokenExpiresAt"].as_u64() > Some(clock::now_ms()), "{welcome}");
    for (node, proof) in [(two, proof.as_str()), (one, &proof), (one, "ticket.0"), (one, "ticket.")]
    {
        assert_eq!(refused(Client::try_offering(node, &[V1, proof]).await), 401, "{proof}");
    }
    let no_token = http::ask(one, "POST /api/tickets", &["Content-Length: 0"]).await;
    assert_eq!((no_token.status, no_token.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(ticket(one, "a.b.c").await.status, 401);
    world.stop().await;
}

#[tokio::test]
async fn a_page_is_let_in_by_its_origin() {
    let options = Options { allowed_origins: SHOP.to_owned(), ..Options::default() };
    let world = World::with(options).await;
    let node = world.first();
    let own = format!("http://{node}");
    for origin in [SHOP, &own] {
        let opened = Client::try_with(node, &[V1], [("origin", origin)]).await;
        opened.expect("an upgrade").next().await;
    }
    for origin in ["https://shop.example.evil.example", "null", "http://127.0.0.1:1"] {
        let opened = Client::try_with(node, &[V1], [("origin", origin)]).await;
        assert_eq!(refused(opened), 403, "{origin}");
    }
    let told = world.metrics(node).await;
    assert!(told.contains(r#"gavel_sockets_opened_total{result="forbidden"} 3"#), "{told}");

    let preflight =
        ["Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization"];
    for (origin, allowed) in [(SHOP, Some(SHOP)), ("https://evil.example", None)] {
        let line = format!("Origin: {origin}");
        let lines: Vec<&str> = preflight.into_iter().chain([line.as_str()]).collect();
        let answer = http::ask(node, "OPTIONS /api/tickets", &lines).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{answer:?}");
        let bearer = format!("Authorization: Bearer {}", token::bidder("anna"));
        let asked = [line.as_str(), &bearer, "Content-Length: 0"];
        let answer = http::ask(node, "POST /api/tickets", &asked).await;
        let status = if allowed.is_some() { 200 } else { 403 };
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
    }
    world.stop().await;
}

#[tokio::test]
async fn a_token_has_no_place_in_a_url() {
    let world = World::start().await;
    for (query, is_secret) in
        [("?token=a.b.c", true), ("?x=1&access_token=a", true), ("?ref=7", false)]
    {
        let url = format!("ws://{}/ws{query}", world.first());
        match tokio_tungstenite::connect_async(url).await {
            Ok(_) => assert!(!is_secret, "{query}"),
            Err(Error::Http(response)) => {
                assert_eq!((response.status().as_u16(), is_secret), (400, true), "{query}");
            }
            Err(error) => panic!("{query}: {error}"),
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn a_session_ends_with_its_token_and_goes_on_with_a_newer_one() {
    let world = World::start().await;
    let room = world.room("vase", rules()).await;
    let mut renewing = Client::with_token(room.owner, Protocol::V1, &for_seconds(3)).await;
    let mut careless = Client::with_token(room.edge, Protocol::V1, &for_seconds(3)).await;
    renewing.join(&room.id).await;
    renewing.send_raw(auth(&for_seconds(3_600))).await;
    let welcome = renewing.expect("welcome", |m| m["type"] == "welcome").await;
    assert_eq!(welcome["sessionId"], renewing.welcome["sessionId"]);
    assert!(welcome["tokenExpiresAt"].as_u64() > renewing.welcome["tokenExpiresAt"].as_u64());
    let error = careless.expect("error", |m| m["type"] == "error").await;
    assert_eq!(error["code"], "unauthenticated", "{error}");
    assert_eq!(careless.close_code().await.0, 4401);
    let closed_at = clock::now_ms();
    let expires_at = careless.welcome["tokenExpiresAt"].as_u64().expect("a time");
    assert!(closed_at >= expires_at, "closed {} ms early", expires_at - closed_at);
    println!("closed {} ms after its token expired", closed_at - expires_at);
    // It is in the room still.
    renewing.accepted(&room.id, 600, "b2").await;
    world.stop().await;
}

#[tokio::test]
async fn a_socket_stays_its_users() {
    let world = World::start().await;
    let node = world.first();
    let mut client = Client::with_token(node, Protocol::V1, &token::bidder("anna")).await;
    assert_eq!(client.error_of(auth(&token::bidder("bob"))).await, "forbidden");
    assert_eq!(client.error_of(auth("a.b.c")).await, "unauthenticated");
    client.send_raw(auth(&token::bidder("anna"))).await;
    assert_eq!(client.expect("welcome", |m| m["type"] == "welcome").await["userId"], "anna");
    world.stop().await;
}

#[tokio::test]
async fn where_guests_are_not_let_in_a_token_comes_first() {
    let world = World::with(Options { token_within_ms: Some(400), ..Options::default() }).await;
    let room = world.room("vase", rules()).await;
    for protocols in [&[V1][..], &[]] {
        let mut silent = Client::try_offering(room.owner, protocols).await.expect("an upgrade");
        let join = json!({"type": "joinAuction", "auctionId": room.id}).to_string();
        assert_eq!(silent.error_of(Message::text(join)).await, "unauthenticated");
        assert_eq!(silent.close_code().await.0, 4401);
    }
    let mut client = Client::try_offering(room.edge, &[]).await.expect("an upgrade");
    client.send_raw(auth(&token::bidder("anna"))).await;
    let welcome = client.expect("welcome", |m| m["type"] == "welcome").await;
    assert_eq!(welcome["userId"], "anna");
    client.join(&room.id).await;
    world.stop().await;
}

#[tokio::test]
async fn an_auctioneer_conducts_an_auction_from_any_node() {
    let world = World::start().await;
    let room = world.room("vase", rules()).await;
    let grants = json!({"vase": ["auctioneer"], "*": ["view"]});
    let token = token::signed("otto", &grants);
    let mut viewer = Client::connect(room.owner, Protocol::V1).await;
    viewer.join(&room.id).await;
    for node in [room.edge, room.owner] {
        let mut otto = Client::with_token(node, Protocol::V1, &token).await;
        assert_eq!(otto.bid(&room.id, 500, "b1").await["code"], "forbidden");
        let pause = json!({"type": "pauseAuction", "auctionId": "vase", "reason": "a call"});
        for (message, what) in
            [(pause, "pause"), (json!({"type": "resumeAuction", "auctionId": "vase"}), "resume")]
        {
            otto.send(&message).await;
            let done = otto.expect("an answer", |m| m["auctionId"] == "vase").await;
            assert_eq!(
                (&done["type"], &done["what"]),
                (&json!("conducted"), &json!(what)),
                "{done}"
            );
            let state = if what == "pause" { "paused" } else { "open" };
            viewer
                .expect("the change", |m| m["type"] == "auctionUpdate" && m["state"] == state)
                .await;
        }
        let again = json!({"type": "resumeAuction", "auctionId": "vase"}).to_string();
        assert_eq!(otto.error_of(Message::text(again)).await, "not_now");
        let other = json!({"type": "closeAuction", "auctionId": "desk"}).to_string();
        assert_eq!(otto.error_of(Message::text(other)).await, "forbidden");
    }
    let mut otto = Client::with_token(room.edge, Protocol::V1, &token).await;
    otto.send(&json!({"type": "closeAuction", "auctionId": "vase"})).await;
    otto.expect("an answer", |m| m["type"] == "conducted").await;
    viewer.expect("the close", |m| m["type"] == "auctionClosed").await;
    world.stop().await;
}
