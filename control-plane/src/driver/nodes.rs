//! The driver's side of each node's session.

use super::{Down, Outgoing, Registered, Task};
use crate::cluster::{Event, Joining, Report, RoomLoad};
use gavel_proto::{admin::v1 as admin, convert::MovedRoom, fleet::v1 as wire};
use gavel_rules::{
    id::{Incarnation, NodeId, RoomId},
    order::Epoch,
    time::Timestamp,
};
use tokio::sync::mpsc::error::TrySendError;
use wire::session_request::Kind as Up;

/// Nodes that may be known; the session of a further one is ended.
const NODES_MAX: usize = 1_000;
/// Rooms in one message, which keeps it far below what gRPC takes.
const ASSIGNMENTS_MAX: usize = 500;
/// Nodes in one message.
const PEERS_MAX: usize = 500;
/// Rooms that do not exist which one node may watch; of further ones it is told
/// that they are unknown, and must ask again to learn that they came.
const UNKNOWN_WATCHED_MAX: usize = 10_000;
/// Rooms of which one node may report the load; further ones are left out.
const BUSIEST_MAX: usize = 64;

/// A node that is or was connected.
#[derive(Debug)]
pub(super) struct Line {
    incarnation: Incarnation,
    about: wire::Register,
    outgoing: Outgoing,
    heartbeat: wire::Heartbeat,
    heartbeat_at: u64,
    /// Rooms that it watches although they do not exist.
    unknown_watched: usize,
}

// === impl Line ===

impl Line {
    /// Queues a message; a node that does not read loses its session, and
    /// gets everything anew with the next one.
    pub(super) fn send(&self, kind: Down) -> bool {
        let sent = self.outgoing.sender.try_send(wire::SessionResponse { kind: Some(kind) });
        if let Err(TrySendError::Full(_)) = sent {
            tracing::warn!(node.id = self.about.node_id, "a node does not read; its session ends");
            self.outgoing.end.cancel();
        }
        sent.is_ok()
    }

    fn is_closed(&self) -> bool {
        self.outgoing.sender.is_closed()
    }

    /// The node as others see it.
    fn peer(&self) -> wire::Peer {
        let wire::Register { node_id, relay_url, public_url, .. } = self.about.clone();
        wire::Peer { node_id, relay_url, weight: weight(&self.about), public_url }
    }
}

// === impl Task ===

impl Task {
    pub(super) fn opened(&mut self, register: Registered, outgoing: Outgoing) {
        let Registered { node, incarnation, about, held } = register;
        if self.nodes.len() >= NODES_MAX && !self.nodes.contains_key(&node) {
            tracing::warn!(node.id = %node, NODES_MAX, "too many nodes; one is turned away");
            return outgoing.end.cancel();
        }
        let weight = weight(&about);
        let zone = about.zone.clone();
        if let Some(newer) = self.cluster.newer_run(&node, incarnation) {
            let kind = Some(Down::Superseded(wire::Superseded { incarnation: newer.get() }));
            drop(outgoing.sender.try_send(wire::SessionResponse { kind }));
        } else {
            // Interest is restated on each session.
            self.unwatch_all(&node);
            let line = Line {
                incarnation,
                about,
                outgoing,
                heartbeat: wire::Heartbeat::default(),
                heartbeat_at: 0,
                unknown_watched: 0,
            };
            line.send(Down::Welcome(wire::Welcome {
                lease_ms: self.lease.get(),
                heartbeat_ms: self.heartbeat.get(),
            }));
            self.introduce(&line);
            if let Some(old) = self.nodes.insert(node.clone(), line)
                && old.incarnation != incarnation
            {
                old.send(Down::Superseded(wire::Superseded { incarnation: incarnation.get() }));
            }
        }
        self.step(Event::Registered { node, joining: Joining { incarnation, weight, zone }, held });
    }

