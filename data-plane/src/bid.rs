//! A bid between its socket and its room: who bids, and whether the bid limit
//! allows it. The limit is counted in the store, over all nodes.

use crate::{
    auth::Identity,
    codec::json::{ClientError, ErrorCode},
    flags,
    limit::{Action, Exceeded},
    node::Shell,
    room::{Ask, Input, Member, Reply},
    session::PlacedBid,
    settings::Settings,
    store::{StoreError, Take},
};
use gavel_rules::{
    auction::{Bid, RejectReason, Verdict},
    id::{BidId, RoomId},
    time::{Millis, Timestamp},
};
use gavel_runtime::{tasks, telemetry};
use std::sync::Arc;
use tokio::sync::oneshot;
use tracing::Instrument;

/// A bid and who makes it.
struct Bidding {
    shell: Arc<Shell>,
    member: Arc<Member>,
    identity: Identity,
    room: RoomId,
    placed: PlacedBid,
    settings: Arc<Settings>,
    since: Timestamp,
}

/// Sends a bid to its room; the answer goes to the member's socket.
pub(crate) fn place(
    shell: &Arc<Shell>,
    member: &Arc<Member>,
    identity: Identity,
    room: RoomId,
    placed: PlacedBid,
) {
    let span = tracing::info_span!("socket.message", room.id = %room,
        session.id = %member.session, bid.id = %placed.bid_id);
    let led = placed.traceparent.as_deref().is_some_and(|of| telemetry::parent_of(&span, of));
    if !led && !begins_trace(shell, &room) {
        telemetry::unsampled(&span);
    }
    let bidding = Bidding {
        shell: Arc::clone(shell),
        member: Arc::clone(member),
        identity,
        room,
        placed,
        settings: shell.live.get(),
        since: shell.now(),
    };
    let Ok(permit) = Arc::clone(&shell.bids_under_way).try_acquire_owned() else {
        return bidding.refuse();
    };
    let task = async move {
        bidding.admit().await;
        drop(permit);
    };
    drop(tasks::spawn("bid", task.instrument(span)));
}

/// Whether a bid that belongs to no trace of its client may begin one.
fn begins_trace(shell: &Shell, room: &RoomId) -> bool {
    let share = flags::trace_sampling(&shell.live.get().flags, room, &shell.id);
    share >= 1.0 || rand::random::<f64>() < share
}

// === impl Bidding ===

impl Bidding {
    /// Counts the bid and hands it to its room.
    async fn admit(self) {
        let named = Some((&self.room, &self.placed.bid_id));
        match self.take(named).await {
            Ok(Take::Taken) => self.send(None),
            Ok(Take::Refused { retry_after }) => self.exceed(retry_after),
            Ok(Take::Known) => self.admit_again().await,
            Err(error) => self.fail(&error),
        }
    }

    /// Admits a bid whose id has counted within the window. If it was accepted
    /// then, this is its retry, which costs nothing; only the owner knows. If
    /// not, it is a new bid and counts as one, or the id of a rejected bid
    /// would be good for any number of others.
    async fn admit_again(self) {
        let (sender, receiver) = oneshot::channel();
        let ask = self.ask(Some(Millis::new(0)), Reply::Task(sender));
        if self.shell.rooms.send(&self.shell, &self.room, Input::Ask(ask)).is_err() {
            return self.refuse();
        }
        let Ok((verdict, durability)) = receiver.await else { return self.refuse() };
        let unknown =
            matches!(&verdict, Verdict::Rejected(bid) if bid.reason == RejectReason::RateLimited);
        if !unknown {
            let ask = self.ask(None, Reply::Socket(Arc::clone(&self.member)));
            return ask.answer(&self.shell, &self.room, verdict, &durability);
        }
        match self.take(None).await {
            Ok(Take::Taken | Take::Known) => self.send(None),
            Ok(Take::Refused { retry_after }) => self.exceed(retry_after),
            Err(error) => self.fail(&error),
        }
    }

    /// Does with a bid over the limit what the settings say. One that is refused goes to its room
    /// all the same, which knows whether it is the retry of an accepted bid.
    fn exceed(&self, retry_after: Millis) {
        let limits = &self.settings.limits;
        let user = &self.identity.user;
        match self.shell.turn_away(limits, Exceeded::BidsPerUser, user, retry_after) {
            Ok(()) => self.send(None),
            Err(turned) if turned.action == Action::Refuse => {
                self.member.note_refusal();
                self.send(Some(retry_after));
            }
            Err(turned) => {
                let error = turned.error().in_room(&self.room).of_bid(Some(&self.placed.bid_id));
                self.member.turn_away(&error, turned);
            }
        }
    }

    async fn take(&self, bid: Option<(&RoomId, &BidId)>) -> Result<Take, StoreError> {
        let limits = &self.settings.limits;
        match limits.bids_per_user_max {
            0 => Ok(Take::Taken),
            max => {
                let store = &self.shell.store;
                store.take_bid(&self.identity.user, bid, max, limits.bids_window).await
            }
        }
    }

    /// Lets the room decide; one over the limit only finds out whether it is
    /// the retry of an accepted bid.
    fn send(&self, limited: Option<Millis>) {
        let ask = self.ask(limited, Reply::Socket(Arc::clone(&self.member)));
        if self.shell.rooms.send(&self.shell, &self.room, Input::Ask(ask)).is_err() {
            self.refuse();
        }
    }

    fn ask(&self, limited: Option<Millis>, reply: Reply) -> Ask {
        Ask {
            bid: Bid {
                bidder: self.identity.user.clone(),
                bid_id: self.placed.bid_id.clone(),
                amount: self.placed.amount,
                flags: self.settings.flags_version,
                limits: self.settings.limits_version,
            },
            guest: self.identity.is_guest(),
            limited,
            reply,
            traceparent: telemetry::inject(),
            since: self.since,
            queued: self.shell.now(),
            attempts: 0,
        }
    }

    fn fail(&self, error: &StoreError) {
        self.shell.metrics.store_error(error);
        self.refuse();
    }

    fn refuse(&self) {
        let error = ClientError::new(ErrorCode::Unavailable, "the bid cannot be decided just now")
            .in_room(&self.room)
            .of_bid(Some(&self.placed.bid_id))
            .retry_after(500);
        self.member.socket.send_text(&self.member.error(&error));
    }
}
