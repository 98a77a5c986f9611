//! The other nodes of the cluster, as the control plane told of them: where to
//! find them while it cannot be asked. Who of them lives is the store's to say.

use gavel_proto::fleet::v1 as wire;
use gavel_rules::id::NodeId;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use tokio::sync::Notify;

/// Nodes that are kept; of further ones those make room that the leader of now
/// has not named.
const PEERS_MAX: usize = 2_000;

/// The other nodes.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    known: Mutex<Known>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Known {
    nodes: BTreeMap<NodeId, Peer>,
    /// Those that the leader of now has named.
    named: HashSet<NodeId>,
}

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peer {
    /// Where its relay listens.
    pub relay_url: String,
    /// Its relative capacity.
    pub weight: u32,
    /// Where browsers reach it; empty if it has not been told.
    #[serde(default)]
    pub public_url: String,
}

// === impl Peers ===

impl Peers {
    /// Those that were known before.
    pub(crate) fn new(nodes: BTreeMap<NodeId, Peer>) -> Self {
        let known = Known { nodes, named: HashSet::new() };
        Self { known: Mutex::new(known), changed: Notify::new() }
    }

    /// A leader begins to tell, perhaps another one than before.
    pub(crate) fn begin(&self) {
        self.known.lock().named.clear();
    }

    /// Takes in what a leader tells; a node without a sensible name is left out.
    pub(crate) fn told(&self, peers: wire::Peers) {
        let mut known = self.known.lock();
        for id in peers.gone.iter().filter_map(|id| id.parse::<NodeId>().ok()) {
            known.nodes.remove(&id);
            known.named.remove(&id);
        }
        for wire::Peer { node_id, relay_url, weight, public_url } in peers.here {
            if let Ok(id) = node_id.parse() {
                known.put(id, Peer { relay_url, weight, public_url });
            }
        }
        drop(known);
        self.changed.notify_one();
    }

    /// One of them.
    #[must_use]
    pub(crate) fn get(&self, id: &NodeId) -> Option<Peer> {
        self.known.lock().nodes.get(id).cloned()
    }

    /// All of them.
    #[must_use]
    pub(crate) fn all(&self) -> BTreeMap<NodeId, Peer> {
        self.known.lock().nodes.clone()
    }

    /// Waits until something was told.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

// === impl Known ===

impl Known {
    fn put(&mut self, id: NodeId, peer: Peer) {
        if self.nodes.len() >= PEERS_MAX && !self.nodes.contains_key(&id) {
            let named = &self.named;
            self.nodes.retain(|id, _| named.contains(id));
            if self.nodes.len() >= PEERS_MAX {
                return;
            }
        }
        self.named.insert(id.clone());
        self.nodes.insert(id, peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(ids: impl IntoIterator<Item = String>) -> wire::Peers {
        let peer = |node_id| wire::Peer {
            node_id,
            relay_url: "http://h:1".to_owned(),
            weight: 1,
            ..wire::Peer::default()
        };
        wire::Peers { here: ids.into_iter().map(peer).collect(), gone: Vec::new() }
    }

    #[test]
    fn who_is_not_named_stays_until_there_are_too_many() {
        let peers = Peers::default();
        peers.told(here(["old".to_owned(), "a b".to_owned(), "left".to_owned()]));
        peers.told(wire::Peers { here: Vec::new(), gone: vec!["left".to_owned()] });
        assert_eq!(peers.all().into_keys().collect::<Vec<_>>(), ["old".parse().unwrap()]);
        peers.begin();
        peers.told(here((1..PEERS_MAX).map(|n| format!("n{n}"))));
        assert!(peers.get(&"old".parse().unwrap()).is_some(), "a leader may not know all yet");
        peers.told(here(["one-more".to_owned()]));
        assert!(peers.get(&"old".parse().unwrap()).is_none());
        peers.told(here(["too-many".to_owned()]));
        assert_eq!(peers.all().len(), PEERS_MAX);
        assert!(peers.get(&"too-many".parse().unwrap()).is_none());
    }
}
