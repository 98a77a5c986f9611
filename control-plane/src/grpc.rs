//! The services, and only here the way from domain errors to gRPC status.

mod access;
mod audit;
mod audited;
mod caller;
mod configure;
mod describe;
mod documents;
mod fleet;
mod forward;
mod guard;
mod metrics;
mod nodes;
mod readers;
mod rollouts;
mod rooms;
mod scaler;
mod status;
mod sync;
mod telemetry;
mod tokens;
mod users;
mod vouch;

use crate::{
    driver::Driver,
    http::HttpState,
    replica::{Replica, Standing},
    rollup::Rollup,
    store::{ClusterStore, StoreError},
};
use audited::{Auditor, CHANGE_BYTES_MAX};
pub(crate) use configure::{Documents, Holders};
use forward::Forward;
use gavel_proto::{
    DESCRIPTORS,
    admin::v1::{
        audit_service_server::AuditServiceServer, flag_service_server::FlagServiceServer,
        limit_service_server::LimitServiceServer, metrics_service_server::MetricsServiceServer,
        node_service_server::NodeServiceServer, rollout_service_server::RolloutServiceServer,
        room_service_server::RoomServiceServer, user_service_server::UserServiceServer,
    },
    config::v1::config_service_server::ConfigServiceServer,
    flagd::v1::flag_sync_service_server::FlagSyncServiceServer,
    fleet::v1::fleet_service_server::FleetServiceServer,
    keda::external_scaler_server::ExternalScalerServer,
    telemetry::v1::telemetry_service_server::TelemetryServiceServer,
};
use gavel_rules::{order::Term, time::Millis};
use gavel_runtime::{
    grpc,
    net::TcpListener,
    tasks,
    tls::{Door, Tls},
};
use guard::Gate;
use parking_lot::Mutex;
pub(crate) use readers::Readers;
pub(crate) use status::CallError;
use std::{sync::Arc, time::Duration};
pub(crate) use tokens::Tokens;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use tonic_health::server::HealthReporter;

/// What the services share.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    pub(crate) replica: Replica,
    pub(crate) store: Arc<dyn ClusterStore>,
    pub(crate) documents: Documents,
    /// Held by who edits the denials.
    pub(crate) edits: Arc<tokio::sync::Mutex<()>>,
    pub(crate) holders: Holders,
    pub(crate) rollup: Arc<Mutex<Rollup>>,
    pub(crate) state: Arc<HttpState>,
    pub(crate) lease: Millis,
    /// Entries of the audit log that are kept.
    pub(crate) audit_keep: u64,
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

    /// What writes down who changed what.
    fn auditor(&self) -> Auditor {
        Auditor::new(Arc::clone(&self.store), self.audit_keep)
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
            health.set_serving::<AuditServiceServer<Services>>().await;
            health.set_serving::<UserServiceServer<Services>>().await;
            health.set_serving::<ExternalScalerServer<Services>>().await;
        } else {
            health.set_not_serving::<TelemetryServiceServer<Services>>().await;
            health.set_not_serving::<RoomServiceServer<Services>>().await;
            health.set_not_serving::<NodeServiceServer<Services>>().await;
            health.set_not_serving::<LimitServiceServer<Services>>().await;
            health.set_not_serving::<FlagServiceServer<Services>>().await;
            health.set_not_serving::<RolloutServiceServer<Services>>().await;
            health.set_not_serving::<MetricsServiceServer<Services>>().await;
            health.set_not_serving::<AuditServiceServer<Services>>().await;
            health.set_not_serving::<UserServiceServer<Services>>().await;
            health.set_not_serving::<ExternalScalerServer<Services>>().await;
        }
        tokio::select! {
            changed = standing.changed() => if changed.is_err() { return },
            () = services.stop.cancelled() => return,
        }
    }
}

/// By what callers are let in.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) tls: Tls,
    pub(crate) tokens: Tokens,
}

/// Serves until the control plane stops.
pub(crate) async fn serve(services: Services, listener: TcpListener, entrance: Entrance) {
    let Entrance { tls, tokens } = entrance;
    let auditor = services.auditor();
    let store = Arc::clone(&services.store);
    let gate = Gate::new(tokens, tls.is_mutual(), Arc::clone(&store), auditor.clone());
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
    macro_rules! ours {
        ($service:ident) => {
            ours!($service, grpc::REQUEST_BYTES_MAX)
        };
        ($service:ident, $most:expr) => {
            $service::new(services.clone()).max_decoding_message_size($most)
        };
    }
    // Whether a caller may call is asked before a call is passed on, and again
    // by the leader; it is written down by whoever serves it.
    macro_rules! passed_on {
        ($($service:tt)*) => {
            gate.before(Forward::new(auditor.over(ours!($($service)*)), &replica, &store, &stop))
        };
    }
    let served = grpc::server()
        .add_service(reflection)
        .add_service(health_service)
        .add_service(gate.before(FleetServiceServer::new(services.clone())))
        .add_service(gate.before(ours!(ConfigServiceServer)))
        .add_service(passed_on!(TelemetryServiceServer))
        .add_service(passed_on!(RoomServiceServer))
        .add_service(passed_on!(NodeServiceServer))
        .add_service(passed_on!(LimitServiceServer))
        .add_service(passed_on!(FlagServiceServer, CHANGE_BYTES_MAX))
        .add_service(passed_on!(RolloutServiceServer))
        .add_service(gate.before(ours!(FlagSyncServiceServer)))
        .add_service(passed_on!(MetricsServiceServer))
        .add_service(passed_on!(AuditServiceServer))
        .add_service(passed_on!(UserServiceServer))
        .add_service(passed_on!(ExternalScalerServer))
        .serve_with_incoming_shutdown(
            grpc::incoming(listener, &tls, Door::Operators),
            stop.clone().cancelled_owned(),
        )
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "gRPC stopped");
    }
}
