//! The URLs that name Redis: one server, a primary that sentinels know, or a
//! cluster.
//!
//! ```text
//! redis://[USER:PASSWORD@]HOST[:6379][/DATABASE]
//! redis+sentinel://[USER:PASSWORD@]HOST[:26379],HOST.../PRIMARY[/DATABASE]
//! redis+cluster://[USER:PASSWORD@]HOST[:6379],HOST...
//! ```
//!
//! User and password are those of the servers; sentinels are asked without. With `rediss` in
//! the place of `redis` all of them are called by TLS.

use ::redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, TlsCertificates};
use std::sync::Arc;

use super::RedisError;

const SENTINEL: &str = "+sentinel://";
const CLUSTER: &str = "+cluster://";
const SENTINEL_PORT: u16 = 26_379;
const SERVER_PORT: u16 = 6_379;

/// What a URL names.
#[derive(Debug)]
pub(super) enum Address {
    /// One server.
    Server(Client),
    /// Whichever server the sentinels call the primary of this name.
    Sentinels { sentinels: Vec<String>, primary: String, servers: Servers },
    /// The servers that some of them know.
    Cluster { seeds: Vec<String>, servers: Servers },
}

/// How to connect to servers that are found at `host:port` later.
#[derive(Debug, Clone)]
pub(super) struct Servers {
    info: ConnectionInfo,
    way: Transport,
}

/// How servers are called.
#[derive(Debug, Clone, Default)]
pub(super) enum Transport {
    /// In plain text.
    #[default]
    Plain,
    /// By TLS, where these authorities are good, as PEM; without any, those of the system.
    Tls(Option<Arc<[u8]>>),
}

// === impl Address ===

impl Address {
    /// Reads a URL; `authorities` are believed where it asks for TLS.
    pub(super) fn parse(url: &str, authorities: Option<Arc<[u8]>>) -> Result<Self, RedisError> {
        let (way, rest) = match url.strip_prefix("rediss") {
            Some(rest) => (Transport::Tls(authorities), rest),
            None => (Transport::Plain, url.strip_prefix("redis").unwrap_or(url)),
        };
        if let Some(rest) = rest.strip_prefix(SENTINEL) {
            sentinels(rest, way)
        } else if let Some(rest) = rest.strip_prefix(CLUSTER) {
            cluster(rest, way)
        } else {
            let info = url.into_connection_info().map_err(RedisError::refused)?;
            way.client(info).map(Self::Server)
        }
    }
}

// === impl Servers ===

impl Servers {
    /// The same servers without a password.
    pub(super) fn open(&self) -> Result<Self, RedisError> {
        Self::parse("", "", self.way.clone())
    }

    pub(super) fn client(&self, address: &str) -> Result<Client, RedisError> {
        let (host, port) = split(address, SERVER_PORT)?;
        let addr = match self.way {
            Transport::Plain => ConnectionAddr::Tcp(host, port),
            Transport::Tls(_) => {
                ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
            }
        };
        self.way.client(self.info.clone().set_addr(addr))
    }

    /// The driver decodes the password; the host is set anew for each server.
    fn parse(login: &str, database: &str, way: Transport) -> Result<Self, RedisError> {
        let url = format!("redis://{login}localhost/{database}");
        let info = url.into_connection_info().map_err(RedisError::refused)?;
        Ok(Self { info, way })
    }
}

// === impl Transport ===

impl Transport {
    fn client(&self, info: ConnectionInfo) -> Result<Client, RedisError> {
        let opened = match self {
            Self::Plain => Client::open(info),
            Self::Tls(authorities) => {
                let root_cert = authorities.as_deref().map(<[u8]>::to_vec);
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
            }
        };
        opened.map_err(RedisError::refused)
    }
}

fn sentinels(rest: &str, way: Transport) -> Result<Address, RedisError> {
    let (login, rest) = login(rest);
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (primary, database) = path.split_once('/').unwrap_or((path, ""));
    if primary.is_empty() {
        return Err(refused("redis+sentinel:// needs the primary's name behind the hosts"));
    }
    Ok(Address::Sentinels {
        sentinels: listed(hosts, SENTINEL_PORT)?,
        primary: primary.to_owned(),
        servers: Servers::parse(login, database, way)?,
    })
}

