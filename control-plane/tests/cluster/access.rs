//! Who may call, and what a stranger finds.

use crate::world::{channel, config, start};
use gavel_control_plane::ControlPlane;
use gavel_proto::{
    admin::v1::{ListNodesRequest, node_service_client::NodeServiceClient},
    flagd::v1::{SyncFlagsRequest, flag_sync_service_client::FlagSyncServiceClient},
    fleet::v1::{
        Heartbeat, SessionRequest, fleet_service_client::FleetServiceClient, session_request::Kind,
    },
};
use tonic::{Code, Request};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

const SERVICES: [&str; 11] = [
    "flagd.sync.v1.FlagSyncService",
    "gavel.admin.v1.AuditService",
    "gavel.admin.v1.FlagService",
    "gavel.admin.v1.LimitService",
    "gavel.admin.v1.MetricsService",
    "gavel.admin.v1.NodeService",
    "gavel.admin.v1.RoomService",
    "gavel.admin.v1.UserService",
    "gavel.config.v1.ConfigService",
    "gavel.fleet.v1.FleetService",
    "gavel.telemetry.v1.TelemetryService",
];

#[tokio::test]
async fn admin_calls_need_the_token_where_one_is_set() {
    let mut config = config(3_000);
    "hush".clone_into(&mut config.admin.token);
    let control = ControlPlane::start(config).await.unwrap();
    let mut client = NodeServiceClient::new(channel(&control));
    let bare = client.list_nodes(ListNodesRequest {}).await.unwrap_err();
    assert_eq!(bare.code(), Code::Unauthenticated);
    let mut request = Request::new(ListNodesRequest {});
    request.metadata_mut().insert("authorization", "Bearer hush".parse().unwrap());
    assert!(client.list_nodes(request).await.is_ok());
    let mut flags = FlagSyncServiceClient::new(channel(&control));
    let bare = flags.sync_flags(SyncFlagsRequest::default()).await.unwrap_err();
    assert_eq!(bare.code(), Code::Unauthenticated);
    let mut request = Request::new(SyncFlagsRequest::default());
    request.metadata_mut().insert("authorization", "Bearer hush".parse().unwrap());
    assert!(flags.sync_flags(request).await.is_ok());
    control.stop().await;
}

#[tokio::test]
async fn a_session_begins_with_register() {
    let control = start(3_000).await;
    let mut client = FleetServiceClient::new(channel(&control));
    let beat = Some(Kind::Heartbeat(Heartbeat::default()));
    let first = tokio_stream::iter([SessionRequest { kind: beat }]);
    let refused = client.session(first).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    control.stop().await;
}

#[tokio::test]
async fn every_service_reflects_and_tells_its_health() {
    let control = start(3_000).await;
    let mut health = HealthClient::new(channel(&control));
    for service in SERVICES {
        let request = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status, 1, "{service}");
    }
    let list = Some(MessageRequest::ListServices(String::new()));
    let list = ServerReflectionRequest { host: String::new(), message_request: list };
    let mut reflection = ServerReflectionClient::new(channel(&control));
    let answers = reflection.server_reflection_info(tokio_stream::iter([list])).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(listed)) = answer else { panic!("{answer:?}") };
    for service in SERVICES {
        assert!(listed.service.iter().any(|listed| listed.name == service), "{service}");
    }
    control.stop().await;
}
