//! The audit log, as operators read it.

use super::{Services, audited::Entry, status::CallError};
use futures::stream::BoxStream;
use gavel_proto::admin::v1::{self as wire, audit_service_server::AuditService};
use gavel_runtime::{clock, tasks};
use serde_json::Value;
use std::{collections::VecDeque, time::Duration};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// Entries of one page.
const PAGE_MAX: u32 = 1_000;
/// Entries of one page, unless the caller says.
const PAGE_DEFAULT: u32 = 100;
/// Entries that are read at a time.
const READ_ENTRIES: u64 = 256;
/// How often a watch looks for more.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How long an entry may be without an outcome before a watch tells it as it is.
const OUTCOME_WAIT_MS: u64 = 30_000;
/// Entries that may wait for whoever watches.
const QUEUE_MAX: usize = 64;

/// Which entries are wanted.
#[derive(Debug)]
struct Filter {
    resource: String,
    name: String,
}

// === impl Filter ===

impl Filter {
    fn takes(&self, entry: &Entry) -> bool {
        let rest = entry.resource.strip_prefix(&self.resource);
        let within = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        (self.resource.is_empty() || within) && (self.name.is_empty() || self.name == entry.name)
    }
}

impl Services {
    /// Entries before a number, the newest first, until there are enough; then
    /// the number to go on from.
    async fn entries_before(
        &self,
        mut before: u64,
        enough: usize,
        filter: &Filter,
    ) -> Result<(Vec<wire::AuditEntry>, u64), CallError> {
        let mut entries = Vec::new();
        while before > 1 {
            let first = before.saturating_sub(READ_ENTRIES).max(1);
            let read = self.store.audit(first..=before - 1).await?;
            if read.is_empty() {
                // Older ones are not kept.
                return Ok((entries, 0));
            }
            for (id, body) in read.into_iter().rev() {
                let entry = entry(&body)?;
                if filter.takes(&entry) {
                    entries.push(told(id, entry));
                }
                if entries.len() >= enough {
                    return Ok((entries, id));
                }
            }
            before = first;
        }
        Ok((entries, 0))
    }

    /// Sends entries after a number until nobody listens.
    async fn follow(
        self,
        mut after: u64,
        filter: Filter,
        sender: mpsc::Sender<Result<wire::WatchAuditEntriesResponse, Status>>,
    ) -> Option<()> {
        let mut tick = tokio::time::interval(LOOK_INTERVAL);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = sender.closed() => return None,
                () = self.stop.cancelled() => return None,
            }
            let read = self.store.audit(after + 1..=after + READ_ENTRIES).await;
            let mut read = VecDeque::from(match read {
                Ok(read) => read,
                Err(error) => {
                    let error = Status::from(CallError::from(error));
                    return sender.send(Err(error)).await.ok();
                }
            });
            if read.is_empty() {
                // What is not kept any more cannot be told.
                let newest = self.store.newest_audit().await.unwrap_or(after);
                after = after.max(newest.saturating_sub(READ_ENTRIES));
            }
            while let Some((id, body)) = read.pop_front() {
                let Ok(entry) = entry(&body) else { continue };
                let age = clock::now_ms().saturating_sub(entry.at);
                if entry.outcome.is_empty() && age < OUTCOME_WAIT_MS {
                    break;
                }
                after = id;
                if filter.takes(&entry) {
                    let entry = Some(told(id, entry));
                    sender.send(Ok(wire::WatchAuditEntriesResponse { entry })).await.ok()?;
                }
            }
        }
    }
}

#[tonic::async_trait]
impl AuditService for Services {
    type WatchAuditEntriesStream =
        BoxStream<'static, Result<wire::WatchAuditEntriesResponse, Status>>;

    #[tracing::instrument(name = "audit.list", skip_all)]
    async fn list_audit_entries(
        &self,
        request: Request<wire::ListAuditEntriesRequest>,
    ) -> Result<Response<wire::ListAuditEntriesResponse>, Status> {
        let wire::ListAuditEntriesRequest { page_size, page_token, resource, name } =
            request.into_inner();
        let size = if page_size == 0 { PAGE_DEFAULT } else { page_size.min(PAGE_MAX) };
        let enough = usize::try_from(size).unwrap_or(usize::MAX);
        let before = if page_token.is_empty() {
            self.store.newest_audit().await.map_err(CallError::from)?.saturating_add(1)
        } else {
            page_token.parse().map_err(|error| CallError::invalid("page_token", error))?
        };
        let (entries, next) =
            self.entries_before(before, enough, &Filter { resource, name }).await?;
        let next_page_token = if next > 1 { next.to_string() } else { String::new() };
        Ok(Response::new(wire::ListAuditEntriesResponse { entries, next_page_token }))
    }

    #[tracing::instrument(name = "audit.watch", skip_all)]
    async fn watch_audit_entries(
        &self,
        request: Request<wire::WatchAuditEntriesRequest>,
    ) -> Result<Response<Self::WatchAuditEntriesStream>, Status> {
        let wire::WatchAuditEntriesRequest { after, resource, name } = request.into_inner();
        let newest = self.store.newest_audit().await.map_err(CallError::from)?;
        let (after, filter) = (after.unwrap_or(newest), Filter { resource, name });
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let follow = self.clone().follow(after, filter, sender);
        drop(tasks::spawn("audit.watch", async move {
            // It ends with whoever watches, or tells why.
            follow.await.unwrap_or_default();
        }));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

fn entry(body: &str) -> Result<Entry, CallError> {
    serde_json::from_str(body).map_err(|error| CallError::Unavailable(error.to_string()))
}

fn told(id: u64, entry: Entry) -> wire::AuditEntry {
    let json = |value: Value| if value.is_null() { String::new() } else { value.to_string() };
    wire::AuditEntry {
        id,
        at: entry.at,
        name: entry.name,
        role: entry.role,
        peer: entry.peer,
        rpc: entry.rpc,
        resource: entry.resource,
        old: json(entry.old),
        new: json(entry.new),
        request_id: entry.request_id,
        trace_id: entry.trace_id,
        outcome: entry.outcome,
        message: entry.message,
    }
}
