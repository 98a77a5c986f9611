//! Changes are written down before they are made. What cannot be written down
//! is not done: an entry that says what was asked by whom is stored first, then
//! the service is called, then the entry gets its outcome, and then the caller
//! its answer. A process that dies in between leaves an entry without an
//! outcome, which says that the change may have been made.

use super::{
    access::{self, Needs},
    caller::Caller,
    describe,
    status::CallError,
};
use crate::store::{ClusterStore, StoreError};
use gavel_runtime::{clock, tasks};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tonic::{Code, Status, body::Body, server::NamedService};
use tower::{Service, ServiceExt as _};

/// Bytes of a request that changes something; a flags document may have 1 MiB.
pub(super) const CHANGE_BYTES_MAX: usize = 1_024 * 1_024 + 64 * 1_024;
/// Bytes of a value in an entry; of a longer one the digest is kept.
const VALUE_BYTES_MAX: usize = 8 * 1_024;
/// Bytes of what a caller may call its request.
const REQUEST_ID_BYTES_MAX: usize = 64;
/// The outcome of a change that was made.
const DONE: &str = "DONE";
/// The role of the control plane, where it changes something by itself.
const CONTROL: &str = "control";

/// One call that would change something, or one such step of our own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) at: u64,
    pub(super) name: String,
    pub(super) role: String,
    pub(super) peer: String,
    pub(super) rpc: String,
    pub(super) resource: String,
    pub(super) old: Value,
    pub(super) new: Value,
    pub(super) request_id: String,
    pub(super) trace_id: String,
    pub(super) outcome: String,
    pub(super) message: String,
}

/// What a service tells of a change that it makes; each request that would
/// change something has one as an extension.
#[derive(Debug, Clone, Default)]
pub(super) struct Change {
    told: Arc<Mutex<Told>>,
}

#[derive(Debug, Default)]
struct Told {
    old: Option<Value>,
    new: Option<Value>,
}

/// Writes entries.
#[derive(Debug, Clone)]
pub(super) struct Auditor {
    store: Arc<dyn ClusterStore>,
    keep: u64,
}

/// A service whose changes are written down.
#[derive(Debug, Clone)]
pub(super) struct Audited<S> {
    inner: S,
    auditor: Auditor,
}

// === impl Change ===

impl Change {
    /// What is to be told of this request.
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    /// Tells how it was before.
    pub(super) fn old(&self, old: Value) {
        self.told.lock().old = Some(old);
    }

    /// Tells how it is now, where that is not what was asked for.
    pub(super) fn new_is(&self, new: Value) {
        self.told.lock().new = Some(new);
    }
}

// === impl Auditor ===

impl Auditor {
    pub(super) fn new(store: Arc<dyn ClusterStore>, keep: u64) -> Self {
        Self { store, keep }
    }

    /// Has what a service changes written down.
    pub(super) fn over<S>(&self, inner: S) -> Audited<S> {
        Audited { inner, auditor: self.clone() }
    }

    /// Notes that somebody wanted to change what they may not.
    pub(super) async fn refused(
        &self,
        path: &str,
        caller: &Caller,
        headers: &HeaderMap,
        error: &CallError,
    ) {
        let mut entry = Entry::new(path, caller, headers);
        entry.resource = describe::kind(path);
        (entry.outcome, entry.message) = (name_of(Code::PermissionDenied), error.to_string());
        if let Err(error) = self.append(&entry).await {
            tracing::warn!(%error, rpc = entry.rpc, name = entry.name, "a refusal is not written down");
        }
    }

    /// Makes a change that no operator asked for, written down like the others.
    pub(super) async fn own<T>(
        &self,
        entries: Vec<Entry>,
        change: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let mut begun = Vec::new();
        for entry in entries {
            begun.push((self.begin(&entry).await?, entry));
        }
        let changed = change.await;
        for (id, mut entry) in begun {
            match &changed {
                Ok(_) => DONE.clone_into(&mut entry.outcome),
                Err(error) => {
                    (entry.outcome, entry.message) = (name_of(error.kind().0), error.to_string());
                }
            }
            self.finish(id, &entry).await;
        }
        changed
    }

    async fn begin(&self, entry: &Entry) -> Result<u64, CallError> {
        self.append(entry).await.map_err(|error| {
            CallError::Unavailable(format!("it cannot be written down, so it is not done: {error}"))
        })
    }

    async fn finish(&self, id: u64, entry: &Entry) {
        tracing::info!(
            id,
            name = entry.name,
            rpc = entry.rpc,
            resource = entry.resource,
            outcome = entry.outcome,
            "audit"
        );
        if let Err(error) = self.store.amend_audit(id, &entry.to_json()).await {
            tracing::warn!(%error, id, "an entry of the audit log stays without its outcome");
        }
    }

