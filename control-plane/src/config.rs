//! The settings of a control plane. What may change live are its documents,
//! see [`gavel_proto::limits`] and [`crate::flags`].

use crate::grpc::Tokens;
use gavel_runtime::{
    config::{self, ConfigError},
    tls::TlsConfig,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
};

/// Everything a control plane must know at start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where probes and Prometheus come in.
    pub http: HttpConfig,
    /// Where nodes and operators come in.
    pub grpc: GrpcConfig,
    /// Where the cluster's state is stored.
    pub redis: RedisConfig,
    /// Who may operate the cluster.
    pub admin: AdminConfig,
    /// What is kept of who changed what.
    pub audit: AuditConfig,
    /// Whose certificates are shown and believed.
    pub tls: TlsConfig,
    /// Who this replica is, and how long silence of nodes is borne.
    pub cluster: ClusterConfig,
}

/// Where probes and Prometheus come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address of HTTP.
    pub listen: SocketAddr,
}

/// Where nodes and operators come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcConfig {
    /// Address of gRPC.
    pub listen: SocketAddr,
    /// How nodes and other replicas reach it. An IP address takes the port of
    /// `listen`; empty derives all of it from `listen`.
    #[schemars(extend("format" = "url_or_ip"))]
    pub advertise: String,
}

/// Where the cluster's state is stored.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// URL of Redis or Valkey: of one server, of the sentinels that know a
    /// primary, or of servers of a cluster; empty keeps the state in this
    /// process alone.
    #[schemars(extend("format" = "redis_url"))]
    pub url: String,
    /// PEM file with the authorities to believe where `redis.url` begins with
    /// `rediss`; empty believes those of the system.
    pub ca_file: String,
}

/// Who may operate the cluster.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Bearer token of the role admin. Where there is none, no other token, no file of
    /// them and no `tls.client_ca_file`, peers on the loopback interface are answered, and
    /// nobody else.
    pub token: String,
    /// More tokens, with commas between them: of each a name, a role (`viewer`,
    /// `operator` or `admin`) and the token, or `sha256:` and its digest in hex.
    pub tokens: String,
    /// A file with more of them, one on a line; what follows a `#` is left out. It is
    /// looked at every 2 s, and one that cannot be used changes nothing.
    pub tokens_file: String,
}

/// What is kept of who changed what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// Entries of the audit log that are kept; the oldest make room.
    #[schemars(range(min = 100, max = 1_000_000))]
    pub entries_max: u64,
}

/// Who this replica is, and how long silence of nodes is borne.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// Id of this replica, which no other may have; empty draws a random one at
    /// start.
    #[schemars(extend("format" = "id"))]
    pub replica_id: String,
    /// How long a silent node keeps its rooms.
    #[schemars(range(min = 200, max = 60_000))]
    pub lease_ms: u64,
    /// Time between two heartbeats of a node. One of them may be lost at no
    /// cost.
    #[schemars(range(min = 50, max = 20_000), extend("below_half_of" = "cluster.lease_ms"))]
    pub heartbeat_ms: u64,
}

// === impl Config ===

impl Config {
    /// The defaults where the nodes are in the same process: only operators of
    /// this machine come in by gRPC.
    #[must_use]
    pub fn for_one_process() -> Self {
        let mut config = Self::default();
        config.grpc.listen.set_ip(Ipv4Addr::LOCALHOST.into());
        config
    }

    /// Refuses a value out of range, by its name.
    ///
    /// # Errors
    /// [`ConfigError`] for the first setting that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        config::check(self)?;
        Tokens::listed("admin.tokens", &self.admin.tokens)?;
        config::check_redis_authorities(&self.redis.url, &self.redis.ca_file)?;
        self.tls.check()?;
        self.tls.check_urls("grpc.advertise", &self.grpc.advertise)
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([0, 0, 0, 0], 7000)) }
    }
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([0, 0, 0, 0], 7001)), advertise: String::new() }
    }
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { entries_max: 10_000 }
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self { replica_id: String::new(), lease_ms: 3_000, heartbeat_ms: 1_000 }
    }
}

// Both may hold a secret, which must not reach a log.
impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig").field("set", &!self.url.is_empty()).finish()
    }
}

impl fmt::Debug for AdminConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = !self.token.is_empty() || !self.tokens.is_empty();
        f.debug_struct("AdminConfig").field("set", &set).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(lease_ms: u64, heartbeat_ms: u64) -> Config {
        let cluster = ClusterConfig { lease_ms, heartbeat_ms, ..ClusterConfig::default() };
        Config { cluster, ..Config::default() }
    }

    #[test]
    fn defaults_are_within_their_bounds() {
        assert_eq!(Config::default().check(), Ok(()));
        assert_eq!(Config::default().grpc.listen.port(), 7001);
        assert_eq!(Config::default().http.listen.port(), 7000);
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_its_name() {
        for (lease, heartbeat, key) in [
            (199, 50, "cluster.lease_ms"),
            (60_001, 50, "cluster.lease_ms"),
            (3_000, 49, "cluster.heartbeat_ms"),
            (60_000, 20_001, "cluster.heartbeat_ms"),
            (3_000, 1_500, "cluster.heartbeat_ms"),
        ] {
            assert_eq!(with(lease, heartbeat).check().unwrap_err().key, key, "{lease} {heartbeat}");
        }
        for (lease, heartbeat) in [(200, 50), (60_000, 20_000), (3_000, 1_499)] {
            assert_eq!(with(lease, heartbeat).check(), Ok(()), "{lease} {heartbeat}");
        }
    }

    #[test]
    fn a_replica_has_an_id_and_an_endpoint_that_others_can_use() {
        let named = |id: &str, advertise: &str| {
            let mut config = Config::default();
            id.clone_into(&mut config.cluster.replica_id);
            advertise.clone_into(&mut config.grpc.advertise);
            config.check().map_err(|error| error.key)
        };
        for good in ["http://10.0.0.1:7001", "10.0.0.1", "fd00::1"] {
            assert_eq!(named("control-1", good), Ok(()), "{good}");
        }
        let key = |config: Result<(), String>| config.unwrap_err();
        assert_eq!(key(named("control 1", "")), "cluster.replica_id");
        for bad in ["10.0.0.1:7001", "http://a b", "/x"] {
            assert_eq!(key(named("", bad)), "grpc.advertise", "{bad}");
        }
    }

    #[test]
    fn unknown_keys_are_refused_and_missing_ones_take_their_default() {
        let part: Config = serde_json::from_str(r#"{"cluster": {"lease_ms": 5000}}"#).unwrap();
        assert_eq!(part, with(5_000, 1_000));
        for unknown in [r#"{"clusters": {}}"#, r#"{"cluster": {"lease": 1}}"#] {
            assert!(serde_json::from_str::<Config>(unknown).is_err(), "{unknown}");
        }
    }

    #[test]
    fn secrets_do_not_show() {
        let mut config = Config::default();
        "hush".clone_into(&mut config.admin.token);
        "ann admin hush".clone_into(&mut config.admin.tokens);
        "redis://:hush@127.0.0.1".clone_into(&mut config.redis.url);
        assert!(!format!("{config:?}").contains("hush"));
    }
}
