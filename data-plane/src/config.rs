//! The settings of a node that need a restart to change. What may change
//! live comes from the control plane, see [`crate::settings`].

use crate::http;
use gavel_runtime::{
    config::{self, ConfigError},
    proxies::Proxies,
    tls::TlsConfig,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};

/// Everything a node must know at start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Who may read `/api/websocket/metrics` and `/api/rooms`.
    pub admin: AdminConfig,
    /// How users prove who they are.
    pub auth: AuthConfig,
    /// Whose certificates are shown and believed.
    pub tls: TlsConfig,
    /// How the node stops.
    pub shutdown: ShutdownConfig,
}

/// Who the node is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// Stable name of the node; empty draws a random one at start.
    #[schemars(extend("format" = "id"))]
    pub id: String,
    /// Availability zone, may be empty.
    pub zone: String,
    /// Directory where the node keeps what it has been told, to start from where no control plane
    /// answers; made where there is none. Empty keeps nothing. The node must have an `id` then.
    pub state_dir: String,
    /// Memory that the process may hold, in bytes. Near it, new sockets are refused. 0 takes the
    /// limit of its cgroup, and has none where that has none.
    pub memory_max_bytes: u64,
}

/// Where browsers come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address of HTTP and WebSocket.
    pub listen: SocketAddr,
    /// How browsers reach it, as a URL; empty derives it from `listen`.
    #[schemars(extend("format" = "url"))]
    pub public_url: String,
    /// Origins of the web pages that may use the node, such as `https://shop.example`, with commas
    /// between them; `*` allows every page. Pages of the host that a request is for may in any
    /// case, and so may whoever is no browser.
    pub allowed_origins: String,
    /// How many connections come in within a second; more wait outside, so that those who are in
    /// do not pay for a crowd. Counted in hundreds.
    #[schemars(range(min = 100, max = 1_000_000))]
    pub connections_per_second: u32,
    /// How long a request head may take; then the connection ends.
    #[schemars(range(min = 100, max = 60_000))]
    pub header_timeout_ms: u64,
    /// Networks of the proxies in front of the node, and of nobody else. Only who connects from
    /// there is believed about whom it connects for; empty believes nobody.
    #[schemars(extend("format" = "networks"))]
    pub trusted_proxies: String,
    /// The header in which trusted proxies name their clients; others are not looked at.
    pub forwarded_header: ForwardedHeader,
    /// Whether connections of trusted proxies begin with a header of the PROXY protocol, which then
    /// has to be there.
    pub proxy_protocol: ProxyProtocol,
}

/// The header in which proxies name their clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Hash)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded`, as in RFC 7239.
    Forwarded,
}

/// What stands in front of a proxy's connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// Nothing.
    #[default]
    Off,
    /// A header of version 2, the binary one.
    V2,
}

/// Where other nodes come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RelayConfig {
    /// Address of the relay's gRPC.
    pub listen: SocketAddr,
    /// How other nodes reach it, as a URL; empty derives it from `listen`.
    #[schemars(extend("format" = "url"))]
    pub advertise: String,
}

/// Where the control plane is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ControlConfig {
    /// URL of its gRPC. Several with commas between them are its replicas, of
    /// which any will do: each knows which of them leads.
    #[schemars(extend("format" = "urls"))]
    pub endpoint: String,
}

/// Where rooms are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// URL of Redis or Valkey: of one server, of the sentinels that know a primary, or of servers
    /// of a cluster; empty keeps rooms in this process alone.
    #[schemars(extend("format" = "redis_url"))]
    pub url: String,
    /// PEM file with the authorities to believe where `redis.url` begins with `rediss`; empty
    /// believes those of the system.
    pub ca_file: String,
    /// Replicas of Redis that must have an event before it is acknowledged, which is then called
    /// `replicated`. To be safe in any failover it is the number of replicas that may be promoted;
    /// while fewer answer within 150 ms, no bid is accepted. 0 waits for none, and is what a Redis
    /// cluster needs.
    #[schemars(range(min = 0, max = 8))]
    pub replicas_min: u32,
}

/// Who may read `/api/websocket/metrics` and `/api/rooms`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Bearer token; empty answers for metrics only to peers on the loopback interface, and for
    /// rooms to nobody.
    pub token: String,
}

