//! Between nodes: an edge attaches to an owner, sends its sockets' bids up
//! and gets updates down. [`Link`] is the edge's end, [`serve`] the owner's.

use super::{Ask, Command, CommandDone, Input, Reply, Watch};
use crate::node::Shell;
use gavel_proto::{
    convert::RelayedBid,
    relay::v1::{
        self as wire, attach_request::Kind as Up, relay_service_client::RelayServiceClient,
    },
};
use gavel_rules::id::{NodeId, RoomId};
use gavel_runtime::{backoff::Backoff, grpc, telemetry};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

mod command;
mod down;
pub(crate) mod serve;

/// Messages that may wait for the owner's node.
const QUEUE_MAX: usize = 4096;
/// Bids of this node that may be under way on one link.
const PENDING_MAX: usize = 16_384;
/// Commands of this node that may wait for answers on one link.
const COMMANDS_MAX: usize = 1_024;
/// Streams that a bid may be lost with; then its bidder has to try again.
const ATTEMPTS_MAX: u8 = 3;
/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Between two heartbeats to an owner.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Heartbeats that an owner may leave unanswered until it counts as out of reach.
const UNANSWERED_MAX: u32 = 2;

/// The links of a node to other nodes, by their relay's URL.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: Mutex<HashMap<String, Arc<Link>>>,
}

/// The edge's end of a stream to one owner. It reconnects by itself and then
/// watches its rooms anew, which brings their snapshots.
#[derive(Debug)]
pub(crate) struct Link {
    owner: NodeId,
    url: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The rooms that watch, with what they asked for when they began to.
    watched: HashMap<RoomId, Watch>,
    pending: HashMap<u64, (RoomId, Ask)>,
    next_token: u64,
    /// Commands that wait for their answers, with who waits.
    commands: HashMap<u64, oneshot::Sender<CommandDone>>,
    /// The last stream broke, or could not be opened.
    down: bool,
    /// Bids and commands that wait for the first stream.
    waiting: Vec<Up>,
    /// The open stream, if there is one.
    stream: Option<mpsc::Sender<wire::AttachRequest>>,
    /// Heartbeats since the last that was answered.
    unanswered: u32,
}

// === impl Links ===

impl Links {
    /// The link to a node, opened if need be, with a room that watches through
    /// it: from then on it stays.
    pub(crate) fn watch(
        &self,
        shell: &Arc<Shell>,
        owner: &NodeId,
        url: &str,
        room: &RoomId,
        wants: Watch,
    ) -> Arc<Link> {
        let mut links = self.links.lock();
        let link = links.entry(url.to_owned()).or_insert_with(|| {
            let (owner, url) = (owner.clone(), url.to_owned());
            let link = Arc::new(Link { owner, url, state: Mutex::default() });
            drop(shell.tasks.spawn("relay.link", run(Arc::clone(shell), Arc::clone(&link))));
            link
        });
        link.watch(room, wants);
        Arc::clone(link)
    }

    /// How many there are, and how many of them lead to nodes out of reach.
    pub(crate) fn count(&self) -> (usize, usize) {
        let links = self.links.lock();
        (links.len(), links.values().filter(|link| link.is_down()).count())
    }

    /// Whether the node of this relay is known to be out of reach.
    pub(crate) fn is_down(&self, url: &str) -> bool {
        self.links.lock().get(url).is_some_and(|link| link.is_down())
    }

    /// Forgets a link that no room watches; false if one does.
    fn retire(&self, link: &Link) -> bool {
        let mut links = self.links.lock();
        let idle = link.state.lock().watched.is_empty();
        if idle {
            links.remove(&link.url);
        }
        idle
    }
}

// === impl Link ===

impl Link {
    /// Where the owner's relay listens.
    #[must_use]
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether the owner is out of reach.
    pub(crate) fn is_down(&self) -> bool {
        self.state.lock().down
    }

    /// Asks for what a room wants, and for updates.
    pub(crate) fn watch(&self, room: &RoomId, wants: Watch) {
        let mut state = self.state.lock();
        state.watched.insert(room.clone(), wants);
        state.send(watch(room, wants));
    }