    /// Tells a node of all others, and them of it.
    fn introduce(&self, line: &Line) {
        let others = self.nodes.values().filter(|other| other.about.node_id != line.about.node_id);
        let others: Vec<_> = others.map(Line::peer).collect();
        for here in others.chunks(PEERS_MAX) {
            let (here, gone) = (here.to_vec(), Vec::new());
            line.send(Down::Peers(wire::Peers { here, gone }));
        }
        if let Ok(node) = line.about.node_id.parse() {
            let (here, gone) = (vec![line.peer()], Vec::new());
            self.tell_others(&node, &wire::Peers { here, gone });
        }
    }

    fn tell_others(&self, node: &NodeId, peers: &wire::Peers) {
        for (_, line) in self.nodes.iter().filter(|(id, line)| *id != node && !line.is_closed()) {
            line.send(Down::Peers(peers.clone()));
        }
    }

    pub(super) fn said(&mut self, node: NodeId, incarnation: Incarnation, kind: Up) {
        let Some(line) = self.nodes.get_mut(&node) else { return };
        if line.incarnation != incarnation {
            return;
        }
        match kind {
            Up::Register(_) => {}
            Up::Heartbeat(heartbeat) => {
                let report = report(&heartbeat);
                line.heartbeat = heartbeat;
                line.heartbeat_at = super::now().as_millis();
                line.send(Down::Alive(wire::Alive {}));
                self.step(Event::Heartbeat { node, incarnation, report });
            }
            Up::Interest(interest) => self.interest(&node, interest),
            Up::MoveStep(step) => match MovedRoom::try_from(step) {
                Ok(MovedRoom { room, epoch, released: true }) => {
                    self.step(Event::Released { room, epoch, node });
                }
                Ok(MovedRoom { room, epoch, released: false }) => {
                    self.step(Event::Prepared { room, epoch, node });
                }
                Err(error) => tracing::warn!(node.id = %node, %error, "a step makes no sense"),
            },
            Up::ClaimRefused(wire::ClaimRefused { room_id, epoch }) => match room_id.parse() {
                Ok(room) => {
                    tracing::info!(node.id = %node, room.id = %room, epoch,
                        "the room was claimed by somebody whom nobody assigned it");
                    self.step(Event::ClaimRefused { room, epoch: Epoch::new(epoch), node });
                }
                Err(error) => tracing::warn!(node.id = %node, %error, "a refusal makes no sense"),
            },
            Up::CommandResult(result) => {
                if let Some(answer) = self.commands.remove(&result.command_id) {
                    // Whoever asked may have given up.
                    drop(answer.send(result));
                }
            }
        }
    }

    pub(super) fn ended(&mut self, node: NodeId, incarnation: Incarnation, outgoing: &Outgoing) {
        let current = self.nodes.get(&node).is_some_and(|line| {
            line.incarnation == incarnation && line.outgoing.sender.same_channel(&outgoing.sender)
        });
        if current {
            self.unwatch_all(&node);
            self.step(Event::Disconnected { node, incarnation });
        }
    }

    /// Tells the previous run of a node, if it is still connected; the newer
    /// one is told in [`Self::opened`].
    pub(super) fn supersede(&self, node: &NodeId, incarnation: Incarnation, by: Incarnation) {
        if let Some(line) = self.nodes.get(node).filter(|line| line.incarnation == incarnation) {
            line.send(Down::Superseded(wire::Superseded { incarnation: by.get() }));
        }
    }

    /// Drops what is kept of a node that has been away for long.
    pub(super) fn forget(&mut self, node: &NodeId) {
        self.nodes.remove(node);
        let gone = vec![node.to_string()];
        self.tell_others(node, &wire::Peers { here: Vec::new(), gone });
        self.outbox.remove(node);
        self.unwatch_all(node);
    }

    fn unwatch_all(&mut self, node: &NodeId) {
        self.watchers.retain(|_, watchers| {
            watchers.remove(node);
            !watchers.is_empty()
        });
    }

