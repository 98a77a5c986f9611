//! A room that this node decides: claim, decide, append, and only then tell.
//!
//! One store call is out at a time; what comes meanwhile goes into the next
//! one (group commit, no timer). An answer leaves here only when the event it
//! speaks of is stored, or when it speaks of nothing that is not.

use super::{
    Ask, Assignment, Command, CommandDone, NotDone,
    edge::EdgeRole,
    replay::StreamEnd,
    resolve::Found,
    tail::Tail,
    task::{Role, Room},
};
use crate::store::{
    APPEND_EVENTS_MAX, Appended, Claim, Loaded, SNAPSHOT_INTERVAL_EVENTS, Stamp, StoreError,
};
use futures::FutureExt;
use gavel_rules::{
    auction::{self, Action, Auction, AuctionRules, Event, EventKind, Verdict, View},
    order::{Epoch, Generation, Position, Seq},
    time::{Millis, Timestamp},
};
use gavel_runtime::{backoff::Backoff, tasks, telemetry};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::oneshot;
use tracing::Instrument;

mod settle;

/// Bids decided in one append at most; each makes one event.
const BATCH_MAX: usize = 256;
/// Appends without a result after which a bid is answered `unavailable`.
const ATTEMPTS_MAX: u8 = 3;

const _: () = assert!(BATCH_MAX <= APPEND_EVENTS_MAX);

/// What an owner holds.
pub(super) struct Owner {
    /// The owner that this node stands in for, see [`super::deputy`]; none for
    /// the owner itself.
    pub(super) stands_in_for: Option<EdgeRole>,
    /// When to look for what others appended.
    pub(super) look_at: Timestamp,
    /// Until then an owner looks as well: an edge is out of its sight.
    pub(super) watchful_until: Timestamp,
    /// Bids that waited when the store was last asked.
    pub(super) asked_for: usize,
    /// Bids, the first of those that wait, that had come before the state in
    /// memory was the stored one.
    pub(super) fresh_for: usize,
    /// A refusal of waiting bids may be stale, see [`super::fresh`].
    pub(super) doubted: bool,
    /// The last events that the store may lose.
    pub(super) tail: Tail,
    /// The stored room is to be compared with what was told.
    pub(super) recheck: bool,
    /// How far an edge knows the room.
    pub(super) heard: Position,
    auction: Auction,
    epoch: Epoch,
    generation: Generation,
    rules: Option<AuctionRules>,
    pub(super) phase: Phase,
    backoff: Backoff,
    /// Bids in the append that is out, with the answers they will get.
    batch: Vec<(Ask, Verdict)>,
    /// The command in the append that is out.
    command: Option<oneshot::Sender<CommandDone>>,
    wake_at: Option<Timestamp>,
    /// When this owner claimed the room, or stood in.
    decides_since: Timestamp,
    /// Since when bids could not be taken, where that is still to be credited.
    lost_since: Option<Timestamp>,
    /// Who owns the room next, as soon as no append is out.
    leaving_to: Option<Assignment>,
}

/// How far the owner may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The room is to be claimed under the epoch, not before this time.
    Claim(Timestamp),
    /// The stored room may differ from the one in memory: read it again, not
    /// before this time.
    Load(Timestamp),
    /// The auction in memory is the stored one.
    Ready,
}

/// The outcome of a store call.
pub(super) enum Done {
    Claimed(Result<(Claim, StreamEnd), StoreError>),
    Loaded(Result<(Box<Loaded>, StreamEnd), StoreError>),
    /// Whether others appended.
    Looked(Result<bool, StoreError>),
    /// Who owns the room.
    Found(Result<Found, StoreError>),
    Appended {
        events: Vec<Event>,
        outcome: Result<Appended, StoreError>,
        sent_at: Timestamp,
        stamp: Stamp,
    },
    /// What the store had lost was put back.
    Replayed {
        events: usize,
        outcome: Result<Appended, StoreError>,
    },
    /// The history has another name, this one.
    Raised(Result<Generation, StoreError>),
}