    /// Ends it.
    pub(crate) fn unwatch(&self, room: &RoomId) {
        let mut state = self.state.lock();
        state.watched.remove(room);
        state.send(Up::Unwatch(wire::Unwatch { room_id: room.to_string() }));
    }

    /// Sends a bid to the owner; the answer finds its socket by itself.
    pub(crate) fn place(&self, shell: &Shell, room: &RoomId, ask: Ask) {
        let refused = {
            let mut state = self.state.lock();
            let token = state.next_token;
            state.next_token += 1;
            let relayed = RelayedBid {
                token,
                room: room.clone(),
                bid: ask.bid.clone(),
                guest: ask.guest,
                limited: ask.limited,
                traceparent: ask.traceparent.clone().unwrap_or_default(),
            };
            if state.pending.len() < PENDING_MAX && state.pass_on(Up::PlaceBid(relayed.into())) {
                state.pending.insert(token, (room.clone(), ask));
                None
            } else {
                Some(ask)
            }
        };
        if let Some(ask) = refused {
            ask.unavailable(shell, room, None);
        }
    }

    /// Sends a command to the owner. Where no answer can come, whoever waits for it sees its end.
    pub(crate) fn command(
        &self,
        room: &RoomId,
        command: Command,
        done: oneshot::Sender<CommandDone>,
    ) {
        let mut state = self.state.lock();
        let token = state.next_token;
        state.next_token += 1;
        let Some(up) = command::up(token, room, command) else { return };
        if state.commands.len() < COMMANDS_MAX && state.pass_on(up) {
            state.commands.insert(token, done);
        }
    }

    /// Notes that the stream is up or down, and tells the rooms that watch. Bids
    /// whose answers can no longer come go back to their rooms, which decide
    /// them in the owner's place or send them anew: by its id each is settled.
    async fn turn(&self, shell: &Arc<Shell>, down: bool) {
        let (rooms, asks) = {
            let mut state = self.state.lock();
            let changed = std::mem::replace(&mut state.down, down) != down;
            let rooms: Vec<RoomId> =
                if changed { state.watched.keys().cloned().collect() } else { Vec::new() };
            if down {
                state.commands.clear();
            }
            let asks = if down { std::mem::take(&mut state.pending) } else { HashMap::new() };
            (rooms, asks)
        };
        for room in rooms {
            let relay_url = self.url.clone();
            shell.rooms.deliver(&room, Input::Link { relay_url, down }).await;
        }
        for (_, (room, mut ask)) in asks {
            ask.attempts += 1;
            if ask.attempts < ATTEMPTS_MAX {
                shell.rooms.deliver(&room, Input::Ask(ask)).await;
            } else {
                ask.unavailable(shell, &room, None);
            }
        }
    }

    /// Gives up what waits for answers, since this node stops. Who relayed a bid
    /// sees its stream end, and has it decided elsewhere.
    fn drop_pending(&self, shell: &Shell) {
        let pending = std::mem::take(&mut self.state.lock().pending);
        for (room, ask) in pending.into_values() {
            if !ask.is_relayed() {
                ask.unavailable(shell, &room, None);
            }
        }
    }

    /// Answers the bids that have waited for too long.
    fn abandon_overdue(&self, shell: &Shell) {
        let now = shell.now();
        let wait = u64::try_from(ANSWER_WAIT.as_millis()).unwrap_or(u64::MAX);
        let lost: Vec<(RoomId, Ask)> = {
            let mut state = self.state.lock();
            state.commands.retain(|_, done| !done.is_closed());
            let overdue = |ask: &Ask| now.since(ask.since).get() >= wait;
            let pending = state.pending.iter();
            let lost: Vec<u64> =
                pending.filter(|(_, (_, ask))| overdue(ask)).map(|(token, _)| *token).collect();
            lost.iter().filter_map(|token| state.pending.remove(token)).collect()
        };
        for (room, ask) in lost {
            ask.unavailable(shell, &room, None);
        }
    }
}

