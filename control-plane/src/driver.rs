//! The shell around [`Cluster`]: one task that feeds it, stores what it
//! decides, and tells the nodes.

use crate::{
    cluster::{Action, Cluster, Event, MoveRefused},
    http::HttpState,
    store::{Assigned, ClusterStore, StoreError, StoredRoom},
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use gavel_proto::{admin::v1 as admin, fleet::v1 as wire};
use gavel_rules::{
    auction::AuctionRules,
    id::{Incarnation, NodeId, RoomId},
    order::{Epoch, Term},
    time::{Millis, Timestamp},
};
use gavel_runtime::clock;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use wire::session_response::Kind as Down;

mod nodes;

/// Requests that may wait for the driver.
const QUEUE_MAX: usize = 4096;
/// Commands that may wait for the owners of their rooms; further ones are
/// answered as if the owner were away.
const COMMANDS_MAX: usize = 4096;
/// Assignments being stored at a time; more at once would only time out
/// together. The rest wait, at most one for each room.
const PERSISTS_MAX: usize = 256;

/// The way to a node.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) sender: mpsc::Sender<wire::SessionResponse>,
    /// Ends the session.
    pub(crate) end: CancellationToken,
}

/// What may be asked of the driver.
#[derive(Debug)]
pub(crate) enum Request {
    /// A node opened a session.
    Opened { register: Registered, outgoing: Outgoing },
    /// A node said something.
    Said { node: NodeId, incarnation: Incarnation, kind: wire::session_request::Kind },
    /// A node's session broke.
    Ended { node: NodeId, incarnation: Incarnation, outgoing: Outgoing },
    /// A room has been stored; the answer comes when it has an owner, or at
    /// once where no node is there.
    Created { room: RoomId, rules: Box<AuctionRules>, done: oneshot::Sender<()> },
    /// A room as operators see it, without its state.
    Room { room: RoomId, answer: oneshot::Sender<Option<admin::Room>> },
    /// Rooms after an id, by id.
    Rooms { after: String, limit: usize, answer: oneshot::Sender<Vec<admin::Room>> },
    /// The nodes, by id, and the brake.
    Nodes { answer: oneshot::Sender<(Vec<admin::Node>, Option<admin::Brake>)> },
    /// Give the rooms of silent nodes away; the answer is how many nodes lose
    /// theirs.
    ReleaseBrake { answer: oneshot::Sender<usize> },
    /// Move a room, to a node or to where placement says; the answer comes when
    /// all are told of the new owner.
    Move {
        room: RoomId,
        to: Option<NodeId>,
        answer: oneshot::Sender<Result<oneshot::Receiver<()>, MoveRefused>>,
    },
    /// Have a node left by its rooms, or not any more; false without such a node.
    Drain { node: NodeId, draining: bool, answer: oneshot::Sender<bool> },
    /// Something for the owner of a room to do.
    Command {
        room: RoomId,
        kind: wire::command::Kind,
        answer: oneshot::Sender<wire::CommandResult>,
    },
}

/// Who a node is.
#[derive(Debug, Clone)]
pub(crate) struct Registered {
    pub(crate) node: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) about: wire::Register,
    pub(crate) held: Vec<(RoomId, Epoch)>,
}

/// The driver's front door.
#[derive(Debug, Clone)]
pub(crate) struct Driver {
    requests: mpsc::Sender<Request>,
    over: CancellationToken,
}

/// The driver does not answer: the process stops, or another replica leads.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("this replica no longer leads; try again")]
pub(crate) struct Stopped;

/// What a driver needs for its work.
pub(crate) struct Start {
    /// The term that it works under.
    pub(crate) term: Term,
    pub(crate) store: Arc<dyn ClusterStore>,
    pub(crate) state: Arc<HttpState>,
    pub(crate) lease: Millis,
    pub(crate) heartbeat: Millis,
    /// Told when the store knows a later leader.
    pub(crate) fenced: Arc<Notify>,
}

