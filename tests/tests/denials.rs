//! Who is banned is so on every node, a moment later.

use gavel_proto::admin::v1::{BanUserRequest, ListDenialsRequest, UnbanUserRequest};
use gavel_tests::{Options, RedisServer, World};

fn ban(user: &str, room: &str) -> BanUserRequest {
    let (user_id, room_id) = (user.to_owned(), room.to_owned());
    BanUserRequest { user_id, room_id, ..BanUserRequest::default() }
}

#[tokio::test]
async fn a_ban_reaches_every_node_and_outlives_the_control_plane() {
    let redis = RedisServer::start().await;
    let options = Options { redis_url: Some(redis.url()), nodes: 3, ..Options::default() };
    let mut world = World::with(options).await;
    let mut version = 0;
    for room in ["", "vase", "lamp"] {
        let banned = world.user_service().ban_user(ban("ann", room)).await.unwrap();
        version = banned.into_inner().version;
        world.until_nodes("the ban", |node| node.denials_version == version).await;
    }
    world.stop_control().await;
    world.start_control().await;
    world.until_nodes("their return", |node| node.denials_version == version).await;
    let all = world.user_service().list_denials(ListDenialsRequest::default()).await.unwrap();
    assert_eq!(all.into_inner().denials.len(), 3);
    let lift = UnbanUserRequest { user_id: "ann".to_owned(), room_id: "vase".to_owned() };
    let lifted = world.user_service().unban_user(lift).await.unwrap().into_inner();
    assert_eq!(lifted.version, version + 1);
    world.until_nodes("its end", |node| node.denials_version == version + 1).await;
    world.stop().await;
}
