//! What a room's viewers are told while nobody can decide its bids.
//!
//! An owner or a deputy whose store is away, a node that finds no owner, and one
//! that may not decide in the place of an owner out of its reach, keep the last
//! state and refuse bids. After a moment that is said, so that a
//! page does not show a price as live that may be old; and said again when it
//! is over. Edges hear of it from the owner.

use super::{
    owner::Phase,
    task::{Role, Room},
};
use crate::codec::{
    frame,
    json::{self, Dialect, Level},
};
use bytes::Bytes;
use gavel_proto::relay::v1::{self as wire, attach_response::Kind};
use gavel_rules::time::{Millis, Timestamp};

/// How long bids must have gone undecided before viewers are told; most
/// troubles are over by then.
const DEGRADED_AFTER: Millis = Millis::new(1_000);

/// Whether bids are decided, and what was told of it.
#[derive(Debug, Default)]
pub(super) struct Undecided {
    since: Option<Timestamp>,
    told: bool,
    /// The owner has said so.
    by_owner: bool,
}

// === impl Room ===

impl Room {
    /// Tells who is here that bids are not decided, or are again; returns when
    /// to come again.
    pub(super) fn declare(&mut self, now: Timestamp) -> Option<Timestamp> {
        if self.decides() {
            self.undecided.since = None;
            if std::mem::take(&mut self.undecided.told) {
                tracing::info!(room.id = %self.id, "bids are decided again");
                self.tell_level(now);
            }
            return None;
        }
        let since = *self.undecided.since.get_or_insert(now);
        if !self.undecided.told && since.has_passed(DEGRADED_AFTER, now) {
            tracing::warn!(room.id = %self.id, "bids cannot be decided; viewers are told");
            self.undecided.told = true;
            self.tell_level(now);
        }
        (!self.undecided.told).then(|| since.saturating_add(DEGRADED_AFTER))
    }

    /// What somebody who comes now is told behind the state; nothing if all is well.
    pub(super) fn degraded(&self, dialect: Dialect, now: Timestamp) -> Option<Bytes> {
        (self.undecided.told && dialect == Dialect::V1).then(|| self.level(now))
    }

    /// The owner says whether it decides.
    pub(super) fn on_degraded(&mut self, stale: Option<Millis>) {
        self.undecided.by_owner = stale.is_some();
        let since = stale.map(|stale| self.shell.now().as_millis().saturating_sub(stale.get()));
        self.undecided.since = since.map(Timestamp::new);
    }

    /// Another owner is asked from now on.
    pub(super) fn trust_owner(&mut self) {
        self.undecided.by_owner = false;
    }

    /// The message for an edge that comes while bids are not decided.
    pub(super) fn degraded_for_edge(&self, now: Timestamp) -> Option<wire::AttachResponse> {
        self.undecided.told.then(|| self.level_for_edges(now))
    }

    fn decides(&self) -> bool {
        match &self.role {
            Role::Owner(owner) => owner.phase == Phase::Ready,
            Role::Edge(edge) => !(self.undecided.by_owner || edge.lost),
            Role::Resolving => false,
        }
    }

    fn tell_level(&mut self, now: Timestamp) {
        self.hub.tell(Dialect::V1, &self.level(now));
        if self.owns() {
            let message = self.level_for_edges(now);
            // One that cannot keep up loses the stream, and asks anew.
            self.edges.retain(|edge| edge.sender.try_send(message.clone()).is_ok());
        }
    }

    fn level(&self, now: Timestamp) -> Bytes {
        let level = if self.undecided.told { Level::Paused } else { Level::Full };
        frame::text(json::degraded(Dialect::V1, &self.id, level, self.stale(now)).as_bytes())
    }

    fn level_for_edges(&self, now: Timestamp) -> wire::AttachResponse {
        let stale_ms = self.undecided.told.then(|| self.stale(now).get());
        let kind = Kind::Degraded(wire::Degraded { room_id: self.id.to_string(), stale_ms });
        wire::AttachResponse { kind: Some(kind) }
    }

    fn stale(&self, now: Timestamp) -> Millis {
        self.undecided.since.map_or(Millis::new(0), |since| now.since(since))
    }
}
