//! What each role may do, here and by way of another replica.

use crate::world::{channel, config, rules, start, store};
use gavel_control_plane::{Config, ControlPlane};
use gavel_proto::admin::v1::{
    CreateRoomRequest, DrainNodeRequest, ListRoomsRequest, UpdateLimitsRequest,
    limit_service_client::LimitServiceClient, node_service_client::NodeServiceClient,
    room_service_client::RoomServiceClient,
};
use gavel_testkit::{RedisServer, until};
use tonic::{Code, Request};

const LEASE_MS: u64 = 1_000;

/// A token for each role.
pub(crate) fn with_tokens() -> Config {
    let mut config = config(LEASE_MS);
    "v viewer look, o operator steer, a admin rule".clone_into(&mut config.admin.tokens);
    config
}

/// A request that shows a token.
pub(crate) fn showing<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {token}").parse().expect("a header");
    request.metadata_mut().insert("authorization", bearer);
    request
}

/// How a viewer's, an operator's and an admin's call fare: one of each least role.
async fn tried(control: &ControlPlane, token: &str) -> [Code; 3] {
    let code = |error: tonic::Status| error.code();
    let list = ListRoomsRequest { page_size: 0, page_token: String::new() };
    let mut rooms = RoomServiceClient::new(channel(control));
    let list = rooms.list_rooms(showing(token, list)).await.map(drop).map_err(code);
    let drain = DrainNodeRequest { id: "n9".to_owned() };
    let mut nodes = NodeServiceClient::new(channel(control));
    let drain = nodes.drain_node(showing(token, drain)).await.map(drop).map_err(code);
    let limits = Some(gavel_proto::limits::defaults());
    let update = UpdateLimitsRequest { limits, version: 0 };
    let mut limits = LimitServiceClient::new(channel(control));
    let update = limits.update_limits(showing(token, update)).await.map(drop).map_err(code);
    [list, drain, update].map(|outcome| outcome.err().unwrap_or(Code::Ok))
}

#[tokio::test]
async fn each_role_may_what_the_ones_below_may() {
    let redis = RedisServer::start().await;
    let one = ControlPlane::start_with(with_tokens(), store(&redis)).await.unwrap();
    let two = ControlPlane::start_with(with_tokens(), store(&redis)).await.unwrap();
    until("a leader on both", async || (tried(&two, "look").await[0] == Code::Ok).then_some(()))
        .await;
    // Nobody knows n9, which is not for everybody to know.
    let (fine, no) = ([Code::Ok, Code::NotFound, Code::Ok], Code::PermissionDenied);
    for control in [&one, &two] {
        assert_eq!(tried(control, "rule").await, fine);
        assert_eq!(tried(control, "steer").await, [fine[0], fine[1], no]);
        assert_eq!(tried(control, "look").await, [fine[0], no, no]);
        assert_eq!(tried(control, "else").await, [Code::Unauthenticated; 3]);
    }
    two.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn nobody_else_says_who_called() {
    let control = ControlPlane::start(with_tokens()).await.unwrap();
    let near = start(LEASE_MS).await;
    // An admin that is near, and would be if somebody could prove it.
    let caller = "eyJwZWVyIjoieCIsIm9wZXJhdG9yIjp7Im5hbWUiOiJ4Iiwicm9sZSI6ImFkbWluIiwicHJvb2Yi\
                  OiJOZWFybmVzcyJ9LCJub2RlcyI6bnVsbH0=";
    for control in [&control, &near] {
        for proof in [None, Some(""), Some("AAAA"), Some("no base64")] {
            let create = CreateRoomRequest { id: "a".to_owned(), rules: Some(rules("a")) };
            let mut request = showing("rule", create);
            request.metadata_mut().insert("gavel-caller", caller.parse().unwrap());
            if let Some(proof) = proof {
                request.metadata_mut().insert("gavel-caller-proof", proof.parse().unwrap());
            }
            let refused = RoomServiceClient::new(channel(control)).create_room(request).await;
            assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied, "{proof:?}");
        }
    }
    near.stop().await;
    control.stop().await;
}

#[tokio::test]
async fn a_file_of_tokens_counts_as_well_and_a_bad_one_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    std::fs::write(&path, "# operators\nada admin by-file\n").unwrap();
    let mut config = with_tokens();
    path.to_str().unwrap().clone_into(&mut config.admin.tokens_file);
    "of-old".clone_into(&mut config.admin.token);
    let control = ControlPlane::start(config.clone()).await.unwrap();
    for token in ["by-file", "of-old", "rule"] {
        assert_eq!(tried(&control, token).await[2], Code::Ok, "{token}");
    }
    std::fs::write(&path, "ada viewer by-another\n").unwrap();
    until("the new file", async || {
        (tried(&control, "by-another").await[0] == Code::Ok).then_some(())
    })
    .await;
    assert_eq!(tried(&control, "by-file").await, [Code::Unauthenticated; 3]);
    assert_eq!(tried(&control, "rule").await[2], Code::Ok);
    control.stop().await;
    std::fs::write(&path, "ada queen by-file\n").unwrap();
    let error = ControlPlane::start(config).await.unwrap_err().to_string();
    assert!(error.contains("admin.tokens_file") && !error.contains("by-file"), "{error}");
}
