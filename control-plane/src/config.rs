//! The settings of a control plane.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Everything a control plane must know at start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where probes and Prometheus come in.
    pub http: HttpConfig,
    /// Where nodes and operators come in.
    pub grpc: GrpcConfig,
    /// Where the cluster's state is stored.
    pub redis: RedisConfig,
    /// Who may administer.
    pub admin: AdminConfig,
    /// The terms of membership.
    pub cluster: ClusterConfig,
}

/// Where probes and Prometheus come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address of HTTP.
    pub listen: SocketAddr,
}

/// Where nodes and operators come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcConfig {
    /// Address of gRPC.
    pub listen: SocketAddr,
}

/// Where the cluster's state is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// URL of Redis or Valkey; empty keeps the state in this process alone.
    pub url: String,
}

/// Who may administer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Bearer token; empty lets calls from this machine pass, and no others.
    pub token: String,
}

/// The terms of membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// A node silent for so long loses its rooms, in ms; 200 to 60000.
    pub lease_ms: u64,
    /// How often nodes send a heartbeat, in ms; 50 to half of the lease.
    pub heartbeat_ms: u64,
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
        let ClusterConfig { lease_ms, heartbeat_ms } = self.cluster;
        within("cluster.lease_ms", lease_ms, 200, 60_000)?;
        within("cluster.heartbeat_ms", heartbeat_ms, 50, lease_ms / 2)
    }
}

fn within(key: &'static str, value: u64, least: u64, most: u64) -> Result<(), ConfigError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigError { key, message: format!("{value} is not within {least} to {most}") })
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([0, 0, 0, 0], 7000)) }
    }
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([0, 0, 0, 0], 7001)) }
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self { lease_ms: 3_000, heartbeat_ms: 1_000 }
    }
}
