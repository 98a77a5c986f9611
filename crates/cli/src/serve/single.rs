//! `gavel serve`: a control plane and one node in this process, on a file of
//! this machine.

use super::settings::pair;
use crate::{cluster::Cluster, failure::Failure, files, stores::Stores};
use gavel_runtime::{
    config::{self as sources, ConfigError, PREFIX},
    disk::DataConfig,
    grpc, telemetry,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Run everything on this machine without Redis; nothing is lost on kill -9.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ServeArgs {
    /// Directory of the store; made where there is none.
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Address of HTTP and WebSocket.
    #[arg(long, value_name = "ADDRESS")]
    http_listen: Option<String>,
    /// Address of gRPC, for operators.
    #[arg(long, value_name = "ADDRESS")]
    grpc_listen: Option<String>,
    /// Token of operators; without it only this machine may ask.
    #[arg(long, value_name = "TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Any other setting, such as `data_plane.shutdown.grace_ms=1000`.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

/// The settings of both planes, and where they store.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    data: DataConfig,
    control_plane: gavel_control_plane::Config,
    data_plane: gavel_data_plane::Config,
}

/// Runs until a signal.
pub(crate) async fn run(args: ServeArgs) -> Result<(), Failure> {
    let Settings { data, control_plane, mut data_plane } = args.load()?;
    if data.dir.is_empty() {
        return Err(Failure::Usage("data.dir: name a directory with --data".to_owned()));
    }
    let _telemetry = telemetry::init("gavel", &data_plane.http.listen.to_string());
    let shutdown = super::signals()?;
    files::raise_limit();

    let stores = Stores::on_disk(Path::new(&data.dir))?;
    if data_plane.node.state_dir.is_empty() {
        data_plane.node.state_dir.clone_from(&data.dir);
    }
    let mut cluster = Cluster::start(control_plane, stores).await?;
    let started = cluster.add(data_plane).await;
    if started.is_ok() {
        shutdown.wait().await;
    }
    cluster.stop().await;
    started
}

// === impl ServeArgs ===

impl ServeArgs {
    /// The settings, checked. A missing directory is no fault yet.
    pub(crate) fn load(self) -> Result<Settings, Failure> {
        let given = [
            ("data.dir", self.data),
            ("data_plane.http.listen", self.http_listen),
            ("control_plane.grpc.listen", self.grpc_listen),
            ("control_plane.admin.token", self.admin_token.clone()),
            ("data_plane.admin.token", self.admin_token),
        ];
        let set = self.set.iter().map(|(key, value)| (key.as_str(), value.clone()));
        let given = given.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let overrides: Vec<(&str, String)> = set.chain(given).collect();
        let mut settings: Settings = sources::load(self.config.as_deref(), PREFIX, &overrides)?;
        // The node has no other control plane than this one.
        let Settings { control_plane, data_plane, .. } = &mut settings;
        let scheme = control_plane.tls.grpc_scheme();
        data_plane.control.endpoint = grpc::reachable(scheme, control_plane.grpc.listen);
        settings.check()?;
        Ok(settings)
    }
}

// === impl Settings ===

impl Settings {
    /// Each plane checks its own, and neither may store elsewhere.
    fn check(&self) -> Result<(), ConfigError> {
        let Self { control_plane, data_plane, .. } = self;
        for (plane, checked, url) in [
            ("control_plane", control_plane.check(), &control_plane.redis.url),
            ("data_plane", data_plane.check(), &data_plane.redis.url),
        ] {
            checked
                .map_err(|error| ConfigError { key: format!("{plane}.{}", error.key), ..error })?;
            if !url.is_empty() {
                let key = format!("{plane}.redis.url");
                return Err(ConfigError::invalid(key, "everything is kept in data.dir"));
            }
        }
        Ok(())
    }
}

impl Default for Settings {
    /// Those of separate processes, but for what only this process needs.
    fn default() -> Self {
        Self {
            data: DataConfig::default(),
            control_plane: gavel_control_plane::Config::for_one_process(),
            data_plane: gavel_data_plane::Config::for_one_process(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn with(set: &[&str]) -> Result<Settings, Failure> {
        let set = set.iter().map(|text| pair(text).unwrap()).collect();
        ServeArgs { set, ..ServeArgs::default() }.load()
    }

    #[test]
    fn the_defaults_are_those_of_separate_processes_kept_on_this_machine() {
        let settings = with(&[]).unwrap();
        assert_eq!(settings.data_plane.http, gavel_data_plane::Config::default().http);
        assert_eq!(settings.control_plane.grpc.listen, SocketAddr::from(([127, 0, 0, 1], 7001)));
        assert!(settings.data_plane.relay.listen.ip().is_loopback());
    }

    #[test]
    fn one_token_guards_both_planes() {
        let args = ServeArgs { admin_token: Some("hush".to_owned()), ..ServeArgs::default() };
        let settings = args.load().unwrap();
        assert_eq!(settings.control_plane.admin.token, "hush");
        assert_eq!(settings.data_plane.admin.token, "hush");
    }

    #[test]
    fn a_wrong_setting_is_named_with_its_plane() {
        for (set, name) in [
            ("data_plane.http.header_timeout_ms=1", "data_plane.http.header_timeout_ms"),
            ("control_plane.cluster.lease_ms=60001", "control_plane.cluster.lease_ms"),
            ("data_plane.redis.url=redis://h", "data_plane.redis.url"),
            ("control_plane.redis.url=nowhere", "control_plane.redis.url"),
            ("http.listen=127.0.0.1:1", "http"),
        ] {
            match with(&[set]) {
                Err(Failure::Usage(message)) => assert!(message.contains(name), "{message}"),
                other => panic!("{set}: {other:?}"),
            }
        }
    }
}
