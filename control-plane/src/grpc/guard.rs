//! The door of gRPC: who calls, and whether they may.
//!
//! ```text
//! Guard --who? may they?--> Forward --leader elsewhere--> its Guard ...
//!                              '-----here--> Audited --> the service
//! ```

#[cfg(test)]
mod tests;

use super::{
    access::{self, Needs},
    audited::Auditor,
    caller::{Caller, Operator, Proof},
    status::CallError,
    tokens::Tokens,
    vouch,
};
use crate::store::ClusterStore;
use gavel_runtime::{grpc::Peer, tls::Role};
use http::{HeaderMap, Request, Response, header::AUTHORIZATION, request::Parts};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tonic::{Status, body::Body, server::NamedService};
use tower::{Service, ServiceExt as _};

/// Who an operator is that nobody asks for anything.
const LOCAL: &str = "local";

/// What the doors of all services share.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    tokens: Tokens,
    /// Whether certificates are asked for.
    mutual: bool,
    store: Arc<dyn ClusterStore>,
    auditor: Auditor,
}

/// A service behind the door.
#[derive(Debug, Clone)]
pub(super) struct Guard<S> {
    inner: S,
    gate: Gate,
}

// === impl Gate ===

impl Gate {
    pub(super) fn new(
        tokens: Tokens,
        mutual: bool,
        store: Arc<dyn ClusterStore>,
        auditor: Auditor,
    ) -> Self {
        Self { tokens, mutual, store, auditor }
    }

    /// Puts a service behind the door.
    pub(super) fn before<S>(&self, inner: S) -> Guard<S> {
        Guard { inner, gate: self.clone() }
    }

    /// Lets a request in, with its caller.
    async fn admit(&self, request: &mut Parts) -> Result<(), CallError> {
        let path = request.uri.path().to_owned();
        let Some(needs) = access::needs(&path) else {
            return Err(CallError::Forbidden(format!("nobody may call {path}")));
        };
        let caller = self.caller(&path, needs, request).await?;
        let allowed = match needs {
            Needs::Nothing => true,
            Needs::Node => caller.nodes.as_ref().is_none_or(|nodes| !nodes.is_empty()),
            Needs::Look(least) | Needs::Change(least) => {
                caller.operator.as_ref().is_some_and(|operator| operator.role >= least)
            }
        };
        if !allowed {
            let error = CallError::Forbidden(match needs {
                Needs::Nothing | Needs::Node => {
                    "a certificate that names a node is needed".to_owned()
                }
                Needs::Look(least) | Needs::Change(least) => format!("the role {least} is needed"),
            });
            if let Needs::Change(_) = needs {
                self.auditor.refused(&path, &caller, &request.headers, &error).await;
            }
            return Err(error);
        }
        request.extensions.insert(caller);
        Ok(())
    }

    /// A token is looked at by every replica. For the rest the word of another
    /// one counts, but not for what would not count here.
    async fn caller(&self, path: &str, needs: Needs, request: &Parts) -> Result<Caller, CallError> {
        let told = vouch::taken(&*self.store, path, &request.headers).await?;
        let caller = told.unwrap_or_else(|| self.direct(request.extensions.get::<Peer>()));
        if matches!(needs, Needs::Node | Needs::Nothing) {
            return Ok(caller);
        }
        let shown = self.by_token(&request.headers)?;
        let operator = shown.or(caller.operator.filter(|operator| match operator.proof {
            // It would have been shown here.
            Proof::Token => false,
            Proof::Certificate => self.mutual,
            Proof::Nearness => self.asks_nothing(),
        }));
        let operator = Some(operator.ok_or_else(|| {
            if self.asks_nothing() { CallError::Far } else { CallError::BadToken }
        })?);
        Ok(Caller { operator, ..caller })
    }

    /// Who is behind a connection.
    fn direct(&self, peer: Option<&Peer>) -> Caller {
        let names = peer.and_then(|peer| peer.names.as_deref());
        let by_certificate = names.and_then(|names| names.operator()).map(|(role, name)| {
            Operator { name: name.to_owned(), role, proof: Proof::Certificate }
        });
        let near = peer.is_some_and(|peer| peer.addr.ip().to_canonical().is_loopback());
        let by_nearness =
            Operator { name: LOCAL.to_owned(), role: Role::Admin, proof: Proof::Nearness };
        let named = || names.map(|names| names.nodes().to_vec()).unwrap_or_default();
        Caller {
            peer: peer.map(|peer| peer.addr.to_string()).unwrap_or_default(),
            operator: by_certificate.or_else(|| near.then_some(by_nearness)),
            nodes: self.mutual.then(named),
        }
    }

    /// Who a bearer token is of; a wrong one is no way in, whatever else there is.
    fn by_token(&self, headers: &HeaderMap) -> Result<Option<Operator>, CallError> {
        let Some(given) = headers.get(AUTHORIZATION).filter(|_| !self.tokens.is_empty()) else {
            return Ok(None);
        };
        let given = given.to_str().ok().and_then(|given| given.strip_prefix("Bearer "));
        let (name, role) =
            given.and_then(|given| self.tokens.bearer(given)).ok_or(CallError::BadToken)?;
        Ok(Some(Operator { name, role, proof: Proof::Token }))
    }

    /// Whether it is enough to be on this machine.
    fn asks_nothing(&self) -> bool {
        self.tokens.is_empty() && !self.mutual
    }
}

impl<S: NamedService> NamedService for Guard<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (inner, gate) = (self.inner.clone(), self.gate.clone());
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match gate.admit(&mut parts).await {
                Ok(()) => inner.oneshot(Request::from_parts(parts, body)).await,
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
    }
}
