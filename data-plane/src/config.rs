//! The settings of a node that need a restart to change. What may change
//! live comes from the control plane, see [`crate::settings`].

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Everything a node must know at start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who the node is.
    pub node: NodeConfig,
    /// Where browsers come in.
    pub http: HttpConfig,
    /// Where other nodes come in.
    pub relay: RelayConfig,
    /// Where the control plane is.
    pub control: ControlConfig,
    /// Where rooms are stored.
    pub redis: RedisConfig,
    /// Who may read `/api/websocket/metrics`.
    pub admin: AdminConfig,
    /// How users prove who they are.
    pub auth: AuthConfig,
    /// How the node stops.
    pub shutdown: ShutdownConfig,
}

/// Who the node is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// Stable id, `[A-Za-z0-9_-]{1,64}`; empty draws a random one at start.
    pub id: String,
    /// Availability zone, may be empty.
    pub zone: String,
}

/// Where browsers come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address of HTTP and WebSocket.
    pub listen: SocketAddr,
    /// How browsers reach it, as a URL; empty derives it from `listen`.
    pub public_url: String,
    /// How long a request head may take, in ms; 100 to 60000.
    pub header_timeout_ms: u64,
}

/// Where other nodes come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelayConfig {
    /// Address of the relay's gRPC.
    pub listen: SocketAddr,
    /// How other nodes reach it, as a URL; empty derives it from `listen`.
    pub advertise: String,
}

/// Where the control plane is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlConfig {
    /// URL of its gRPC.
    pub endpoint: String,
}

/// Where rooms are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// URL of Redis or Valkey; empty keeps rooms in this process alone.
    pub url: String,
}

/// Who may read `/api/websocket/metrics`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Bearer token; empty answers peers on the loopback interface alone.
    pub token: String,
}

/// How users prove who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// HS256 secret, at least 32 bytes; empty refuses every token.
    pub secret: String,
    /// A file that holds the secret, instead of `secret`.
    pub secret_file: String,
}

/// How the node stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownConfig {
    /// How long sockets may take to read their close, in ms; 0 to 300000.
    pub grace_ms: u64,
}

/// A setting that is out of range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct ConfigError {
    /// The dotted name of the setting.
    pub key: &'static str,
    /// What is wrong with it.
    pub message: String,
}

// === impl Config ===

impl Config {
    /// Refuses a value out of range, by its name.
    ///
    /// # Errors
    /// [`ConfigError`] for the first setting that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !self.node.id.is_empty() && self.node.id.parse::<gavel_rules::id::NodeId>().is_err() {
            return Err(refuse("node.id", "must be 1 to 64 of A-Z a-z 0-9 _ -"));
        }
        within("http.header_timeout_ms", self.http.header_timeout_ms, 100, 60_000)?;
        within("shutdown.grace_ms", self.shutdown.grace_ms, 0, 300_000)?;
        url("control.endpoint", &self.control.endpoint)?;
        if !self.relay.advertise.is_empty() {
            url("relay.advertise", &self.relay.advertise)?;
        }
        if !self.auth.secret.is_empty() && self.auth.secret.len() < 32 {
            return Err(refuse("auth.secret", "must hold at least 32 bytes"));
        }
        Ok(())
    }
}

fn refuse(key: &'static str, message: &str) -> ConfigError {
    ConfigError { key, message: message.to_owned() }
}

fn within(key: &'static str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError { key, message: format!("{value} is not within {least} to {most}") })
}

fn url(key: &'static str, value: &str) -> Result<(), ConfigError> {
    let fine = value.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some());
    if fine { Ok(()) } else { Err(refuse(key, "must be a URL like http://host:port")) }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            public_url: String::new(),
            header_timeout_ms: 5_000,
        }
    }
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([0, 0, 0, 0], 8090)), advertise: String::new() }
    }
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self { endpoint: "http://127.0.0.1:7001".to_owned() }
    }
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { grace_ms: 5_000 }
    }
}
