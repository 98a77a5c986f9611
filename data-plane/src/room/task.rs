//! The task of a room: a thin loop around the roles.

use super::{
    Ask, Assignment, Command, Edge, Errand, Input, NotDone, RoomLoad,
    degraded::Undecided,
    edge::EdgeRole,
    handoff::Prepared,
    hub::Hub,
    owner::{Done, Owner},
    recent::Recent,
    resolve::Unnamed,
    resume::Joining,
    unknown_room,
};
use crate::{
    codec::json::{ClientError, ErrorCode},
    flags::RoomFlags,
    metrics::Shed,
    node::Shell,
    settings::Settings,
    shed::Shedder,
};
use futures::future::{BoxFuture, OptionFuture};
use gavel_flags::Cached;
use gavel_rules::{
    auction::{GuestAccess, RejectReason, Verdict, View},
    id::{RoomId, SessionId},
    order::{Epoch, Generation, Position},
    time::{Millis, Timestamp},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Inputs taken before the room acts on them.
const INBOX_MAX: usize = 256;
/// Bids that may wait for a decision; more are answered `unavailable`.
const BIDS_MAX: usize = 4096;
/// Commands that may wait for their turn.
const COMMANDS_MAX: usize = 64;
/// What a command is told that came to the wrong node.
pub(super) const NOT_OURS: &str = "this node does not own the room";
/// Sockets that may wait for the room's state.
const JOINS_MAX: usize = 8192;
/// How long bids, joins and commands wait for an owner.
const OWNER_WAIT: Millis = Millis::new(3_000);
/// How long a room without sockets stays, so that it need not be learnt anew.
const IDLE_LINGER: Millis = Millis::new(30_000);

pub(super) struct Room {
    pub(super) id: RoomId,
    pub(super) shell: Arc<Shell>,
    pub(super) hub: Hub,
    /// What the flags decide here.
    flags: Cached<RoomFlags>,
    pub(super) role: Role,
    pub(super) epoch: Epoch,
    pub(super) load: Arc<RoomLoad>,
    pub(super) bids: VecDeque<Ask>,
    pub(super) edges: Vec<Edge>,
    pub(super) commands: VecDeque<(Command, Errand)>,
    pub(super) work: Option<BoxFuture<'static, Done>>,
    /// What this node will own once the owner hands over.
    pub(super) prepared: Option<Prepared>,
    /// What whoever missed little needs.
    pub(super) recent: Recent,
    pub(super) joins: VecDeque<Joining>,
    /// How it goes on while no control plane says who owns it.
    pub(super) unnamed: Unnamed,
    idle_since: Option<Timestamp>,
    /// Whether its bids are decided, as viewers were told.
    pub(super) undecided: Undecided,
    /// What it refuses while its bids wait for too long.
    pub(super) shedder: Shedder,
}

pub(super) enum Role {
    /// Nobody told yet who owns the room.
    Resolving,
    Owner(Box<Owner>),
    Edge(EdgeRole),
}

/// Runs a room until nobody needs it.
pub(super) async fn run(shell: Arc<Shell>, id: RoomId, mut inbox: mpsc::Receiver<Input>) {
    let mut room = Room::new(shell, id);
    loop {
        let wake = room.advance();
        if room.is_over() && room.shell.rooms.retire(&room.id, &inbox) {
            return room.end();
        }
        let pause = wake.map(|at| Duration::from_millis(at.since(room.shell.now()).get()));
        let done = tokio::select! {
            input = inbox.recv() => match input {
                Some(input) => {
                    room.on(input);
                    None
                }
                None => return room.end(),
            },
            done = OptionFuture::from(room.work.as_mut()), if room.work.is_some() => done,
            () = tokio::time::sleep(pause.unwrap_or(Duration::MAX)), if pause.is_some() => None,
        };
        if let Some(done) = done {
            room.work = None;
            room.on_done(done);
        }
        for _ in 0..INBOX_MAX {
            let Ok(input) = inbox.try_recv() else { break };
            room.on(input);
        }
    }
}

// === impl Room ===

impl Room {
    pub(super) fn new(shell: Arc<Shell>, id: RoomId) -> Self {
        let hub = Hub::new(id.clone(), shell.id.clone());
        let shedder = Shedder::new(&shell, [Shed::Joins, Shed::Bids]);
        Self {
            id,
            shell,
            hub,
            flags: Cached::default(),
            role: Role::Resolving,
            epoch: Epoch::default(),
            load: Arc::default(),
            bids: VecDeque::new(),
            edges: Vec::new(),
            commands: VecDeque::new(),
            work: None,
            prepared: None,
            recent: Recent::default(),
            joins: VecDeque::new(),
            unnamed: Unnamed::default(),
            idle_since: None,
            undecided: Undecided::default(),
            shedder,
        }
    }

    fn on(&mut self, input: Input) {
        match input {
            Input::Join { member, identity, since } => {
                self.join(Joining { member, identity, since, at: self.shell.now() });
            }
            Input::Leave(session) => self.leave(&session),
            Input::Ask(ask) if self.bids.len() < BIDS_MAX => self.bids.push_back(ask),
            Input::Ask(ask) => ask.unavailable(&self.shell, &self.id, self.hub.view()),
            Input::Assigned(assignment) => self.assigned(assignment),
            Input::Prepare { next, from, from_relay_url } => {
                self.prepare(next, from, from_relay_url);
            }
            Input::OwnerChanged { epoch, owner, relay_url } => {
                self.on_owner_changed(epoch, owner, relay_url);
            }
            Input::Unknown => self.unknown(),
            Input::Snapshot { epoch, generation, view, before } => {
                self.on_snapshot(epoch, generation, view, before);
            }
            Input::Update { epoch, view, traceparents } => {
                self.on_update(epoch, view, &traceparents);
            }
            Input::NotOwner => self.on_not_owner(),
            Input::Current => self.on_current(),
            Input::Degraded { stale, slow } => self.on_degraded(stale, slow),
            Input::Link { relay_url, down } => self.on_link(&relay_url, down),
            Input::Attach(edge) => self.attach(edge),
            Input::EdgeLost(stream) => self.on_edge_lost(stream),
            Input::Detach(stream) => self.edges.retain(|edge| edge.stream != stream),
            Input::Command(command, errand) if self.commands.len() < COMMANDS_MAX => {
                self.commands.push_back((command, errand));
            }
            Input::Command(_, errand) => {
                let why = "too many commands wait for the room";
                self.command_done(errand.done, Some(NotDone::unavailable(why)));
            }
            Input::Outage(since) => self.on_outage(since),
            Input::Resume => self.unnamed.resumes = matches!(self.role, Role::Resolving),
            Input::StoreChanged => self.on_store_changed(),
            Input::SettingsChanged => {
                self.hub.reclass(&self.shell.live.get(), self.shell.now());
                self.step_back();
            }
        }
    }

    /// What the flags decide here as of now.
    pub(super) fn flags(&mut self, settings: &Settings) -> RoomFlags {
        let (id, node) = (&self.id, &self.shell.id);
        self.flags.get(&settings.flags, || RoomFlags::of(&settings.flags, id, node))
    }

    /// Does what can be done now; returns when to come again.
    fn advance(&mut self) -> Option<Timestamp> {
        let now = self.shell.now();
        self.seat_waiting(now);
        self.load.seats(self.hub.len());
        self.stand_in();
        let by_role = match self.role {
            Role::Resolving => {
                let by_wait = self.advance_resolving(now);
                by_wait.into_iter().chain(self.resolve(now)).min()
            }
            Role::Owner(_) => self.advance_owner(now),
            Role::Edge(_) => {
                self.advance_edge(now);
                self.take_promised(now)
            }
        };
        let by_waits = self.look_at_waits(now);
        let by_level = self.declare(now);
        let by_batches = self.hub.flush_due(now);
        let by_joins = self.joins.front().map(|joining| joining.at.saturating_add(OWNER_WAIT));
        let by_idle = self.idle_since.map(|since| since.saturating_add(IDLE_LINGER));
        [by_role, by_waits, by_level, by_batches, by_joins, by_idle].into_iter().flatten().min()
    }

    fn join(&mut self, joining: Joining) {
        self.idle_since = None;
        if self.shed_join(&joining) {
            return;
        }
        if self.joins.len() < JOINS_MAX {
            self.joins.push_back(joining);
        } else {
            let error = ClientError::new(ErrorCode::Unavailable, "too many are joining");
            joining.member.refuse(&self.id, &error.in_room(&self.id).retry_after(1_000));
        }
    }

    /// Seats who waits, once the state is known.
    fn seat_waiting(&mut self, now: Timestamp) {
        let settings = self.shell.live.get();
        while let Some(joining) = self.joins.front() {
            let guests = self.hub.view().map(|view| view.guests);
            let waited = joining.at.has_passed(OWNER_WAIT, now);
            if guests.is_none() && !waited {
                return;
            }
            let Some(joining) = self.joins.pop_front() else { return };
            let refusal = match guests {
                None => ClientError::new(
                    ErrorCode::Unavailable,
                    "the auction cannot be reached just now",
                )
                .retry_after(1_000),
                Some(GuestAccess::None) if joining.identity.is_guest() => {
                    ClientError::new(ErrorCode::Forbidden, "this auction is not open to guests")
                }
                Some(_) => {
                    let before = self.hub.len();
                    self.take_seat(joining, &settings, now);
                    self.shell.rooms.seated(before, self.hub.len());
                    continue;
                }
            };
            joining.member.refuse(&self.id, &refusal.in_room(&self.id));
        }
    }

    fn leave(&mut self, session: &SessionId) {
        self.joins.retain(|joining| joining.member.session != *session);
        let before = self.hub.len();
        self.hub.leave(session);
        self.shell.rooms.seated(before, self.hub.len());
    }

    pub(super) fn assigned(&mut self, assignment: Assignment) {
        if assignment.epoch < self.epoch {
            return;
        }
        self.named();
        let mine = assignment.owner.as_ref() == Some(&self.shell.id);
        if mine && matches!(self.role, Role::Edge(_)) && self.is_promised(assignment.epoch) {
            return;
        }
        match (&mut self.role, &assignment.owner) {
            (Role::Owner(owner), _) if Self::is_no_news(owner, &assignment) => {}
            (Role::Owner(owner), _)
                if mine && owner.epoch() == assignment.epoch && owner.stands_in_for().is_none() => {
            }
            // Its owner is known, but not yet where to find it.
            (_, Some(_)) if !mine && assignment.relay_url.is_empty() => {}
            (Role::Owner(owner), Some(_)) => owner.leave_to(assignment),
            (_, Some(_)) if mine && assignment.epoch == Epoch::default().next() => {
                self.become_owner(assignment);
            }
            (_, Some(_)) if mine => self.succeed(assignment),
            (_, Some(owner)) => self.become_edge(owner.clone(), assignment.clone()),
            (_, None) => self.become_nobody(),
        }
    }

    /// Neither decides nor passes on: somebody has to say who owns the room.
    pub(super) fn become_nobody(&mut self) {
        self.abandon_batch();
        self.work = None;
        self.prepared = None;
        self.unwatch();
        self.trust_owner();
        self.shell.rooms.disown(&self.id);
        self.role = Role::Resolving;
    }

    pub(super) fn unknown(&mut self) {
        // The stream is there: a control plane that knows nothing of it has
        // lost its memory, and that closes no auction.
        if matches!(self.role, Role::Owner(_)) {
            return;
        }
        let error = unknown_room(&self.id);
        for joining in self.joins.drain(..) {
            joining.member.refuse(&self.id, &error);
        }
        self.shell.rooms.seated(self.hub.len(), 0);
        self.hub.dismiss(&error);
        for ask in std::mem::take(&mut self.bids) {
            let rejected = ask.rejected(RejectReason::UnknownRoom, None, self.shell.now());
            ask.answer(&self.shell, &self.id, Verdict::Rejected(rejected), "");
        }
        self.become_nobody();
        self.named();
        self.idle_since = Some(Timestamp::new(0));
    }

    /// Replaces the state, as after trouble, and tells this node's sockets.
    pub(super) fn reset(&mut self, view: View, generation: Generation) {
        if self.position() != (Position { generation, seq: view.seq }) {
            self.recent.begin(view.clone());
        }
        self.hub.reset(view, generation, self.shell.now());
    }

    /// Waits for an owner to be named, but not for ever.
    fn advance_resolving(&mut self, now: Timestamp) -> Option<Timestamp> {
        while self.bids.front().is_some_and(|ask| ask.since.has_passed(OWNER_WAIT, now)) {
            let Some(ask) = self.bids.pop_front() else { break };
            ask.unavailable(&self.shell, &self.id, self.hub.view());
        }
        for (command, errand) in std::mem::take(&mut self.commands) {
            if errand.onward && !errand.since.has_passed(OWNER_WAIT, now) {
                self.commands.push_back((command, errand));
            } else {
                self.command_done(errand.done, Some(NotDone::unavailable(NOT_OURS)));
            }
        }
        let bid_since = self.bids.front().map(|ask| ask.since);
        let command_since = self.commands.front().map(|(_, errand)| errand.since);
        let first = bid_since.into_iter().chain(command_since).min();
        first.map(|since| since.saturating_add(OWNER_WAIT))
    }

    /// Whether nobody needs the room on this node, and has not for a while.
    fn is_over(&mut self) -> bool {
        let needed = self.owns()
            || self.hub.len() > 0
            || self.has_waiting()
            || !self.edges.is_empty()
            || self.unnamed.resumes;
        let now = self.shell.now();
        if needed {
            self.idle_since = None;
            return false;
        }
        let since = *self.idle_since.get_or_insert(now);
        since.has_passed(IDLE_LINGER, now)
    }

    /// Whether the room is this node's, and not only decided here for a while.
    pub(super) fn owns(&self) -> bool {
        matches!(&self.role, Role::Owner(owner) if owner.stands_in_for().is_none())
    }

    /// Whether a bid, a command or a socket waits.
    pub(super) fn has_waiting(&self) -> bool {
        !(self.joins.is_empty() && self.bids.is_empty() && self.commands.is_empty())
    }

    fn unwatch(&self) {
        match &self.role {
            Role::Edge(edge) => edge.unwatch(&self.id),
            Role::Owner(owner) => {
                if let Some(edge) = owner.stands_in_for() {
                    edge.unwatch(&self.id);
                }
            }
            Role::Resolving => {}
        }
    }

    fn end(self) {
        self.unwatch();
        self.shell.rooms.seated(self.hub.len(), 0);
        self.shell.rooms.disown(&self.id);
        self.shell.control.forget(&self.id);
    }
}
