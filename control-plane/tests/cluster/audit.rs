//! What is written down of changes.

use crate::{
    roles::{showing, with_tokens},
    world::{Node, channel, rules, store},
};
use gavel_control_plane::{ControlPlane, store::ClusterStore};
use gavel_proto::{
    DESCRIPTORS,
    admin::v1::{
        AbortRolloutRequest, AuditEntry, BanUserRequest, CloseRoomRequest, CreateRoomRequest,
        DrainNodeRequest, KickUserRequest, ListAuditEntriesRequest, MoveRoomRequest,
        PauseRolloutRequest, PauseRoomRequest, ReleaseBrakeRequest, ResumeRolloutRequest,
        ResumeRoomRequest, RevokeTokensRequest, StartRolloutRequest, UnbanUserRequest,
        UndrainNodeRequest, UpdateFlagsRequest, UpdateLimitsRequest, WatchAuditEntriesRequest,
        audit_service_client::AuditServiceClient, flag_service_client::FlagServiceClient,
        limit_service_client::LimitServiceClient, node_service_client::NodeServiceClient,
        revoke_tokens_request, rollout_service_client::RolloutServiceClient,
        room_service_client::RoomServiceClient, user_service_client::UserServiceClient,
    },
    common::v1::{AuctionState, View},
    fleet::v1::{CommandResult, command::Kind, session_request::Kind as Up},
    limits,
};
use gavel_runtime::tasks;
use gavel_testkit::{PATIENCE, RedisServer, until};
use prost_reflect::DescriptorPool;
use std::{collections::BTreeSet, sync::Arc};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};
use tonic::{Code, Status};

/// Entries, the newest first.
async fn list(control: &ControlPlane, resource: &str, name: &str) -> Vec<AuditEntry> {
    let mut client = AuditServiceClient::new(channel(control));
    let (mut entries, mut page_token) = (Vec::new(), String::new());
    loop {
        let (resource, name) = (resource.to_owned(), name.to_owned());
        let request = ListAuditEntriesRequest { page_size: 3, page_token, resource, name };
        let page = client.list_audit_entries(showing("look", request)).await;
        let page = page.expect("a page").into_inner();
        assert!(page.entries.len() <= 3);
        entries.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return entries;
        }
    }
}

/// A node that does as it is told.
async fn obedient(control: &ControlPlane) -> tokio::task::JoinHandle<()> {
    let mut n1 = Node::register(control, "n1", 1, &[]).await;
    let mut state = AuctionState::Open;
    tasks::spawn("test.node", async move {
        loop {
            n1.listen("a command", |n1| !n1.commands.is_empty()).await;
            let command = n1.commands.pop().expect("a command");
            state = match command.kind {
                Some(Kind::Pause(_)) => AuctionState::Paused,
                Some(Kind::Resume(_)) => AuctionState::Open,
                Some(Kind::Close(_)) => AuctionState::Closed,
                Some(Kind::Inspect(_)) | None => state,
            };
            let view = Some(View { state: state.into(), ..View::default() });
            let (command_id, error) = (command.command_id, String::new());
            n1.say(Up::CommandResult(CommandResult { command_id, error, view, viewers: 0 })).await;
        }
    })
}