    fn interest(&mut self, node: &NodeId, interest: wire::Interest) {
        let parse = |rooms: Vec<String>| rooms.into_iter().filter_map(|room| room.parse().ok());
        for room in parse(interest.remove) {
            let room: RoomId = room;
            let Some(watchers) = self.watchers.get_mut(&room) else { continue };
            let watched = watchers.remove(node);
            if watchers.is_empty() {
                self.watchers.remove(&room);
            }
            if watched && !self.rules.contains_key(&room) {
                self.count_unknown(node, |n| n.saturating_sub(1));
            }
        }
        let mut unknown = Vec::new();
        for room in parse(interest.add) {
            if self.rules.contains_key(&room) {
                self.tell(node, &room);
            } else {
                unknown.push(room.to_string());
                let line = self.nodes.get(node);
                if line.is_none_or(|line| line.unknown_watched >= UNKNOWN_WATCHED_MAX) {
                    continue;
                }
            }
            let known = self.rules.contains_key(&room);
            if self.watchers.entry(room).or_default().insert(node.clone()) && !known {
                self.count_unknown(node, |n| n + 1);
            }
        }
        if let Some(line) = self.nodes.get(node) {
            for unknown in unknown.chunks(ASSIGNMENTS_MAX) {
                let unknown = unknown.to_vec();
                line.send(Down::Assignments(wire::Assignments { assigned: Vec::new(), unknown }));
            }
        }
    }

    fn count_unknown(&mut self, node: &NodeId, count: impl FnOnce(usize) -> usize) {
        if let Some(line) = self.nodes.get_mut(node) {
            line.unknown_watched = count(line.unknown_watched);
        }
    }

    /// Tells the watchers of a room that did not exist before, which counts as
    /// unknown no longer.
    pub(super) fn appeared(&mut self, room: &RoomId) {
        for node in self.watchers.get(room).cloned().into_iter().flatten() {
            self.count_unknown(&node, |n| n.saturating_sub(1));
            self.tell(&node, room);
        }
    }

    /// Tells the owner of a room and all who watch it.
    pub(super) fn publish(&mut self, room: &RoomId) {
        let owner = self.cluster.assignment(room).and_then(|(owner, _)| owner).cloned();
        for node in owner.into_iter().chain(self.watchers.get(room).cloned().into_iter().flatten())
        {
            self.tell(&node, room);
        }
        if let Some(done) = self.told.remove(room) {
            // Whoever waited may have gone.
            done.send(()).unwrap_or_default();
        }
    }

    /// Notes that a node is to be told of a room; what it is told is how things
    /// stand when the message leaves.
    pub(super) fn tell(&mut self, node: &NodeId, room: &RoomId) {
        self.outbox.entry(node.clone()).or_default().insert(room.clone());
    }

    pub(super) fn send_outbox(&mut self) {
        for (node, rooms) in std::mem::take(&mut self.outbox) {
            let Some(line) = self.nodes.get(&node) else { continue };
            let assigned = rooms.iter().filter_map(|room| self.assignment(room, &node));
            let assigned: Vec<_> = assigned.collect();
            for assigned in assigned.chunks(ASSIGNMENTS_MAX) {
                let (assigned, unknown) = (assigned.to_vec(), Vec::new());
                line.send(Down::Assignments(wire::Assignments { assigned, unknown }));
            }
        }
    }

    /// Has a node left by its rooms, or not any more; false if it is not connected.
    pub(super) fn drain(&self, node: &NodeId, draining: bool) -> bool {
        let live = self.cluster.member(node).is_some_and(|(live, _)| live);
        let line = self.nodes.get(node).filter(|_| live);
        line.is_some_and(|line| line.send(Down::Drain(wire::Drain { draining })))
    }