/// How users prove who they are: by tokens, which are checked with a secret, or with public keys
/// from a file, a URL or both. Without any of them every token is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Whether whoever shows no token is let in as a guest; each auction says what guests may.
    pub guests: bool,
    /// Where guests are not let in, how long a socket may take to show a token.
    #[schemars(range(min = 100, max = 60_000))]
    pub deadline_ms: u64,
    /// HS256 secret; empty has none.
    #[schemars(extend("format" = "secret"))]
    pub secret: String,
    /// A file that holds the secret, instead of `secret`; 32 bytes at least.
    pub secret_file: String,
    /// A file with a set of public keys as JSON (RFC 7517). It is looked at every 2 s: a new one
    /// needs no restart.
    pub keys_file: String,
    /// Where the issuer publishes such a set, as a URL like `https://host/jwks.json`.
    #[schemars(extend("format" = "url"))]
    pub keys_url: String,
    /// PEM file with the authorities of `keys_url`; empty believes those of the machine.
    pub keys_ca_file: String,
    /// How often `keys_url` is asked. A token with a key that is not there has it asked sooner.
    #[schemars(range(min = 1_000, max = 86_400_000))]
    pub keys_refresh_ms: u64,
    /// What `iss` of every token must be; empty does not look.
    pub issuer: String,
    /// What `aud` of every token must be, or have among others; empty does not look.
    pub audience: String,
}

/// How the node stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownConfig {
    /// How long rooms may take to move to other nodes first. It ends sooner where none takes them.
    #[schemars(range(min = 0, max = 300_000))]
    pub drain_ms: u64,
    /// Sockets are closed over this time, so that they do not all come back at once elsewhere.
    #[schemars(range(min = 0, max = 300_000))]
    pub spread_ms: u64,
    /// How long sockets may take to read their close.
    #[schemars(range(min = 0, max = 300_000))]
    pub grace_ms: u64,
}

// === impl Config ===

impl Config {
    /// The defaults where the control plane and all nodes are in the same process: nobody comes in
    /// by the relay, and after a restart it is the same node, which goes on with its rooms at once.
    #[must_use]
    pub fn for_one_process() -> Self {
        let mut config = Self::default();
        config.relay.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        "node-1".clone_into(&mut config.node.id);
        config
    }

    /// Refuses a value out of range, by its name.
    ///
    /// # Errors
    /// [`ConfigError`] for the first setting that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        config::check(self)?;
        self.tls.check()?;
        self.tls.check_urls("relay.advertise", &self.relay.advertise)?;
        self.tls.check_urls("control.endpoint", &self.control.endpoint)?;
        self.auth.check()?;
        if !self.node.state_dir.is_empty() && self.node.id.is_empty() {
            let why = "must be set where node.state_dir is: it names the file";
            return Err(ConfigError::invalid("node.id", why));
        }
        let origins = &self.http.allowed_origins;
        if !origins.is_empty() && !http::is_allowed_origins(origins) {
            let why = "must be origins like https://shop.example, with commas between them, or *";
            return Err(ConfigError::invalid("http.allowed_origins", why));
        }
        if self.http.proxy_protocol != ProxyProtocol::Off && self.http.trusted_proxies.is_empty() {
            let why = "needs http.trusted_proxies: nobody else's header is read";
            return Err(ConfigError::invalid("http.proxy_protocol", why));
        }
        if self.redis.replicas_min > 0 {
            self.redis.check_replicas()?;
        }
        config::check_redis_authorities(&self.redis.url, &self.redis.ca_file)?;
        Ok(())
    }
}

impl HttpConfig {
    /// The networks of [`Self::trusted_proxies`]; those that cannot be read, which
    /// [`Config::check`] refuses, have nobody in them.
    #[must_use]
    pub fn proxies(&self) -> Proxies {
        self.trusted_proxies.parse().unwrap_or_default()
    }
}

impl RedisConfig {
    fn check_replicas(&self) -> Result<(), ConfigError> {
        let why = match self.url.split("://").next() {
            Some("redis+cluster") => {
                "must be 0 with a Redis cluster: nodes do not wait for replicas there"
            }
            Some("") | None => "needs a Redis, by redis.url",
            Some(_) => return Ok(()),
        };
        Err(ConfigError::invalid("redis.replicas_min", why))
    }
}