// === impl State ===

impl State {
    /// Sends a bid or a command, or keeps it until the stream is open; a stream that cannot be
    /// opened gives it back within the time of one try.
    fn pass_on(&mut self, kind: Up) -> bool {
        if self.stream.is_some() {
            return self.send(kind);
        }
        let kept = self.waiting.len() < QUEUE_MAX;
        if kept {
            self.waiting.push(kind);
        }
        kept
    }

    /// Queues a message; false if there is no stream or it is full.
    fn send(&self, kind: Up) -> bool {
        let message = wire::AttachRequest { kind: Some(kind) };
        self.stream.as_ref().is_some_and(|stream| stream.try_send(message).is_ok())
    }
}

fn watch(room: &RoomId, Watch { since, whole }: Watch) -> Up {
    let (generation, seq) = (since.generation.get(), since.seq.get());
    Up::Watch(wire::Watch { room_id: room.to_string(), generation, seq, whole })
}

/// How a stream ended that did not break.
enum Ended {
    /// No room watches through it.
    Idle,
    /// The owner's node ended it.
    ByOwner,
    /// This node stops.
    Stopped,
}

/// Keeps a link open for as long as a room watches through it.
async fn run(shell: Arc<Shell>, link: Arc<Link>) {
    let mut backoff = Backoff::standard();
    loop {
        let span = tracing::info_span!("relay.attach", node.id = %link.owner);
        let ended = attach(&shell, &link, &mut backoff).await;
        {
            let mut state = link.state.lock();
            state.stream = None;
            state.waiting.clear();
        }
        match ended {
            Ok(Ended::Stopped) => return link.drop_pending(&shell),
            Ok(Ended::Idle) => {}
            Ok(Ended::ByOwner) => link.turn(&shell, true).await,
            Err(error) => {
                span.in_scope(|| tracing::info!(%error, owner = %link.owner, "relay is down"));
                link.turn(&shell, true).await;
            }
        }
        if shell.links.retire(&link) {
            return;
        }
        shell.metrics.relay_reconnected();
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = shell.stop.cancelled() => return,
        }
    }
}

/// Opens the stream, watches the rooms, and takes what comes until it ends.
async fn attach(
    shell: &Arc<Shell>,
    link: &Arc<Link>,
    backoff: &mut Backoff,
) -> Result<Ended, anyhow::Error> {
    let channel = grpc::channel_to_node(&link.url, &shell.tls, link.owner.as_ref())?;
    let mut client = RelayServiceClient::new(channel);
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let hello = Up::Hello(wire::Hello { node_id: shell.id.to_string() });
    sender.try_send(wire::AttachRequest { kind: Some(hello) })?;
    let answer = client.attach(ReceiverStream::new(receiver)).await?;
    let mut stream = answer.into_inner();
    {
        let mut state = link.state.lock();
        (state.stream, state.unanswered) = (Some(sender), 0);
        for (room, wants) in &state.watched {
            state.send(watch(room, *wants));
        }
        for kind in std::mem::take(&mut state.waiting) {
            // One that finds no place is answered when its time is over.
            state.send(kind);
        }
    }
    link.turn(shell, false).await;
    backoff.reset();
    let mut tick = tokio::time::interval(ANSWER_WAIT / 4);
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    loop {
        tokio::select! {
            message = stream.message() => match message? {
                Some(message) => down::take(shell, link, message).await,
                None => return Ok(Ended::ByOwner),
            },
            _ = tick.tick() => {
                link.abandon_overdue(shell);
                let state = link.state.lock();
                if state.watched.is_empty() && state.pending.is_empty() {
                    return Ok(Ended::Idle);
                }
            }
            _ = heartbeat.tick() => {
                let mut state = link.state.lock();
                anyhow::ensure!(state.unanswered < UNANSWERED_MAX, "it does not answer heartbeats");
                state.unanswered += 1;
                state.send(Up::Heartbeat(wire::Heartbeat {}));
            }
            () = shell.stop.cancelled() => return Ok(Ended::Stopped),
        }
    }
}
