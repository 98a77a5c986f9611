//! A room moves to another node, and nobody in it notices.
//!
//! ```text
//! control -- Prepare --> new owner   watches the room as an edge, keeps who watches it here
//! control -- Assigned -> old owner   ends its append, decides nothing more
//! old owner -- OwnerChanged, behind its last update --> every edge, the new owner among them
//! new owner  claims the room: fence and state in one round trip to the store
//! ```
//!
//! Bids that wait at the old owner follow the room; those that others still
//! send there are passed on for a while. Nothing here makes a move safe: that
//! is the epoch's work, also when a step is lost.

use super::{
    Assignment,
    task::{Role, Room},
};
use crate::control::Step;
use gavel_proto::{convert::ChangedOwner, relay::v1 as wire};
use gavel_rules::{
    id::NodeId,
    order::Epoch,
    time::{Millis, Timestamp},
};

/// For so long the old owner passes on bids of those who did not hear yet.
const FORWARD: Millis = Millis::new(5_000);
/// For so long the new owner waits for the old one's last word after control
/// has named it.
const LAST_WORD: Millis = Millis::new(500);

/// What a node is about to own.
pub(super) struct Prepared {
    next: Assignment,
    /// Control has named the node: from then on it does not wait any more.
    take_at: Option<Timestamp>,
}

// === impl Room ===

impl Room {
    /// Gets ready to own the room after `from`.
    pub(super) fn prepare(&mut self, next: Assignment, from: NodeId, from_relay_url: String) {
        if next.epoch <= self.epoch || matches!(self.role, Role::Owner(_)) {
            return;
        }
        let epoch = self.epoch;
        let now = Assignment { epoch, owner: None, relay_url: from_relay_url, rules: None };
        // Who watches the room here, early, is to find its owner here.
        let edges = std::mem::take(&mut self.edges);
        self.become_edge(from, now);
        self.edges = edges;
        self.prepared = Some(Prepared { next, take_at: None });
    }

    /// The owner has told what was missed: from here on nothing will be.
    pub(super) fn on_current(&self) {
        if let Some(prepared) = &self.prepared {
            self.shell.control.moved(&self.id, prepared.next.epoch, Step::Prepared);
        }
    }

    /// Control names this node before the old owner's last word has come: that
    /// is waited for, or this node's sockets would miss its last updates.
    pub(super) fn is_promised(&mut self, epoch: Epoch) -> bool {
        let at = self.shell.now().saturating_add(LAST_WORD);
        let Some(prepared) = self.prepared.as_mut().filter(|it| it.next.epoch == epoch) else {
            return false;
        };
        prepared.take_at.get_or_insert(at);
        true
    }

    /// Takes the room without the old owner's last word, if it does not come. One
    /// that is out of reach is not waited for, nor is control: the assignment
    /// was stored before this node heard of it.
    pub(super) fn take_promised(&mut self, now: Timestamp) -> Option<Timestamp> {
        let take_at = self.prepared.as_ref()?.take_at;
        let lost = matches!(&self.role, Role::Edge(edge) if edge.lost);
        if !lost && take_at.is_none_or(|at| at > now) {
            return take_at;
        }
        let prepared = self.prepared.take()?;
        self.become_owner(prepared.next);
        Some(now)
    }

    /// The owner has decided its last bid.
    pub(super) fn on_owner_changed(&mut self, epoch: Epoch, owner: NodeId, relay_url: String) {
        if epoch <= self.epoch || !matches!(self.role, Role::Edge(_)) {
            return;
        }
        let prepared = self.prepared.take().map(|prepared| prepared.next);
        if owner != self.shell.id {
            let next = Assignment { epoch, owner: None, relay_url, rules: None };
            self.become_edge(owner, next);
        } else if let Some(next) = prepared.filter(|next| next.epoch >= epoch) {
            self.become_owner(next);
        } else {
            self.shell.control.interested(&self.id);
        }
    }

    /// Hands the room over, be it to this node under another epoch; nothing of
    /// ours is on its way to the store.
    pub(super) fn hand_over(&mut self, next: Assignment, now: Timestamp) {
        let Some(owner) = next.owner.clone() else { return };
        if owner == self.shell.id {
            return self.become_owner(next);
        }
        if !self.owns() {
            // Nobody watches a deputy, and control knows nothing of it.
            return self.become_edge(owner, next);
        }
        let (epoch, relay_url) = (next.epoch, next.relay_url.clone());
        let changed =
            ChangedOwner { room: self.id.clone(), epoch, owner: owner.clone(), relay_url };
        let kind = Some(wire::attach_response::Kind::OwnerChanged(changed.into()));
        let message = wire::AttachResponse { kind };
        for edge in std::mem::take(&mut self.edges) {
            // An edge whose stream is full hears it from control.
            drop(edge.sender.try_send(message.clone()));
        }
        tracing::info!(room.id = %self.id, %owner, epoch = next.epoch.get(), "the room moves");
        self.shell.control.moved(&self.id, next.epoch, Step::Released);
        self.become_edge(owner, next);
        if let Role::Edge(edge) = &mut self.role {
            edge.forward_until = now.saturating_add(FORWARD);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, node, store};
    use std::sync::Arc;

    #[tokio::test]
    async fn a_promised_room_is_taken_when_its_owner_is_gone_and_control_says_nothing() {
        let store = store::open(None).expect("a store");
        let shell = Arc::new(
            node::shell(Config::default(), store, gavel_rules::Incarnation::default())
                .expect("a node"),
        );
        let mut room = Room::new(Arc::clone(&shell), "a".parse().expect("id"));
        let (owner, from) = (Some(shell.id.clone()), "other".parse().expect("id"));
        let (epoch, relay_url) = (Epoch::new(2), String::new());
        let next = Assignment { epoch, owner, relay_url, rules: None };
        // Nobody listens there.
        let from_relay_url = "http://127.0.0.1:1".to_owned();
        room.prepare(next, from, from_relay_url.clone());
        assert_eq!(room.take_promised(shell.now()), None);
        assert!(!room.owns(), "the owner may still decide");
        room.on_link(&from_relay_url, true);
        room.take_promised(shell.now());
        assert!(room.owns());
    }
}