struct Task {
    cluster: Cluster,
    term: Term,
    store: Arc<dyn ClusterStore>,
    state: Arc<HttpState>,
    fenced: Arc<Notify>,
    clock: Clock,
    lease: Millis,
    heartbeat: Millis,
    rules: HashMap<RoomId, AuctionRules>,
    nodes: BTreeMap<NodeId, nodes::Line>,
    watchers: HashMap<RoomId, HashSet<NodeId>>,
    commands: HashMap<u64, oneshot::Sender<wire::CommandResult>>,
    next_command: u64,
    /// Who waits until all are told of a room's owner.
    told: HashMap<RoomId, oneshot::Sender<()>>,
    persists: FuturesUnordered<BoxFuture<'static, Event>>,
    /// Assignments to be stored when others have been.
    waiting: VecDeque<Persist>,
    /// Rooms that each node is to be told of.
    outbox: BTreeMap<NodeId, BTreeSet<RoomId>>,
    wake_at: Option<Timestamp>,
}

/// An assignment to be stored.
struct Persist {
    room: RoomId,
    expected: Epoch,
    owner: NodeId,
    epoch: Epoch,
}

/// Time as a machine sees it: it begins at this machine's time, and then goes
/// its own pace, so that a clock that is set lapses no lease.
pub(crate) struct Clock {
    started_at: Timestamp,
    started: Instant,
}

/// A room as the store holds it, at the start.
pub(crate) struct Known {
    pub(crate) room: RoomId,
    pub(crate) rules: AuctionRules,
    pub(crate) owner: Option<NodeId>,
    pub(crate) epoch: Epoch,
}

// === impl Known ===

impl From<StoredRoom> for Known {
    fn from(stored: StoredRoom) -> Self {
        let StoredRoom { room, rules, owner, epoch } = stored;
        Self { room, rules, owner, epoch }
    }
}

// === impl Driver ===

impl Driver {
    /// Starts the driver's task with the rooms that are stored.
    pub(crate) fn start(
        start: Start,
        known: Vec<Known>,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let Start { term, store, state, lease, heartbeat, fenced } = start;
        let (requests, inbox) = mpsc::channel(QUEUE_MAX);
        let (clock, over) = (Clock::start(), CancellationToken::new());
        let task = Task {
            cluster: Cluster::new(lease, clock.now()),
            term,
            clock,
            store,
            state,
            fenced,
            lease,
            heartbeat,
            rules: HashMap::new(),
            nodes: BTreeMap::new(),
            watchers: HashMap::new(),
            commands: HashMap::new(),
            next_command: 1,
            told: HashMap::new(),
            persists: FuturesUnordered::new(),
            waiting: VecDeque::new(),
            outbox: BTreeMap::new(),
            wake_at: None,
        };
        let run = over.clone().run_until_cancelled_owned(task.run(inbox, known));
        (Self { requests, over }, run.map(drop))
    }

    /// Ends the driver, and tells its sessions that it has.
    pub(crate) fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    /// Hands over a request that wants no answer.
    pub(crate) async fn tell(&self, request: Request) -> Result<(), Stopped> {
        self.requests.send(request).await.map_err(|_| Stopped)
    }

    /// Asks and waits for the answer.
    pub(crate) async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, Stopped> {
        let (sender, answer) = oneshot::channel();
        self.tell(request(sender)).await?;
        answer.await.map_err(|_| Stopped)
    }
}

/// This machine's time, for people to read.
fn now() -> Timestamp {
    Timestamp::new(clock::now_ms())
}

// === impl Clock ===