fn cluster(rest: &str, way: Transport) -> Result<Address, RedisError> {
    let (login, rest) = login(rest);
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    if !path.is_empty() && path != "0" {
        return Err(refused("a Redis cluster has no databases"));
    }
    let servers = Servers::parse(login, "", way)?;
    Ok(Address::Cluster { seeds: listed(hosts, SERVER_PORT)?, servers })
}

/// Takes `user:password@` off the front, with its last character.
fn login(rest: &str) -> (&str, &str) {
    rest.rfind('@').and_then(|at| rest.split_at_checked(at + 1)).unwrap_or(("", rest))
}

fn listed(hosts: &str, port: u16) -> Result<Vec<String>, RedisError> {
    let named = |host| split(host, port).map(|(host, port)| joined(&host, port));
    hosts.split(',').map(named).collect()
}

/// A host and a port as one text, as servers name each other.
pub(super) fn joined(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

/// The host and the port of an address; that of IPv6 may stand in brackets.
pub(super) fn split(address: &str, default: u16) -> Result<(String, u16), RedisError> {
    let wrong = || refused("a host is not like name:port");
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !address.ends_with(']') => {
            (bare(host), port.parse().map_err(|_| wrong())?)
        }
        Some(_) | None => (bare(address), default),
    };
    if host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) {
        return Err(wrong());
    }
    Ok((host, port))
}

fn refused(text: &str) -> RedisError {
    RedisError::Refused(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentinels_and_clusters_are_read_with_their_defaults() {
        let url = "redis+sentinel://me:p%40ss@one,two:7,[::1]:8/main/3";
        let Ok(Address::Sentinels { sentinels, primary, servers }) = Address::parse(url, None)
        else {
            panic!("{url}");
        };
        assert_eq!(
            (sentinels, primary),
            (["one:26379", "two:7", "::1:8"].map(str::to_owned).to_vec(), "main".to_owned())
        );
        let client = servers.client("10.0.0.1:6380").unwrap();
        let info = client.get_connection_info();
        assert_eq!(info.addr(), &ConnectionAddr::Tcp("10.0.0.1".to_owned(), 6380));
        let settings = info.redis_settings();
        assert_eq!((settings.username(), settings.password()), (Some("me"), Some("p@ss")));
        assert_eq!(settings.db(), 3);

        let Ok(Address::Cluster { seeds, .. }) = Address::parse("redis+cluster://a,b:1/0", None)
        else {
            panic!("a cluster");
        };
        assert_eq!(seeds, ["a:6379", "b:1"]);
    }

    #[test]
    fn what_is_called_by_tls_is_so_wherever_it_is_found() {
        for url in ["rediss+sentinel://one/main", "rediss+cluster://one"] {
            let Ok(Address::Sentinels { servers, .. } | Address::Cluster { servers, .. }) =
                Address::parse(url, None)
            else {
                panic!("{url}");
            };
            for servers in [&servers, &servers.open().unwrap()] {
                let client = servers.client("two:7").unwrap();
                let addr = client.get_connection_info().addr();
                let ConnectionAddr::TcpTls { host, port: 7, insecure: false, .. } = addr else {
                    panic!("{addr:?}");
                };
                assert_eq!(host, "two");
            }
        }
    }

    #[test]
    fn what_names_nothing_is_refused_without_repeating_a_password() {
        for url in [
            "redis+sentinel://host",
            "redis+sentinel://host:hunter2/",
            "redis+sentinel:///main",
            "redis+sentinel://:hunter2@one,/main",
            "redis+sentinel://:hunter2@one/main/x",
            "redis+sentinel://one:port/main",
            "redis+cluster://",
            "redis+cluster://:hunter2@",
            "redis+cluster://:hunter2@a/3",
            "redis+cluster://a?b",
            "rediss+cluster://:hunter2@",
            "rediss+sentinel://:hunter2@one",
            "redisss://:hunter2@one",
        ] {
            let error = Address::parse(url, None).unwrap_err();
            assert!(matches!(error, RedisError::Refused(_)), "{url}: {error:?}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
