//! The documents on their way to the nodes.

use super::Services;
use crate::{
    flags, limits,
    store::{ClusterStore, Document, DocumentName, StoreError},
};
use gavel_proto::config::v1::{self as wire, config_service_server::ConfigService, resource::Kind};
use gavel_rules::order::Version;
use gavel_runtime::tasks;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// The newest documents, as stored.
#[derive(Debug, Clone)]
pub(crate) struct Documents {
    newest: Arc<watch::Sender<Newest>>,
}

/// The newest documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) limits: Document,
    pub(crate) flags: Document,
}

/// Which versions are in force on each node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holders {
    by_node: Arc<Mutex<HashMap<String, (u64, u64)>>>,
}

// === impl Documents ===

impl Documents {
    /// Reads what is stored; stores the defaults where nothing is.
    pub(crate) async fn load(store: &dyn ClusterStore) -> Result<Self, StoreError> {
        let limits = limits::to_json(&limits::defaults());
        let newest = Newest {
            limits: stored(store, DocumentName::Limits, &limits).await?,
            flags: stored(store, DocumentName::Flags, flags::DEFAULT_DOCUMENT).await?,
        };
        Ok(Self { newest: Arc::new(watch::Sender::new(newest)) })
    }

    pub(crate) fn newest(&self) -> Newest {
        self.newest.borrow().clone()
    }

    /// Notes that a document has been stored, which sends it to all nodes.
    pub(crate) fn changed(&self, name: DocumentName, document: Document) {
        self.newest.send_modify(|newest| {
            let held = match name {
                DocumentName::Limits => &mut newest.limits,
                DocumentName::Flags => &mut newest.flags,
            };
            // Two changes may come in the other order than they were stored.
            if document.version > held.version {
                *held = document;
            }
        });
    }
}

async fn stored(
    store: &dyn ClusterStore,
    name: DocumentName,
    default: &str,
) -> Result<Document, StoreError> {
    if let Some(document) = store.document(name).await? {
        return Ok(document);
    }
    store.put_document(name, None, default).await?;
    let gone = || StoreError::Corrupt("a document that was stored is not there".to_owned());
    store.document(name).await?.ok_or_else(gone)
}

// === impl Holders ===

impl Holders {
    /// Versions of the limits and the flags in force on a node.
    pub(crate) fn of(&self, node: &str) -> (u64, u64) {
        self.by_node.lock().get(node).copied().unwrap_or_default()
    }

    fn note(&self, answer: &wire::StreamConfigRequest) {
        let version = |name: &str| {
            answer.held.iter().find(|held| held.name == name).map_or(0, |held| held.version)
        };
        let versions = (version("limits"), version("flags"));
        self.by_node.lock().insert(answer.node_id.clone(), versions);
    }

    fn forget(&self, node: &str) {
        self.by_node.lock().remove(node);
    }
}

#[tonic::async_trait]
impl ConfigService for Services {
    type StreamConfigStream = ReceiverStream<Result<wire::StreamConfigResponse, Status>>;

    async fn stream_config(
        &self,
        request: Request<Streaming<wire::StreamConfigRequest>>,
    ) -> Result<Response<Self::StreamConfigStream>, Status> {
        let mut answers = request.into_inner();
        let Some(hello) = answers.message().await? else {
            return Err(Status::invalid_argument("the first message must name the node"));
        };
        if hello.node_id.parse::<gavel_rules::id::NodeId>().is_err() {
            return Err(Status::invalid_argument("node_id: is not an id"));
        }
        self.holders.note(&hello);
        let (sender, receiver) = mpsc::channel(4);
        let services = self.clone();
        let node = hello.node_id;
        drop(tasks::spawn("config.stream", async move {
            let ended = push(&services, &mut answers, &sender).await;
            tracing::debug!(node, ?ended, "a configuration stream ended");
            services.holders.forget(&node);
        }));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Pushes each document once for each of its versions, and notes the answers.
async fn push(
    services: &Services,
    answers: &mut Streaming<wire::StreamConfigRequest>,
    sender: &mpsc::Sender<Result<wire::StreamConfigResponse, Status>>,
) -> Option<()> {
    let mut newest = services.documents.newest.subscribe();
    newest.mark_changed();
    let (mut limits, mut flags) = (Version::default(), Version::default());
    let mut nonce = 0;
    loop {
        tokio::select! {
            changed = newest.changed() => {
                changed.ok()?;
                let documents = newest.borrow_and_update().clone();
                let resources = resources(documents, &mut limits, &mut flags);
                if !resources.is_empty() {
                    nonce += 1;
                    let push = wire::StreamConfigResponse { nonce, resources };
                    sender.send(Ok(push)).await.ok()?;
                }
            }
            answer = answers.message() => {
                let answer = answer.ok()??;
                for refusal in &answer.refused {
                    services.state.config_refused.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(node = answer.node_id, name = refusal.name,
                        version = refusal.version, error = refusal.error,
                        "a node refuses a document");
                }
                services.holders.note(&answer);
            }
            () = services.stop.cancelled() => return None,
        }
    }
}

/// What has a later version than was sent last.
fn resources(newest: Newest, limits: &mut Version, flags: &mut Version) -> Vec<wire::Resource> {
    let mut resources = Vec::new();
    if newest.limits.version > *limits {
        *limits = newest.limits.version;
        match limits::from_json(&newest.limits.body) {
            Ok(document) => resources
                .push(wire::Resource { version: limits.get(), kind: Some(Kind::Limits(document)) }),
            Err(error) => tracing::error!(%error, "the stored limits cannot be read"),
        }
    }
    if newest.flags.version > *flags {
        *flags = newest.flags.version;
        let kind = Some(Kind::Flags(newest.flags.body));
        resources.push(wire::Resource { version: flags.get(), kind });
    }
    resources
}
