//! The services, and only here the way from domain errors to gRPC status.

mod admin_token;
mod configure;
mod documents;
mod fleet;
mod forward;
mod metrics;
mod nodes;
mod rollouts;
mod rooms;
mod status;
mod sync;
mod telemetry;

use crate::{
    config::Config,
    driver::Driver,
    http::HttpState,
    replica::{Replica, Standing},
    rollup::Rollup,
    store::{ClusterStore, StoreError},
};
pub(crate) use admin_token::AdminToken;
pub(crate) use configure::{Documents, Holders};
use forward::Forward;
use gavel_proto::{
    DESCRIPTORS,
    admin::v1::{
        flag_service_server::FlagServiceServer, limit_service_server::LimitServiceServer,
        metrics_service_server::MetricsServiceServer, node_service_server::NodeServiceServer,
        rollout_service_server::RolloutServiceServer, room_service_server::RoomServiceServer,
    },
    config::v1::config_service_server::ConfigServiceServer,
    flagd::v1::flag_sync_service_server::FlagSyncServiceServer,
    fleet::v1::fleet_service_server::FleetServiceServer,
    telemetry::v1::telemetry_service_server::TelemetryServiceServer,
};
use gavel_rules::{order::Term, time::Millis};
use gavel_runtime::{
    grpc,
    net::{self, TcpListener},
    tasks,
};
use parking_lot::Mutex;
pub(crate) use status::CallError;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming, service::interceptor::InterceptedService};
use tonic_health::server::HealthReporter;

/// What the services share.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    pub(crate) replica: Replica,
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

// === impl Services ===

impl Services {
    /// What decides, under which term; an error while this replica does not
    /// lead.
    pub(crate) fn leading(&self) -> Result<(Term, Driver), CallError> {
        match self.replica.standing() {
            Standing::Leads { term, driver, acting: true } => Ok((term, driver)),
            Standing::Leads { .. } | Standing::Follows(_) => Err(CallError::NoLeader),
        }
    }

    /// What knows, even if it may not decide just now; none on a follower.
    fn driver(&self) -> Option<Driver> {
        match self.replica.standing() {
            Standing::Leads { driver, .. } => Some(driver),
            Standing::Follows(_) => None,
        }
    }

    /// What came of a change in the store.
    fn changed<T>(&self, outcome: Result<T, StoreError>) -> Result<T, CallError> {
        if let Err(StoreError::Fenced { .. }) = outcome {
            self.replica.fenced();
        }
        Ok(outcome?)
    }
}

/// Tells for each service whether it is served here, now and after each change.
async fn report_health(health: HealthReporter, services: Services) {
    health.set_serving::<ConfigServiceServer<Services>>().await;
    health.set_serving::<FlagSyncServiceServer<Services>>().await;
    let mut standing = services.replica.watch();
    loop {
        let now = standing.borrow_and_update().clone();
        // Only the leader holds sessions. What others pass on to it, they serve.
        let leads = matches!(now, Standing::Leads { acting: true, .. });
        if leads {
            health.set_serving::<FleetServiceServer<Services>>().await;
        } else {
            health.set_not_serving::<FleetServiceServer<Services>>().await;
        }
        if leads || matches!(now, Standing::Follows(Some(_))) {
            health.set_serving::<TelemetryServiceServer<Services>>().await;
            health.set_serving::<RoomServiceServer<Services>>().await;
            health.set_serving::<NodeServiceServer<Services>>().await;
            health.set_serving::<LimitServiceServer<Services>>().await;
            health.set_serving::<FlagServiceServer<Services>>().await;
            health.set_serving::<RolloutServiceServer<Services>>().await;
            health.set_serving::<MetricsServiceServer<Services>>().await;
        } else {
            health.set_not_serving::<TelemetryServiceServer<Services>>().await;
            health.set_not_serving::<RoomServiceServer<Services>>().await;
            health.set_not_serving::<NodeServiceServer<Services>>().await;
            health.set_not_serving::<LimitServiceServer<Services>>().await;
            health.set_not_serving::<FlagServiceServer<Services>>().await;
            health.set_not_serving::<RolloutServiceServer<Services>>().await;
            health.set_not_serving::<MetricsServiceServer<Services>>().await;
        }
        tokio::select! {
            changed = standing.changed() => if changed.is_err() { return },
            () = services.stop.cancelled() => return,
        }
    }
}

/// Serves until the control plane stops.
pub(crate) async fn serve(services: Services, listener: TcpListener, config: &Config) {
    let token = AdminToken::new(&config.admin.token);
    let (health, health_service) = tonic_health::server::health_reporter();
    drop(tasks::spawn("grpc.health", report_health(health, services.clone())));
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .build_v1();
    let reflection = match reflection {
        Ok(reflection) => reflection,
        Err(error) => unreachable!("the descriptors were built with the crate: {error}"),
    };
    let (replica, stop) = (services.replica.clone(), services.stop.clone());
    // Whether a caller may call is asked before a call is passed on: the leader
    // sees the follower's address and not the caller's.
    macro_rules! admin {
        ($service:ident) => {{
            let forward = Forward::new($service::new(services.clone()), &replica, &stop);
            InterceptedService::new(forward, token.clone())
        }};
    }
    let served = grpc::server()
        .add_service(reflection)
        .add_service(health_service)
        .add_service(FleetServiceServer::new(services.clone()))
        .add_service(ConfigServiceServer::new(services.clone()))
        .add_service(Forward::new(TelemetryServiceServer::new(services.clone()), &replica, &stop))
        .add_service(admin!(RoomServiceServer))
        .add_service(admin!(NodeServiceServer))
        .add_service(admin!(LimitServiceServer))
        .add_service(admin!(FlagServiceServer))
        .add_service(admin!(RolloutServiceServer))
        .add_service(FlagSyncServiceServer::with_interceptor(services.clone(), token.clone()))
        .add_service(admin!(MetricsServiceServer))
        .serve_with_incoming_shutdown(net::incoming(listener), stop.clone().cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "gRPC stopped");
    }
}
