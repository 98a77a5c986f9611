//! Who may administer.

use super::status::CallError;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tonic::{Request, Status, service::Interceptor};

/// Lets calls with the bearer token pass; without a token in the settings,
/// calls from this machine.
#[derive(Debug, Clone)]
pub(crate) struct AdminToken {
    token: Arc<str>,
}

// === impl AdminToken ===

impl AdminToken {
    pub(crate) fn new(token: &str) -> Self {
        Self { token: token.into() }
    }
}

impl Interceptor for AdminToken {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        if self.token.is_empty() {
            let near =
                request.remote_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
            return if near { Ok(request) } else { Err(CallError::Far.into()) };
        }
        let given = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let good =
            given.is_some_and(|given| bool::from(given.as_bytes().ct_eq(self.token.as_bytes())));
        if good { Ok(request) } else { Err(CallError::BadToken.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tonic::{Code, transport::server::TcpConnectInfo};

    /// How a call with this header from this address is answered.
    fn call(token: &str, header: Option<&str>, from: &str) -> Option<Code> {
        let mut request = Request::new(());
        if let Some(header) = header {
            request.metadata_mut().insert("authorization", header.parse().unwrap());
        }
        let remote_addr = Some(from.parse::<SocketAddr>().unwrap());
        request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
        AdminToken::new(token).call(request).err().map(|status| status.code())
    }

    #[test]
    fn without_a_token_only_this_machine_may_administer() {
        for near in ["127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(call("", None, near), None, "{near}");
        }
        for far in ["10.0.0.1:1", "[2001:db8::1]:1", "[::ffff:10.0.0.1]:1"] {
            assert_eq!(call("", Some("Bearer "), far), Some(Code::PermissionDenied), "{far}");
        }
        let unknown = AdminToken::new("").call(Request::new(()));
        assert_eq!(unknown.unwrap_err().code(), Code::PermissionDenied);
    }

    #[test]
    fn with_a_token_it_is_needed_from_everywhere() {
        for from in ["127.0.0.1:1", "10.0.0.1:1"] {
            assert_eq!(call("hush", Some("Bearer hush"), from), None);
            for wrong in [None, Some("hush"), Some("Bearer "), Some("Bearer hus"), Some("bearer x")]
            {
                assert_eq!(call("hush", wrong, from), Some(Code::Unauthenticated), "{wrong:?}");
            }
        }
    }
}
