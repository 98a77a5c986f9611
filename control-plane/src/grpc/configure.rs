//! The documents on their way to the nodes.

use super::{Services, caller::Caller, first_message, status::CallError};
use crate::{
    denials, flags, limits,
    store::{ClusterStore, Document, DocumentName, StoreError},
};
use gavel_flags::{FlagError, Flags};
use gavel_proto::{
    config::v1::{self as wire, config_service_server::ConfigService, resource::Kind},
    denials::Denials,
};
use gavel_rules::{
    id::NodeId,
    order::{Term, Version},
};
use gavel_runtime::tasks;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// The newest documents, as stored.
#[derive(Debug, Clone)]
pub(crate) struct Documents {
    newest: Arc<watch::Sender<Newest>>,
    /// The flags that were last asked for.
    loaded: Arc<Mutex<Option<(Version, Flags)>>>,
}

/// The newest documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) limits: Document,
    pub(crate) flags: Document,
    pub(crate) denials: Document,
}

/// Which versions are in force on each node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holders {
    by_node: Arc<Mutex<HashMap<NodeId, Holding>>>,
    streams: Arc<AtomicU64>,
}

/// What a node's newest stream told.
#[derive(Debug, Clone, Copy, Default)]
struct Holding {
    stream: u64,
    held: Held,
}

/// Versions of the documents in force on a node.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) limits: u64,
    pub(super) flags: u64,
    pub(super) denials: u64,
}

// === impl Documents ===

impl Documents {
    /// The defaults, of version zero: nothing has been read yet.
    pub(crate) fn new() -> Self {
        let default = |name| Document { version: Version::default(), body: default_body(name) };
        let newest = Newest {
            limits: default(DocumentName::Limits),
            flags: default(DocumentName::Flags),
            denials: default(DocumentName::Denials),
        };
        Self { newest: Arc::new(watch::Sender::new(newest)), loaded: Arc::default() }
    }

    /// Stores the defaults where nothing is stored.
    pub(crate) async fn seed(
        &self,
        store: &dyn ClusterStore,
        term: Term,
    ) -> Result<(), StoreError> {
        for name in DocumentName::ALL {
            if store.document(name).await?.is_none() {
                let none = Some(Version::default());
                store.put_document(term, name, none, &default_body(name)).await?;
            }
        }
        self.refresh(store).await
    }

    /// Reads what is stored.
    pub(crate) async fn refresh(&self, store: &dyn ClusterStore) -> Result<(), StoreError> {
        for name in DocumentName::ALL {
            if let Some(document) = store.document(name).await? {
                self.changed(name, document);
            }
        }
        Ok(())
    }

    /// How many changes of the documents are known here.
    pub(crate) fn changes(&self) -> u64 {
        let newest = self.newest.borrow();
        let documents = [&newest.limits, &newest.flags, &newest.denials];
        documents.map(|document| document.version.get()).iter().sum()
    }

    /// The flags of the newest document, ready to be asked, with their version.
    pub(crate) fn flags(&self) -> Result<(Version, Flags), FlagError> {
        let mut loaded = self.loaded.lock();
        let newest = self.newest.borrow();
        let version = newest.flags.version;
        if loaded.as_ref().is_none_or(|(of, _)| *of != version) {
            *loaded = Some((version, Flags::parse(&newest.flags.body)?));
        }
        Ok(loaded.clone().unwrap_or_default())
    }

    /// Tells of each change from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<Newest> {
        self.newest.subscribe()
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
                DocumentName::Denials => &mut newest.denials,
            };
            // Two changes may come in the other order than they were stored.
            if document.version > held.version {
                *held = document;
            }
        });
    }
}

fn default_body(name: DocumentName) -> String {
    match name {
        DocumentName::Limits => limits::to_json(&gavel_proto::limits::defaults()),
        DocumentName::Flags => flags::default_document(),
        DocumentName::Denials => denials::to_json(&Denials::default()),
    }
}

// === impl Holders ===

impl Holders {
    /// What is in force on a node.
    pub(super) fn of(&self, node: &str) -> Held {
        let Ok(node) = node.parse::<NodeId>() else { return Held::default() };
        self.by_node.lock().get(&node).copied().unwrap_or_default().held
    }

    fn next_stream(&self) -> u64 {
        self.streams.fetch_add(1, Ordering::Relaxed)
    }

    fn note(&self, node: &NodeId, stream: u64, answer: &wire::StreamConfigRequest) {
        let version = |name: DocumentName| {
            let held = answer.held.iter().find(|held| held.name == name.as_str());
            held.map_or(0, |held| held.version)
        };
        let held = Held {
            limits: version(DocumentName::Limits),
            flags: version(DocumentName::Flags),
            denials: version(DocumentName::Denials),
        };
        let mut by_node = self.by_node.lock();
        let holding = by_node.entry(node.clone()).or_default();
        // A stream that was followed by another may still have something to say.
        if holding.stream <= stream {
            *holding = Holding { stream, held };
        }
    }