/// Short, since nobody can bid meanwhile; while the connection is down a try
/// costs nothing but this task's time.
fn store_backoff() -> Backoff {
    Backoff::try_new(Duration::from_millis(50), Duration::from_secs(1))
        .unwrap_or_else(|_| Backoff::standard())
}

/// What is to be stored.
fn events_of(actions: Vec<Action>) -> Vec<Event> {
    let event = |action| match action {
        Action::Append(event) => Some(event),
        Action::Answer { .. } | Action::Refused(_) => None,
    };
    actions.into_iter().filter_map(event).collect()
}

// === impl Owner ===

impl Owner {
    /// An owner that knows nothing of its room yet.
    pub(super) fn new(epoch: Epoch, rules: Option<AuctionRules>) -> Self {
        let at_once = Timestamp::new(0);
        Self {
            stands_in_for: None,
            look_at: at_once,
            watchful_until: at_once,
            asked_for: 0,
            fresh_for: 0,
            doubted: false,
            tail: Tail::default(),
            recheck: false,
            heard: Position::default(),
            auction: Auction::empty(),
            epoch,
            generation: Generation::default(),
            rules,
            phase: Phase::Claim(at_once),
            backoff: store_backoff(),
            batch: Vec::new(),
            command: None,
            wake_at: None,
            decides_since: at_once,
            lost_since: None,
            leaving_to: None,
        }
    }

    /// One that stands in for the owner that `edge` cannot reach; the epoch is
    /// the one that the store holds.
    pub(super) fn deputy(epoch: Epoch, edge: EdgeRole, now: Timestamp) -> Self {
        let phase = Phase::Load(Timestamp::new(0));
        let stands_in_for = Some(edge);
        Self { stands_in_for, phase, decides_since: now, ..Self::new(epoch, None) }
    }

    /// The owner that this node stands in for, if it does.
    pub(super) fn stands_in_for(&self) -> Option<&EdgeRole> {
        self.stands_in_for.as_ref()
    }

