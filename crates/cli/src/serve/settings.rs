//! The settings of both planes: defaults, file, environment, flags.

use super::single::ServeArgs;
use crate::{failure::Failure, output};
use gavel_runtime::config::{self as sources, PREFIX};
use serde::{Serialize, de::DeserializeOwned};
use std::path::PathBuf;

/// Settings of the control plane that have a flag of their own.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ControlPlaneArgs {
    #[command(flatten)]
    common: Common,
    /// Address of HTTP.
    #[arg(long, value_name = "ADDRESS")]
    http_listen: Option<String>,
    /// Address of gRPC.
    #[arg(long, value_name = "ADDRESS")]
    grpc_listen: Option<String>,
}

/// Settings of a node that have a flag of their own.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct DataPlaneArgs {
    #[command(flatten)]
    common: Common,
    /// Stable id of the node.
    #[arg(long, value_name = "ID")]
    node_id: Option<String>,
    /// Availability zone.
    #[arg(long)]
    zone: Option<String>,
    /// Address of HTTP and WebSocket.
    #[arg(long, value_name = "ADDRESS")]
    http_listen: Option<String>,
    /// Address of the relay that other nodes use.
    #[arg(long, value_name = "ADDRESS")]
    relay_listen: Option<String>,
    /// How other nodes reach the relay.
    #[arg(long, value_name = "URL")]
    relay_advertise: Option<String>,
    /// The control plane's gRPC.
    #[arg(long, value_name = "URL")]
    control_endpoint: Option<String>,
}

#[derive(Debug, Default, clap::Args)]
struct Common {
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Redis or Valkey; without it all state is in memory.
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// Token of operators; without it only this machine may ask.
    #[arg(long, value_name = "TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// Any other setting, such as `shutdown.grace_ms=1000`.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
}

/// Show or check the settings of a process.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ConfigVerb {
    /// Print the settings in force as TOML, without secrets.
    #[command(subcommand)]
    Print(Process),
    /// Check them; wrong ones are named, with exit status 64.
    #[command(subcommand)]
    Check(Process),
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Process {
    /// The control plane's.
    ControlPlane(ControlPlaneArgs),
    /// A data-plane node's.
    DataPlane(DataPlaneArgs),
    /// Those of both in one process.
    Serve(ServeArgs),
}

/// Prints or checks the settings of a process.
pub(crate) fn config(verb: ConfigVerb) -> Result<(), Failure> {
    match verb {
        ConfigVerb::Print(Process::ControlPlane(args)) => print(&args.load()?),
        ConfigVerb::Print(Process::DataPlane(args)) => print(&args.load()?),
        ConfigVerb::Print(Process::Serve(args)) => print(&args.load()?),
        ConfigVerb::Check(Process::ControlPlane(args)) => args.load().and_then(|_| fine()),
        ConfigVerb::Check(Process::DataPlane(args)) => args.load().and_then(|_| fine()),
        ConfigVerb::Check(Process::Serve(args)) => args.load().and_then(|_| fine()),
    }
}

// === impl ControlPlaneArgs ===

impl ControlPlaneArgs {
    /// The control plane's settings, checked.
    pub(crate) fn load(self) -> Result<gavel_control_plane::Config, Failure> {
        let flags = [("http.listen", self.http_listen), ("grpc.listen", self.grpc_listen)];
        let config: gavel_control_plane::Config = self.common.load(flags)?;
        config.check()?;
        Ok(config)
    }
}

// === impl DataPlaneArgs ===

impl DataPlaneArgs {
    /// A node's settings, checked.
    pub(crate) fn load(self) -> Result<gavel_data_plane::Config, Failure> {
        let flags = [
            ("node.id", self.node_id),
            ("node.zone", self.zone),
            ("http.listen", self.http_listen),
            ("relay.listen", self.relay_listen),
            ("relay.advertise", self.relay_advertise),
            ("control.endpoint", self.control_endpoint),
        ];
        let config: gavel_data_plane::Config = self.common.load(flags)?;
        config.check()?;
        Ok(config)
    }
}

// === impl Common ===

impl Common {
    fn load<T, const N: usize>(self, flags: [(&str, Option<String>); N]) -> Result<T, Failure>
    where
        T: DeserializeOwned + Serialize + Default,
    {
        let shared = [("redis.url", self.redis_url), ("admin.token", self.admin_token)];
        let mut overrides: Vec<(&str, String)> =
            self.set.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let given = shared.into_iter().chain(flags);
        overrides.extend(given.filter_map(|(key, value)| Some((key, value?))));
        Ok(sources::load(self.config.as_deref(), PREFIX, &overrides)?)
    }
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn fine() -> Result<(), Failure> {
    output::text("the settings are fine\n")
}

fn print<T: Serialize>(config: &T) -> Result<(), Failure> {
    let mut table = toml::Table::try_from(config)
        .map_err(|error| Failure::internal("the settings cannot be shown", error))?;
    hide(&mut table);
    output::text(table)
}

/// Secrets are shown as being set, not as what they are.
fn hide(table: &mut toml::Table) {
    for (key, value) in table.iter_mut() {
        if let toml::Value::Table(inner) = value {
            hide(inner);
        } else if let toml::Value::String(text) = value {
            match key.as_str() {
                "token" | "tokens" | "secret" if !text.is_empty() => "(set)".clone_into(text),
                "url" => *text = without_password(text),
                _ => {}
            }
        }
    }
}

fn without_password(url: &str) -> String {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let (_, host) = rest.rsplit_once('@')?;
        Some(format!("{scheme}://(set)@{host}"))
    });
    parts.unwrap_or_else(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(set: &[&str]) -> Common {
        let set = set.iter().map(|text| pair(text).unwrap()).collect();
        Common { set, ..Common::default() }
    }

    #[test]
    fn flags_set_their_settings() {
        let args = DataPlaneArgs {
            node_id: Some("node-7".to_owned()),
            http_listen: Some("127.0.0.1:4000".to_owned()),
            common: common(&["http.header_timeout_ms=700"]),
            ..DataPlaneArgs::default()
        };
        let config = args.load().unwrap();
        assert_eq!(config.node.id, "node-7");
        assert_eq!(config.http.listen.port(), 4000);
        assert_eq!(config.http.header_timeout_ms, 700);
    }

    #[test]
    fn a_wrong_setting_is_named_and_is_usage() {
        for (set, name) in [
            ("http.no_such=1", "no_such"),
            ("http.header_timeout_ms=1", "http.header_timeout_ms"),
            ("http.listen=nowhere", "http.listen"),
            ("redis.url=nowhere", "redis.url"),
        ] {
            let args = DataPlaneArgs { common: common(&[set]), ..DataPlaneArgs::default() };
            match args.load() {
                Err(Failure::Usage(message)) => assert!(message.contains(name), "{message}"),
                other => panic!("{set}: {other:?}"),
            }
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut table = toml::toml! {
            [admin]
            token = "hush"
            tokens = "ann admin hush"
            [auth]
            secret = ""
            [redis]
            url = "redis://user:hush@host:6379"
        };
        hide(&mut table);
        let shown = table.to_string();
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("redis://(set)@host:6379"), "{shown}");
    }
}