    fn forget(&self, node: &NodeId, stream: u64) {
        let mut by_node = self.by_node.lock();
        if by_node.get(node).is_some_and(|holding| holding.stream == stream) {
            by_node.remove(node);
        }
    }
}

#[tonic::async_trait]
impl ConfigService for Services {
    type StreamConfigStream = ReceiverStream<Result<wire::StreamConfigResponse, Status>>;

    async fn stream_config(
        &self,
        request: Request<Streaming<wire::StreamConfigRequest>>,
    ) -> Result<Response<Self::StreamConfigStream>, Status> {
        let caller = Caller::of(&request)?;
        let mut answers = request.into_inner();
        let hello = first_message(&mut answers).await?;
        let node: NodeId = hello.node_id.parse().map_err(CallError::id("node_id"))?;
        caller.must_be_node(node.as_ref())?;
        let stream = self.holders.next_stream();
        self.holders.note(&node, stream, &hello);
        let (sender, receiver) = mpsc::channel(4);
        let services = self.clone();
        drop(tasks::spawn("config.stream", async move {
            let pushing = Pushing { services: &services, node: &node, stream, sender };
            let ended = pushing.run(&hello, &mut answers).await;
            tracing::debug!(node.id = %node, ?ended, "a configuration stream ended");
            services.holders.forget(&node, stream);
        }));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// One node's stream.
struct Pushing<'a> {
    services: &'a Services,
    node: &'a NodeId,
    stream: u64,
    sender: mpsc::Sender<Result<wire::StreamConfigResponse, Status>>,
}

/// The versions that need no push.
#[derive(Debug, Default)]
struct Pushed {
    limits: Option<Version>,
    flags: Option<Version>,
    denials: Option<Version>,
}

// === impl Pushing ===

impl Pushing<'_> {
    /// Pushes each document once for each of its versions, and notes the
    /// answers.
    async fn run(
        self,
        hello: &wire::StreamConfigRequest,
        answers: &mut Streaming<wire::StreamConfigRequest>,
    ) -> Option<()> {
        let mut newest = self.services.documents.newest.subscribe();
        newest.mark_changed();
        let mut pushed = Pushed::refused(hello);
        let mut nonce = 0;
        loop {
            tokio::select! {
                changed = newest.changed() => {
                    changed.ok()?;
                    let documents = newest.borrow_and_update().clone();
                    let resources = resources(documents, &mut pushed);
                    if !resources.is_empty() {
                        nonce += 1;
                        let push = wire::StreamConfigResponse { nonce, resources };
                        tokio::select! {
                            sent = self.sender.send(Ok(push)) => sent.ok()?,
                            () = self.services.stop.cancelled() => return None,
                        }
                    }
                }
                answer = answers.message() => self.answered(&answer.ok()??),
                () = self.services.stop.cancelled() => return None,
            }
        }
    }

    fn answered(&self, answer: &wire::StreamConfigRequest) {
        for refusal in &answer.refused {
            self.services.state.config_refused.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(node.id = %self.node, name = refusal.name, version = refusal.version,
                error = refusal.error, "a node refuses a document");
        }
        self.services.holders.note(self.node, self.stream, answer);
    }
}

// === impl Pushed ===

impl Pushed {
    /// What a node refused before is not pushed until it changes.
    fn refused(hello: &wire::StreamConfigRequest) -> Self {
        let version = |name: DocumentName| {
            let refused = hello.refused.iter().find(|refusal| refusal.name == name.as_str());
            refused.map(|refusal| Version::new(refusal.version))
        };
        Self {
            limits: version(DocumentName::Limits),
            flags: version(DocumentName::Flags),
            denials: version(DocumentName::Denials),
        }
    }
}

/// What differs from what was pushed last.
fn resources(newest: Newest, pushed: &mut Pushed) -> Vec<wire::Resource> {
    let mut resources = Vec::new();
    let limits = newest.limits.version;
    if pushed.limits.replace(limits) != Some(limits) {
        match limits::from_json(&newest.limits.body) {
            Ok(document) => resources
                .push(wire::Resource { version: limits.get(), kind: Some(Kind::Limits(document)) }),
            Err(error) => tracing::error!(%error, "the stored limits cannot be read"),
        }
    }
    let flags = newest.flags.version;
    if pushed.flags.replace(flags) != Some(flags) {
        let kind = Some(Kind::Flags(newest.flags.body));
        resources.push(wire::Resource { version: flags.get(), kind });
    }
    let denials = newest.denials.version;
    if pushed.denials.replace(denials) != Some(denials) {
        match denials::from_json(&newest.denials.body) {
            Ok(document) => {
                let kind = Some(Kind::Denials(denials::for_nodes(&document)));
                resources.push(wire::Resource { version: denials.get(), kind });
            }
            Err(error) => tracing::error!(%error, "the stored denials cannot be read"),
        }
    }
    resources
}