impl AuthConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let url = self.keys_url.as_str();
        let secure = url.starts_with("https://");
        if !url.is_empty() && !secure && !url.starts_with("http://") {
            return Err(ConfigError::invalid("auth.keys_url", "must be http:// or https://"));
        }
        if url.contains('@') {
            let why = "must have no name or password: nobody here sends them";
            return Err(ConfigError::invalid("auth.keys_url", why));
        }
        if !self.keys_ca_file.is_empty() && !secure {
            let why = "needs an auth.keys_url with https://";
            return Err(ConfigError::invalid("auth.keys_ca_file", why));
        }
        Ok(())
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            public_url: String::new(),
            allowed_origins: String::new(),
            connections_per_second: 2_000,
            header_timeout_ms: 5_000,
            trusted_proxies: String::new(),
            forwarded_header: ForwardedHeader::default(),
            proxy_protocol: ProxyProtocol::default(),
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

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            guests: true,
            deadline_ms: 5_000,
            secret: String::new(),
            secret_file: String::new(),
            keys_file: String::new(),
            keys_url: String::new(),
            keys_ca_file: String::new(),
            keys_refresh_ms: 300_000,
            issuer: String::new(),
            audience: String::new(),
        }
    }
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self { drain_ms: 20_000, spread_ms: 5_000, grace_ms: 5_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_runtime::config::Form;

    fn refused(change: impl FnOnce(&mut Config)) -> Option<String> {
        let mut config = Config::default();
        change(&mut config);
        config.check().err().map(|error| error.key)
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_its_name() {
        type Change = fn(&mut Config);
        let wrong: [(&str, Change); 26] = [
            ("node.id", |c| c.node.id = "a b".to_owned()),
            ("node.id", |c| c.node.state_dir = "kept".to_owned()),
            ("http.public_url", |c| c.http.public_url = "nowhere".to_owned()),
            ("http.connections_per_second", |c| c.http.connections_per_second = 99),
            ("http.header_timeout_ms", |c| c.http.header_timeout_ms = 99),
            ("http.header_timeout_ms", |c| c.http.header_timeout_ms = 60_001),
            ("http.trusted_proxies", |c| c.http.trusted_proxies = "10.0.0.0/8,proxy".to_owned()),
            ("http.allowed_origins", |c| c.http.allowed_origins = "shop.example".to_owned()),
            ("http.proxy_protocol", |c| c.http.proxy_protocol = ProxyProtocol::V2),
            ("shutdown.grace_ms", |c| c.shutdown.grace_ms = 300_001),
            ("control.endpoint", |c| c.control.endpoint.clear()),
            ("relay.advertise", |c| c.relay.advertise = "nowhere".to_owned()),
            ("redis.url", |c| c.redis.url = "http://127.0.0.1".to_owned()),
            ("redis.replicas_min", |c| c.redis.replicas_min = 9),
            ("redis.replicas_min", |c| c.redis.replicas_min = 1),
            ("redis.replicas_min", |c| {
                c.redis.replicas_min = 1;
                c.redis.url = "redis+cluster://127.0.0.1:7000".to_owned();
            }),
            ("redis.ca_file", |c| {
                c.redis.ca_file = "ca.pem".to_owned();
                c.redis.url = "redis://127.0.0.1".to_owned();
            }),
            ("tls.key_file", |c| c.tls.cert_file = "c.pem".to_owned()),
            ("control.endpoint", |c| c.control.endpoint = "https://127.0.0.1:1".to_owned()),
            ("relay.advertise", |c| c.relay.advertise = "https://127.0.0.1:1".to_owned()),
            ("auth.secret", |c| c.auth.secret = "s".repeat(31)),
            ("auth.keys_url", |c| c.auth.keys_url = "nowhere".to_owned()),
            ("auth.keys_url", |c| c.auth.keys_url = "ftp://127.0.0.1/keys".to_owned()),
            ("auth.keys_url", |c| c.auth.keys_url = "http://me:word@127.0.0.1/".to_owned()),
            ("auth.keys_ca_file", |c| c.auth.keys_ca_file = "ca.pem".to_owned()),
            ("auth.keys_refresh_ms", |c| c.auth.keys_refresh_ms = 999),
        ];
        for (key, change) in wrong {
            assert_eq!(refused(change).as_deref(), Some(key));
        }
        assert_eq!(refused(|_| {}), None);
        assert_eq!(refused(|c| (c.http.header_timeout_ms, c.shutdown.grace_ms) = (100, 0)), None);
    }

    #[test]
    fn a_setting_takes_as_ids_what_the_rules_take() {
        let long = ["a".repeat(64), "a".repeat(65), String::new()];
        let each = (0..=255_u8).map(|byte| char::from(byte).to_string());
        for text in each.chain(long) {
            let id = text.parse::<gavel_rules::id::NodeId>();
            assert_eq!(Form::Id.fits(&text), id.is_ok(), "{text:?}");
        }
    }
}