/// Calls everything that changes something; what is asked of `n9` and `b` is refused.
async fn change_everything(control: &ControlPlane, token: &str) -> Vec<Result<(), Status>> {
    let mut rooms = RoomServiceClient::new(channel(control));
    let mut nodes = NodeServiceClient::new(channel(control));
    let (id, n1) = (|| "a".to_owned(), || "n1".to_owned());
    let create = CreateRoomRequest { id: id(), rules: Some(rules("a")) };
    let pause = PauseRoomRequest { id: id(), reason: "lunch".to_owned() };
    let changed = gavel_proto::config::v1::Limits { bids_per_user_max: 9, ..limits::defaults() };
    let limits = UpdateLimitsRequest { limits: Some(changed), version: 0 };
    let document = gavel_control_plane::flags::default_document();
    let flags = UpdateFlagsRequest { document, version: 0 };
    let moved = MoveRoomRequest { id: id(), node_id: "n9".to_owned() };
    let mut limit = LimitServiceClient::new(channel(control));
    let mut flags_of = FlagServiceClient::new(channel(control));
    let mut rollout = RolloutServiceClient::new(channel(control));
    let flag = || "batching".to_owned();
    let begin = StartRolloutRequest {
        flag: flag(),
        treatment: "off".to_owned(),
        ..StartRolloutRequest::default()
    };
    let (pause_it, resume_it) =
        (PauseRolloutRequest { flag: flag() }, ResumeRolloutRequest { flag: flag() });
    let abort = AbortRolloutRequest { flag: flag(), reason: "enough".to_owned() };
    let gone = CloseRoomRequest { id: "b".to_owned() };
    let mut users = UserServiceClient::new(channel(control));
    let (ann, room_id) = (|| "ann".to_owned(), String::new);
    let ban = BanUserRequest { user_id: ann(), reason: "spam".to_owned(), ..Default::default() };
    let for_a_while = BanUserRequest { until: 1 << 50, ..ban.clone() };
    let lift = UnbanUserRequest { user_id: ann(), room_id: room_id() };
    let revoke = RevokeTokensRequest {
        tokens: Some(revoke_tokens_request::Tokens::UserId(ann())),
        until: 0,
    };
    vec![
        rooms.create_room(showing(token, create)).await.map(drop),
        rooms.pause_room(showing(token, pause)).await.map(drop),
        rooms.resume_room(showing(token, ResumeRoomRequest { id: id() })).await.map(drop),
        rooms.close_room(showing(token, gone)).await.map(drop),
        rooms.close_room(showing(token, CloseRoomRequest { id: id() })).await.map(drop),
        rooms.move_room(showing(token, moved)).await.map(drop),
        nodes.drain_node(showing(token, DrainNodeRequest { id: n1() })).await.map(drop),
        nodes.undrain_node(showing(token, UndrainNodeRequest { id: n1() })).await.map(drop),
        nodes.release_brake(showing(token, ReleaseBrakeRequest {})).await.map(drop),
        limit.update_limits(showing(token, limits)).await.map(drop),
        flags_of.update_flags(showing(token, flags)).await.map(drop),
        rollout.start_rollout(showing(token, begin)).await.map(drop),
        rollout.pause_rollout(showing(token, pause_it)).await.map(drop),
        rollout.resume_rollout(showing(token, resume_it)).await.map(drop),
        rollout.abort_rollout(showing(token, abort)).await.map(drop),
        users.ban_user(showing(token, ban)).await.map(drop),
        users.ban_user(showing(token, for_a_while)).await.map(drop),
        users.unban_user(showing(token, lift.clone())).await.map(drop),
        users.unban_user(showing(token, lift)).await.map(drop),
        users.kick_user(showing(token, KickUserRequest { user_id: ann() })).await.map(drop),
        users.revoke_tokens(showing(token, revoke)).await.map(drop),
    ]
}

