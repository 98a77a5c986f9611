//! Membership: register, heartbeat, interest up; assignments and commands down.

use super::load::Meter;
use crate::{
    node::Shell,
    room::{Assignment, Command, CommandDone, Errand, Input, NotDone},
};
use anyhow::Context as _;
use gavel_proto::convert::{AssignedRoom, ConvertError, HeldRoom, PreparedRoom};
use gavel_proto::fleet::v1::{
    self as wire, fleet_service_client::FleetServiceClient, session_request::Kind as Up,
    session_response::Kind as Down,
};
use gavel_rules::id::RoomId;
use gavel_runtime::{backoff::Backoff, clock, grpc};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Messages that may wait for the control plane.
const QUEUE_MAX: usize = 1024;
/// How long a command may take in its room.
const COMMAND_WAIT: Duration = Duration::from_secs(2);
/// How long the first answer may take. Short, since a replica that does not
/// know better may send us back to a leader that stands still.
const FIRST_ANSWER_WAIT: Duration = Duration::from_secs(1);
/// A leader that stands still keeps its connections, so silence must end them.
const SILENT: &str = "it has fallen silent";
/// Redirects followed at once; where replicas still point at each other after
/// so many, the node waits until they agree.
const REDIRECTS_MAX: u32 = 3;

/// How a session ended that did not break.
enum Ended {
    /// The control plane had nothing more to say.
    Plainly,
    /// Another replica leads.
    Redirected { endpoint: String, term: u64 },
}

/// Keeps the node a member.
pub(super) async fn run(shell: Arc<Shell>) {
    let mut backoff = backoff();
    let (mut redirects, mut meter) = (0, Meter::default());
    let mut turn = shell.control.endpoints.turn();
    loop {
        let endpoint = shell.control.endpoints.leader_or_any(&mut turn);
        let session = session(&shell, &endpoint, &mut redirects, &mut meter, &mut backoff);
        let ended = shell.stop.run_until_cancelled(session).await;
        shell.control.lost();
        let followed = match ended {
            None => return,
            Some(Ok(Ended::Redirected { endpoint, term })) => {
                tracing::info!(endpoint, term, "another replica of the control plane leads");
                redirects += 1;
                shell.control.endpoints.follow(endpoint, term) && redirects <= REDIRECTS_MAX
            }
            Some(Ok(Ended::Plainly)) => {
                tracing::info!(endpoint, "the control plane ended the session");
                false
            }
            Some(Err(error)) => {
                tracing::info!(endpoint, %error, "the control plane cannot be reached");
                false
            }
        };
        if followed {
            continue;
        }
        shell.control.endpoints.lost(&endpoint);
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = shell.stop.cancelled() => return,
        }
    }
}

/// Shorter than a lease: a leader that has just begun waits no longer for the
/// owners of rooms.
fn backoff() -> Backoff {
    let (first, longest) = (Duration::from_millis(50), Duration::from_secs(1));
    Backoff::try_new(first, longest).unwrap_or_else(|_| Backoff::standard())
}

