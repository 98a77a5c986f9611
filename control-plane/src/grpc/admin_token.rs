//! Who may administer.

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
            let far = "no admin.token is set, so only this machine may administer";
            return if near { Ok(request) } else { Err(Status::permission_denied(far)) };
        }
        let given = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let good =
            given.is_some_and(|given| bool::from(given.as_bytes().ct_eq(self.token.as_bytes())));
        if good {
            Ok(request)
        } else {
            Err(Status::unauthenticated("a valid admin token is needed"))
        }
    }
}
