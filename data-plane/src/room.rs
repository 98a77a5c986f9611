//! A room on this node: one task that owns the room's [`Hub`] and either
//! decides its bids (owner) or passes them on (edge).
//!
//! ```text
//! Input -> Room::on -> role (Owner | Edge | Resolving) -> Hub -> sockets
//!             ^-- work: one store call at a time, its outcome is the next event
//! ```

use crate::{
    auth::Identity,
    close::CloseCode,
    codec::json::{self, ClientError, Dialect, ErrorCode},
    node::Shell,
    seats::Seats,
    socket::Socket,
};
use gavel_flags::own::Whom;
use gavel_proto::relay::v1 as wire;
use gavel_rules::{
    auction::{
        AuctionRules, Bid, CommandError, GuestAccess, RejectReason, Rejected, Verdict, View,
    },
    id::{NodeId, RoomId, SessionId, UserId},
    order::{Epoch, Generation, Position},
    time::{Millis, Timestamp},
};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};
use tokio::sync::{mpsc, oneshot};

mod degraded;
mod deputy;
mod edge;
mod fresh;
mod handoff;
mod hub;
mod load;
mod owner;
mod recent;
mod registry;
pub(crate) mod relay;
mod replay;
mod resolve;
mod resume;
mod shed;
mod tail;
mod task;

pub(crate) use load::RoomLoad;
pub(crate) use registry::Rooms;

/// A socket as rooms see it.
#[derive(Debug)]
pub(crate) struct Member {
    /// Where to send.
    pub socket: Arc<Socket>,
    /// Which session it is.
    pub session: SessionId,
    /// For whom it was opened; who says later who it is goes by the same flags.
    pub opened_for: UserId,
    /// How it writes amounts.
    pub dialect: Dialect,
    /// Rooms that refused the socket, for its session to hear of.
    pub refused_by: Mutex<Vec<RoomId>>,
    /// Times that it was refused something over a limit, for the same.
    pub refusals: AtomicU32,
    /// Its session is to look whether it is over.
    pub woken: AtomicBool,
    /// The counted places that it holds.
    pub seats: Mutex<Seats>,
}

/// What may happen to a room.
#[derive(Debug)]
pub(crate) enum Input {
    /// A socket enters.
    Join {
        /// The socket.
        member: Arc<Member>,
        /// For whom.
        identity: Identity,
        /// What it knows, if it comes back.
        since: Option<Position>,
    },
    /// A socket leaves.
    Leave(SessionId),
    /// A bid.
    Ask(Ask),
    /// Control tells who owns the room.
    Assigned(Assignment),
    /// The room is about to move here.
    Prepare {
        /// What will be.
        next: Assignment,
        /// Who owns it until then.
        from: NodeId,
        /// Where that node's relay listens.
        from_relay_url: String,
    },
    /// The stream to the owner's relay went down or came up.
    Link {
        /// Where the relay listens.
        relay_url: String,
        /// Whether it is down.
        down: bool,
    },
    /// The owner's node says that another one goes on.
    OwnerChanged {
        /// The new owner's epoch.
        epoch: Epoch,
        /// The new owner.
        owner: NodeId,
        /// Where its relay listens.
        relay_url: String,
    },
    /// Control tells that there is no such room.
    Unknown,
    /// The owner's node tells the whole state.
    Snapshot {
        /// The owner's epoch.
        epoch: Epoch,
        /// The history that seq counts in.
        generation: Generation,
        /// The state.
        view: View,
        /// The states before it, as far as they were asked for.
        before: Vec<View>,
    },
    /// The owner's node has told what was missed, and goes on.
    Current,
    /// The owner cannot decide bids, and could not for so long; or it can again.
    Degraded {
        /// For how long it could not; none where it can.
        stale: Option<Millis>,
        /// It can, and refuses late ones.
        slow: bool,
    },
    /// The owner's node tells one event's effect.
    Update {
        /// The owner's epoch.
        epoch: Epoch,
        /// The state after it.
        view: View,
        /// The bids behind it.
        traceparents: Vec<String>,
    },
    /// The owner's node says that it does not own the room.
    NotOwner,
    /// Another node's sockets want the room.
    Attach(Edge),
    /// They no longer do.
    Detach(u64),
    /// The other node's stream broke.
    EdgeLost(u64),
    /// The wish of an operator or an auctioneer.
    Command(Command, Errand),
    /// The store could not be reached since then, and can be now.
    Outage(Timestamp),
    /// Nobody names an owner, and the last run of this node was it.
    Resume,
    /// The store is another server than before, which may lack what that one had.
    StoreChanged,
    /// Flags or limits changed.
    SettingsChanged,
}