    async fn append(&self, entry: &Entry) -> Result<u64, StoreError> {
        self.store.append_audit(&entry.to_json(), self.keep).await
    }

    async fn run<S>(self, inner: S, request: Request<Body>) -> Result<Response<Body>, CallError>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let path = request.uri().path().to_owned();
        let caller = request.extensions().get::<Caller>().cloned();
        let caller =
            caller.ok_or_else(|| CallError::Forbidden("nobody asked who calls".to_owned()))?;
        let (mut parts, body) = request.into_parts();
        let body = Limited::new(body, CHANGE_BYTES_MAX).collect().await;
        let body = body.map_err(|error| CallError::invalid("request", error))?.to_bytes();
        let mut entry = Entry::new(&path, &caller, &parts.headers);
        (entry.resource, entry.new) = describe::request(&path, &body);

        let id = self.begin(&entry).await?;
        let change = Change::default();
        parts.extensions.insert(change.clone());
        let request = Request::from_parts(parts, Body::new(Full::new(body)));
        let Ok(response) = inner.oneshot(request).await;
        entry.end(&change, &response);
        self.finish(id, &entry).await;
        Ok(response)
    }
}

// === impl Entry ===

impl Entry {
    fn new(path: &str, caller: &Caller, headers: &HeaderMap) -> Self {
        let operator = caller.operator.as_ref();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let request_id = text("x-request-id").filter(|id| id.len() <= REQUEST_ID_BYTES_MAX);
        let trace_id = text("traceparent").and_then(|parent| parent.split('-').nth(1));
        Self {
            at: clock::now_ms(),
            name: operator.map(|one| one.name.clone()).unwrap_or_default(),
            role: operator.map(|one| one.role.to_string()).unwrap_or_default(),
            peer: caller.peer.clone(),
            rpc: path.trim_start_matches('/').to_owned(),
            request_id: request_id.map_or_else(drawn, str::to_owned),
            trace_id: trace_id.filter(|id| id.len() == 32).unwrap_or_default().to_owned(),
            ..Self::default()
        }
    }

    /// A step that this process takes by itself, as `name`.
    pub(super) fn own(name: &str, rpc: &str, resource: String, old: Value, new: Value) -> Self {
        let (at, request_id) = (clock::now_ms(), drawn());
        let (name, rpc, role) = (name.to_owned(), rpc.to_owned(), CONTROL.to_owned());
        Self { at, name, role, rpc, resource, old, new, request_id, ..Self::default() }
    }

    fn end(&mut self, change: &Change, response: &Response<Body>) {
        let told = std::mem::take(&mut *change.told.lock());
        self.old = told.old.unwrap_or_default();
        self.new = told.new.unwrap_or_else(|| std::mem::take(&mut self.new));
        // A refusal is all in the headers; what follows an answer is no refusal.
        match Status::from_header_map(response.headers()) {
            Some(status) if status.code() != Code::Ok => {
                self.outcome = name_of(status.code());
                status.message().clone_into(&mut self.message);
            }
            Some(_) | None => DONE.clone_into(&mut self.outcome),
        }
    }

    fn to_json(&self) -> String {
        let bounded =
            Self { old: bounded(self.old.clone()), new: bounded(self.new.clone()), ..self.clone() };
        serde_json::to_string(&bounded).unwrap_or_default()
    }
}

/// A request id, for want of one.
fn drawn() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// `INVALID_ARGUMENT`, as codes are written.
fn name_of(code: Code) -> String {
    let name = format!("{code:?}");
    let mut text = String::new();
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}

fn bounded(value: Value) -> Value {
    let text = value.to_string();
    if text.len() <= VALUE_BYTES_MAX {
        return value;
    }
    let digest: [u8; 32] = Sha256::digest(&text).into();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    serde_json::json!({ "bytes": text.len(), "sha256": hex })
}

impl<S: NamedService> NamedService for Audited<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Audited<S>
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
        let inner = self.inner.clone();
        match access::needs(request.uri().path()) {
            Some(Needs::Change(_)) => {}
            Some(Needs::Look(_) | Needs::Node | Needs::Nothing) | None => {
                return Box::pin(inner.oneshot(request));
            }
        }
        // On a task of its own, or a caller that hangs up would leave a change
        // without its outcome.
        let run = tasks::spawn("grpc.audited", self.auditor.clone().run(inner, request));
        Box::pin(async move {
            let died = |_| CallError::Unavailable("the call came to no end".to_owned());
            let ended = run.await.map_err(died).and_then(|ended| ended);
            Ok(ended.unwrap_or_else(|error| Status::from(error).into_http()))
        })
    }
}
