//! The rooms of a node, by id.

use super::{Input, Member, RoomLoad, task};
use crate::{
    auth::Identity,
    codec::json::{ClientError, ErrorCode},
    node::Shell,
};
use gavel_rules::{
    id::{RoomId, SessionId},
    order::{Epoch, Position},
    time::Timestamp,
};
use gavel_runtime::tasks;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::sync::{Notify, mpsc};

/// Inputs that may wait for a room.
const INBOX_MAX: usize = 4096;
/// Rooms that one node may have a task for.
const ROOMS_MAX: usize = 100_000;

/// The rooms of a node. A room has a task for as long as the node owns it or
/// has sockets in it.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    inboxes: Mutex<HashMap<RoomId, mpsc::Sender<Input>>>,
    owned: Mutex<HashMap<RoomId, (Epoch, Arc<RoomLoad>)>>,
    ownership: Notify,
    seats: AtomicUsize,
    sent: AtomicU64,
}

/// A room's inbox is full, or there are too many rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the room takes no more just now")]
pub(crate) struct Full;

// === impl Rooms ===

impl Rooms {
    /// Seats a socket in a room; when the state is known, it is sent that, or
    /// what it missed since.
    ///
    /// # Errors
    /// What the client is to be told, if the room takes nobody now.
    pub(crate) fn join(
        &self,
        shell: &Arc<Shell>,
        room: &RoomId,
        member: &Arc<Member>,
        identity: Identity,
        since: Option<Position>,
    ) -> Result<(), ClientError> {
        let input = Input::Join { member: Arc::clone(member), identity, since };
        self.send(shell, room, input).map_err(|Full| {
            ClientError::new(ErrorCode::Unavailable, "the auction takes nobody just now")
                .in_room(room)
                .retry_after(1_000)
        })
    }

    /// Takes a socket out of a room.
    pub(crate) fn leave(&self, room: &RoomId, session: &SessionId) {
        let inboxes = self.inboxes.lock();
        let Some(inbox) = inboxes.get(room) else { return };
        let Err(mpsc::error::TrySendError::Full(input)) =
            inbox.try_send(Input::Leave(session.clone()))
        else {
            return;
        };
        // A seat must never outlive its socket: this one waits for its turn.
        let inbox = inbox.clone();
        drop(tasks::spawn("room.leave", async move {
            drop(inbox.send(input).await);
        }));
    }

    /// Hands an input to a room, and starts the room if need be.
    ///
    /// # Errors
    /// [`Full`] if the room's inbox is full or the node has too many rooms.
    pub(crate) fn send(&self, shell: &Arc<Shell>, room: &RoomId, input: Input) -> Result<(), Full> {
        let mut inboxes = self.inboxes.lock();
        if let Some(inbox) = inboxes.get(room) {
            return inbox.try_send(input).map_err(|_| Full);
        }
        if inboxes.len() >= ROOMS_MAX {
            return Err(Full);
        }
        let (sender, receiver) = mpsc::channel(INBOX_MAX);
        sender.try_send(input).map_err(|_| Full)?;
        inboxes.insert(room.clone(), sender);
        drop(inboxes);
        shell.control.interested(room);
        drop(tasks::spawn("room", task::run(Arc::clone(shell), room.clone(), receiver)));
        Ok(())
    }

    /// Hands an input to a room that is here, and waits while its inbox is
    /// full; a room that is not here does not need it.
    pub(crate) async fn deliver(&self, room: &RoomId, input: Input) {
        let inbox = self.inboxes.lock().get(room).cloned();
        if let Some(inbox) = inbox {
            // A room that has just ended does not need it either.
            drop(inbox.send(input).await);
        }
    }

    /// Tells every room that flags or limits changed.
    pub(crate) async fn settings_changed(&self) {
        self.tell_all(|| Input::SettingsChanged).await;
    }

    /// Tells every room that the store could not be reached since then.
    pub(crate) async fn outage(&self, since: Timestamp) {
        self.tell_all(|| Input::Outage(since)).await;
    }

    /// Lets every room hear that the store is another server.
    pub(crate) async fn store_changed(&self) {
        self.tell_all(|| Input::StoreChanged).await;
    }

    async fn tell_all(&self, input: impl Fn() -> Input) {
        let inboxes: Vec<_> = self.inboxes.lock().values().cloned().collect();
        for inbox in inboxes {
            drop(inbox.send(input()).await);
        }
    }

    /// The rooms whose bids are decided here.
    #[must_use]
    pub(crate) fn owned(&self) -> Vec<(RoomId, Epoch)> {
        self.owned.lock().iter().map(|(room, (epoch, _))| (room.clone(), *epoch)).collect()
    }

    /// What each of them costs.
    #[must_use]
    pub(crate) fn loads(&self) -> Vec<(RoomId, Arc<RoomLoad>)> {
        let owned = self.owned.lock();
        owned.iter().map(|(room, (_, load))| (room.clone(), Arc::clone(load))).collect()
    }

    /// Notes that a room is decided here, and where its load is counted.
    pub(super) fn own(&self, room: &RoomId, epoch: Epoch, load: &Arc<RoomLoad>) {
        self.owned.lock().insert(room.clone(), (epoch, Arc::clone(load)));
        self.ownership.notify_one();
    }

    /// Notes that a room is no longer decided here.
    pub(super) fn disown(&self, room: &RoomId) {
        if self.owned.lock().remove(room).is_some() {
            self.ownership.notify_one();
        }
    }

    /// Waits until a room is decided here that was not, or the other way round.
    pub(crate) async fn ownership_changed(&self) {
        self.ownership.notified().await;
    }

    /// Updates sent to sockets so far.
    #[must_use]
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Notes that an update went to so many sockets.
    pub(super) fn sends(&self, recipients: usize) {
        let recipients = u64::try_from(recipients).unwrap_or(u64::MAX);
        self.sent.fetch_add(recipients, Ordering::Relaxed);
    }

    /// Sockets in rooms; one in two rooms counts twice.
    #[must_use]
    pub(crate) fn seats(&self) -> usize {
        self.seats.load(Ordering::Relaxed)
    }

    /// Notes that the sockets of a room changed in number.
    pub(super) fn seated(&self, before: usize, after: usize) {
        self.seats.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Rooms here.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.inboxes.lock().len()
    }

    /// Takes a room out, unless something waits for it.
    pub(super) fn retire(&self, room: &RoomId, inbox: &mpsc::Receiver<Input>) -> bool {
        let mut inboxes = self.inboxes.lock();
        if !inbox.is_empty() {
            return false;
        }
        inboxes.remove(room);
        true
    }

    /// Drops every inbox, which ends every room.
    pub(crate) fn clear(&self) {
        self.inboxes.lock().clear();
    }
}
