//! What a room's viewers are told while its bids are not decided, or late.
//!
//! An owner or a deputy whose store is away, a node that finds no owner, and one
//! that may not decide in the place of an owner out of its reach, keep the last
//! state and refuse bids: the room is `paused`. After a moment that is said, so that a
//! page does not show a price as live that may be old; and said again when it
//! is over. One that decides and sheds bids since they come late is `slow`.
//! Edges hear of both from the owner.

use super::{
    owner::Phase,
    task::{Role, Room},
};
use crate::{
    codec::{
        frame,
        json::{self, Dialect, Level},
    },
    metrics::Shed,
};
use bytes::Bytes;
use gavel_proto::relay::v1::{self as wire, attach_response::Kind};
use gavel_rules::time::{Millis, Timestamp};

/// How long bids must have gone undecided before viewers are told; most
/// troubles are over by then.
const DEGRADED_AFTER: Millis = Millis::new(1_000);

/// How the room's bids fare, and what was told of it.
#[derive(Debug, Default)]
pub(super) struct Undecided {
    /// Since when they are not decided.
    since: Option<Timestamp>,
    told: Level,
    /// The owner has said so.
    by_owner: bool,
    /// The owner has said that they are late.
    owner_slow: bool,
}

// === impl Room ===

impl Room {
    /// Tells who is here that bids are not decided, or late, or neither any more; returns
    /// when to come again.
    pub(super) fn declare(&mut self, now: Timestamp) -> Option<Timestamp> {
        let told = self.undecided.told;
        let (level, wake) = if self.decides() {
            self.undecided.since = None;
            (if self.is_slow() { Level::Slow } else { Level::Full }, None)
        } else {
            let since = *self.undecided.since.get_or_insert(now);
            if told == Level::Paused || since.has_passed(DEGRADED_AFTER, now) {
                (Level::Paused, None)
            } else {
                (told, Some(since.saturating_add(DEGRADED_AFTER)))
            }
        };
        if level != told {
            tracing::warn!(room.id = %self.id, ?level, before = ?told, "viewers are told");
            self.undecided.told = level;
            self.tell_level(now);
        }
        wake
    }

    /// What somebody who comes now is told behind the state; nothing if all is well.
    pub(super) fn degraded(&self, dialect: Dialect, now: Timestamp) -> Option<Bytes> {
        (self.undecided.told != Level::Full && dialect == Dialect::V1).then(|| self.level(now))
    }

    /// The owner says whether it decides, and whether it is behind.
    pub(super) fn on_degraded(&mut self, stale: Option<Millis>, slow: bool) {
        self.undecided.by_owner = stale.is_some();
        self.undecided.owner_slow = slow;
        let since = stale.map(|stale| self.shell.now().as_millis().saturating_sub(stale.get()));
        self.undecided.since = since.map(Timestamp::new);
    }

    /// Another owner is asked from now on.
    pub(super) fn trust_owner(&mut self) {
        self.undecided.by_owner = false;
        self.undecided.owner_slow = false;
    }

    /// The message for an edge that comes while all is not well.
    pub(super) fn degraded_for_edge(&self, now: Timestamp) -> Option<wire::AttachResponse> {
        (self.undecided.told != Level::Full).then(|| self.level_for_edges(now))
    }

    fn decides(&self) -> bool {
        match &self.role {
            Role::Owner(owner) => owner.phase == Phase::Ready,
            Role::Edge(edge) => !(self.undecided.by_owner || edge.lost),
            Role::Resolving => false,
        }
    }

    fn is_slow(&self) -> bool {
        match &self.role {
            Role::Owner(_) => self.shedder.sheds(Shed::Bids),
            Role::Edge(_) => self.undecided.owner_slow,
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
        let level = self.undecided.told;
        frame::text(json::degraded(Dialect::V1, &self.id, level, self.stale(now)).as_bytes())
    }

    fn level_for_edges(&self, now: Timestamp) -> wire::AttachResponse {
        let told = self.undecided.told;
        let stale_ms = (told == Level::Paused).then(|| self.stale(now).get());
        let (room_id, slow) = (self.id.to_string(), told == Level::Slow);
        let kind = Kind::Degraded(wire::Degraded { room_id, stale_ms, slow });
        wire::AttachResponse { kind: Some(kind) }
    }

    fn stale(&self, now: Timestamp) -> Millis {
        self.undecided.since.map_or(Millis::new(0), |since| now.since(since))
    }
}
