//! From files to what rustls goes by.

use super::{Door, TlsConfig};
use crate::config::ConfigError;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use std::{fmt::Display, sync::Arc};

/// What is spoken inside of TLS at the doors of gRPC.
const HTTP_2: &[u8] = b"h2";
/// What is spoken inside of TLS at the door of HTTP, where a WebSocket is an upgrade.
pub(super) const HTTP_1: &[u8] = b"http/1.1";

/// The content of all files of the settings; none of those that are not set. One
/// that is set and empty is bad, and not as if it were not set: nothing becomes
/// plain because its files are being written.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Files {
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    ca: Option<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
    http_cert: Option<Vec<u8>>,
    http_key: Option<Vec<u8>>,
}

/// What connections that are made now go by.
#[derive(Debug)]
pub(super) struct InForce {
    web: Option<Arc<ServerConfig>>,
    operators: Option<Arc<ServerConfig>>,
    nodes: Option<Arc<ServerConfig>>,
    client: Option<Arc<ClientConfig>>,
}

/// A certificate with the ones that vouch for it, and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

// === impl Files ===

impl Files {
    pub(super) fn read(config: &TlsConfig) -> Result<Self, ConfigError> {
        let read = |key: &str, path: &str| match path {
            "" => Ok(None),
            path => std::fs::read(path).map(Some).map_err(|error| {
                ConfigError::invalid(format!("tls.{key}"), format!("cannot read {path}: {error}"))
            }),
        };
        Ok(Self {
            cert: read("cert_file", &config.cert_file)?,
            key: read("key_file", &config.key_file)?,
            ca: read("ca_file", &config.ca_file)?,
            client_ca: read("client_ca_file", &config.client_ca_file)?,
            http_cert: read("http_cert_file", &config.http_cert_file)?,
            http_key: read("http_key_file", &config.http_key_file)?,
        })
    }
}

// A key must not reach a log.
impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

// === impl InForce ===

impl InForce {
    pub(super) fn new(config: &TlsConfig, files: &Files) -> Result<Self, ConfigError> {
        let provider = Arc::new(ring::default_provider());
        let own = identity("tls.", files.cert.as_deref(), files.key.as_deref())?;
        let http = (files.http_cert.as_deref(), files.http_key.as_deref());
        let web = match identity("tls.http_", http.0, http.1)? {
            None if config.http_plain => None,
            None => own.as_ref().map(copied),
            own => own,
        };
        let clients = authorities("tls.client_ca_file", files.client_ca.as_deref())?;
        let grpc = |door| {
            let own = own.as_ref().map(copied);
            own.map(|own| server(&provider, own, HTTP_2, clients.as_ref(), door)).transpose()
        };
        let trusted = authorities("tls.ca_file", files.ca.as_deref())?;
        let own_client = own.as_ref().map(copied);
        Ok(Self {
            web: web.map(|own| server(&provider, own, HTTP_1, None, Door::Web)).transpose()?,
            operators: grpc(Door::Operators)?,
            nodes: grpc(Door::Nodes)?,
            client: trusted.map(|roots| client(&provider, own_client, roots)).transpose()?,
        })
    }

    /// For a process that has nothing to show, and believes whom its machine believes.
    pub(super) fn of_machine(key: &str) -> Result<Self, ConfigError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(ConfigError::invalid(key, "must be set: this machine has no authorities"));
        }
        let client = client(&Arc::new(ring::default_provider()), None, roots)?;
        Ok(Self { web: None, operators: None, nodes: None, client: Some(client) })
    }

    pub(super) fn server(&self, door: Door) -> Option<Arc<ServerConfig>> {
        match door {
            Door::Web => self.web.clone(),
            Door::Operators => self.operators.clone(),
            Door::Nodes => self.nodes.clone(),
        }
    }

    pub(super) fn client(&self) -> Option<Arc<ClientConfig>> {
        self.client.clone()
    }
}

fn server(
    provider: &Arc<CryptoProvider>,
    (chain, key): Identity,
    protocol: &[u8],
    clients: Option<&RootCertStore>,
    door: Door,
) -> Result<Arc<ServerConfig>, ConfigError> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("tls.cert_file", &error))?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots.clone()),
                Arc::clone(provider),
            );
            let verifier =
                if door == Door::Nodes { verifier } else { verifier.allow_unauthenticated() };
            let verifier = verifier.build().map_err(|error| wrong("tls.client_ca_file", &error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        wrong(if door == Door::Web { "tls.http_cert_file" } else { "tls.cert_file" }, &error)
    })?;
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

fn client(
    provider: &Arc<CryptoProvider>,
    own: Option<Identity>,
    roots: RootCertStore,
) -> Result<Arc<ClientConfig>, ConfigError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("tls.ca_file", &error))?
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| wrong("tls.cert_file", &error))?,
    };
    config.alpn_protocols = vec![HTTP_2.to_vec()];
    Ok(Arc::new(config))
}

/// A certificate and its key; none where none is set.
fn identity(
    prefix: &str,
    cert: Option<&[u8]>,
    key: Option<&[u8]>,
) -> Result<Option<Identity>, ConfigError> {
    let Some((cert, key)) = cert.zip(key) else { return Ok(None) };
    let chain = certificates(&format!("{prefix}cert_file"), cert)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| wrong(&format!("{prefix}key_file"), &error))?;
    Ok(Some((chain, key)))
}

fn copied((chain, key): &Identity) -> Identity {
    (chain.clone(), key.clone_key())
}

/// Those who vouch for others; none where no file is set.
fn authorities(key: &str, pem: Option<&[u8]>) -> Result<Option<RootCertStore>, ConfigError> {
    let Some(pem) = pem else { return Ok(None) };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(key, pem)? {
        roots.add(certificate).map_err(|error| wrong(key, &error))?;
    }
    Ok(Some(roots))
}

fn certificates(key: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|error| wrong(key, &error))?;
    if read.is_empty() {
        return Err(ConfigError::invalid(key, "holds no certificate in PEM"));
    }
    Ok(read)
}

fn wrong(key: &str, error: &dyn Display) -> ConfigError {
    ConfigError::invalid(key, format!("cannot be used: {error}"))
}
