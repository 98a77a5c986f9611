//! OFREP, the protocol by which OpenFeature's SDKs ask over HTTP what a flag
//! answers. Every replica answers, from the document that it has.
//!
//! ```text
//!   POST /ofrep/v1/evaluate/flags/{key}   one flag
//!   POST /ofrep/v1/evaluate/flags         all flags; 304 where If-None-Match still holds
//! ```

#[cfg(test)]
mod tests;

use crate::grpc::{CallError, Documents, Readers};
use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::post,
};
use gavel_flags::{Context, Evaluation, Fault, Flags};
use gavel_rules::{hash, order::Version};
use gavel_runtime::{clock, http::Peer};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The largest request: a context is about one user.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What evaluations go by.
#[derive(Debug, Clone)]
pub(crate) struct Ofrep {
    /// The newest document.
    pub(crate) documents: Documents,
    /// Who may ask.
    pub(crate) readers: Readers,
}

/// Why a request cannot be answered, as OpenFeature names it.
struct Refused {
    status: StatusCode,
    code: &'static str,
    details: String,
}

/// What a flag answers.
#[derive(Serialize)]
struct Answer<'a> {
    key: &'a str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    metadata: Value,
}

/// Why there is no answer, of one flag or of all.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    error_code: &'static str,
    error_details: String,
}

/// The routes.
pub(super) fn router(ofrep: Ofrep) -> Router {
    Router::new()
        .route("/ofrep/v1/evaluate/flags/{key}", post(one))
        .route("/ofrep/v1/evaluate/flags", post(all))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(ofrep.clone(), authorize))
        .with_state(ofrep)
}

/// Asks whether the caller may, as for gRPC.
async fn authorize(
    State(ofrep): State<Ofrep>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let given = request.headers().get(header::AUTHORIZATION);
    let Err(error) = ofrep.readers.admit(peer, given) else { return next.run(request).await };
    let unknown = matches!(error, CallError::BadToken);
    let code = if unknown { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
    (code, Json(json!({"errorDetails": error.to_string()}))).into_response()
}

async fn one(State(ofrep): State<Ofrep>, Path(key): Path<String>, body: Bytes) -> Response {
    let (context, version, flags) = match asked(&ofrep, &body) {
        Ok(asked) => asked,
        Err(refused) => return refused.answer(Some(&key)),
    };
    match answer(&flags, version, &key, &context) {
        Ok(answer) => Json(answer).into_response(),
        Err(refused) => refused.answer(Some(&key)),
    }
}

async fn all(State(ofrep): State<Ofrep>, headers: HeaderMap, body: Bytes) -> Response {
    let (context, version, flags) = match asked(&ofrep, &body) {
        Ok(asked) => asked,
        Err(refused) => return refused.answer(None),
    };
    let one = |key| {
        answer(&flags, version, key, &context).unwrap_or_else(|refused| refused.body(Some(key)))
    };
    let answers: Vec<Value> = flags.keys().map(one).collect();
    let metadata = json!({"version": version.get()});
    let body = json!({"flags": answers, "metadata": metadata}).to_string();
    // Of the answers, and not of the document: another subject has other ones.
    let tag = format!("\"{:016x}\"", hash::hash(body.as_bytes()));
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|given| holds(given, &tag));
    let tag = [(header::ETAG, tag)];
    if known {
        return (StatusCode::NOT_MODIFIED, tag).into_response();
    }
    (tag, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Whether a list of tags, as `If-None-Match` holds one, holds this one.
fn holds(given: &HeaderValue, tag: &str) -> bool {
    let tags = given.to_str().unwrap_or_default().split(',').map(str::trim);
    tags.map(|given| given.strip_prefix("W/").unwrap_or(given))
        .any(|given| given == tag || given == "*")
}

/// The subject of a request, and the flags to ask.
fn asked(ofrep: &Ofrep, body: &Bytes) -> Result<(Context, Version, Flags), Refused> {
    let context = context(body)?;
    let (version, flags) = ofrep.documents.flags().map_err(|error| Refused {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        code: "GENERAL",
        details: error.to_string(),
    })?;
    Ok((context, version, flags))
}

fn context(body: &Bytes) -> Result<Context, Refused> {
    let refuse = |code, details: &str| {
        Err(Refused { status: StatusCode::BAD_REQUEST, code, details: details.to_owned() })
    };
    let request: Map<String, Value> = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => return refuse("PARSE_ERROR", &error.to_string()),
    };
    match request.get("context").map(Context::from_json) {
        None => Ok(Context::default()),
        Some(Some(context)) => Ok(context),
        Some(None) => {
            refuse("INVALID_CONTEXT", "the context must be an object, and its targetingKey text")
        }
    }
    .map(|context| context.at(clock::now_ms() / 1_000))
}

/// What one flag answers. A disabled one leaves it to the caller's own default,
/// for which OFREP has an answer without a value.
fn answer(flags: &Flags, version: Version, key: &str, context: &Context) -> Result<Value, Refused> {
    let Evaluation { variant, value, reason, fault } = flags.evaluate(key, context);
    if let Some(fault) = fault {
        let (status, code) = match fault {
            Fault::FlagNotFound => (StatusCode::NOT_FOUND, "FLAG_NOT_FOUND"),
            Fault::Targeting(_) | Fault::UnknownVariant(_) => (StatusCode::BAD_REQUEST, "GENERAL"),
        };
        return Err(Refused { status, code, details: fault.to_string() });
    }
    Ok(json!(Answer {
        key,
        reason: reason.as_str(),
        variant,
        value: value.map(|value| value.to_json()),
        metadata: json!({"version": version.get()}),
    }))
}

// === impl Refused ===

impl Refused {
    fn answer(self, key: Option<&str>) -> Response {
        (self.status, Json(self.body(key))).into_response()
    }

    fn body(self, key: Option<&str>) -> Value {
        json!(Failure { key, error_code: self.code, error_details: self.details })
    }
}