    /// Goes on under the epoch that the store holds.
    fn adopt(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// The last event in memory.
    pub(super) fn seq(&self) -> Seq {
        self.auction.view().seq
    }

    /// When it claimed the room, or stood in.
    pub(super) fn decides_since(&self) -> Timestamp {
        self.decides_since
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The auction in memory.
    pub(super) fn auction(&self) -> &Auction {
        &self.auction
    }

    /// Since then bids could not be taken, as far as this owner had the room.
    fn lose(&mut self, since: Timestamp) {
        let since = since.max(self.decides_since);
        self.lost_since = Some(self.lost_since.map_or(since, |before| before.min(since)));
    }

    /// Proposes what is to be credited for outages, of which one may go on.
    fn credit(&mut self, lost: Option<Timestamp>, now: Timestamp, actions: &mut Vec<Action>) {
        if let Some(since) = lost {
            self.lose(since);
        }
        let Some(since) = self.lost_since else { return };
        self.wake_at = self.auction.step(auction::Input::Outage { since }, now, actions);
        // What is proposed may not be stored: it is forgotten when there is no more to credit.
        if actions.is_empty() {
            self.lost_since = None;
        }
    }

    /// Another node is to go on; what is on its way to the store ends first.
    pub(super) fn leave_to(&mut self, next: Assignment) {
        self.leaving_to = Some(next);
    }
}

// === impl Room ===

impl Room {
    /// The store could not be reached.
    pub(super) fn on_outage(&mut self, since: Timestamp) {
        if let Role::Owner(owner) = &mut self.role {
            owner.lose(since);
        }
    }

    pub(super) fn become_owner(&mut self, assignment: Assignment) {
        self.become_nobody();
        self.epoch = assignment.epoch;
        self.role = Role::Owner(Box::new(Owner::new(assignment.epoch, assignment.rules)));
    }

    /// Owns a room that nobody handed over: who stood in for the owner before may
    /// go on doing so for a while.
    pub(super) fn succeed(&mut self, assignment: Assignment) {
        self.become_owner(assignment);
        let now = self.shell.now();
        if let Role::Owner(owner) = &mut self.role {
            owner.watch_out(now);
        }
    }

    /// Starts the next store call, if there is cause.
    pub(super) fn advance_owner(&mut self, now: Timestamp) -> Option<Timestamp> {
        if self.work.is_some() {
            return None;
        }
        let Role::Owner(owner) = &mut self.role else { return None };
        if let Some(next) = owner.leaving_to.take() {
            self.hand_over(next, now);
            return Some(now);
        }
        if owner.phase == Phase::Ready && std::mem::take(&mut owner.recheck) {
            owner.phase = Phase::Load(Timestamp::new(0));
        }
        match owner.phase {
            Phase::Claim(at) | Phase::Load(at) if at > now => {
                self.refuse_waiting();
                return Some(at);
            }
            Phase::Claim(_) => {
                self.start_claim();
                return None;
            }
            Phase::Load(_) => {
                self.start_load();
                return None;
            }
            Phase::Ready => {}
        }
        if self.resolve_for_deputy(now) || self.look_first(now) {
            return None;
        }
        self.decide(now);
        match &self.role {
            // More waits than one batch takes, and nothing of it needed the store.
            Role::Owner(_) if self.work.is_none() && !self.bids.is_empty() => Some(now),
            Role::Owner(owner) if self.work.is_none() => {
                let due = owner.wake_at;
                due.into_iter().chain(self.look(now)).min()
            }
            Role::Owner(_) | Role::Edge(_) | Role::Resolving => None,
        }
    }

    fn start_claim(&mut self) {
        let Role::Owner(owner) = &self.role else { return };
        let (shell, id, epoch) = (Arc::clone(&self.shell), self.id.clone(), owner.epoch);
        let (after, stamp) = (owner.tail.after(), shell.store.stamp());
        let claim = async move {
            shell.contact.begin(&shell).await;
            let claim = shell.store.claim(&id, epoch, &shell.id).await?;
            let end = match &claim {
                Claim::Claimed(loaded) => {
                    StreamEnd::read(&shell, &id, loaded, after, stamp).await?
                }
                Claim::Fenced { .. } => StreamEnd::default(),
            };
            Ok((claim, end))
        };
        self.work = Some(claim.map(Done::Claimed).boxed());
    }

    fn start_load(&mut self) {
        let Role::Owner(owner) = &mut self.role else { return };
        owner.asked_for = self.bids.len();
        let (shell, id) = (Arc::clone(&self.shell), self.id.clone());
        let (after, stamp) = (owner.tail.after(), shell.store.stamp());
        let load = async move {
            let loaded = shell.store.load(&id).await?;
            let end = StreamEnd::read(&shell, &id, &loaded, after, stamp).await?;
            Ok((Box::new(loaded), end))
        };
        self.work = Some(load.map(Done::Loaded).boxed());
    }

    /// One turn of decisions: what the clock demands, else a command, else bids.
    fn decide(&mut self, now: Timestamp) {
        let soft_close = self.flags(&self.shell.live.get()).soft_close;
        let Role::Owner(owner) = &mut self.role else { return };
        let mut actions = Vec::new();
        owner.auction.step(auction::Input::Flags { soft_close }, now, &mut actions);
        owner.credit(self.shell.contact.lost_since(), now, &mut actions);
        if actions.is_empty() {
            owner.wake_at = owner.auction.step(auction::Input::Tick, now, &mut actions);
        }
        if actions.is_empty()
            && let Some((command, errand)) = self.commands.pop_front()
        {
            return self.obey(command, errand.done, now);
        }
        if actions.is_empty() {
            return self.decide_bids(now);
        }
        self.append(events_of(actions), now);
    }

    fn decide_bids(&mut self, now: Timestamp) {
        let (most, proven) = self.take_decidable(now);
        let (mut asks, mut answers) = (HashMap::new(), Vec::new());
        let mut actions = Vec::new();
        for token in 0..u64::try_from(most.min(BATCH_MAX)).unwrap_or(u64::MAX) {
            let Some(ask) = self.bids.pop_front() else { break };
            let Some(mut ask) = self.take_up(ask, now) else { continue };
            self.trace(&mut ask);
            self.load.decides();
            let Role::Owner(owner) = &mut self.role else { return };
            let known = owner.auction.answer_for(&ask.bid.bidder, &ask.bid.bid_id).is_some();
            let refusal = ask.refusal(&owner.auction.view(), now).filter(|_| !known);
            if let Some(refusal) = refusal {
                answers.push((ask, Verdict::Rejected(refusal)));
                continue;
            }
            let bid = ask.bid.clone();
            asks.insert(token, ask);
            let input = auction::Input::Bid { bid, token };
            owner.wake_at = owner.auction.step(input, now, &mut actions);
        }
        answers.extend(actions.iter().filter_map(|action| match action {
            Action::Answer { token, verdict } => Some((asks.remove(token)?, verdict.clone())),
            Action::Append(_) | Action::Refused(_) => None,
        }));
        debug_assert!(asks.is_empty(), "every bid is answered");
        let events = events_of(actions);
        if events.is_empty() {
            return self.answer(answers, proven, now);
        }
        let Role::Owner(owner) = &mut self.role else { return };
        owner.batch = answers;
        self.append(events, now);
    }

    /// Gives a bid of this node's own sockets the span that a relayed one
    /// already has.
    fn trace(&self, ask: &mut Ask) {
        if ask.is_relayed() || ask.attempts > 0 {
            return;
        }
        let Some(traceparent) = &ask.traceparent else { return };
        let span = tracing::info_span!("room.bid", room.id = %self.id, bid.id = %ask.bid.bid_id);
        telemetry::parent_of(&span, traceparent);
        ask.traceparent = telemetry::inject_from(&span);
    }

    /// Carries out an administrator's wish.
    fn obey(&mut self, command: Command, done: oneshot::Sender<CommandDone>, now: Timestamp) {
        let Role::Owner(owner) = &mut self.role else { return };
        let input = match command {
            Command::Inspect => return self.command_done(done, None),
            Command::Pause(reason) => auction::Input::Pause { reason },
            Command::Resume => auction::Input::Resume,
            Command::Close => auction::Input::Close,
        };
        let mut actions = Vec::new();
        owner.wake_at = owner.auction.step(input, now, &mut actions);
        let refused = actions.iter().find_map(|action| match action {
            Action::Refused(error) => Some(NotDone::from(*error)),
            Action::Append(_) | Action::Answer { .. } => None,
        });
        if refused.is_some() || actions.is_empty() {
            return self.command_done(done, refused);
        }
        owner.command = Some(done);
        self.append(events_of(actions), now);
    }

    fn append(&mut self, events: Vec<Event>, sent_at: Timestamp) {
        let Role::Owner(owner) = &mut self.role else { return };
        let expected = owner.auction.view().seq;
        let (guard, epoch) = (owner.auction.guard(), owner.epoch);
        let (shell, id) = (Arc::clone(&self.shell), self.id.clone());
        let span = tracing::info_span!("store.append", room.id = %id, epoch = epoch.get(),
            seq = expected.get(), events = events.len());
        let bids = owner.batch.iter().filter_map(|(ask, _)| ask.traceparent.as_deref());
        telemetry::child_of_one(&span, bids.take(32));
        let append = async move {
            let (started, stamp) = (gavel_runtime::clock::monotonic(), shell.store.stamp());
            let outcome = shell.store.append(&id, epoch, expected, guard, &events).await;
            shell.metrics.committed(started.elapsed());
            Done::Appended { events, outcome, sent_at, stamp: stamp.answered() }
        };
        self.work = Some(append.instrument(span).boxed());
    }

    pub(super) fn command_done(&self, done: oneshot::Sender<CommandDone>, error: Option<NotDone>) {
        let view = self.hub.view().cloned();
        // Whoever asked may have gone.
        drop(done.send(CommandDone { error, view, viewers: self.hub.len() }));
    }

    pub(super) fn refuse_commands(&mut self, why: &str) {
        for (_, errand) in std::mem::take(&mut self.commands) {
            self.command_done(errand.done, Some(NotDone::unavailable(why)));
        }
    }

    /// Nothing waits for a store that does not answer.
    fn refuse_waiting(&mut self) {
        self.refuse_commands("the room cannot act just now");
        for ask in std::mem::take(&mut self.bids) {
            ask.unavailable(&self.shell, &self.id, self.hub.view());
        }
    }
}
