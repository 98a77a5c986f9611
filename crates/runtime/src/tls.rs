//! TLS at every door and on every way out, by one set of files.
//!
//! ```text
//! settings --open--> Tls --accept(Door)--> Stream      who comes in shows names (of a certificate)
//!                     |  --connect-------> Stream      who is called shows that it is who it should be
//!                     '--keep_fresh: reads the files again and again; good new ones are used from
//!                        the next connection on, bad ones are told of and left
//! ```
//!
//! Connections that are open stay as they are: rotation costs nobody anything.

mod files;
mod names;
#[cfg(test)]
mod tests;

use crate::{
    config::ConfigError,
    net::{Stream, TcpStream},
};
use files::{Files, InForce};
pub use names::{Names, Role, RoleError};
use parking_lot::{Mutex, RwLock};
use rustls::{
    ClientConfig, ServerConfig,
    pki_types::{IpAddr, ServerName},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{io, sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How long a handshake may take, with its wait for a place among others.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes of one process that may be under way; more wait.
pub const HANDSHAKES_MAX: usize = 1_024;
/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// The certificates of a process; without any, it speaks in plain text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificate of this process, those of intermediate authorities behind
    /// it. It is shown at every door and to every process that is called; empty speaks plain text.
    pub cert_file: String,
    /// PEM file with the key of `tls.cert_file`.
    pub key_file: String,
    /// PEM file with the authorities of the processes that this one calls; needed for `https://`.
    pub ca_file: String,
    /// PEM file with the authorities of clients. With it processes must show certificates that
    /// name them, see docs/security.md; empty asks for none.
    pub client_ca_file: String,
    /// PEM file with a certificate for the door of HTTP alone; empty takes `tls.cert_file`.
    pub http_cert_file: String,
    /// PEM file with the key of `tls.http_cert_file`.
    pub http_key_file: String,
    /// Leaves the door of HTTP without TLS, for a proxy in front of it that has its own.
    pub http_plain: bool,
}

/// Where somebody comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// HTTP and WebSocket: nobody is asked for a certificate.
    Web,
    /// gRPC where operators come in as well: a certificate may be shown.
    Operators,
    /// gRPC for nodes alone: without a certificate there is no way in, where one can be asked for.
    Nodes,
}

/// What a process shows and whom it believes, always by the newest good files.
/// The default speaks plain text.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    config: TlsConfig,
    in_force: RwLock<InForce>,
    /// What was read last, good or bad.
    read: Mutex<Files>,
    handshakes: Semaphore,
}

// === impl TlsConfig ===

impl TlsConfig {
    /// Refuses settings that do not go together.
    ///
    /// # Errors
    /// [`ConfigError`] for the first that lacks another.
    pub fn check(&self) -> Result<(), ConfigError> {
        let pairs = [
            ("tls.cert_file", &self.cert_file, "tls.key_file", &self.key_file),
            ("tls.http_cert_file", &self.http_cert_file, "tls.http_key_file", &self.http_key_file),
        ];
        for (cert, cert_file, key, key_file) in pairs {
            match (cert_file.is_empty(), key_file.is_empty()) {
                (false, true) => return Err(missing(key, cert)),
                (true, false) => return Err(missing(cert, key)),
                (true, true) | (false, false) => {}
            }
        }
        // Processes call each other: who is called by TLS calls by TLS.
        match (self.cert_file.is_empty(), self.ca_file.is_empty()) {
            (false, true) => return Err(missing("tls.ca_file", "tls.cert_file")),
            (true, false) => return Err(missing("tls.cert_file", "tls.ca_file")),
            (true, true) | (false, false) => {}
        }
        if !self.client_ca_file.is_empty() && self.cert_file.is_empty() {
            return Err(missing("tls.cert_file", "tls.client_ca_file"));
        }
        if self.http_plain && !self.http_cert_file.is_empty() {
            let why = "must be empty where tls.http_plain is set";
            return Err(ConfigError::invalid("tls.http_cert_file", why));
        }
        Ok(())
    }

    /// How URLs of its gRPC begin.
    #[must_use]
    pub fn grpc_scheme(&self) -> &'static str {
        if self.cert_file.is_empty() { "http" } else { "https" }
    }

    /// Refuses URLs of gRPC, of this process and of those that it calls, that
    /// do not say what is spoken: all of a cluster speak TLS, or none does.
    ///
    /// # Errors
    /// [`ConfigError`] for this key.
    pub fn check_urls(&self, key: &str, urls: &str) -> Result<(), ConfigError> {
        let (right, why) = if self.cert_file.is_empty() {
            ("http://", "must be http:// where tls.cert_file is not set")
        } else {
            ("https://", "must be https:// where tls.cert_file is set")
        };
        // What is no URL was refused for that already; an address alone has no scheme.
        let mut urls = urls.split(',').map(str::trim).filter(|url| url.contains("://"));
        let fine = urls.all(|url| url.starts_with(right));
        fine.then_some(()).ok_or_else(|| ConfigError::invalid(key, why))
    }
}

fn missing(key: &str, other: &str) -> ConfigError {
    ConfigError::invalid(key, format!("must be set where {other} is"))
}

