//! The node's line to the control plane. Everything here may be cut at any
//! time: the node goes on with what it knows and reconnects.

use crate::node::Shell;
use gavel_proto::convert::MovedRoom;
use gavel_rules::{id::RoomId, order::Epoch};
use parking_lot::Mutex;
use std::{collections::HashSet, sync::Arc};
use tokio::sync::Notify;

mod configure;
mod endpoints;
mod fleet;
mod load;
mod report;

use endpoints::Endpoints;

/// Where the control plane is, and the rooms that the node wants to hear of.
#[derive(Debug)]
pub(crate) struct Control {
    endpoints: Endpoints,
    interest: Mutex<Interest>,
    /// Steps of moves that are done and not told yet.
    moved: Mutex<Vec<MovedRoom>>,
    changed: Notify,
    drain: Mutex<Drain>,
}

/// A step of a move, as the node that did it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The new owner knows the room.
    Prepared,
    /// The old owner decides nothing more.
    Released,
}

/// Whether the node's rooms are to move away.
#[derive(Debug, Default)]
struct Drain {
    draining: bool,
    /// The process ends: that is not taken back.
    stopping: bool,
    /// Control has not been told yet.
    changed: bool,
}

#[derive(Debug, Default)]
struct Interest {
    rooms: HashSet<RoomId>,
    added: HashSet<RoomId>,
    removed: HashSet<RoomId>,
}

// === impl Control ===

impl Control {
    /// A line to the replicas of this list.
    pub(crate) fn new(endpoints: &str) -> Self {
        let endpoints = Endpoints::new(endpoints, rand::random_range(0..1_024));
        Self {
            endpoints,
            interest: Mutex::default(),
            moved: Mutex::default(),
            changed: Notify::new(),
            drain: Mutex::default(),
        }
    }

    /// Asks who owns a room, now and whenever that changes.
    pub(crate) fn interested(&self, room: &RoomId) {
        let mut interest = self.interest.lock();
        interest.rooms.insert(room.clone());
        interest.removed.remove(room);
        interest.added.insert(room.clone());
        self.changed.notify_one();
    }

    /// Ends it.
    pub(crate) fn forget(&self, room: &RoomId) {
        let mut interest = self.interest.lock();
        if interest.rooms.remove(room) {
            interest.added.remove(room);
            interest.removed.insert(room.clone());
            self.changed.notify_one();
        }
    }

    /// Tells that a step of a room's move is done. One that gets lost on the
    /// way costs the move its smoothness, for control goes on without it.
    pub(crate) fn moved(&self, room: &RoomId, epoch: Epoch, step: Step) {
        let released = matches!(step, Step::Released);
        self.moved.lock().push(MovedRoom { room: room.clone(), epoch, released });
        self.changed.notify_one();
    }

    /// Asks for other homes for this node's rooms, or no longer. A node that
    /// stops does not take that back.
    pub(crate) fn drain(&self, draining: bool) {
        let mut drain = self.drain.lock();
        let draining = draining || drain.stopping;
        drain.changed |= drain.draining != draining;
        drain.draining = draining;
        self.changed.notify_one();
    }

    /// Asks for other homes for good: the process is about to end.
    pub(crate) fn leave(&self) {
        self.drain.lock().stopping = true;
        self.drain(true);
    }

    /// Whether the node wants to be left by its rooms.
    #[must_use]
    pub(crate) fn is_draining(&self) -> bool {
        self.drain.lock().draining
    }

    fn take_drain_changed(&self) -> bool {
        std::mem::take(&mut self.drain.lock().changed)
    }

    fn take_moved(&self) -> Vec<MovedRoom> {
        std::mem::take(&mut self.moved.lock())
    }

    /// What changed since the last call.
    fn take_changes(&self) -> (Vec<RoomId>, Vec<RoomId>) {
        let mut interest = self.interest.lock();
        let added = std::mem::take(&mut interest.added).into_iter().collect();
        let removed = std::mem::take(&mut interest.removed).into_iter().collect();
        (added, removed)
    }

    /// Makes everything a change, for a control plane that knows nothing yet.
    fn start_over(&self) {
        let mut interest = self.interest.lock();
        interest.added = interest.rooms.clone();
        interest.removed.clear();
        self.changed.notify_one();
    }
}

/// Starts the three streams to the control plane.
pub(crate) fn start(shell: &Arc<Shell>) {
    drop(shell.tasks.spawn("control.fleet", fleet::run(Arc::clone(shell))));
    drop(shell.tasks.spawn("control.config", configure::run(Arc::clone(shell))));
    drop(shell.tasks.spawn("control.report", report::run(Arc::clone(shell))));
    drop(shell.tasks.spawn("control.settings", spread_settings(Arc::clone(shell))));
}

/// Tells the rooms whenever limits or flags change.
async fn spread_settings(shell: Arc<Shell>) {
    let mut settings = shell.live.watch();
    loop {
        tokio::select! {
            changed = settings.changed() => if changed.is_err() { return },
            () = shell.stop.cancelled() => return,
        }
        settings.mark_unchanged();
        shell.rooms.settings_changed().await;
    }
}
