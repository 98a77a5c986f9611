//! Certificates at the door: who comes in as whom.

use crate::world::{Node, config, loopback, rules, store};
use gavel_control_plane::{Config, ControlPlane};
use gavel_proto::{
    admin::v1::{
        CreateRoomRequest, ListNodesRequest, node_service_client::NodeServiceClient,
        room_service_client::RoomServiceClient,
    },
    config::v1::{StreamConfigRequest, config_service_client::ConfigServiceClient},
    fleet::v1::{ResolveRoomRequest, fleet_service_client::FleetServiceClient},
    telemetry::v1::{StreamReportsRequest, telemetry_service_client::TelemetryServiceClient},
};
use gavel_runtime::{
    grpc,
    tls::{Names, Role, Tls, TlsConfig},
};
use gavel_testkit::{Authority, Issued, RedisServer, until};
use std::fs;
use tonic::{Code, Status, transport::Channel};

const LEASE_MS: u64 = 3_000;

/// Settings of a control plane that asks for certificates.
pub(crate) fn mutual(authority: &Authority, name: &str) -> Config {
    let mut config = config(LEASE_MS);
    config.tls = shows(authority, &authority.issue(name, &[]));
    config
}

fn shows(authority: &Authority, issued: &Issued) -> TlsConfig {
    TlsConfig {
        cert_file: issued.cert_file.clone(),
        key_file: issued.key_file.clone(),
        ca_file: authority.ca_file(),
        client_ca_file: authority.ca_file(),
        ..TlsConfig::default()
    }
}

/// A channel of somebody who shows this; nothing if it is none.
pub(crate) fn channel(
    control: &ControlPlane,
    authority: &Authority,
    shown: Option<&Issued>,
) -> Channel {
    let mut config = TlsConfig { ca_file: authority.ca_file(), ..TlsConfig::default() };
    if let Some(shown) = shown {
        config = shows(authority, shown);
    }
    let tls = Tls::open(&config).expect("good files");
    grpc::channel(&format!("https://{}", control.grpc_addr()), &tls).expect("an endpoint")
}

fn node(authority: &Authority, id: &str) -> Issued {
    authority.issue(id, &[&Names::uri_of_node(id)])
}

/// The codes with which a channel may not speak for n1, in all the ways that nodes do.
async fn as_n1(channel: &Channel) -> Vec<Option<Code>> {
    let code = |outcome: Result<(), Status>| outcome.err().map(|status| status.code());
    let session = Node::register_over(channel.clone(), "n1", 1, &[]).await.map(drop);
    let hello = StreamConfigRequest { node_id: "n1".to_owned(), ..StreamConfigRequest::default() };
    let mut documents = ConfigServiceClient::new(channel.clone());
    let documents = documents.stream_config(tokio_stream::iter([hello])).await.map(drop);
    let report =
        StreamReportsRequest { node_id: "n1".to_owned(), ..StreamReportsRequest::default() };
    let mut reports = TelemetryServiceClient::new(channel.clone());
    let reports = reports.stream_reports(tokio_stream::iter([report])).await.map(drop);
    [session, documents, reports].into_iter().map(code).collect()
}

