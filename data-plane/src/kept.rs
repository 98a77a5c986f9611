//! What a node keeps on its own disk, to go on with where it starts and no
//! control plane answers: the documents in force, the other nodes, and which
//! rooms it owned.
//!
//! ```text
//! told by control --> in force --> file, replaced as a whole
//! start: file --> in force --> as soon as control answers: whatever it tells
//! ```
//!
//! It is a copy. Who owns a room, and under which epoch, only the store says;
//! without the file, or with a damaged one, a node knows what it knows by itself.

use crate::{
    config::NodeConfig,
    node::Shell,
    peers::Peer,
    settings::{Limits, Live},
};
use anyhow::Context as _;
use gavel_flags::own;
use gavel_proto::{
    config::v1 as wire,
    denials::{Denial, Denials},
    limits,
};
use gavel_rules::{
    id::{NodeId, RoomId},
    order::Version,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::Notify;

mod file;

/// Between two writes at least: whatever changes meanwhile goes into the second.
const WRITE_PAUSE: Duration = Duration::from_secs(1);

/// What the node keeps, if it is to.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    path: Option<PathBuf>,
    content: Mutex<Content>,
    changed: Notify,
    /// One write at a time, so that none replaces a newer one.
    writing: tokio::sync::Mutex<Written>,
}

/// What the file holds, as far as that is known.
#[derive(Debug, Default)]
struct Written {
    content: Option<Content>,
    /// The last write failed, and that was told.
    failed: bool,
}

/// What is in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    limits: Option<Document<BTreeMap<String, limits::Value>>>,
    flags: Option<Document<String>>,
    denials: Option<Document<Vec<Denial>>>,
    peers: BTreeMap<NodeId, Peer>,
    owned: BTreeSet<RoomId>,
}

/// A document that was put in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<T> {
    version: Version,
    body: T,
}

// === impl Kept ===

impl Kept {
    /// Reads what the node kept when it ran before. What cannot be used is told
    /// and left out.
    ///
    /// # Errors
    /// If nothing can be kept in the directory.
    pub(crate) fn open(config: &NodeConfig, id: &NodeId) -> anyhow::Result<Self> {
        if config.state_dir.is_empty() {
            return Ok(Self::default());
        }
        let directory = Path::new(&config.state_dir);
        let unusable = || format!("node.state_dir: cannot keep anything in {}", config.state_dir);
        std::fs::create_dir_all(directory).with_context(unusable)?;
        let path = directory.join(format!("{id}.node"));
        let content = file::read(&path);
        match file::write(&path, &content) {
            // It passes, and takes no auction with it.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                tracing::warn!(%error, "node.state_dir: what is in force cannot be kept");
            }
            written => written.with_context(unusable)?,
        }
        Ok(Self { path: Some(path), content: Mutex::new(content), ..Self::default() })
    }

    /// Puts the documents in force.
    pub(crate) fn restore(&self, live: &Live) {
        let mut content = self.content.lock();
        if let Some(Document { version, body }) = content.limits.take() {
            match limits::from_values(&body).and_then(Limits::try_from) {
                Ok(limits) => {
                    live.set_limits(limits, version);
                    content.limits = Some(Document { version, body });
                }
                Err(error) => tracing::warn!(%error, "the kept limits are refused"),
            }
        }
        if let Some(Document { version, body }) = content.flags.take() {
            match own::load(&body) {
                Ok(flags) => {
                    live.set_flags(flags, version);
                    content.flags = Some(Document { version, body });
                }
                Err(error) => tracing::warn!(%error, "the kept flags are refused"),
            }
        }
        if let Some(Document { version, body }) = content.denials.take() {
            match Denials::new(body.iter().cloned()) {
                Ok(denials) => {
                    live.set_denials(denials, version);
                    content.denials = Some(Document { version, body });
                }
                Err(error) => tracing::warn!(%error, "the kept denials are refused"),
            }
        }
    }

    /// The other nodes as they were known.
    #[must_use]
    pub(crate) fn peers(&self) -> BTreeMap<NodeId, Peer> {
        self.content.lock().peers.clone()
    }

    /// The rooms that the run before owned. From now on it is those that this
    /// one owns that are kept.
    #[must_use]
    pub(crate) fn take_owned(&self) -> BTreeSet<RoomId> {
        std::mem::take(&mut self.content.lock().owned)
    }

    /// Notes that limits are in force.
    pub(crate) fn limits(&self, limits: &wire::Limits, version: Version) {
        let document = Document { version, body: limits::values(limits) };
        self.content.lock().limits = Some(document);
        self.changed.notify_one();
    }

    /// Notes that flags are in force.
    pub(crate) fn flags(&self, document: &str, version: Version) {
        let document = Document { version, body: document.to_owned() };
        self.content.lock().flags = Some(document);
        self.changed.notify_one();
    }

    /// Notes that denials are in force.
    pub(crate) fn denials(&self, denials: &Denials, version: Version) {
        let document = Document { version, body: denials.iter(None).cloned().collect() };
        self.content.lock().denials = Some(document);
        self.changed.notify_one();
    }

    /// Writes what has changed; false if that fails, which is told once.
    pub(crate) async fn flush(&self, shell: &Shell) -> bool {
        let Some(path) = self.path.clone() else { return true };
        let mut written = self.writing.lock().await;
        let mut content = self.content.lock().clone();
        content.peers = shell.peers.all();
        content.owned.extend(shell.rooms.owned().into_iter().map(|(room, _)| room));
        if written.content.as_ref() == Some(&content) {
            return true;
        }
        let copy = content.clone();
        let write = tokio::task::spawn_blocking(move || file::write(&path, &copy));
        let outcome = write.await.map_err(std::io::Error::other).flatten();
        match &outcome {
            Ok(()) => written.content = Some(content),
            Err(error) if !written.failed => {
                tracing::warn!(%error, "node.state_dir: what is in force cannot be kept");
            }
            Err(_) => {}
        }
        written.failed = outcome.is_err();
        outcome.is_ok()
    }
}

