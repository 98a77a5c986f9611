//! What one socket holds of the counted places: one of its address or user, and
//! one in each of its rooms. A room is entered when the place is there, which may
//! take a call of the store; meanwhile the socket may leave again, or end.

use crate::{
    admission::TurnedAway, auth::Identity, codec::json::ClientError, limit::Action, node::Shell,
    places::Place, room::Member, store::Counted,
};
use gavel_rules::{
    id::{RoomId, UserId},
    order::Position,
};
use gavel_runtime::tasks;
use std::sync::Arc;

/// The places of a socket.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    /// The socket has ended, and takes nothing any more.
    ended: bool,
    socket: Option<Place>,
    /// Without a place where it is still asked for.
    rooms: Vec<(RoomId, Option<Place>)>,
}

/// A room to be entered.
struct Entry {
    identity: Identity,
    room: RoomId,
    since: Option<Position>,
}

// === impl Seats ===

impl Seats {
    /// Those of a socket that was admitted.
    pub(crate) fn of(place: Place) -> Self {
        Self { socket: Some(place), ..Self::default() }
    }

    fn place_in(&mut self, room: &RoomId) -> Option<&mut Option<Place>> {
        self.rooms.iter_mut().find(|(held, _)| held == room).map(|(_, place)| place)
    }

    fn add(&mut self, room: &RoomId, place: Option<Place>) {
        // Most sockets are in one room, and there are many of them.
        self.rooms.reserve_exact(1);
        self.rooms.push((room.clone(), place));
    }

    fn remove(&mut self, room: &RoomId) {
        self.rooms.retain(|(held, _)| held != room);
    }
}

/// Enters a room, as soon as there is a place in it.
pub(crate) fn enter(
    shell: &Arc<Shell>,
    member: &Arc<Member>,
    identity: Identity,
    room: RoomId,
    since: Option<Position>,
) {
    let entry = Entry { identity, room, since };
    let settings = shell.live.get();
    let mut seats = member.seats.lock();
    match seats.place_in(&entry.room) {
        // It stays in, whatever comes of this.
        Some(Some(_)) => {
            if let Err(error) = entry.join(shell, member) {
                member.socket.send_text(&member.error(&error));
            }
            return;
        }
        // It is about to be entered.
        Some(None) => return,
        None => {}
    }
    let counted = Counted::Room(entry.room.clone());
    if settings.limits.sockets_per_room_max == 0 {
        seats.add(&entry.room, Some(shell.places.take_any(counted)));
        return entry.join_first(shell, member, &mut seats);
    }
    seats.add(&entry.room, None);
    drop(seats);
    let (shell, member) = (Arc::clone(shell), Arc::clone(member));
    drop(tasks::spawn("room.enter", async move {
        let taken = shell.take_place(&settings.limits, counted).await;
        let mut seats = member.seats.lock();
        // It may have left meanwhile, and then gives the place back.
        let Some(seat @ None) = seats.place_in(&entry.room) else { return };
        match taken {
            Ok(place) => {
                *seat = Some(place);
                entry.join_first(&shell, &member, &mut seats);
            }
            Err(turned) => {
                seats.remove(&entry.room);
                drop(seats);
                // For its session to hear of.
                member.refused_by.lock().push(entry.room.clone());
                member.turn_away(&turned.error().in_room(&entry.room), turned);
            }
        }
    }));
}

/// Leaves a room that the socket is in, or is about to enter.
pub(crate) fn leave(shell: &Shell, member: &Member, room: &RoomId) {
    let mut seats = member.seats.lock();
    seats.remove(room);
    shell.rooms.leave(room, &member.session);
}

/// Gives back the place in a room that the socket did not get into.
pub(crate) fn not_joined(member: &Member, room: &RoomId) {
    member.seats.lock().remove(room);
}

/// Counts the socket as one of a user, who was somebody else before.
pub(crate) fn sign_in(shell: &Arc<Shell>, member: &Arc<Member>, user: UserId) {
    let counted = Counted::User(user);
    if member.seats.lock().socket.as_ref().is_some_and(|place| place.is_of(&counted)) {
        return;
    }
    let (shell, member) = (Arc::clone(shell), Arc::clone(member));
    drop(tasks::spawn("socket.sign_in", async move {
        let limits = &shell.live.get().limits;
        match shell.take_place(limits, counted).await {
            Ok(place) => {
                let mut seats = member.seats.lock();
                if !seats.ended {
                    seats.socket = Some(place);
                }
            }
            // An open socket can only be closed.
            Err(turned) if turned.action == Action::Refuse => {
                member.turn_away(&turned.error(), TurnedAway { action: Action::Close, ..turned });
            }
            Err(turned) => member.turn_away(&turned.error(), turned),
        }
    }));
}

/// Gives everything back: the socket has ended.
pub(crate) fn end(shell: &Shell, member: &Member) {
    let mut seats = member.seats.lock();
    for (room, _) in &seats.rooms {
        shell.rooms.leave(room, &member.session);
    }
    *seats = Seats { ended: true, ..Seats::default() };
}

// === impl Entry ===

impl Entry {
    /// Under the lock of the seats, or a socket could leave before it has entered, and stay.
    fn join_first(self, shell: &Arc<Shell>, member: &Arc<Member>, seats: &mut Seats) {
        let room = self.room.clone();
        if let Err(error) = self.join(shell, member) {
            seats.remove(&room);
            member.refuse(&room, &error);
        }
    }

    fn join(self, shell: &Arc<Shell>, member: &Arc<Member>) -> Result<(), ClientError> {
        let Self { identity, room, since } = self;
        shell.rooms.join(shell, &room, member, identity, since)
    }
}

// === impl Member ===

impl Member {
    /// Tells a socket what limit it has exceeded, and closes it if that is what happens there.
    pub(crate) fn turn_away(&self, error: &ClientError, turned: TurnedAway) {
        self.socket.send_text(&self.error(error));
        match turned.action.close_code(turned.exceeded) {
            Some(code) => self.socket.close(code),
            None => self.note_refusal(),
        }
    }
}
