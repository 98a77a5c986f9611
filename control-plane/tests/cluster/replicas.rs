//! Several control planes on one Redis.

use crate::{
    documents::{Stream, answer},
    world::{Node, channel, config, create, list, loopback, rules, start_with, store, until},
};
use gavel_control_plane::{Config, ControlPlane, store::Candidate};
use gavel_proto::{
    admin::v1::{
        ExplainFlagRequest, GetLimitsRequest, ListNodesRequest, ListRoomsRequest,
        UpdateFlagsRequest, UpdateLimitsRequest, flag_service_client::FlagServiceClient,
        limit_service_client::LimitServiceClient, node_service_client::NodeServiceClient,
        room_service_client::RoomServiceClient,
    },
    flagd::v1::{SyncFlagsRequest, flag_sync_service_client::FlagSyncServiceClient},
    fleet::v1::{ResolveRoomRequest, fleet_service_client::FleetServiceClient},
};
use gavel_rules::order::Term;
use gavel_testkit::RedisServer;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt as _;

const LEASE_MS: u64 = 1_000;

/// A leader and a follower.
async fn pair(redis: &RedisServer) -> [ControlPlane; 2] {
    [start_with(LEASE_MS, store(redis)).await, start_with(LEASE_MS, store(redis)).await]
}

/// The replica that leads, as this one says.
async fn leader(control: &ControlPlane) -> Option<(String, u64)> {
    let mut client = NodeServiceClient::new(channel(control));
    let listed = client.list_nodes(ListNodesRequest {}).await.ok()?.into_inner();
    Some((listed.replica_id, listed.term))
}

/// A node's session, wherever it is sent.
async fn register(controls: &[ControlPlane], id: &str) -> Node {
    until("a session", async || {
        for control in controls {
            let node = Node::register(control, id, 1, &[]).await;
            if node.redirected_to.is_none() {
                return Some(node);
            }
        }
        None
    })
    .await
}

