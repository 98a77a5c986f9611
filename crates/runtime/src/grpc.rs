//! The defaults of every gRPC client and server.

use crate::net;
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tonic::transport::{Channel, Endpoint, Server};

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
/// The longest message either side sends or takes, for services to set.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1_024 * 1_024;

const _: () = assert!(CONCURRENCY_PER_CONNECTION_MAX < STREAMS_PER_CONNECTION_MAX as usize);

/// How often a peer is probed whose loss others have to make up for at once.
const PEER_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// How long it may take to answer, and to be connected to.
const PEER_TIMEOUT: Duration = Duration::from_millis(1_500);

/// An address that is no gRPC endpoint.
#[derive(Debug, thiserror::Error)]
#[error("{endpoint:?} is not a gRPC endpoint such as http://127.0.0.1:7001")]
pub struct EndpointError {
    endpoint: String,
    source: tonic::transport::Error,
}

/// A channel that connects at its first call and again after each loss.
///
/// It has no overall request timeout, which would end long streams: unary
/// calls set their own deadline. Call it inside a Tokio runtime.
pub fn channel(endpoint: &str) -> Result<Channel, EndpointError> {
    Ok(net::channel(&built(endpoint)?))
}

/// The same to a peer whose silence is noticed within 2.5 s.
pub fn channel_to_peer(endpoint: &str) -> Result<Channel, EndpointError> {
    let endpoint = built(endpoint)?
        .connect_timeout(PEER_TIMEOUT)
        .http2_keep_alive_interval(PEER_KEEPALIVE_INTERVAL)
        .keep_alive_timeout(PEER_TIMEOUT);
    Ok(net::channel(&endpoint))
}

fn built(endpoint: &str) -> Result<Endpoint, EndpointError> {
    let built = Endpoint::from_shared(endpoint.to_owned())
        .map_err(|source| EndpointError { endpoint: endpoint.to_owned(), source })?;
    Ok(built
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}

/// The endpoint of a server that listens on `addr`, for peers on the same
/// machine where it listens on every address.
pub fn reachable(addr: SocketAddr) -> String {
    let ip = if addr.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { addr.ip() };
    format!("http://{}", SocketAddr::new(ip, addr.port()))
}

/// A server with keepalive and limits, and no request timeout: a watch lasts
/// as long as its client wants it.
pub fn server() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .concurrency_limit_per_connection(CONCURRENCY_PER_CONNECTION_MAX)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .tcp_nodelay(true)
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
            assert_eq!(reachable(listens.parse().unwrap()), reached);
        }
    }

    #[tokio::test]
    async fn a_channel_needs_no_peer_to_be_made() {
        assert!(channel("http://127.0.0.1:1").is_ok());
        let error = channel("not an endpoint").unwrap_err();
        assert!(error.to_string().contains("not an endpoint"), "{error}");
    }
}
