//! Calls that only the leader can serve, when they come to another replica.
//!
//! A follower passes them on as they are, so that any replica will do for an
//! operator and behind one address of all replicas nobody has to know which of
//! them leads. The caller would otherwise have to follow redirects to an
//! address that it may not be able to reach. Whether a caller may call at all
//! is asked before, here and there, and the follower gives its word for who it
//! is, see [`vouch`].

use super::{caller::Caller, status::CallError, vouch};
use crate::{
    replica::{Leader, Replica, Standing},
    store::ClusterStore,
};
use http::{HeaderValue, Request, Response};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body, server::NamedService};
use tower::{Service, ServiceExt as _};

/// Marks a call that a follower has passed on: it is passed on once.
const FORWARDED: &str = "gavel-forwarded";

/// A service that is served here while this replica leads or nobody does, and
/// by the leader else.
#[derive(Debug, Clone)]
pub(super) struct Forward<S> {
    inner: S,
    replica: Replica,
    store: Arc<dyn ClusterStore>,
    stop: CancellationToken,
}

// === impl Forward ===

impl<S> Forward<S> {
    pub(super) fn new(
        inner: S,
        replica: &Replica,
        store: &Arc<dyn ClusterStore>,
        stop: &CancellationToken,
    ) -> Self {
        let (replica, store, stop) = (replica.clone(), Arc::clone(store), stop.clone());
        Self { inner, replica, store, stop }
    }
}

impl<S: NamedService> NamedService for Forward<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Forward<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Standing::Follows(Some(leader)) = self.replica.standing() else {
            return Box::pin(self.inner.call(request));
        };
        let (stop, store) = (self.stop.clone(), Arc::clone(&self.store));
        Box::pin(async move {
            let forwarded = stop.run_until_cancelled(forward(leader, &*store, request)).await;
            let stopping = || Err(CallError::Unavailable("this replica stops".to_owned()));
            Ok(forwarded
                .unwrap_or_else(stopping)
                .unwrap_or_else(|error| Status::from(error).into_http()))
        })
    }
}

async fn forward(
    leader: Leader,
    store: &dyn ClusterStore,
    mut request: Request<Body>,
) -> Result<Response<Body>, CallError> {
    let marked = request.headers_mut().insert(FORWARDED, HeaderValue::from_static("1"));
    if marked.is_some() {
        let message = "the leader is changing; try again";
        return Err(CallError::Unavailable(message.to_owned()));
    }
    if let Some(caller) = request.extensions().get::<Caller>().cloned() {
        let path = request.uri().path().to_owned();
        vouch::give(store, &path, &caller, request.headers_mut()).await?;
    }
    leader.channel.oneshot(request).await.map_err(|error| {
        tracing::debug!(%error, endpoint = leader.endpoint, "the leader does not answer");
        CallError::Unavailable("the leader does not answer; try again".to_owned())
    })
}