#[tokio::test]
async fn any_replica_will_do_for_operators_and_nodes_are_sent_to_the_leader() {
    let redis = RedisServer::start().await;
    let [one, two] = pair(&redis).await;
    let leads = leader(&one).await.expect("a leader");
    until("a follower that knows it", async || leader(&two).await).await;
    assert_eq!(leader(&two).await, Some(leads), "the leader answers on both");

    let sent = Node::register(&two, "n1", 1, &[]).await;
    assert_eq!(sent.redirected_to, Some(format!("http://{}", one.grpc_addr())));
    let mut n1 = Node::register(&one, "n1", 1, &[]).await;
    let room = create(&two, "a", rules("a")).await.unwrap();
    assert_eq!((room.owner.as_str(), room.epoch), ("n1", 1));
    n1.listen("its room", |n1| n1.told("a") == Some(("n1", 1))).await;
    assert_eq!(list(&two).await, list(&one).await);
    for control in [&one, &two] {
        let mut fleet = FleetServiceClient::new(channel(control));
        let ask = |room: &str| ResolveRoomRequest { room_id: room.to_owned() };
        let found = fleet.resolve_room(ask("a")).await.unwrap().into_inner();
        assert_eq!((found.owner.as_str(), found.epoch), ("n1", 1));
        assert_eq!(fleet.resolve_room(ask("b")).await.unwrap_err().code(), Code::NotFound);
    }
    // What the leader says comes through as it is, also a refusal.
    let refused = create(&two, "a", rules("a")).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert_eq!(refused.get_error_details().error_info().unwrap().reason, "ROOM_EXISTS");
    for (control, serving) in [(&one, 1), (&two, 2)] {
        let mut health = HealthClient::new(channel(control));
        let mut check = async |service: &str| {
            let service = service.to_owned();
            health.check(HealthCheckRequest { service }).await.unwrap().into_inner().status
        };
        assert_eq!(check("gavel.fleet.v1.FleetService").await, serving);
        assert_eq!(check("gavel.config.v1.ConfigService").await, 1);
        assert_eq!(check("gavel.admin.v1.RoomService").await, 1);
    }
    two.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn documents_reach_nodes_through_every_replica() {
    let redis = RedisServer::start().await;
    let [one, two] = pair(&redis).await;
    let mut stream = Stream::open(&two, answer(0, &[], &[])).await;
    assert_eq!(stream.push().await.1, [("limits", 1), ("flags", 1), ("denials", 1)]);
    let mut limits = LimitServiceClient::new(channel(&two));
    let changed = gavel_proto::limits::defaults();
    let update = UpdateLimitsRequest { limits: Some(changed), version: 1 };
    until("the change", async || limits.update_limits(update).await.ok()).await;
    assert_eq!(stream.push().await.1, [("limits", 2)]);
    let get = LimitServiceClient::new(channel(&one)).get_limits(GetLimitsRequest {}).await;
    assert_eq!(get.unwrap().into_inner().version, 2);
    two.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn flags_are_served_and_explained_by_every_replica() {
    let redis = RedisServer::start().await;
    let [one, two] = pair(&redis).await;
    let mut streams = Vec::new();
    for control in [&one, &two] {
        let mut service = FlagSyncServiceClient::new(channel(control));
        let mut stream =
            service.sync_flags(SyncFlagsRequest::default()).await.unwrap().into_inner();
        assert!(stream.message().await.unwrap().unwrap().flag_configuration.contains("soft-close"));
        streams.push(stream);
    }
    let document =
        r#"{"flags":{"mine":{"state":"ENABLED","variants":{"x":7},"defaultVariant":"x"}}}"#;
    let mut flags = FlagServiceClient::new(channel(&two));
    let update = UpdateFlagsRequest { document: document.to_owned(), version: 1 };
    let stored = until("the change", async || flags.update_flags(update.clone()).await.ok()).await;
    let version = stored.into_inner().version;
    for (control, stream) in [&one, &two].into_iter().zip(&mut streams) {
        let next = stream.message().await.unwrap().unwrap();
        assert_eq!(next.flag_configuration, document);
        let mut flags = FlagServiceClient::new(channel(control));
        let (key, context) = ("mine".to_owned(), "{}".to_owned());
        let told = flags.explain_flag(ExplainFlagRequest { key, context }).await.unwrap();
        let told = told.into_inner();
        assert_eq!((told.version, told.value.as_str()), (version, "7"));
    }
    two.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn when_the_leader_stops_another_leads_with_what_is_stored() {
    let redis = RedisServer::start().await;
    let [one, two] = pair(&redis).await;
    let (first, term) = leader(&one).await.expect("a leader");
    let n1 = Node::register(&one, "n1", 1, &[]).await;
    create(&one, "a", rules("a")).await.unwrap();
    one.stop().await;
    let (second, later) = until("a leader", async || leader(&two).await).await;
    assert!(second != first && later > term, "{second} {later}");
    drop(n1);
    let two = [two];
    let mut n1 = register(&two, "n1").await;
    n1.interest(&["a"], &[]).await;
    n1.listen("its room", |n1| n1.told("a") == Some(("n1", 1))).await;
    let [two] = two;
    create(&two, "b", rules("b")).await.unwrap();
    assert_eq!(list(&two).await.len(), 2);
    two.stop().await;
}

#[tokio::test]
async fn a_leader_that_has_a_successor_changes_nothing_and_follows_it() {
    let redis = RedisServer::start().await;
    let one = start_with(LEASE_MS, store(&redis)).await;
    let mut n1 = Node::register(&one, "n1", 1, &[]).await;
    create(&one, "a", rules("a")).await.unwrap();
    // The end of its term must be told, and not only be noticed at a heartbeat.
    n1.fall_silent();
    // As if it had stood still until its lease ran out: another took over.
    let successor =
        Candidate { replica: "successor".to_owned(), endpoint: "http://127.0.0.1:9".to_owned() };
    let (replica, term) = leader(&one).await.expect("a leader");
    let leads = Candidate { replica, endpoint: String::new() };
    let stored = store(&redis);
    let taken = until("a lease between two renewals", async || {
        stored.resign(&leads, Term::new(term)).await.unwrap();
        let taken = stored.lead(&successor, None).await.unwrap();
        (taken.leader == successor).then_some(taken)
    })
    .await;
    let refused = create(&one, "b", rules("b")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    let stored = store(&redis).rooms().await.unwrap();
    assert_eq!(stored.len(), 1, "its change was refused");
    until("the end of its term", async || {
        let node = Node::register(&one, "n2", 1, &[]).await;
        (node.redirected_to.as_deref() == Some("http://127.0.0.1:9")).then_some(())
    })
    .await;
    // Its sessions end, so that nodes look for the leader.
    n1.ends().await;
    let away = RoomServiceClient::new(channel(&one))
        .list_rooms(ListRoomsRequest { page_size: 0, page_token: String::new() })
        .await;
    assert_eq!(away.unwrap_err().code(), Code::Unavailable, "the leader does not answer");

    store(&redis).resign(&successor, taken.term).await.unwrap();
    let term = until("its next term", async || leader(&one).await).await.1;
    assert!(term > taken.term.get());
    create(&one, "b", rules("b")).await.unwrap();
    one.stop().await;
}

#[tokio::test]
async fn a_call_is_passed_on_once() {
    let redis = RedisServer::start().await;
    let port = std::net::TcpListener::bind(loopback(0)).unwrap().local_addr().unwrap().port();
    // A leader whose address is, by mistake, that of a follower.
    let (replica, endpoint) = ("mistaken".to_owned(), format!("http://127.0.0.1:{port}"));
    let mistaken = Candidate { replica, endpoint };
    let term = store(&redis).lead(&mistaken, None).await.unwrap().term;
    let mut config = config(LEASE_MS);
    config.grpc.listen = loopback(port);
    let follower = ControlPlane::start_with(config, store(&redis)).await.unwrap();
    store(&redis).lead(&mistaken, Some(term)).await.unwrap();
    let refused = create(&follower, "a", rules("a")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(refused.message(), "the leader is changing; try again");
    follower.stop().await;
}

#[tokio::test]
async fn who_may_not_administer_here_may_not_by_way_of_a_follower() {
    let redis = RedisServer::start().await;
    let token = || {
        let mut config: Config = config(LEASE_MS);
        "hush".clone_into(&mut config.admin.token);
        config
    };
    let one = ControlPlane::start_with(token(), store(&redis)).await.unwrap();
    let two = ControlPlane::start_with(token(), store(&redis)).await.unwrap();
    let refused = create(&two, "a", rules("a")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    // A follower without a token trusts this machine alone, and the leader
    // asks for itself.
    let three = start_with(LEASE_MS, store(&redis)).await;
    let refused = until("an answer of the leader", async || {
        let refused = create(&three, "a", rules("a")).await.unwrap_err();
        (refused.code() != Code::Unavailable).then_some(refused)
    })
    .await;
    assert_eq!(refused.code(), Code::Unauthenticated);
    for control in [three, two, one] {
        control.stop().await;
    }
}