async fn session(
    shell: &Arc<Shell>,
    endpoint: &str,
    redirects: &mut u32,
    meter: &mut Meter,
    backoff: &mut Backoff,
) -> anyhow::Result<Ended> {
    let mut client = FleetServiceClient::new(grpc::channel(endpoint, &shell.tls)?);
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    sender.try_send(message(Up::Register(register(shell))))?;
    let opened =
        tokio::time::timeout(FIRST_ANSWER_WAIT, client.session(ReceiverStream::new(receiver)));
    let mut stream = opened.await.context(SILENT)??.into_inner();
    let mut heartbeat = tokio::time::interval(Duration::from_secs(1));
    let (mut silence_max, mut heard_at) = (FIRST_ANSWER_WAIT, clock::monotonic());
    loop {
        tokio::select! {
            message = hear(&mut stream, &mut heard_at, silence_max) => match message? {
                Some(Down::Welcome(welcome)) => {
                    // A leader that takes over waits for us for one lease.
                    let lease_ms = welcome.lease_ms.clamp(200, 60_000);
                    silence_max = Duration::from_millis(lease_ms * 2 / 3);
                    backoff.reset();
                    *redirects = 0;
                    shell.control.heard();
                    shell.peers.begin();
                    let every = welcome.heartbeat_ms.clamp(50, 60_000);
                    heartbeat = tokio::time::interval(Duration::from_millis(every));
                    shell.control.start_over();
                }
                Some(Down::Assignments(assignments)) => assign(shell, assignments).await,
                Some(Down::Prepare(prepare)) => prepare_for(shell, prepare),
                Some(Down::Drain(drain)) => shell.control.drain(drain.draining),
                Some(Down::Command(command)) => obey(shell, command, sender.clone()),
                Some(Down::Superseded(superseded)) => {
                    tracing::error!(incarnation = superseded.incarnation,
                        "another process runs under this node's id");
                    return Ok(Ended::Plainly);
                }
                Some(Down::Redirect(wire::Redirect { endpoint, term })) => {
                    return Ok(Ended::Redirected { endpoint, term });
                }
                Some(Down::Peers(peers)) => shell.peers.told(peers),
                Some(Down::Alive(_)) => {}
                None => return Ok(Ended::Plainly),
            },
            _ = heartbeat.tick() => sender.send(message(Up::Heartbeat(beat(shell, meter)))).await?,
            () = shell.control.changed.notified() => {
                for message in changes(shell, meter) {
                    sender.send(message).await?;
                }
            }
        }
    }
}

/// The next message; none at the end of the stream.
async fn hear(
    stream: &mut Streaming<wire::SessionResponse>,
    heard_at: &mut Instant,
    silence_max: Duration,
) -> anyhow::Result<Option<Down>> {
    let deadline = *heard_at + silence_max;
    let message = tokio::time::timeout_at(deadline.into(), stream.message()).await;
    *heard_at = clock::monotonic();
    Ok(message.context(SILENT)??.and_then(|message| message.kind))
}

/// What the node has to say without being asked. The steps of a move must come
/// before what follows from them.
fn changes(shell: &Shell, meter: &mut Meter) -> Vec<wire::SessionRequest> {
    let steps = shell.control.take_moved().into_iter();
    let mut messages: Vec<_> = steps.map(|moved| message(Up::MoveStep(moved.into()))).collect();
    for (room, epoch) in shell.control.take_refused() {
        let (room_id, epoch) = (room.to_string(), epoch.get());
        messages.push(message(Up::ClaimRefused(wire::ClaimRefused { room_id, epoch })));
    }
    let (added, removed) = shell.control.take_changes();
    if !(added.is_empty() && removed.is_empty()) {
        let text = |rooms: Vec<RoomId>| rooms.iter().map(RoomId::to_string).collect();
        let interest = wire::Interest { add: text(added), remove: text(removed) };
        messages.push(message(Up::Interest(interest)));
    }
    if shell.control.take_drain_changed() {
        messages.push(message(Up::Heartbeat(beat(shell, meter))));
    }
    messages
}

fn message(kind: Up) -> wire::SessionRequest {
    wire::SessionRequest { kind: Some(kind) }
}

fn register(shell: &Shell) -> wire::Register {
    wire::Register {
        node_id: shell.id.to_string(),
        incarnation: shell.incarnation.get(),
        relay_url: shell.config.relay.advertise.clone(),
        public_url: shell.config.http.public_url.clone(),
        zone: shell.config.node.zone.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        weight: 100,
        held: shell
            .rooms
            .owned()
            .into_iter()
            .map(|(room, epoch)| HeldRoom { room, epoch }.into())
            .collect(),
    }
}

fn beat(shell: &Shell, meter: &mut Meter) -> wire::Heartbeat {
    let sockets = shell.admission.sockets();
    let rooms = u64::try_from(shell.rooms.owned().len()).unwrap_or(u64::MAX);
    let settings = shell.live.get();
    let (load_ppm, busiest) = meter.look(shell);
    wire::Heartbeat {
        sockets: sockets.into(),
        rooms,
        limits_version: settings.limits_version.get(),
        flags_version: settings.flags_version.get(),
        denials_version: settings.denials_version.get(),
        load_ppm,
        busiest,
        draining: shell.control.is_draining(),
    }
}