#[tokio::test]
async fn a_node_is_whom_its_certificate_names() {
    let authority = Authority::new();
    let control = ControlPlane::start(mutual(&authority, "control")).await.unwrap();
    let n1 = node(&authority, "n1");
    let own = channel(&control, &authority, Some(&n1));
    assert_eq!(as_n1(&own).await, [None; 3]);
    let other = channel(&control, &authority, Some(&node(&authority, "n2")));
    assert_eq!(as_n1(&other).await, [Some(Code::PermissionDenied); 3]);
    let bare = channel(&control, &authority, None);
    assert_eq!(as_n1(&bare).await, [Some(Code::PermissionDenied); 3]);
    let resolve = ResolveRoomRequest { room_id: "a".to_owned() };
    let refused = FleetServiceClient::new(bare).resolve_room(resolve).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    // These do not even get through the handshake.
    let strangers = Authority::new();
    let uri = Names::uri_of_node("n1");
    for bad in [strangers.issue("n1", &[&uri]), authority.issue_expired("n1-old", &[&uri])] {
        let bad = channel(&control, &authority, Some(&bad));
        for code in as_n1(&bad).await {
            assert!(matches!(code, Some(Code::Unavailable | Code::Unknown)), "{code:?}");
        }
    }
    // Nor does whoever speaks plain text, or believes somebody else.
    let plain = format!("http://{}", control.grpc_addr());
    let plain = grpc::channel(&plain, &Tls::default()).unwrap();
    assert!(as_n1(&plain).await.iter().all(Option::is_some));
    let deceived = channel(&control, &strangers, None);
    assert!(as_n1(&deceived).await.iter().all(Option::is_some));
    // A node's certificate is not an operator's.
    let mut nodes = NodeServiceClient::new(own);
    let refused = nodes.list_nodes(ListNodesRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    control.stop().await;
}

#[tokio::test]
async fn certificates_are_renewed_under_open_sessions() {
    let authority = Authority::new();
    let config = mutual(&authority, "control");
    let (cert_file, key_file) = (config.tls.cert_file.clone(), config.tls.key_file.clone());
    let control = ControlPlane::start(config).await.unwrap();
    let n1 = node(&authority, "n1");
    let own = || channel(&control, &authority, Some(&n1));
    let mut session = Node::register_over(own(), "n1", 1, &[]).await.unwrap();
    let gets_through = async || {
        let resolve = ResolveRoomRequest { room_id: "never".to_owned() };
        let refused = FleetServiceClient::new(own()).resolve_room(resolve).await.unwrap_err();
        refused.code() == Code::NotFound
    };
    // One that is over shows that it is used; the next is good again.
    let over = authority.issue_expired("over", &[]);
    fs::copy(&over.cert_file, &cert_file).unwrap();
    fs::copy(&over.key_file, &key_file).unwrap();
    until("the new certificate", async || (!gets_through().await).then_some(())).await;
    drop(authority.issue("control", &[]));
    until("the next one", async || gets_through().await.then_some(())).await;
    session.interest(&["never"], &[]).await;
    session.listen("an answer on the first", |n1| n1.rooms.contains_key("never")).await;
    control.stop().await;
}

#[tokio::test]
async fn an_operator_is_known_by_certificate_on_every_replica() {
    let (authority, redis) = (Authority::new(), RedisServer::start().await);
    let replica = async |name: &str| {
        let config = mutual(&authority, name);
        ControlPlane::start_with(config, store(&redis)).await.unwrap()
    };
    let leader = replica("one").await;
    let follower = replica("two").await;
    let shown = |role: Role| {
        let name = role.as_str();
        authority.issue(&format!("ops-{name}"), &[&Names::uri_of_operator(role, name)])
    };
    let create = async |control: &ControlPlane, role: Role, id: &str| {
        let channel = channel(control, &authority, Some(&shown(role)));
        let request = CreateRoomRequest { id: id.to_owned(), rules: Some(rules(id)) };
        RoomServiceClient::new(channel).create_room(request).await.map_err(|error| error.code())
    };
    let created = async || match create(&follower, Role::Operator, "a").await {
        Err(Code::Unavailable) => None,
        other => Some(other.map(drop)),
    };
    assert_eq!(until("a leader", created).await, Ok(()), "the follower's word counts");
    for control in [&leader, &follower] {
        let refused = create(control, Role::Viewer, "b").await.map(drop);
        assert_eq!(refused, Err(Code::PermissionDenied));
    }
    // Nearness is nothing here, by whichever way.
    for control in [&leader, &follower] {
        let bare = channel(control, &authority, None);
        let refused = NodeServiceClient::new(bare).list_nodes(ListNodesRequest {}).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    }
    follower.stop().await;
    leader.stop().await;
}

#[tokio::test]
async fn a_cluster_that_mixes_plain_and_secure_is_told_so() {
    let authority = Authority::new();
    let mut config = mutual(&authority, "control");
    "http://10.0.0.1:7001".clone_into(&mut config.grpc.advertise);
    assert_eq!(config.check().unwrap_err().key, "grpc.advertise");
    let mut config = mutual(&authority, "control");
    "/nowhere/at/all.pem".clone_into(&mut config.tls.client_ca_file);
    config.http.listen = loopback(0);
    let error = ControlPlane::start(config).await.unwrap_err();
    assert!(error.to_string().contains("tls.client_ca_file"), "{error}");
}
