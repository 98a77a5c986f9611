//! The defaults of every gRPC client and server.

mod incoming;

use crate::{
    net::{self, Stream},
    tls::Tls,
};
use hyper_util::rt::TokioIo;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tonic::transport::{Channel, Endpoint, Server};

pub use incoming::{CONNECTIONS_MAX, Connection, Peer, incoming};

/// How often an idle connection is probed; proxies commonly cut at 60 s.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// How long a probe may stay unanswered before the connection is dropped.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long connecting may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Requests that one connection may have in progress; more wait.
pub const CONCURRENCY_PER_CONNECTION_MAX: usize = 256;
/// Streams that one connection may have open; above the number of requests in
/// progress, so that the server and not the transport decides who waits.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 1_024;
/// The longest message that a server takes from nodes and operators, unless it
/// says otherwise; what comes back to them may be 4 MiB.
pub const REQUEST_BYTES_MAX: usize = 256 * 1_024;
/// Bytes of the headers of one request.
pub const HEADER_BYTES_MAX: u32 = 16 * 1_024;
/// Streams that a peer may open and reset before the server has looked at
/// them; one that goes on loses its connection.
const PENDING_RESETS_MAX: usize = 32;
/// Streams that the server may have to reset for a peer's faults; likewise.
const LOCAL_RESETS_MAX: usize = 256;

const _: () = assert!(CONCURRENCY_PER_CONNECTION_MAX < STREAMS_PER_CONNECTION_MAX as usize);

/// Where a URL with TLS leads without a port.
const HTTPS_PORT: u16 = 443;
/// How often a peer is probed whose loss others have to make up for at once.
const PEER_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// How long it may take to answer, and to be connected to.
const PEER_TIMEOUT: Duration = Duration::from_millis(1_500);

/// An address that nobody can be called at.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// It is no gRPC endpoint.
    #[error("{endpoint:?} is not a gRPC endpoint such as http://127.0.0.1:7001")]
    Malformed {
        /// The address.
        endpoint: String,
        /// What is wrong with it.
        source: tonic::transport::Error,
    },
    /// Nobody's certificate is trusted.
    #[error("{0} is called with TLS, and no file says whose certificates are good")]
    NoTrust(String),
    /// This process speaks TLS and the other one does not.
    #[error("{0} is plain text, and this process calls with TLS alone")]
    Plain(String),
}

/// A channel that connects at its first call and again after each loss, with
/// TLS where the endpoint is `https://`.
///
/// It has no overall request timeout, which would end long streams: unary
/// calls set their own deadline. Call it inside a Tokio runtime.
///
/// # Errors
/// If the endpoint is none, or its scheme is not what `tls` speaks.
pub fn channel(endpoint: &str, tls: &Tls) -> Result<Channel, EndpointError> {
    connect(&built(endpoint)?, tls, None)
}

/// The same to the relay of a node, whose silence is noticed within 2.5 s.
/// Where processes show who they are, it must be that node.
///
/// # Errors
/// As for [`channel`].
pub fn channel_to_node(endpoint: &str, tls: &Tls, node: &str) -> Result<Channel, EndpointError> {
    let endpoint = built(endpoint)?
        .connect_timeout(PEER_TIMEOUT)
        .http2_keep_alive_interval(PEER_KEEPALIVE_INTERVAL)
        .keep_alive_timeout(PEER_TIMEOUT);
    connect(&endpoint, tls, tls.is_mutual().then(|| node.into()))
}

fn built(endpoint: &str) -> Result<Endpoint, EndpointError> {
    let built = Endpoint::from_shared(endpoint.to_owned())
        .map_err(|source| EndpointError::Malformed { endpoint: endpoint.to_owned(), source })?;
    Ok(built
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}

fn connect(
    endpoint: &Endpoint,
    tls: &Tls,
    node: Option<Arc<str>>,
) -> Result<Channel, EndpointError> {
    let secure = endpoint.uri().scheme_str() == Some("https");
    match (secure, tls.can_call()) {
        (false, false) => return Ok(net::channel(endpoint)),
        (true, true) => {}
        (true, false) => return Err(EndpointError::NoTrust(endpoint.uri().to_string())),
        (false, true) => return Err(EndpointError::Plain(endpoint.uri().to_string())),
    }
    let tls = tls.clone();
    // Each connection goes by the files of its moment.
    let connector = tower::service_fn(move |uri| secured(uri, tls.clone(), node.clone()));
    Ok(endpoint.connect_with_connector_lazy(connector))
}

async fn secured(uri: http::Uri, tls: Tls, node: Option<Arc<str>>) -> io::Result<TokioIo<Stream>> {
    let host = uri.host().unwrap_or_default();
    let stream = net::connect(host, uri.port_u16().unwrap_or(HTTPS_PORT)).await?;
    stream.set_nodelay(true)?;
    let stream = tls.connect(host, stream).await?;
    if let Some(node) = node
        && !stream.names().is_some_and(|names| names.is_node(&node))
    {
        return Err(io::Error::other(format!("the certificate is not that of node {node}")));
    }
    Ok(TokioIo::new(stream))
}

/// The endpoint of a server that listens on `addr`, for peers on the same
/// machine where it listens on every address.
pub fn reachable(scheme: &str, addr: SocketAddr) -> String {
    let ip = if addr.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { addr.ip() };
    format!("{scheme}://{}", SocketAddr::new(ip, addr.port()))
}

/// A server with keepalive and limits, and no request timeout: a watch lasts
/// as long as its client wants it.
pub fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(LOCAL_RESETS_MAX))
        .concurrency_limit_per_connection(CONCURRENCY_PER_CONNECTION_MAX)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_address_is_reached_over_loopback() {
        for (listens, reached) in [
            ("0.0.0.0:1", "http://127.0.0.1:1"),
            ("[::]:1", "http://127.0.0.1:1"),
            ("10.0.0.1:1", "http://10.0.0.1:1"),
        ] {
            assert_eq!(reachable("http", listens.parse().unwrap()), reached);
        }
    }

    #[tokio::test]
    async fn a_channel_needs_no_peer_to_be_made() {
        let plain = Tls::default();
        assert!(channel("http://127.0.0.1:1", &plain).is_ok());
        let error = channel("https://127.0.0.1:1", &plain).unwrap_err();
        assert!(matches!(error, EndpointError::NoTrust(_)), "{error}");
        let error = channel("not an endpoint", &plain).unwrap_err();
        assert!(error.to_string().contains("not an endpoint"), "{error}");
    }
}