/// Hands each assignment to its room; a room that this node is to own starts.
async fn assign(shell: &Arc<Shell>, assignments: wire::Assignments) {
    for assigned in assignments.assigned {
        match assignment(assigned) {
            Ok((room, assignment)) if assignment.owner.as_ref() == Some(&shell.id) => {
                if shell.rooms.send(shell, &room, Input::Assigned(assignment)).is_err() {
                    tracing::warn!(room.id = %room, "no place for an assigned room");
                }
            }
            Ok((room, assignment)) => {
                shell.rooms.deliver(&room, Input::Assigned(assignment)).await;
            }
            Err(error) => tracing::warn!(%error, "an assignment makes no sense"),
        }
    }
    for room in assignments.unknown {
        if let Ok(room) = room.parse() {
            shell.rooms.deliver(&room, Input::Unknown).await;
        }
    }
}

/// Gets a room ready that is about to move here.
fn prepare_for(shell: &Arc<Shell>, prepare: wire::Prepare) {
    let PreparedRoom { next, from, from_relay_url } = match prepare.try_into() {
        Ok(prepared) => prepared,
        Err(error) => return tracing::warn!(%error, "a room to prepare makes no sense"),
    };
    let AssignedRoom { room, epoch, owner, relay_url, rules } = next;
    let next = Assignment { epoch, owner, relay_url, rules };
    if shell.rooms.send(shell, &room, Input::Prepare { next, from, from_relay_url }).is_err() {
        tracing::warn!(room.id = %room, "no place for a room that is to move here");
    }
}

fn assignment(assigned: wire::Assignment) -> Result<(RoomId, Assignment), ConvertError> {
    let AssignedRoom { room, epoch, owner, relay_url, rules } = assigned.try_into()?;
    Ok((room, Assignment { epoch, owner, relay_url, rules }))
}

/// Hands a command to its room and brings back the result.
fn obey(shell: &Arc<Shell>, command: wire::Command, results: mpsc::Sender<wire::SessionRequest>) {
    let shell = Arc::clone(shell);
    drop(gavel_runtime::tasks::spawn("control.command", async move {
        let command_id = command.command_id;
        let done = carry_out(&shell, command).await;
        let result = wire::CommandResult {
            command_id,
            error: done.error.map(|error| error.to_string()).unwrap_or_default(),
            view: done.view.map(Into::into),
            viewers: u64::try_from(done.viewers).unwrap_or(u64::MAX),
        };
        // Without a session the result has nobody to go to.
        drop(results.send(message(Up::CommandResult(result))).await);
    }));
}

async fn carry_out(shell: &Arc<Shell>, command: wire::Command) -> CommandDone {
    let refuse = |why: &str| {
        let error = Some(NotDone::unavailable(why));
        CommandDone { error, view: None, viewers: 0 }
    };
    let (Ok(room), Some(kind)) = (command.room_id.parse::<RoomId>(), command.kind) else {
        return refuse("the command makes no sense");
    };
    let command = match kind {
        wire::command::Kind::Pause(pause) => Command::Pause(pause.reason),
        wire::command::Kind::Resume(_) => Command::Resume,
        wire::command::Kind::Close(_) => Command::Close,
        wire::command::Kind::Inspect(_) => Command::Inspect,
    };
    let (done, receiver) = oneshot::channel();
    // Control knows whose room it is: if this is not the owner, it will ask again.
    let errand = Errand { done, onward: false, since: shell.now() };
    if shell.rooms.send(shell, &room, Input::Command(command, errand)).is_err() {
        return refuse("the room takes no more just now");
    }
    match tokio::time::timeout(COMMAND_WAIT, receiver).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) | Err(_) => refuse("the room did not answer in time"),
    }
}
