//! A room whose bids another node decides: updates come in, bids go out.

use super::{
    Assignment, NotDone, Watch,
    relay::Link,
    task::{NOT_OURS, Role, Room},
};
use gavel_rules::{
    auction::View,
    id::{NodeId, RoomId},
    order::{Epoch, Generation},
    time::Timestamp,
};
use std::sync::Arc;

/// What an edge knows of its owner.
pub(super) struct EdgeRole {
    pub(super) owner: NodeId,
    pub(super) link: Arc<Link>,
    /// The link is down.
    pub(super) lost: bool,
    /// Until then bids of other nodes are passed on: this one was the owner.
    pub(super) forward_until: Timestamp,
}

// === impl EdgeRole ===

impl EdgeRole {
    pub(super) fn unwatch(&self, room: &RoomId) {
        self.link.unwatch(room);
    }
}

// === impl Room ===

impl Room {
    pub(super) fn become_edge(&mut self, owner: NodeId, assignment: Assignment) {
        if let Role::Edge(edge) = &self.role
            && edge.owner == owner
            && edge.link.url() == assignment.relay_url
        {
            self.epoch = assignment.epoch;
            self.prepared = None;
            // Its owner may not have known of it when it was asked.
            return edge.link.watch(&self.id, self.wants());
        }
        self.become_nobody();
        self.epoch = assignment.epoch;
        let links = &self.shell.links;
        let link = links.watch(&self.shell, &owner, &assignment.relay_url, &self.id, self.wants());
        let lost = link.is_down();
        self.role = Role::Edge(EdgeRole { owner, link, lost, forward_until: Timestamp::new(0) });
        // Other edges must not wait for updates that come no more.
        for edge in std::mem::take(&mut self.edges) {
            self.deny(&edge);
        }
    }

    pub(super) fn on_snapshot(
        &mut self,
        epoch: Epoch,
        generation: Generation,
        view: View,
        before: Vec<View>,
    ) {
        if matches!(self.role, Role::Edge(_)) && epoch >= self.epoch {
            self.epoch = epoch;
            self.named();
            let known = self.position();
            // While a room moves, what the new owner tells may overtake this:
            // viewers are shown nothing older than what they know.
            if known.generation != generation || view.seq >= known.seq {
                self.catch_up(view, generation, before);
            }
        }
    }

    pub(super) fn on_update(&mut self, epoch: Epoch, view: View, traceparents: &[String]) {
        let Role::Edge(edge) = &self.role else { return };
        let Some(known) = self.hub.view().map(|view| view.seq) else {
            // The snapshot got lost on the way to this room.
            return edge.link.watch(&self.id, Watch::default());
        };
        if epoch < self.epoch || view.seq <= known {
            return;
        }
        if view.seq != known.next() {
            // A gap: what answers closes it.
            return edge.link.watch(&self.id, self.wants());
        }
        self.publish(view, traceparents);
    }

    /// Passes on the bids of this node's sockets.
    pub(super) fn advance_edge(&mut self, now: Timestamp) {
        let nobody_stands_in = self.prepared.is_none() && !self.may_stand_in();
        for ask in std::mem::take(&mut self.bids) {
            let Role::Edge(edge) = &self.role else { return };
            if edge.lost && nobody_stands_in {
                // A link that is down would keep it for as long as it tries.
                ask.unavailable(&self.shell, &self.id, self.hub.view());
            } else if ask.is_relayed() && self.prepared.is_some() {
                // Its sender heard before us that we own the room.
                self.bids.push_back(ask);
            } else if ask.is_relayed() && edge.forward_until <= now {
                // It was sent here as to the owner: one hop is enough.
                ask.unavailable(&self.shell, &self.id, self.hub.view());
            } else {
                // Also one over a limit: it may be the retry of an accepted bid,
                // and only the owner knows.
                edge.link.place(&self.shell, &self.id, ask);
            }
        }
        let Role::Edge(edge) = &self.role else { return };
        for (command, errand) in std::mem::take(&mut self.commands) {
            // Whoever waits in vain hears that as well.
            if errand.onward && !edge.lost {
                edge.link.command(&self.id, command, errand.done);
            } else {
                self.command_done(errand.done, Some(NotDone::unavailable(NOT_OURS)));
            }
        }
    }

    /// Tells this node's sockets, and the other nodes, what one event changed.
    pub(super) fn publish(&mut self, view: View, traceparents: &[String]) {
        let span = tracing::info_span!("room.fanout", room.id = %self.id, seq = view.seq.get(),
            recipients = self.hub.len());
        let bids = traceparents.iter().map(String::as_str).take(32);
        gavel_runtime::telemetry::link_all(&span, bids);
        let started = gavel_runtime::clock::monotonic();
        self.recent.push(view.clone());
        let settings = self.shell.live.get();
        let batches = self.flags(&settings).batches(&settings);
        span.in_scope(|| self.hub.publish(view, batches, self.shell.now()));
        self.shell.metrics.fanned_out(self.hub.len(), started.elapsed());
        self.shell.rooms.sends(self.hub.len());
        self.load.sends(self.hub.len());
    }
}
