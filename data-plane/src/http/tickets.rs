//! Tickets for tokens, see [`crate::auth::Ticket`].

use super::routes::bearer;
use crate::{
    auth::{TICKET_KEPT, Ticket},
    node::Shell,
};
use axum::{
    Json,
    extract::{Extension, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use gavel_runtime::http::Peer;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may go by what it was told of us.
const PREFLIGHT_KEPT: Duration = Duration::from_secs(600);

/// `POST /api/tickets`.
pub(super) async fn issue(
    State(shell): State<Arc<Shell>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    if let Err(foreign) = shell.allowed_origins.check(&headers) {
        return (StatusCode::FORBIDDEN, foreign.to_string()).into_response();
    }
    // A ticket costs what a handshake does, and leads to one.
    let client = shell.origins.client(peer, &headers);
    if let Err(turned) = shell.admission.ask(&shell, client) {
        let wait = turned.retry_after.get().div_ceil(1_000).max(1);
        return later(StatusCode::TOO_MANY_REQUESTS, wait, &turned.error().message);
    }
    let Some(token) = bearer(&headers) else {
        return unauthenticated("a bearer token is needed");
    };
    let identity = match shell.verifier.identify(token, shell.now()).await {
        Ok(identity) => identity,
        Err(refused) => return unauthenticated(&refused.to_string()),
    };
    match Ticket::issue(&identity, &*shell.store).await {
        Ok(Some(ticket)) => {
            let body = json!({ "ticket": ticket.secret(), "expiresInMs": TICKET_KEPT.get() });
            ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
        }
        Ok(None) => unauthenticated("a bearer token is needed"),
        Err(error) => {
            shell.metrics.store_error(&error);
            later(StatusCode::SERVICE_UNAVAILABLE, 1, "no ticket can be kept just now")
        }
    }
}

/// Lets scripts of the pages that may use the node ask for tickets.
pub(super) fn cors(shell: &Arc<Shell>) -> CorsLayer {
    let shell = Arc::clone(shell);
    let may = move |_: &HeaderValue, request: &Parts| {
        shell.allowed_origins.check(&request.headers).is_ok()
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(may))
        .allow_methods([Method::POST])
        .allow_headers([header::AUTHORIZATION])
        .max_age(PREFLIGHT_KEPT)
}

fn unauthenticated(why: &str) -> Response {
    let ask = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, ask, why.to_owned()).into_response()
}

fn later(status: StatusCode, seconds: u64, why: &str) -> Response {
    (status, [(header::RETRY_AFTER, seconds.to_string())], why.to_owned()).into_response()
}
