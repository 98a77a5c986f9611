//! A bid between its socket and its room: who bids, and whether the bid limit
//! allows it. The limit is counted in the store, over all nodes.

use crate::{
    auth::Identity,
    codec::json::{ClientError, ErrorCode},
    node::Shell,
    room::{Ask, Input, Member, Reply},
    session::PlacedBid,
    store::Take,
};
use gavel_rules::{auction::Bid, id::RoomId};
use gavel_runtime::{tasks, telemetry};
use std::sync::Arc;
use tracing::Instrument;

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
    if let Some(traceparent) = &placed.traceparent {
        telemetry::parent_of(&span, traceparent);
    }
    let Ok(permit) = Arc::clone(&shell.bids_under_way).try_acquire_owned() else {
        return refuse(member, &room, &placed);
    };
    let (shell, member) = (Arc::clone(shell), Arc::clone(member));
    let task = async move {
        admit(&shell, &member, identity, room, placed).await;
        drop(permit);
    };
    drop(tasks::spawn("bid", task.instrument(span)));
}

async fn admit(
    shell: &Arc<Shell>,
    member: &Arc<Member>,
    identity: Identity,
    room: RoomId,
    placed: PlacedBid,
) {
    let settings = shell.live.get();
    let limits = &settings.limits;
    let since = shell.now();
    let taken = match limits.bids_per_user_max {
        0 => Ok(Take::Taken),
        most => shell.store.take_bid(&identity.user, most, limits.bids_window).await,
    };
    let limited = match taken {
        Ok(Take::Taken) => None,
        Ok(Take::Refused { retry_after }) => Some(retry_after),
        Err(error) => {
            shell.metrics.store_error(&error);
            return refuse(member, &room, &placed);
        }
    };
    let ask = Ask {
        bid: Bid {
            bidder: identity.user,
            bid_id: placed.bid_id.clone(),
            amount: placed.amount,
            flags: settings.flags_version,
            limits: settings.limits_version,
        },
        guest: identity.grants.is_none(),
        limited,
        reply: Reply::Socket(Arc::clone(member)),
        traceparent: telemetry::inject(),
        since,
        attempts: 0,
    };
    if shell.rooms.send(shell, &room, Input::Ask(ask)).is_err() {
        refuse(member, &room, &placed);
    }
}

fn refuse(member: &Member, room: &RoomId, placed: &PlacedBid) {
    let error = ClientError::new(ErrorCode::Unavailable, "the bid cannot be decided just now")
        .in_room(room)
        .of_bid(Some(&placed.bid_id))
        .retry_after(500);
    member.socket.send_text(&member.error(&error));
}