#[tokio::test]
async fn every_change_is_written_down_with_who_made_it() {
    let redis = RedisServer::start().await;
    let control = ControlPlane::start_with(with_tokens(), store(&redis)).await.unwrap();
    let node = obedient(&control).await;
    let outcomes = change_everything(&control, "rule").await;
    let entries = list(&control, "", "").await;
    assert_eq!(entries.len(), outcomes.len());
    for (entry, outcome) in entries.iter().rev().zip(&outcomes) {
        assert_eq!((entry.name.as_str(), entry.role.as_str()), ("a", "admin"));
        assert!(entry.peer.starts_with("127.0.0.1:") && entry.at > 0);
        assert!(!entry.resource.is_empty() && entry.request_id.len() == 16, "{entry:?}");
        match outcome {
            Ok(()) => {
                assert_eq!(entry.outcome, "DONE", "{entry:?}");
                assert!(!entry.new.is_empty(), "{entry:?}");
                let made =
                    ["/CreateRoom", "/StartRollout", "/BanUser", "/KickUser", "/RevokeTokens"]
                        .iter()
                        .any(|rpc| entry.rpc.ends_with(rpc));
                assert!(made || !entry.old.is_empty(), "{entry:?}");
                assert_ne!(entry.old, entry.new, "{entry:?}");
            }
            Err(status) => {
                assert_eq!(entry.message, status.message());
                let names = [
                    (Code::NotFound, "NOT_FOUND"),
                    (Code::FailedPrecondition, "FAILED_PRECONDITION"),
                ];
                assert!(names.contains(&(status.code(), &entry.outcome)), "{entry:?}");
            }
        }
    }
    let of_done = |name: &str| {
        let done = |entry: &&AuditEntry| entry.outcome == "DONE" && entry.rpc.ends_with(name);
        entries.iter().find(done).unwrap()
    };
    let of = |name: &str| entries.iter().find(|entry| entry.rpc.ends_with(name)).unwrap();
    assert_eq!(of("/PauseRoom").resource, "rooms/a");
    assert_eq!(of("/DrainNode").resource, "nodes/n1");
    assert!(of("/UpdateLimits").old.contains("\"version\":1"), "{:?}", of("/UpdateLimits"));
    assert!(of("/UpdateLimits").new.contains("\"bids_per_user_max\":9"));
    // The newest first: the ban was lifted as it was replaced.
    assert_eq!(
        (of("/UnbanUser").resource.as_str(), of("/UnbanUser").old.as_str()),
        ("users/ann", "")
    );
    let (lifted, replaced) = (of_done("/UnbanUser"), of_done("/BanUser"));
    assert_eq!(lifted.old, replaced.new);
    assert!(
        replaced.old.contains(r#""reason":"spam""#) && replaced.old.contains(r#""until":null"#)
    );
    assert_eq!(lifted.new, r#"{"banned":false}"#);
    assert!(of("/RevokeTokens").new.contains("issued_before"));
    assert_eq!(entries.iter().filter(|entry| entry.outcome == "DONE").count(), 18);

    // No rpc that changes something has been left out.
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let admin = pool.services().filter(|one| one.package_name() == "gavel.admin.v1");
    let rpcs = admin.flat_map(|service| service.methods().collect::<Vec<_>>());
    let changing: BTreeSet<_> = rpcs
        .map(|rpc| format!("{}/{}", rpc.parent_service().full_name(), rpc.name()))
        .filter(|rpc| {
            !["/Get", "/List", "/Watch", "/Explain"].iter().any(|verb| rpc.contains(verb))
        })
        .collect();
    assert_eq!(entries.iter().map(|entry| entry.rpc.clone()).collect::<BTreeSet<_>>(), changing);

    assert_eq!(list(&control, "rooms", "").await.len(), 6);
    assert_eq!(list(&control, "rooms/a", "").await.len(), 5);
    assert_eq!(list(&control, "room", "").await.len(), 0);
    assert_eq!(list(&control, "", "somebody").await.len(), 0);
    node.abort();
    control.stop().await;
}

#[tokio::test]
async fn what_a_rollout_does_by_itself_is_written_down() {
    let redis = RedisServer::start().await;
    let control = ControlPlane::start_with(with_tokens(), store(&redis)).await.unwrap();
    let begin = StartRolloutRequest {
        flag: "batching".to_owned(),
        treatment: "off".to_owned(),
        steps: vec![10, 100],
        hold_ms: 1,
        bids_min: Some(0),
        ..StartRolloutRequest::default()
    };
    let mut rollouts = RolloutServiceClient::new(channel(&control));
    rollouts.start_rollout(showing("rule", begin)).await.unwrap();
    let entries = until("its end", async || {
        let entries = list(&control, "rollouts/batching", "rollout").await;
        entries.first().is_some_and(|newest| newest.new.contains("completed")).then_some(entries)
    })
    .await;
    let [last, first] = entries.as_slice() else { panic!("{entries:?}") };
    for entry in [first, last] {
        let told = (entry.role.as_str(), entry.rpc.as_str(), entry.peer.as_str());
        assert_eq!(told, ("control", "rollout/step", ""));
        assert!(entry.at > 0 && entry.request_id.len() == 16, "{entry:?}");
    }
    assert_eq!((first.outcome.as_str(), first.message.as_str()), ("DONE", ""));
    assert!(first.old.contains(r#""percent":10"#) && first.new.contains(r#""percent":100"#));
    assert_eq!(first.new, last.old);
    let by_operators = list(&control, "rollouts/batching", "a").await;
    assert_eq!(by_operators.len(), 1, "{by_operators:?}");
    control.stop().await;
}

#[tokio::test]
async fn a_refusal_of_a_role_is_written_down_and_a_stranger_is_not() {
    let redis = RedisServer::start().await;
    let control = ControlPlane::start_with(with_tokens(), store(&redis)).await.unwrap();
    for (token, code) in [("look", Code::PermissionDenied), ("else", Code::Unauthenticated)] {
        for refused in change_everything(&control, token).await {
            assert_eq!(refused.unwrap_err().code(), code);
        }
    }
    let entries = list(&control, "", "").await;
    assert_eq!(entries.len(), 21);
    for entry in entries {
        assert_eq!((entry.name.as_str(), entry.outcome.as_str()), ("v", "PERMISSION_DENIED"));
    }
    assert!(store(&redis).rooms().await.unwrap().is_empty());
    control.stop().await;
}

#[tokio::test]
async fn a_follower_tells_who_asked_it() {
    let redis = RedisServer::start().await;
    let one = ControlPlane::start_with(with_tokens(), store(&redis)).await.unwrap();
    let two = ControlPlane::start_with(with_tokens(), store(&redis)).await.unwrap();
    let create = async || {
        let request = CreateRoomRequest { id: "a".to_owned(), rules: Some(rules("a")) };
        let mut request = showing("steer", request);
        let (id, trace) = ("mine", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        request.metadata_mut().insert("x-request-id", id.parse().unwrap());
        request.metadata_mut().insert("traceparent", trace.parse().unwrap());
        RoomServiceClient::new(channel(&two)).create_room(request).await.ok()
    };
    until("a leader", create).await;
    // A try before there was a leader is written down as well.
    let entries = list(&two, "", "").await;
    let done: Vec<_> = entries.iter().filter(|entry| entry.outcome == "DONE").collect();
    let [entry] = done.as_slice() else { panic!("written down once: {entries:?}") };
    assert_eq!((entry.name.as_str(), entry.role.as_str()), ("o", "operator"));
    assert_eq!(entry.request_id, "mine");
    assert_eq!(entry.trace_id, "0af7651916cd43dd8448eb211c80319c");
    two.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn changes_can_be_watched() {
    let redis = RedisServer::start().await;
    let control = ControlPlane::start_with(with_tokens(), store(&redis)).await.unwrap();
    let create = async |id: &str| {
        let request = CreateRoomRequest { id: id.to_owned(), rules: Some(rules(id)) };
        RoomServiceClient::new(channel(&control)).create_room(showing("steer", request)).await
    };
    create("a").await.unwrap();
    let watch = async |after| {
        let (resource, name) = ("rooms".to_owned(), String::new());
        let request = WatchAuditEntriesRequest { after, resource, name };
        let mut client = AuditServiceClient::new(channel(&control));
        client.watch_audit_entries(showing("look", request)).await.unwrap().into_inner()
    };
    let (mut later, mut all) = (watch(None).await, watch(Some(0)).await);
    create("b").await.unwrap();
    let mut told = Vec::new();
    for is_later in [true, false, false] {
        let stream = if is_later { &mut later } else { &mut all };
        let next = tokio::time::timeout(PATIENCE, stream.message()).await.expect("an entry");
        let entry = next.unwrap().unwrap().entry.unwrap();
        assert_eq!(entry.outcome, "DONE");
        told.push(entry.resource);
    }
    assert_eq!(told, ["rooms/b", "rooms/a", "rooms/b"]);
    control.stop().await;
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let redis = RedisServer::start().await;
    let kept: Arc<dyn ClusterStore> = store(&redis);
    let control = ControlPlane::start_with(with_tokens(), Arc::clone(&kept)).await.unwrap();
    // The log, and nothing else, is of a kind that takes no entries.
    let mut way = UnixStream::connect(redis.socket()).await.unwrap();
    way.write_all(b"SET gavel:cluster:{c}:audit none\r\n").await.unwrap();
    assert_eq!(way.read_u8().await.unwrap(), b'+');
    let request = CreateRoomRequest { id: "a".to_owned(), rules: Some(rules("a")) };
    let mut client = RoomServiceClient::new(channel(&control));
    let refused = client.create_room(showing("rule", request)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("written down"), "{refused}");
    assert!(kept.rooms().await.unwrap().is_empty());
    control.stop().await;
}
