//! What an owner's node tells an edge.

use super::*;
use gavel_proto::relay::v1::attach_response::Kind as Down;
use gavel_rules::{
    auction::Verdict,
    order::{Epoch, Generation},
};

/// Takes one message; what makes no sense is logged and dropped.
pub(super) async fn take(shell: &Arc<Shell>, link: &Link, message: wire::AttachResponse) {
    let taken = match message.kind {
        Some(Down::Snapshot(snapshot)) => on_snapshot(shell, snapshot).await,
        Some(Down::Update(update)) => on_update(shell, update).await,
        Some(Down::BidAnswer(answer)) => on_answer(shell, link, answer),
        Some(Down::NotOwner(not_owner)) => on_not_owner(shell, &not_owner.room_id).await,
        None => Some(()),
    };
    if taken.is_none() {
        tracing::warn!(owner = %link.owner, "a relay message makes no sense");
    }
}

async fn on_snapshot(shell: &Arc<Shell>, snapshot: wire::Snapshot) -> Option<()> {
    let room: RoomId = snapshot.room_id.parse().ok()?;
    let view = snapshot.view?.try_into().ok()?;
    let (epoch, generation) = (Epoch::new(snapshot.epoch), Generation::new(snapshot.generation));
    shell.rooms.deliver(&room, Input::Snapshot { epoch, generation, view }).await;
    Some(())
}

async fn on_update(shell: &Arc<Shell>, update: wire::Update) -> Option<()> {
    let room: RoomId = update.room_id.parse().ok()?;
    let view = update.view?.try_into().ok()?;
    let (epoch, traceparents) = (Epoch::new(update.epoch), update.traceparents);
    shell.rooms.deliver(&room, Input::Update { epoch, view, traceparents }).await;
    Some(())
}

fn on_answer(shell: &Arc<Shell>, link: &Link, answer: wire::BidAnswer) -> Option<()> {
    let verdict = Verdict::try_from(answer.verdict?).ok()?;
    // The bidder may have been told already that it took too long.
    if let Some((room, ask)) = link.state.lock().pending.remove(&answer.token) {
        ask.answer(shell, &room, verdict, &answer.durability);
    }
    Some(())
}

async fn on_not_owner(shell: &Arc<Shell>, room: &str) -> Option<()> {
    shell.rooms.deliver(&room.parse().ok()?, Input::NotOwner).await;
    Some(())
}