/// A bid that wants an answer.
#[derive(Debug)]
pub(crate) struct Ask {
    /// The bid.
    pub bid: Bid,
    /// Whether the bidder came without a token.
    pub guest: bool,
    /// The bidder is over the bid limit for so long.
    pub limited: Option<Millis>,
    /// Where the answer goes.
    pub reply: Reply,
    /// The span of the bid so far.
    pub traceparent: Option<String>,
    /// When it came.
    pub since: Timestamp,
    /// When it was handed to the room that decides it.
    pub queued: Timestamp,
    /// Appends that it took part in without a result.
    pub attempts: u8,
}

/// Where the answer to a bid goes.
#[derive(Debug)]
pub(crate) enum Reply {
    /// To a socket of this node.
    Socket(Arc<Member>),
    /// To a task of this node, with the durability; it is not counted as an answer.
    Task(oneshot::Sender<(Verdict, String)>),
    /// To the node where the socket is.
    Relay {
        /// The stream to it.
        edge: mpsc::Sender<wire::AttachResponse>,
        /// The bid on that stream.
        token: u64,
    },
}

/// Another node with sockets in the room.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    /// The stream's number on this node.
    pub stream: u64,
    /// The stream.
    pub sender: mpsc::Sender<wire::AttachResponse>,
    /// What it asks for and has not been told.
    pub wants: Watch,
}

/// What an edge asks of a room's owner, beside updates from now on; the default
/// asks for the whole state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Watch {
    /// How far the edge or its sockets know the room.
    pub since: Position,
    /// The edge itself knows nothing: it wants the state and what led to it.
    pub whole: bool,
}

/// Who owns a room.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    /// Counts owners.
    pub epoch: Epoch,
    /// The owner; none while no node is there.
    pub owner: Option<NodeId>,
    /// Where its relay listens.
    pub relay_url: String,
    /// How to create the auction, for the owner.
    pub rules: Option<AuctionRules>,
}

/// The wish of an operator or an auctioneer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Refuse bids and stop the clock.
    Pause(String),
    /// Go on.
    Resume,
    /// Close now.
    Close,
    /// Tell the state.
    Inspect,
}

/// Where the answer to a wish goes, and where the wish may.
#[derive(Debug)]
pub(crate) struct Errand {
    /// Takes the answer.
    pub done: oneshot::Sender<CommandDone>,
    /// Whether another node may be asked, where the room is that one's, and waited for.
    pub onward: bool,
    /// When it came.
    pub since: Timestamp,
}

/// What came of a wish.
#[derive(Debug)]
pub(crate) struct CommandDone {
    /// Why not, or nothing.
    pub error: Option<NotDone>,
    /// The state after it.
    pub view: Option<View>,
    /// Viewers on this node.
    pub viewers: usize,
}

/// Why a wish was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotDone {
    /// The auction's state does not allow it.
    #[error("{0}")]
    NotNow(String),
    /// Nobody here can say; it may be done all the same.
    #[error("{0}")]
    Unavailable(String),
}

// === impl NotDone ===

impl NotDone {
    /// Nobody here can say, for this reason.
    pub(crate) fn unavailable(why: &str) -> Self {
        Self::Unavailable(why.to_owned())
    }
}

impl From<CommandError> for NotDone {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Busy => Self::Unavailable(error.to_string()),
            CommandError::NotOpen | CommandError::NotPaused | CommandError::AlreadyClosed => {
                Self::NotNow(error.to_string())
            }
        }
    }
}

/// When to try again what could not be decided now.
const RETRY_AFTER: Millis = Millis::new(500);

// === impl Member ===

impl Member {
    /// Tells the socket that it is not in the room, and why.
    pub(crate) fn refuse(&self, room: &RoomId, error: &ClientError) {
        self.refused_by.lock().push(room.clone());
        self.socket.send_text(&self.error(error));
    }

    /// Notes that the socket was refused something over a limit.
    pub(crate) fn note_refusal(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets the session look whether it is over.
    pub(crate) fn wake(&self) {
        self.woken.store(true, Ordering::Relaxed);
        self.socket.wake();
    }

    /// Closes the socket of a node that leaves; its client is told when to come
    /// back, unless it is one of the seed's.
    pub(crate) fn send_away(&self, after: Millis) {
        if self.dialect == Dialect::V1 {
            self.socket.send_text(&json::reconnect(self.dialect, after, "leaving"));
        }
        self.socket.close(CloseCode::Restart);
    }

    /// The member in a room as flags know it.
    pub(crate) fn whom<'a>(
        &'a self,
        user: &'a UserId,
        room: &'a RoomId,
        node: &'a NodeId,
    ) -> Whom<'a> {
        let session = self.session.as_ref();
        Whom { user: user.as_ref(), room: room.as_ref(), session, node: node.as_ref() }
    }

    /// An error in the member's dialect.
    #[must_use]
    pub(crate) fn error(&self, error: &ClientError) -> String {
        json::error(self.dialect, error)
    }
}

