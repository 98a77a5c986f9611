//! What an auctioneer wants of an auction, between its socket and its room.

use crate::{
    codec::json::{self, ClientError, Conduct, ErrorCode},
    node::Shell,
    room::{Command, Errand, Input, Member, NotDone},
};
use gavel_rules::id::{RoomId, UserId};
use gavel_runtime::tasks;
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// How long a room may take, which first may have to find its owner. What takes longer may be done
/// all the same.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Asks a room for it; the answer goes to the member's socket.
pub(crate) fn ask(
    shell: &Arc<Shell>,
    member: &Arc<Member>,
    user: UserId,
    room: RoomId,
    conduct: Conduct,
) {
    let (shell, member) = (Arc::clone(shell), Arc::clone(member));
    drop(tasks::spawn("room.conduct", async move {
        let command = match &conduct {
            Conduct::Pause(reason) => Command::Pause(reason.clone()),
            Conduct::Resume => Command::Resume,
            Conduct::Close => Command::Close,
        };
        let done = obey(&shell, &room, command).await;
        let error = done.err();
        tracing::info!(room.id = %room, user.id = %user, ?conduct,
            error = error.as_ref().map(tracing::field::display), "an auctioneer acts");
        member.socket.send_text(&answer(&member, &room, &conduct, error));
    }));
}

async fn obey(shell: &Arc<Shell>, room: &RoomId, command: Command) -> Result<(), NotDone> {
    let (done, answer) = oneshot::channel();
    let errand = Errand { done, onward: true, since: shell.now() };
    let silent = || NotDone::unavailable("the room does not answer");
    shell.rooms.send(shell, room, Input::Command(command, errand)).map_err(|_| silent())?;
    let answer = tokio::time::timeout(ANSWER_WAIT, answer).await.map_err(|_| silent())?;
    answer.map_err(|_| silent())?.error.map_or(Ok(()), Err)
}

fn answer(member: &Member, room: &RoomId, conduct: &Conduct, error: Option<NotDone>) -> String {
    let error = match error {
        None => return json::conducted(member.dialect, room, conduct),
        Some(NotDone::NotNow(why)) => ClientError::new(ErrorCode::NotNow, why),
        Some(NotDone::Unavailable(why)) => {
            ClientError::new(ErrorCode::Unavailable, why).retry_after(1_000)
        }
    };
    member.error(&error.in_room(room))
}