// === impl Tls ===

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`ConfigError`] for the first that is missing or cannot be used.
    pub fn open(config: &TlsConfig) -> Result<Self, ConfigError> {
        if *config == TlsConfig::default() {
            return Ok(Self::default());
        }
        let read = Files::read(config)?;
        let in_force = InForce::new(config, &read)?;
        Ok(Self::with(config.clone(), read, in_force))
    }

    /// For calls of servers that are not of the cluster: they are believed by the authorities in
    /// a PEM file, which a setting of this key names, or without one by those of the machine. This
    /// process shows them no certificate.
    ///
    /// # Errors
    /// [`ConfigError`] for the key if there are no authorities.
    pub fn of_others(key: &str, ca_file: &str) -> Result<Self, ConfigError> {
        let ours = |error: ConfigError| ConfigError::invalid(key, error.message);
        if ca_file.is_empty() {
            return Ok(Self::with(
                TlsConfig::default(),
                Files::default(),
                InForce::of_machine(key)?,
            ));
        }
        let config = TlsConfig { ca_file: ca_file.to_owned(), ..TlsConfig::default() };
        Self::open(&config).map_err(ours)
    }

    fn with(config: TlsConfig, read: Files, in_force: InForce) -> Self {
        let (in_force, read) = (RwLock::new(in_force), Mutex::new(read));
        let handshakes = Semaphore::new(HANDSHAKES_MAX);
        Self { shared: Some(Arc::new(Shared { config, in_force, read, handshakes })) }
    }

    /// Looks at the files until told to stop.
    pub async fn keep_fresh(self, stop: CancellationToken) {
        if self.shared.is_none() {
            return;
        }
        let mut tick = tokio::time::interval(LOOK_INTERVAL);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            self.refresh();
        }
    }

    /// Puts new files in force; those that cannot be used are left until they
    /// change again, since a new certificate may come before its key.
    pub fn refresh(&self) {
        let Some(shared) = &self.shared else { return };
        let fresh = Files::read(&shared.config);
        if fresh.as_ref().is_ok_and(|fresh| *fresh == *shared.read.lock()) {
            return;
        }
        let put = fresh.and_then(|fresh| {
            let in_force = InForce::new(&shared.config, &fresh);
            *shared.read.lock() = fresh;
            in_force
        });
        match put {
            Ok(in_force) => {
                *shared.in_force.write() = in_force;
                tracing::info!("new certificates are in force");
            }
            Err(error) => {
                tracing::warn!(%error, "new certificates cannot be used; the old ones stay");
            }
        }
    }

    /// Whether processes that come in must show who they are.
    #[must_use]
    pub fn is_mutual(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| !shared.config.client_ca_file.is_empty())
    }

    /// How URLs of this door begin.
    #[must_use]
    pub fn scheme(&self, door: Door) -> &'static str {
        if self.server(door).is_some() { "https" } else { "http" }
    }

    /// Whether processes can be called with TLS.
    #[must_use]
    pub fn can_call(&self) -> bool {
        self.client().is_some()
    }

    /// Makes what was accepted at a door a stream of plain bytes.
    ///
    /// # Errors
    /// If the handshake fails or takes too long.
    pub async fn accept(&self, door: Door, stream: TcpStream) -> io::Result<Stream> {
        let Some((shared, config)) = self.shared.as_ref().zip(self.server(door)) else {
            return Ok(Stream::from(stream));
        };
        let handshake = async {
            let _place = shared.handshakes.acquire().await.map_err(io::Error::other)?;
            tokio_rustls::TlsAcceptor::from(config).accept(stream).await
        };
        let (stream, session) = bounded(handshake).await?.into_inner();
        Ok(Stream::secured(stream, session.into()))
    }

    /// Makes a connection to a host a stream of plain bytes, for gRPC.
    ///
    /// # Errors
    /// If nobody is trusted, or the host is not who it should be.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<Stream> {
        let config = self.client().ok_or_else(|| io::Error::other("there is no tls.ca_file"))?;
        secure(config, host, stream).await
    }

    /// The same, for HTTP and WebSocket.
    ///
    /// # Errors
    /// As for [`Self::connect`].
    pub async fn connect_to_web(&self, host: &str, stream: TcpStream) -> io::Result<Stream> {
        let config = self.client().ok_or_else(|| io::Error::other("there is no tls.ca_file"))?;
        let mut config = ClientConfig::clone(&config);
        config.alpn_protocols = vec![files::HTTP_1.to_vec()];
        secure(Arc::new(config), host, stream).await
    }

    fn server(&self, door: Door) -> Option<Arc<ServerConfig>> {
        self.shared.as_ref().and_then(|shared| shared.in_force.read().server(door))
    }

    fn client(&self) -> Option<Arc<ClientConfig>> {
        self.shared.as_ref().and_then(|shared| shared.in_force.read().client())
    }
}

async fn secure(config: Arc<ClientConfig>, host: &str, stream: TcpStream) -> io::Result<Stream> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = match host.parse::<std::net::IpAddr>() {
        Ok(ip) => ServerName::IpAddress(IpAddr::from(ip)),
        Err(_) => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
    };
    let handshake = tokio_rustls::TlsConnector::from(config).connect(name, stream);
    let (stream, session) = bounded(handshake).await?.into_inner();
    Ok(Stream::secured(stream, session.into()))
}

async fn bounded<T>(handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long");
    tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(late)?
}