// === impl Ask ===

impl Ask {
    /// Answers the bid; every way to an answer ends here.
    pub(crate) fn answer(self, shell: &Shell, room: &RoomId, verdict: Verdict, durability: &str) {
        match self.reply {
            // Whoever asked may have gone.
            Reply::Task(asker) => drop(asker.send((verdict, durability.to_owned()))),
            Reply::Socket(member) => {
                // Each bid counts once: where its socket is.
                let after = shell.now().since(self.since);
                shell.metrics.bid_answered(&verdict, after);
                let whom = member.whom(&self.bid.bidder, room, &shell.id);
                shell.live.get().trials.bid_answered(whom, &verdict, after);
                member.socket.send_text(&answer_text(&member, room, &verdict, durability));
            }
            Reply::Relay { edge, token } => {
                let answer = wire::BidAnswer {
                    token,
                    verdict: Some(verdict.into()),
                    durability: durability.to_owned(),
                };
                let kind = Some(wire::attach_response::Kind::BidAnswer(answer));
                // A full stream is closed by its room, and the edge then tells
                // its bidder that the outcome is not known.
                drop(edge.try_send(wire::AttachResponse { kind }));
            }
        }
    }

    /// Whether the bid came from another node.
    pub(crate) fn is_relayed(&self) -> bool {
        matches!(self.reply, Reply::Relay { .. })
    }

    /// Answers that the bid could not be decided; whether it was stored may
    /// not be known, and a retry with the same id finds out.
    pub(crate) fn unavailable(self, shell: &Shell, room: &RoomId, view: Option<&View>) {
        let rejected = self.rejected(RejectReason::Unavailable, view, shell.now());
        let rejected = Rejected { retry_after: Some(RETRY_AFTER), ..rejected };
        self.answer(shell, room, Verdict::Rejected(rejected), "");
    }

    /// The answer that needs no auction, if there is one.
    pub(crate) fn refusal(&self, view: &View, now: Timestamp) -> Option<Rejected> {
        if self.limited.is_some() {
            return Some(self.rejected(RejectReason::RateLimited, Some(view), now));
        }
        let forbidden = self.guest && view.guests != GuestAccess::Bid;
        forbidden.then(|| self.rejected(RejectReason::Forbidden, Some(view), now))
    }

    /// A refusal for a reason outside the auction's rules.
    pub(crate) fn rejected(
        &self,
        reason: RejectReason,
        view: Option<&View>,
        at: Timestamp,
    ) -> Rejected {
        Rejected {
            bid_id: self.bid.bid_id.clone(),
            reason,
            current: view.map(|view| view.price).unwrap_or_default(),
            minimum: view.map(|view| view.minimum).unwrap_or_default(),
            seq: view.map(|view| view.seq).unwrap_or_default(),
            at,
            retry_after: self.limited,
        }
    }
}

/// The text that tells a socket the answer to its bid. What could not be
/// decided is an error, not a rejection: the bid may yet turn out stored.
fn answer_text(member: &Member, room: &RoomId, verdict: &Verdict, durability: &str) -> String {
    match verdict {
        Verdict::Accepted(bid) => json::accepted(member.dialect, room, bid, durability),
        Verdict::Rejected(bid) if bid.reason == RejectReason::Unavailable => {
            let error = ClientError::new(ErrorCode::Unavailable, "the room cannot decide just now")
                .in_room(room)
                .of_bid(Some(&bid.bid_id))
                .retry_after(bid.retry_after.unwrap_or(RETRY_AFTER).get());
            member.error(&error)
        }
        Verdict::Rejected(bid) if bid.reason == RejectReason::UnknownRoom => {
            let error = unknown_room(room).of_bid(Some(&bid.bid_id));
            member.error(&error)
        }
        Verdict::Rejected(bid) => json::rejected(member.dialect, room, bid),
    }
}

fn unknown_room(room: &RoomId) -> ClientError {
    ClientError::new(ErrorCode::UnknownRoom, "there is no such auction").in_room(room)
}
