//! Running planes as a process of their own, and their settings.

mod settings;
mod single;

use crate::{failure::Failure, files};
use gavel_runtime::{config::Form, shutdown::Shutdown, telemetry};
pub(crate) use settings::{ConfigVerb, ControlPlaneArgs, DataPlaneArgs, config};
pub(crate) use single::{ServeArgs, run as single};

/// Runs the control plane until a signal.
pub(crate) async fn control_plane(args: ControlPlaneArgs) -> Result<(), Failure> {
    let config = args.load()?;
    let _telemetry = telemetry::init("gavel-control-plane", &config.grpc.listen.to_string());
    gavel_control_plane::run(config)
        .await
        .map_err(|error| Failure::internal("the control plane cannot start", error))
}

/// Runs one data-plane node until a signal.
pub(crate) async fn data_plane(args: DataPlaneArgs) -> Result<(), Failure> {
    let config = args.load()?;
    // A node without a name draws one when it starts; its address tells it apart as well.
    let named = Some(config.node.id.clone()).filter(|id| !id.is_empty());
    let instance = named.unwrap_or_else(|| config.http.listen.to_string());
    let _telemetry = telemetry::init("gavel-data-plane", &instance);
    files::raise_limit();
    gavel_data_plane::run(config)
        .await
        .map_err(|error| Failure::internal("the node cannot start", error))
}

/// Checks the argument `--redis-url` of the verbs that have no settings.
pub(crate) fn redis_url(url: &str) -> Result<(), Failure> {
    let wrong = || Failure::Usage(format!("--redis-url: must be {}", Form::RedisUrl.words()));
    Form::RedisUrl.fits(url).then_some(()).ok_or_else(wrong)
}

/// The wish to stop, from SIGTERM or SIGINT.
pub(crate) fn signals() -> Result<Shutdown, Failure> {
    Shutdown::on_signals().map_err(|error| Failure::internal("cannot watch signals", error))
}