    /// Tells a node that a room is about to move to it from `from`.
    pub(super) fn prepare(&self, room: &RoomId, node: &NodeId, from: &NodeId, epoch: Epoch) {
        let Some(line) = self.nodes.get(node) else { return };
        line.send(Down::Prepare(wire::Prepare {
            assignment: Some(self.assigned(room, node, Some(node), epoch)),
            from: from.to_string(),
            from_relay_url: self.relay_url(from),
        }));
    }

    /// The assignment of a room as `node` is told it.
    fn assignment(&self, room: &RoomId, node: &NodeId) -> Option<wire::Assignment> {
        let (owner, epoch) = self.cluster.told(room, node)?;
        Some(self.assigned(room, node, owner, epoch))
    }

    fn assigned(
        &self,
        room: &RoomId,
        node: &NodeId,
        owner: Option<&NodeId>,
        epoch: Epoch,
    ) -> wire::Assignment {
        let mine = owner == Some(node);
        wire::Assignment {
            room_id: room.to_string(),
            epoch: epoch.get(),
            owner: owner.map(NodeId::to_string).unwrap_or_default(),
            relay_url: owner.map(|owner| self.relay_url(owner)).unwrap_or_default(),
            rules: self.rules.get(room).filter(|_| mine).cloned().map(Into::into),
        }
    }

    fn relay_url(&self, node: &NodeId) -> String {
        self.nodes.get(node).map(|line| line.about.relay_url.clone()).unwrap_or_default()
    }

    pub(super) fn all_nodes(&self) -> Vec<admin::Node> {
        let node = |(id, line): (&NodeId, &Line)| {
            let (live, rooms) = self.cluster.member(id).unwrap_or_default();
            admin::Node {
                id: id.to_string(),
                incarnation: line.incarnation.get(),
                zone: line.about.zone.clone(),
                version: line.about.version.clone(),
                public_url: line.about.public_url.clone(),
                relay_url: line.about.relay_url.clone(),
                live,
                sockets: line.heartbeat.sockets,
                rooms,
                heartbeat_at: line.heartbeat_at,
                limits_version: line.heartbeat.limits_version,
                flags_version: line.heartbeat.flags_version,
                denials_version: line.heartbeat.denials_version,
                load_ppm: u32::try_from(self.cluster.load_ppm(id)).unwrap_or(u32::MAX),
                held: self.cluster.is_held(id),
                draining: line.heartbeat.draining,
            }
        };
        self.nodes.iter().map(node).collect()
    }
}

/// A node's relative capacity.
fn weight(about: &wire::Register) -> u32 {
    if about.weight == 0 { 100 } else { about.weight }
}

/// What a node told of its load, as far as it makes sense.
fn report(heartbeat: &wire::Heartbeat) -> Report {
    let busiest = heartbeat.busiest.iter().take(BUSIEST_MAX).filter_map(|load| {
        let (room, movable_until) = (load.room_id.parse().ok()?, load.movable_until);
        let movable_until = Timestamp::new(movable_until);
        Some(RoomLoad { room, load_ppm: load.load_ppm, movable_until })
    });
    let (load_ppm, draining) = (heartbeat.load_ppm, heartbeat.draining);
    Report { load_ppm, busiest: busiest.collect(), draining }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    #[test]
    fn a_node_that_does_not_read_loses_its_session() {
        let (sender, _receiver) = mpsc::channel(1);
        let end = CancellationToken::new();
        let line = Line {
            incarnation: Incarnation::new(1),
            about: wire::Register::default(),
            outgoing: Outgoing { sender, end: end.clone() },
            heartbeat: wire::Heartbeat::default(),
            heartbeat_at: 0,
            unknown_watched: 0,
        };
        let welcome = || Down::Welcome(wire::Welcome { lease_ms: 1, heartbeat_ms: 1 });
        assert!(line.send(welcome()));
        assert!(!end.is_cancelled());
        assert!(!line.send(welcome()));
        assert!(end.is_cancelled(), "or it would miss an assignment and not know");
    }
}
