//! Who knows a part of a room's history gets the rest of it: a socket that
//! comes back, and a node whose sockets do.
//!
//! ```text
//! socket --joinAuction, position--> this node's ring
//!           this node knows nothing --Watch, whole--> owner's ring --Snapshot, before--> ring here
//!           the owner read the room anew: the end of the stream filled its ring
//! ```
//!
//! What no ring holds is told as the whole state.

use super::{
    Edge, Member, Watch, recent,
    task::{Role, Room},
};
use crate::{auth::Identity, settings::Settings};
use gavel_proto::{
    convert::RoomSnapshot,
    relay::v1::{self as wire, attach_response::Kind},
};
use gavel_rules::{
    auction::View,
    order::{Epoch, Position},
    time::Timestamp,
};
use std::sync::Arc;

/// A socket that waits for its seat.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) member: Arc<Member>,
    pub(super) identity: Identity,
    /// What it knows, if it comes back.
    pub(super) since: Option<Position>,
    /// When it came.
    pub(super) at: Timestamp,
}

// === impl Room ===

impl Room {
    /// Seats a socket, now that the state is known.
    pub(super) fn take_seat(&mut self, joining: Joining, settings: &Settings, now: Timestamp) {
        let Joining { member, identity, since, .. } = joining;
        let now_at = self.position();
        let missed = since.and_then(|since| self.recent.after(since, now_at));
        self.hub.join(&member, identity.user, missed, settings, now);
    }

    /// What to ask the owner for. A node that knows nothing asks in the name
    /// of the socket that has to go back furthest.
    pub(super) fn wants(&self) -> Watch {
        if self.hub.view().is_some() {
            return Watch { since: self.position(), whole: false };
        }
        let positions = self.joins.iter().filter_map(|joining| joining.since);
        let generation = positions.clone().map(|since| since.generation).max();
        let oldest = positions
            .filter(|since| Some(since.generation) == generation)
            .min_by_key(|since| since.seq);
        oldest.map_or_else(Watch::default, |since| Watch { since, whole: true })
    }

    /// How far this node knows the room.
    pub(super) fn position(&self) -> Position {
        let generation = self.hub.generation();
        let known = self.hub.view().map(|view| Position { generation, seq: view.seq });
        known.unwrap_or_default()
    }

    /// Takes an edge in and brings it up to date.
    pub(super) fn attach(&mut self, mut edge: Edge) {
        let owns = self.owns();
        if let (Role::Owner(owner), Some(view), true) = (&self.role, self.hub.view(), owns) {
            let current = Kind::Current(wire::Current { room_id: self.id.to_string() });
            let current = wire::AttachResponse { kind: Some(current) };
            for message in self.owed(owner.epoch(), view, &edge).into_iter().chain([current]) {
                // An edge that cannot keep up comes back when it sees the gap.
                drop(edge.sender.try_send(message));
            }
            edge.wants = Watch::default();
        } else if !(owns || matches!(self.role, Role::Resolving) || self.prepared.is_some()) {
            let room_id = self.id.to_string();
            let kind = Kind::NotOwner(wire::NotOwner { room_id });
            drop(edge.sender.try_send(wire::AttachResponse { kind: Some(kind) }));
            return;
        }
        self.edges.retain(|other| other.stream != edge.stream);
        self.edges.push(edge);
    }

    /// What an edge has to be told before updates follow.
    fn owed(&self, epoch: Epoch, view: &View, edge: &Edge) -> Vec<wire::AttachResponse> {
        let Watch { since, whole } = edge.wants;
        let missed = self.recent.after(since, self.position());
        // Many rooms share the stream: what one missed must not fill it.
        let missed =
            missed.filter(|missed| whole || missed.views.len() <= edge.sender.capacity() / 2);
        let before = match missed {
            Some(missed) if whole => missed.up_to(view.seq),
            Some(missed) => {
                let update = |view: &View| recent::update(&self.id, epoch, view.clone(), &[]);
                return missed.views.into_iter().map(update).collect();
            }
            None => Vec::new(),
        };
        let (room, generation) = (self.id.clone(), self.hub.generation());
        let snapshot = RoomSnapshot { room, epoch, generation, view: view.clone(), before };
        vec![wire::AttachResponse { kind: Some(Kind::Snapshot(snapshot.into())) }]
    }
}
