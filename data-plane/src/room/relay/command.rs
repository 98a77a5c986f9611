//! Commands of auctioneers on their way to a room's owner and back.

use super::*;
use crate::room::{Errand, NotDone};

/// A command as it goes up; none for one that is not an auctioneer's.
pub(super) fn up(token: u64, room: &RoomId, command: Command) -> Option<Up> {
    let (conduct, reason) = match command {
        Command::Pause(reason) => (wire::Conduct::Pause, reason),
        Command::Resume => (wire::Conduct::Resume, String::new()),
        Command::Close => (wire::Conduct::Close, String::new()),
        Command::Inspect => return None,
    };
    let room_id = room.to_string();
    Some(Up::Command(wire::Command { token, room_id, conduct: conduct.into(), reason }))
}

/// Hands a command to a room of this node, and sends back what came of it.
pub(super) fn obey(
    shell: &Arc<Shell>,
    edge: mpsc::Sender<wire::AttachResponse>,
    command: wire::Command,
) -> Option<()> {
    let (token, room) = (command.token, command.room_id.parse::<RoomId>().ok()?);
    let wanted = match command.conduct() {
        wire::Conduct::Pause => Command::Pause(command.reason),
        wire::Conduct::Resume => Command::Resume,
        wire::Conduct::Close => Command::Close,
        wire::Conduct::Unspecified => return None,
    };
    let (done, answer) = oneshot::channel();
    let errand = Errand { done, onward: false, since: shell.now() };
    let input = Input::Command(wanted, errand);
    // Whoever asked gives up by itself where the room takes nothing.
    shell.rooms.send(shell, &room, input).ok();
    drop(shell.tasks.spawn("relay.command", async move {
        let Ok(CommandDone { error, .. }) = answer.await else { return };
        let unavailable = matches!(error, Some(NotDone::Unavailable(_)));
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        let done = wire::CommandDone { token, error, unavailable };
        let kind = Some(wire::attach_response::Kind::CommandDone(done));
        drop(edge.send(wire::AttachResponse { kind }).await);
    }));
    Some(())
}

/// What came of a command of this node.
pub(super) fn done(link: &Link, done: wire::CommandDone) {
    let wire::CommandDone { token, error, unavailable } = done;
    let waiting = link.state.lock().commands.remove(&token);
    let error = match (error.is_empty(), unavailable) {
        (true, _) => None,
        (false, true) => Some(NotDone::Unavailable(error)),
        (false, false) => Some(NotDone::NotNow(error)),
    };
    if let Some(waiting) = waiting {
        // Whoever asked may have gone.
        drop(waiting.send(CommandDone { error, view: None, viewers: 0 }));
    }
}
