//! What operators deny users, in sockets that are open and in those to come.

use gavel_proto::admin::v1::{
    BanUserRequest, KickUserRequest, RevokeTokensRequest, UnbanUserRequest,
    revoke_tokens_request::Tokens,
};
use gavel_runtime::clock;
use gavel_tests::{
    Client, Options, Protocol, RedisServer, World,
    token::{self, bidder},
    world::{Room, rules},
};
use serde_json::json;
use std::time::Duration;

const ROOM: &str = "vase";

/// A cluster on a Redis, and a room in it.
async fn start(redis: &RedisServer) -> (World, Room) {
    let redis_url = Some(redis.url());
    let world = World::with(Options { redis_url, cables: true, ..Options::default() }).await;
    let room = world.room(ROOM, rules()).await;
    (world, room)
}

async fn ban(world: &World, user: &str, room: &str) {
    let request = BanUserRequest {
        user_id: user.to_owned(),
        room_id: room.to_owned(),
        until: 0,
        reason: "shilling".to_owned(),
    };
    world.user_service().ban_user(request).await.expect("a ban");
}

async fn joined(node: std::net::SocketAddr, token: &str) -> Client {
    let mut client = Client::with_token(node, Protocol::V1, token).await;
    client.join(ROOM).await;
    client
}

/// Waits for the closes of sockets, and tells how long after `since` the last one came.
async fn closed(clients: Vec<Client>, code: u16, since: std::time::Instant) -> Duration {
    for mut client in clients {
        assert_eq!(client.close_code().await.0, code);
    }
    since.elapsed()
}

/// The code that a socket is closed with as soon as it is open.
async fn closes_at_once(node: std::net::SocketAddr, token: &str) -> u16 {
    let opened = Client::try_connect(node, Protocol::V1, Some(token)).await;
    opened.expect("an upgrade").close_code().await.0
}

#[tokio::test]
async fn a_ban_from_a_room_is_in_force_where_its_owner_cannot_be_reached() {
    let redis = RedisServer::start().await;
    let (world, room) = start(&redis).await;
    let mut ann = joined(room.edge, &bidder("ann")).await;
    let mut bob = joined(room.edge, &bidder("bob")).await;
    ann.accepted(ROOM, 500, "a1").await;
    ban(&world, "ann", ROOM).await;
    let error = ann.expect("error", |m| m["type"] == "error").await;
    assert_eq!((&error["code"], &error["auctionId"]), (&json!("forbidden"), &json!(ROOM)));
    world.cable(room.owner).cut();
    bob.accepted(ROOM, 600, "b1").await;
    assert_eq!(ann.bid(ROOM, 700, "a2").await["code"], "forbidden");
    ann.send(&json!({"type": "joinAuction", "auctionId": ROOM})).await;
    ann.expect("error", |m| m["code"] == "forbidden" && m["bidId"].is_null()).await;
    world.cable(room.owner).mend();

    let unban = UnbanUserRequest { user_id: "ann".to_owned(), room_id: ROOM.to_owned() };
    world.user_service().unban_user(unban).await.expect("a ban to take back");
    world.until_nodes("the end of the ban", |node| node.denials_version >= 2).await;
    ann.join(ROOM).await;
    ann.accepted(ROOM, 800, "a3").await;
    world.stop().await;
}

#[tokio::test]
async fn a_banned_user_is_out_on_every_node_and_stays_out_without_control() {
    let redis = RedisServer::start().await;
    let (mut world, room) = start(&redis).await;
    let mut sockets = Vec::new();
    for node in [room.owner, room.edge] {
        sockets.push(joined(node, &bidder("ann")).await);
    }
    let mut bob = joined(room.edge, &bidder("bob")).await;
    let guest = Client::connect(room.owner, Protocol::V1).await;
    let since = clock::monotonic();
    ban(&world, "ann", "").await;
    println!("a ban: out after {:?}", closed(sockets, 4403, since).await);
    let since = clock::monotonic();
    ban(&world, guest.user(), "").await;
    println!("a guest's ban: out after {:?}", closed(vec![guest], 4403, since).await);

    world.stop_control().await;
    for node in [room.owner, room.edge] {
        assert_eq!(closes_at_once(node, &bidder("ann")).await, 4403);
    }
    bob.accepted(ROOM, 500, "b1").await;
    world.stop().await;
}

#[tokio::test]
async fn a_kick_closes_what_is_open_and_no_more() {
    let redis = RedisServer::start().await;
    let (world, room) = start(&redis).await;
    let mut sockets = Vec::new();
    for node in [room.owner, room.edge] {
        sockets.push(joined(node, &bidder("ann")).await);
    }
    let since = clock::monotonic();
    let kick = KickUserRequest { user_id: "ann".to_owned() };
    world.user_service().kick_user(kick).await.expect("a kick");
    println!("a kick: out after {:?}", closed(sockets, 4403, since).await);
    let mut back = joined(room.edge, &bidder("ann")).await;
    back.accepted(ROOM, 500, "a1").await;
    world.stop().await;
}

#[tokio::test]
async fn a_revoked_token_is_void_at_once_and_a_newer_one_is_not() {
    let redis = RedisServer::start().await;
    let (world, room) = start(&redis).await;
    let now = clock::now_ms() / 1_000;
    let issued = |id: &str, iat: u64| {
        let claims = json!({"sub": "ann", "jti": id, "iat": iat, "exp": now + 3_600,
            "grants": {"*": ["bid"]}});
        token::claims(&claims, token::SECRET)
    };
    let (first, second) = (issued("t1", now - 60), issued("t2", now - 60));
    let sockets = vec![joined(room.owner, &first).await, joined(room.edge, &first).await];
    let mut other = joined(room.edge, &second).await;
    let revoke = async |tokens| {
        let request = RevokeTokensRequest { tokens: Some(tokens), until: 0 };
        world.user_service().revoke_tokens(request).await.expect("a revocation");
    };
    let since = clock::monotonic();
    revoke(Tokens::TokenId("t1".to_owned())).await;
    println!("a revocation: out after {:?}", closed(sockets, 4401, since).await);
    assert_eq!(closes_at_once(room.owner, &first).await, 4401);
    other.accepted(ROOM, 500, "a1").await;

    revoke(Tokens::UserId("ann".to_owned())).await;
    assert_eq!(other.close_code().await.0, 4401);
    for node in [room.owner, room.edge] {
        assert_eq!(closes_at_once(node, &second).await, 4401);
        assert_eq!(closes_at_once(node, &bidder("ann")).await, 4401, "it does not say when");
        joined(node, &issued("t3", now + 2)).await;
    }
    // A socket of somebody else may not become the user's by such a token either.
    let mut guest = Client::connect(room.edge, Protocol::V1).await;
    let auth = json!({"type": "auth", "token": second}).to_string();
    let code = guest.error_of(tokio_tungstenite::tungstenite::Message::text(auth)).await;
    assert_eq!(code, "unauthenticated");
    world.stop().await;
}
