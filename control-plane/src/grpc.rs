//! The services, and only here the way from domain errors to gRPC status.

mod admin_token;
mod configure;
mod documents;
mod fleet;
mod metrics;
mod nodes;
mod rooms;
mod status;
mod telemetry;

use crate::{config::Config, driver::Driver, http::HttpState, rollup::Rollup, store::ClusterStore};
pub(crate) use admin_token::AdminToken;
pub(crate) use configure::{Documents, Holders};
use gavel_proto::{
    DESCRIPTORS,
    admin::v1::{
        flag_service_server::FlagServiceServer, limit_service_server::LimitServiceServer,
        metrics_service_server::MetricsServiceServer, node_service_server::NodeServiceServer,
        room_service_server::RoomServiceServer,
    },
    config::v1::config_service_server::ConfigServiceServer,
    fleet::v1::fleet_service_server::FleetServiceServer,
    telemetry::v1::telemetry_service_server::TelemetryServiceServer,
};
use gavel_rules::time::Millis;
use gavel_runtime::grpc;
use parking_lot::Mutex;
use status::CallError;
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming, transport::server::TcpIncoming};

/// What the services share.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    pub(crate) driver: Driver,
    pub(crate) store: Arc<dyn ClusterStore>,
    pub(crate) documents: Documents,
    pub(crate) holders: Holders,
    pub(crate) rollup: Arc<Mutex<Rollup>>,
    pub(crate) state: Arc<HttpState>,
    pub(crate) lease: Millis,
    pub(crate) stop: CancellationToken,
}

/// How long a stream may take for its first message.
const FIRST_MESSAGE_WAIT: Duration = Duration::from_secs(5);

/// The message that opens a stream.
async fn first_message<T>(stream: &mut Streaming<T>) -> Result<T, Status> {
    let first = tokio::time::timeout(FIRST_MESSAGE_WAIT, stream.message()).await;
    first.map_err(|_| CallError::Silent)??.ok_or_else(|| CallError::Silent.into())
}

/// Serves until the control plane stops.
pub(crate) async fn serve(services: Services, listener: TcpListener, config: &Config) {
    let token = AdminToken::new(&config.admin.token);
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<FleetServiceServer<Services>>().await;
    health.set_serving::<ConfigServiceServer<Services>>().await;
    health.set_serving::<TelemetryServiceServer<Services>>().await;
    health.set_serving::<RoomServiceServer<Services>>().await;
    health.set_serving::<NodeServiceServer<Services>>().await;
    health.set_serving::<LimitServiceServer<Services>>().await;
    health.set_serving::<FlagServiceServer<Services>>().await;
    health.set_serving::<MetricsServiceServer<Services>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .build_v1();
    let reflection = match reflection {
        Ok(reflection) => reflection,
        Err(error) => unreachable!("the descriptors were built with the crate: {error}"),
    };
    let stop = services.stop.clone();
    let served = grpc::server()
        .add_service(reflection)
        .add_service(health_service)
        .add_service(FleetServiceServer::new(services.clone()))
        .add_service(ConfigServiceServer::new(services.clone()))
        .add_service(TelemetryServiceServer::new(services.clone()))
        .add_service(RoomServiceServer::with_interceptor(services.clone(), token.clone()))
        .add_service(NodeServiceServer::with_interceptor(services.clone(), token.clone()))
        .add_service(LimitServiceServer::with_interceptor(services.clone(), token.clone()))
        .add_service(FlagServiceServer::with_interceptor(services.clone(), token.clone()))
        .add_service(MetricsServiceServer::with_interceptor(services, token))
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stop.cancelled_owned(),
        )
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "gRPC stopped");
    }
}
