//! The driver's side of each node's session.

use super::{Down, Outgoing, Registered, Task};
use crate::cluster::Event;
use gavel_proto::{admin::v1 as admin, fleet::v1 as wire};
use gavel_rules::id::{Incarnation, NodeId, RoomId};
use std::sync::atomic::Ordering;
use wire::session_request::Kind as Up;

/// A node that is or was connected.
#[derive(Debug)]
pub(super) struct Line {
    incarnation: Incarnation,
    about: wire::Register,
    outgoing: Outgoing,
    heartbeat: wire::Heartbeat,
    heartbeat_at: u64,
}

// === impl Line ===

impl Line {
    /// Queues a message; a node that does not read loses its session, and
    /// gets everything anew with the next one.
    pub(super) fn send(&self, kind: Down) -> bool {
        self.outgoing.try_send(wire::SessionResponse { kind: Some(kind) }).is_ok()
    }
}

// === impl Task ===

impl Task {
    pub(super) fn opened(&mut self, register: Registered, outgoing: Outgoing) {
        let Registered { node, incarnation, about, held } = register;
        let weight = if about.weight == 0 { 100 } else { about.weight };
        let newer = self.nodes.get(&node).is_none_or(|line| line.incarnation <= incarnation);
        if newer {
            let line = Line {
                incarnation,
                about,
                outgoing,
                heartbeat: wire::Heartbeat::default(),
                heartbeat_at: super::now().as_millis(),
            };
            line.send(Down::Welcome(wire::Welcome {
                lease_ms: self.lease.get(),
                heartbeat_ms: self.heartbeat.get(),
            }));
            if let Some(old) = self.nodes.insert(node.clone(), line)
                && old.incarnation < incarnation
            {
                old.send(Down::Superseded(wire::Superseded { incarnation: incarnation.get() }));
            }
        } else if let Some(line) = self.nodes.get(&node) {
            let superseded = wire::Superseded { incarnation: line.incarnation.get() };
            let kind = Some(Down::Superseded(superseded));
            drop(outgoing.try_send(wire::SessionResponse { kind }));
        }
        self.step(Event::Registered { node, incarnation, weight, held });
    }

    pub(super) fn said(&mut self, node: NodeId, incarnation: Incarnation, kind: Up) {
        let Some(line) = self.nodes.get_mut(&node) else { return };
        if line.incarnation != incarnation {
            return;
        }
        match kind {
            Up::Register(_) => {}
            Up::Heartbeat(heartbeat) => {
                line.heartbeat = heartbeat;
                line.heartbeat_at = super::now().as_millis();
                self.step(Event::Heartbeat { node, incarnation });
            }
            Up::Interest(interest) => self.interest(&node, interest),
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
            line.incarnation == incarnation && line.outgoing.same_channel(outgoing)
        });
        if current {
            for watchers in self.watchers.values_mut() {
                watchers.remove(&node);
            }
            self.watchers.retain(|_, watchers| !watchers.is_empty());
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

    fn interest(&mut self, node: &NodeId, interest: wire::Interest) {
        let parse = |rooms: Vec<String>| rooms.into_iter().filter_map(|room| room.parse().ok());
        for room in parse(interest.remove) {
            let room: RoomId = room;
            if let Some(watchers) = self.watchers.get_mut(&room) {
                watchers.remove(node);
                if watchers.is_empty() {
                    self.watchers.remove(&room);
                }
            }
        }
        let mut assignments = wire::Assignments::default();
        for room in parse(interest.add) {
            match self.assignment(&room, node) {
                Some(assignment) => assignments.assigned.push(assignment),
                None => assignments.unknown.push(room.to_string()),
            }
            self.watchers.entry(room).or_default().insert(node.clone());
        }
        if let Some(line) = self.nodes.get(node) {
            line.send(Down::Assignments(assignments));
        }
    }

    /// Tells the owner of a room and all who watch it.
    pub(super) fn publish(&mut self, room: &RoomId) {
        self.state.assignments.fetch_add(1, Ordering::Relaxed);
        let owner = self.cluster.assignment(room).and_then(|(owner, _)| owner).cloned();
        if let Some(owner) = &owner {
            self.tell(owner, room);
        }
        self.publish_to_watchers(room);
        if let Some(done) = self.created.remove(room) {
            // Whoever created it may have gone.
            done.send(()).unwrap_or_default();
        }
    }

    pub(super) fn publish_to_watchers(&self, room: &RoomId) {
        let owner = self.cluster.assignment(room).and_then(|(owner, _)| owner);
        for node in self.watchers.get(room).into_iter().flatten() {
            if Some(node) != owner {
                self.tell(node, room);
            }
        }
    }

    fn tell(&self, node: &NodeId, room: &RoomId) {
        let (Some(line), Some(assignment)) = (self.nodes.get(node), self.assignment(room, node))
        else {
            return;
        };
        let assigned = vec![assignment];
        line.send(Down::Assignments(wire::Assignments { assigned, unknown: Vec::new() }));
    }

    /// The assignment of a room as `node` is told it.
    fn assignment(&self, room: &RoomId, node: &NodeId) -> Option<wire::Assignment> {
        let (owner, epoch) = self.cluster.assignment(room)?;
        let mine = owner == Some(node);
        let relay_url = owner.and_then(|owner| self.nodes.get(owner));
        Some(wire::Assignment {
            room_id: room.to_string(),
            epoch: epoch.get(),
            owner: owner.map(NodeId::to_string).unwrap_or_default(),
            relay_url: relay_url.map(|line| line.about.relay_url.clone()).unwrap_or_default(),
            rules: self.rules.get(room).filter(|_| mine).cloned().map(Into::into),
        })
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
                limits_version: 0,
                flags_version: 0,
            }
        };
        self.nodes.iter().map(node).collect()
    }
}
