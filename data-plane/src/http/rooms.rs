//! A room as it is stored, for operators: its whole state and its events.
//!
//! Any node answers for any room of its store, whoever owns it. Both answers
//! together, the state first, are a stream as `gavel verify` keeps it.

use super::routes::shows_token;
use crate::{node::Shell, store::StoreError};
use axum::{
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use gavel_rules::{
    audit::{Stream, StreamFormat},
    id::RoomId,
    order::{Generation, Seq},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Events in one answer.
const PAGE_EVENTS: usize = 1_000;
/// JSON values, each on a line of its own.
const LINES: &str = "application/jsonl";

/// Where a page of events begins.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    /// Behind this one.
    #[serde(default)]
    after: Seq,
}

/// `GET /api/rooms/{id}/snapshot`.
pub(super) async fn snapshot(
    State(shell): State<Arc<Shell>>,
    Path(room): Path<RoomId>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = refuse(&shell, &headers) {
        return refused;
    }
    let loaded = match shell.store.load(&room).await {
        Ok(loaded) if loaded.generation == Generation::default() => {
            return (StatusCode::NOT_FOUND, "no such room is stored").into_response();
        }
        Ok(loaded) => loaded,
        Err(error) => return trouble(&error),
    };
    lines([Stream {
        format: StreamFormat::V1,
        room,
        generation: loaded.generation,
        epoch: loaded.epoch,
        snapshot: Some(loaded.auction.to_snapshot()),
        events: Vec::new(),
    }])
}

/// `GET /api/rooms/{id}/events?after=SEQ`; an empty page ends the stream.
pub(super) async fn events(
    State(shell): State<Arc<Shell>>,
    Path(room): Path<RoomId>,
    Query(Page { after }): Query<Page>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = refuse(&shell, &headers) {
        return refused;
    }
    match shell.store.range(&room, after, PAGE_EVENTS).await {
        Ok(events) => lines(events),
        Err(error) => trouble(&error),
    }
}

/// Reserves and bidders are in what is stored. Without a token nobody may
/// read it, not even from this machine: a proxy may stand there.
fn refuse(shell: &Shell, headers: &HeaderMap) -> Option<Response> {
    let token = &shell.config.admin.token;
    if token.is_empty() {
        let why = "rooms can be read where admin.token is set";
        return Some((StatusCode::FORBIDDEN, why).into_response());
    }
    if shows_token(token, headers) {
        return None;
    }
    let ask = [(header::WWW_AUTHENTICATE, "Bearer")];
    Some((StatusCode::UNAUTHORIZED, ask, "the admin token is needed").into_response())
}

fn trouble(error: &StoreError) -> Response {
    let status = match error {
        StoreError::Unknown | StoreError::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        StoreError::Corrupt(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, error.to_string()).into_response()
}

fn lines(values: impl IntoIterator<Item = impl Serialize>) -> Response {
    let mut body = String::new();
    for value in values {
        match serde_json::to_string(&value) {
            Ok(json) => body.push_str(&json),
            Err(error) => return trouble(&StoreError::Corrupt(error.to_string())),
        }
        body.push('\n');
    }
    ([(header::CONTENT_TYPE, LINES)], body).into_response()
}