/// Keeps the file the newest until the node stops.
pub(crate) async fn run(shell: Arc<Shell>) {
    loop {
        tokio::select! {
            () = shell.kept.changed.notified() => {}
            () = shell.peers.changed() => {}
            () = shell.rooms.ownership_changed() => {}
            () = shell.stop.cancelled() => return,
        }
        if !shell.kept.flush(&shell).await {
            shell.kept.changed.notify_one();
        }
        let pause = tokio::time::sleep(WRITE_PAUSE);
        if shell.stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_proto::denials::What;
    use gavel_rules::{id::UserId, time::Timestamp};

    fn config(directory: &Path) -> NodeConfig {
        NodeConfig { state_dir: directory.display().to_string(), ..NodeConfig::default() }
    }

    fn id() -> NodeId {
        "node-1".parse().expect("an id")
    }

    fn content() -> Content {
        let body = limits::values(&wire::Limits { bids_per_user_max: 77, ..limits::defaults() });
        let peer = Peer {
            relay_url: "http://node-2:8090".to_owned(),
            weight: 100,
            public_url: "http://node-2:8080".to_owned(),
        };
        Content {
            limits: Some(Document { version: Version::new(3), body }),
            flags: Some(Document { version: Version::new(4), body: r#"{"flags":{}}"#.to_owned() }),
            denials: Some(Document { version: Version::new(5), body: vec![denial()] }),
            peers: BTreeMap::from([("node-2".parse().expect("an id"), peer)]),
            owned: BTreeSet::from(["vase".parse().expect("an id")]),
        }
    }

    /// Somebody is banned from a room.
    fn denial() -> Denial {
        let (user, reason) = (bob(), "spam".parse().expect("a reason"));
        let what = What::Ban { user, room: Some("vase".parse().expect("an id")), reason };
        Denial { what, until: Some(Timestamp::new(9)) }
    }

    fn bob() -> UserId {
        "bob".parse().expect("an id")
    }

    /// The limit that is no default, and the versions of limits, flags and denials.
    fn restored(directory: &Path) -> (u32, [u64; 3]) {
        let (kept, live) =
            (Kept::open(&config(directory), &id()).expect("it opens"), Live::default());
        kept.restore(&live);
        let settings = live.get();
        let banned =
            settings.denials.bans(&bob(), &"vase".parse().expect("an id"), Timestamp::new(8));
        assert_eq!(banned, settings.denials_version.get() > 0);
        let versions = [settings.limits_version, settings.flags_version, settings.denials_version];
        (settings.limits.bids_per_user_max, versions.map(Version::get))
    }

    #[test]
    fn what_was_kept_is_in_force_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("node-1.node");
        assert_eq!(restored(directory.path()), (5, [0, 0, 0]), "the defaults, without a file");
        file::write(&path, &content()).expect("written");
        assert_eq!(restored(directory.path()), (77, [3, 4, 5]));
        let kept = Kept::open(&config(directory.path()), &id()).expect("it opens");
        assert_eq!(kept.peers(), content().peers);
        assert_eq!(kept.take_owned(), content().owned);
    }

    #[test]
    fn a_document_that_is_refused_leaves_the_other_ones() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("node-1.node");
        let mut wrong = content();
        wrong.flags.as_mut().expect("flags").body.push('}');
        file::write(&path, &wrong).expect("written");
        assert_eq!(restored(directory.path()), (77, [3, 0, 5]));
        let mut wrong = content();
        wrong
            .limits
            .as_mut()
            .expect("limits")
            .body
            .insert("batch_messages_max".to_owned(), limits::Value::Number(0));
        file::write(&path, &wrong).expect("written");
        assert_eq!(restored(directory.path()), (5, [0, 4, 5]));
        let mut wrong = content();
        wrong.denials.as_mut().expect("denials").body.push(denial());
        file::write(&path, &wrong).expect("written");
        assert_eq!(restored(directory.path()), (77, [3, 4, 0]));
    }

    #[test]
    fn a_directory_that_takes_no_file_is_told_at_the_start() {
        let directory = tempfile::tempdir().expect("a directory");
        let taken = directory.path().join("taken");
        std::fs::write(&taken, "").expect("written");
        let error = Kept::open(&config(&taken), &id()).expect_err("a file is no directory");
        assert!(error.to_string().contains("node.state_dir: cannot keep anything in"), "{error}");
        let blocked = directory.path().join("node-1.node");
        std::fs::create_dir_all(blocked.join("in-the-way")).expect("made");
        assert!(Kept::open(&config(directory.path()), &id()).is_err());
    }
}
