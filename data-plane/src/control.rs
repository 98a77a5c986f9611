//! The node's line to the control plane. Everything here may be cut at any
//! time: the node goes on with what it knows and reconnects.

use crate::{node::Shell, room::Input, settings::Settings};
use gavel_proto::convert::MovedRoom;
use gavel_rules::{id::RoomId, order::Epoch};
use gavel_runtime::clock;
use parking_lot::Mutex;
use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

mod configure;
mod endpoints;
mod fleet;
mod load;
mod report;

use endpoints::Endpoints;

/// A line that is down for so long is more than the change from one leader to
/// the next that stops in good order.
const AWAY: Duration = Duration::from_secs(1);
/// Rooms of the last run that are taken up again at a time.
const RESUMES: usize = 64;
/// Between these.
const RESUME_PAUSE: Duration = Duration::from_millis(20);

/// Where the control plane is, and the rooms that the node wants to hear of.
#[derive(Debug)]
pub(crate) struct Control {
    endpoints: Endpoints,
    interest: Mutex<Interest>,
    /// Steps of moves that are done and not told yet.
    moved: Mutex<Vec<MovedRoom>>,
    /// Claims that the store refused, not told yet.
    refused: Mutex<Vec<(RoomId, Epoch)>>,
    changed: Notify,
    drain: Mutex<Drain>,
    /// Since when no leader has been heard of; none while one is.
    away_since: Mutex<Option<Instant>>,
    /// A leader has answered.
    welcomed: Notify,
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
            refused: Mutex::default(),
            changed: Notify::new(),
            drain: Mutex::default(),
            away_since: Mutex::new(Some(clock::monotonic())),
            welcomed: Notify::new(),
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

    /// Tells the leader that the store knows a room under a later epoch than was
    /// assigned. Without one there is nobody who assigned it.
    pub(crate) fn claim_refused(&self, room: &RoomId, epoch: Epoch) {
        if self.away_since.lock().is_none() {
            self.refused.lock().push((room.clone(), epoch));
            self.changed.notify_one();
        }
    }

    /// Whether there is no leader that says who owns a room.
    #[must_use]
    pub(crate) fn is_away(&self) -> bool {
        let since = *self.away_since.lock();
        since.is_some_and(|since| clock::monotonic().saturating_duration_since(since) >= AWAY)
    }

    /// Waits until that is so.
    async fn until_away(&self) {
        let mut tick = tokio::time::interval(AWAY / 4);
        while !self.is_away() {
            tick.tick().await;
        }
    }

    /// A leader has answered.
    fn heard(&self) {
        *self.away_since.lock() = None;
        self.welcomed.notify_one();
    }

    /// It no longer does. What was not told is known to the next one, or of no
    /// use to it.
    fn lost(&self) {
        self.away_since.lock().get_or_insert_with(clock::monotonic);
        self.refused.lock().clear();
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

    fn take_refused(&self) -> Vec<(RoomId, Epoch)> {
        std::mem::take(&mut self.refused.lock())
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
    drop(shell.tasks.spawn("control.resume", resume(Arc::clone(shell))));
    drop(shell.tasks.spawn("control.settings", spread_settings(Arc::clone(shell))));
}

/// Tells the rooms whenever limits or flags change; they do not ask for denials.
async fn spread_settings(shell: Arc<Shell>) {
    let mut settings = shell.live.watch();
    let versions = |newest: &Settings| (newest.limits_version, newest.flags_version);
    let mut told = versions(&settings.borrow_and_update());
    loop {
        tokio::select! {
            changed = settings.changed() => if changed.is_err() { return },
            () = shell.stop.cancelled() => return,
        }
        let now = versions(&settings.borrow_and_update());
        if std::mem::replace(&mut told, now) != now {
            shell.rooms.settings_changed().await;
        }
    }
}

/// Takes up the rooms of the last run where no leader names their owners; one
/// that answers at the start knows them better.
async fn resume(shell: Arc<Shell>) {
    let away = async {
        tokio::select! {
            () = shell.control.until_away() => true,
            () = shell.control.welcomed.notified() => false,
        }
    };
    let rooms: Vec<RoomId> = match shell.stop.run_until_cancelled(away).await {
        Some(away) => shell.kept.take_owned().into_iter().filter(|_| away).collect(),
        None => return,
    };
    for rooms in rooms.chunks(RESUMES) {
        for room in rooms {
            if shell.rooms.send(&shell, room, Input::Resume).is_err() {
                tracing::warn!(room.id = %room, "no place for a room of the last run");
            }
        }
        let pause = tokio::time::sleep(RESUME_PAUSE);
        if shell.stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}
