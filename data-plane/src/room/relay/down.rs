//! What an owner's node tells an edge.

use super::*;
use gavel_proto::{
    convert::{ChangedOwner, RelayedAnswer, RoomSnapshot, RoomUpdate},
    relay::v1::attach_response::Kind as Down,
};
use gavel_rules::time::Millis;

/// Takes one message; what makes no sense is logged and dropped.
pub(super) async fn take(shell: &Arc<Shell>, link: &Link, message: wire::AttachResponse) {
    let taken = match message.kind {
        Some(Down::Snapshot(snapshot)) => on_snapshot(shell, snapshot).await,
        Some(Down::Update(update)) => on_update(shell, update).await,
        Some(Down::BidAnswer(answer)) => on_answer(shell, link, answer),
        Some(Down::NotOwner(not_owner)) => on_not_owner(shell, &not_owner.room_id).await,
        Some(Down::Current(current)) => on_current(shell, &current.room_id).await,
        Some(Down::CommandDone(done)) => {
            command::done(link, done);
            Some(())
        }
        Some(Down::Degraded(degraded)) => on_degraded(shell, degraded).await,
        Some(Down::OwnerChanged(changed)) => on_owner_changed(shell, changed).await,
        Some(Down::Heartbeat(_)) => {
            link.state.lock().unanswered = 0;
            Some(())
        }
        None => Some(()),
    };
    if taken.is_none() {
        tracing::warn!(owner = %link.owner, "a relay message makes no sense");
    }
}

async fn on_snapshot(shell: &Arc<Shell>, snapshot: wire::Snapshot) -> Option<()> {
    let RoomSnapshot { room, epoch, generation, view, before } = snapshot.try_into().ok()?;
    shell.rooms.deliver(&room, Input::Snapshot { epoch, generation, view, before }).await;
    Some(())
}

async fn on_update(shell: &Arc<Shell>, update: wire::Update) -> Option<()> {
    let RoomUpdate { room, epoch, view, traceparents } = update.try_into().ok()?;
    shell.rooms.deliver(&room, Input::Update { epoch, view, traceparents }).await;
    Some(())
}

fn on_answer(shell: &Arc<Shell>, link: &Link, answer: wire::BidAnswer) -> Option<()> {
    let RelayedAnswer { token, verdict, durability } = answer.try_into().ok()?;
    // The bidder may have been told already that it took too long.
    let waiting = link.state.lock().pending.remove(&token);
    if let Some((room, ask)) = waiting {
        ask.answer(shell, &room, verdict, &durability);
    }
    Some(())
}

async fn on_not_owner(shell: &Arc<Shell>, room: &str) -> Option<()> {
    shell.rooms.deliver(&room.parse().ok()?, Input::NotOwner).await;
    Some(())
}

async fn on_current(shell: &Arc<Shell>, room: &str) -> Option<()> {
    shell.rooms.deliver(&room.parse().ok()?, Input::Current).await;
    Some(())
}

async fn on_degraded(shell: &Arc<Shell>, degraded: wire::Degraded) -> Option<()> {
    let stale = degraded.stale_ms.map(Millis::new);
    let input = Input::Degraded { stale, slow: degraded.slow };
    shell.rooms.deliver(&degraded.room_id.parse().ok()?, input).await;
    Some(())
}

async fn on_owner_changed(shell: &Arc<Shell>, changed: wire::OwnerChanged) -> Option<()> {
    let ChangedOwner { room, epoch, owner, relay_url } = changed.try_into().ok()?;
    shell.rooms.deliver(&room, Input::OwnerChanged { epoch, owner, relay_url }).await;
    Some(())
}