impl Clock {
    /// A clock that shows this machine's time now.
    pub(crate) fn start() -> Self {
        Self { started_at: now(), started: clock::monotonic() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let passed = clock::monotonic().saturating_duration_since(self.started).as_millis();
        self.started_at.saturating_add(Millis::new(u64::try_from(passed).unwrap_or(u64::MAX)))
    }
}

// === impl Task ===

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>, known: Vec<Known>) {
        for Known { room, rules, owner, epoch } in known {
            self.rules.insert(room.clone(), rules);
            self.step(Event::Room { room, owner, epoch });
        }
        loop {
            self.settle();
            let pause = self.wake_at.map(|at| at.since(self.clock.now()).get());
            let pause = Duration::from_millis(pause.unwrap_or_default());
            tokio::select! {
                request = inbox.recv() => match request {
                    Some(request) => self.on(request),
                    None => return,
                },
                Some(event) = self.persists.next() => self.stored(event),
                () = tokio::time::sleep(pause), if self.wake_at.is_some() => {
                    self.step(Event::Tick);
                }
            }
        }
    }

    /// Takes one answer of the store and those that came with it, so that
    /// nodes are told of all of them at once.
    fn stored(&mut self, event: Event) {
        self.step(event);
        for _ in 0..PERSISTS_MAX {
            let Some(Some(event)) = self.persists.next().now_or_never() else { return };
            self.step(event);
        }
    }

    /// Starts what waits, tells what is to be told and shows where things
    /// stand.
    fn settle(&mut self) {
        while self.persists.len() < PERSISTS_MAX
            && let Some(persist) = self.waiting.pop_front()
        {
            self.persist(persist);
        }
        self.send_outbox();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.state.nodes_live.store(count(self.cluster.nodes_live()), Ordering::Relaxed);
        self.state.nodes_held.store(count(self.cluster.nodes_held()), Ordering::Relaxed);
        self.state.brake.store(self.cluster.brake().is_some().into(), Ordering::Relaxed);
        self.state.rooms.store(count(self.rules.len()), Ordering::Relaxed);
    }

    fn on(&mut self, request: Request) {
        match request {
            Request::Opened { register, outgoing } => self.opened(register, outgoing),
            Request::Said { node, incarnation, kind } => self.said(node, incarnation, kind),
            Request::Ended { node, incarnation, outgoing } => {
                self.ended(node, incarnation, &outgoing);
            }
            Request::Created { room, rules, done } => self.on_created(room, *rules, done),
            // Whoever asked may have gone: an answer without a reader is dropped.
            Request::Room { room, answer } => drop(answer.send(self.room(&room))),
            Request::Rooms { after, limit, answer } => {
                let rooms = self.cluster.rooms().filter(|room| room.as_ref() > after.as_str());
                let rooms = rooms.take(limit).filter_map(|room| self.room(room)).collect();
                drop(answer.send(rooms));
            }
            Request::Nodes { answer } => drop(answer.send((self.all_nodes(), self.brake()))),
            Request::ReleaseBrake { answer } => {
                let held = self.cluster.nodes_held();
                self.step(Event::ReleaseBrake);
                answer.send(held).unwrap_or_default();
            }
            Request::Move { room, to, answer } => {
                drop(answer.send(self.move_room(room, to.as_ref())));
            }
            Request::Drain { node, draining, answer } => {
                let known = self.drain(&node, draining);
                // Whoever asked may have gone.
                answer.send(known).unwrap_or_default();
            }
            Request::Command { room, kind, answer } => self.command(&room, kind, answer),
        }
    }

    fn step(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.wake_at = self.cluster.step(event, self.clock.now(), &mut actions);
        for action in actions {
            match action {
                Action::Persist { room, expected, owner, epoch } => {
                    self.waiting.push_back(Persist { room, expected, owner, epoch });
                }
                Action::Publish { room } => self.publish(&room),
                Action::Tell { node, room } => self.tell(&node, &room),
                Action::Supersede { node, incarnation, by } => {
                    self.supersede(&node, incarnation, by);
                }
                Action::Forget { node } => self.forget(&node),
                Action::BrakeOn { lapses, of } => {
                    tracing::warn!(
                        lapses,
                        of,
                        "so many nodes are silent that all keep their rooms"
                    );
                }
                Action::BrakeOff { lapses } => {
                    tracing::warn!(lapses, "rooms of silent nodes go to others again");
                }
                Action::Prepare { room, node, from, epoch } => {
                    self.state.moves.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(room.id = %room, %from, to = %node, "a room moves");
                    self.prepare(&room, &node, &from, epoch);
                }
            }
        }
    }

    /// Stores an assignment; what comes of it is the machine's next event.
    fn persist(&self, Persist { room, expected, owner, epoch }: Persist) {
        let (term, fenced) = (self.term, Arc::clone(&self.fenced));
        let (store, state) = (Arc::clone(&self.store), Arc::clone(&self.state));
        let span = tracing::info_span!("cluster.place", room.id = %room, node.id = %owner,
            epoch = epoch.get());
        let persist = async move {
            match store.assign(term, &room, expected, Some(&owner), epoch).await {
                Ok(Assigned::Done) => {
                    state.assignments.fetch_add(1, Ordering::Relaxed);
                    Event::Persisted { room, owner, epoch }
                }
                Ok(Assigned::Conflict { epoch }) => Event::Conflict { room, epoch },
                Ok(Assigned::UnknownRoom) => {
                    tracing::warn!(room.id = %room, "the store no longer knows this room");
                    Event::PersistFailed { room }
                }
                Err(StoreError::Fenced { by }) => {
                    tracing::warn!(room.id = %room, %by, "a later leader has begun");
                    fenced.notify_one();
                    Event::PersistFailed { room }
                }
                Err(error) => {
                    tracing::debug!(%error, room.id = %room, "not stored; trying again");
                    Event::PersistFailed { room }
                }
            }
        };
        self.persists.push(tracing::Instrument::instrument(persist, span).boxed());
    }

    fn on_created(&mut self, room: RoomId, rules: AuctionRules, done: oneshot::Sender<()>) {
        if self.rules.contains_key(&room) {
            return done.send(()).unwrap_or_default();
        }
        self.rules.insert(room.clone(), rules);
        if self.cluster.has_nodes() {
            self.told.insert(room.clone(), done);
        } else {
            done.send(()).unwrap_or_default();
        }
        self.step(Event::Room { room: room.clone(), owner: None, epoch: Epoch::default() });
        // Nodes may have asked for it before it was there.
        self.appeared(&room);
    }

    fn move_room(
        &mut self,
        room: RoomId,
        to: Option<&NodeId>,
    ) -> Result<oneshot::Receiver<()>, MoveRefused> {
        let to = self.cluster.may_move(&room, to)?;
        let (done, receiver) = oneshot::channel();
        self.told.insert(room.clone(), done);
        self.step(Event::Move { room, to: Some(to) });
        Ok(receiver)
    }

    fn brake(&self) -> Option<admin::Brake> {
        let (since, until) = self.cluster.brake()?;
        Some(admin::Brake { since: since.as_millis(), until: until.as_millis() })
    }

    fn room(&self, room: &RoomId) -> Option<admin::Room> {
        let (owner, epoch) = self.cluster.assignment(room)?;
        Some(admin::Room {
            id: room.to_string(),
            rules: self.rules.get(room).cloned().map(Into::into),
            owner: owner.map(NodeId::to_string).unwrap_or_default(),
            epoch: epoch.get(),
            view: None,
            viewers: 0,
        })
    }

    /// Sends a command to the owner of a room; dropping `answer` tells that
    /// there is none.
    fn command(
        &mut self,
        room: &RoomId,
        kind: wire::command::Kind,
        answer: oneshot::Sender<wire::CommandResult>,
    ) {
        self.commands.retain(|_, waiting| !waiting.is_closed());
        let owner = self.cluster.assignment(room).and_then(|(owner, _)| owner);
        let Some(line) = owner.and_then(|owner| self.nodes.get(owner)) else { return };
        if self.commands.len() >= COMMANDS_MAX {
            return;
        }
        let command_id = self.next_command;
        self.next_command += 1;
        let command = wire::Command { command_id, room_id: room.to_string(), kind: Some(kind) };
        if line.send(Down::Command(command)) {
            self.commands.insert(command_id, answer);
        }
    }
}
