//! The sockets of one room on one node, and how an update reaches them.
//!
//! An update is encoded once for each [`Class`] in use and shared. Members
//! stand in segments; each segment has a queue that is emptied by natural
//! batching, see [`segment`].

use super::{Member, recent::Missed};
use crate::{
    codec::{
        frame,
        json::{self, ClientError, Dialect, Standing},
    },
    flags::{Batches, Delivery},
    settings::Settings,
    socket::BACKLOG_BYTES_MAX,
};
use bytes::Bytes;
use gavel_rules::{
    auction::View,
    id::{NodeId, RoomId, SessionId, UserId},
    order::{Generation, Seq},
    time::{Millis, Timestamp},
};
use segment::{Segment, Turn};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

mod segment;
#[cfg(test)]
mod tests;

/// What a socket that comes back is sent of what it missed; over it the whole
/// state is less. It must leave room for what else waits for a slow client.
const RESUME_BYTES_MAX: usize = BACKLOG_BYTES_MAX / 2;

/// Members that share one encoding of each update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Class {
    dialect: Dialect,
    delivery: Delivery,
}

/// What a socket is told when it is seated, beside the state.
#[derive(Debug, Default)]
pub(super) struct Greeting<'a> {
    /// What it missed, if that is known.
    pub(super) missed: Option<Missed<'a>>,
    /// Where the room's owner takes sockets, for one that is to go there.
    pub(super) suggested: Option<&'a str>,
}

/// The sockets of one room on this node.
#[derive(Debug)]
pub(super) struct Hub {
    room: RoomId,
    node: NodeId,
    view: Option<View>,
    generation: Generation,
    seats: HashMap<SessionId, (Arc<Seat>, Class)>,
    sessions_by_user: HashMap<UserId, Vec<SessionId>>,
    lanes: HashMap<Class, Lane>,
}

/// A member's place, from a join to the next leave.
#[derive(Debug)]
struct Seat {
    member: Arc<Member>,
    user: UserId,
    /// It is left: what was queued for it must not follow what the member is
    /// sent elsewhere.
    left: AtomicBool,
}

/// The members of one class and what waits for them.
#[derive(Debug, Default)]
struct Lane {
    segments: Vec<Segment>,
    batch: Vec<String>,
    /// Since when it waits, and for how long.
    waits: Option<(Timestamp, Millis)>,
}

// === impl Hub ===

impl Hub {
    pub(super) fn new(room: RoomId, node: NodeId) -> Self {
        Self {
            room,
            node,
            view: None,
            generation: Generation::default(),
            seats: HashMap::new(),
            sessions_by_user: HashMap::new(),
            lanes: HashMap::new(),
        }
    }

    /// The state that members have been told, if any is known.
    pub(super) fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether a session has its seat.
    pub(super) fn seats(&self, session: &SessionId) -> bool {
        self.seats.contains_key(session)
    }

    /// Seats a member and sends it what it missed, or else the whole state;
    /// updates follow from the next seq on. A member that is seated already gets
    /// the one or the other again.
    pub(super) fn join(
        &mut self,
        member: &Arc<Member>,
        user: UserId,
        greeting: Greeting<'_>,
        settings: &Settings,
        now: Timestamp,
    ) {
        self.leave(&member.session);
        let class = self.class_of(member, &user, settings);
        if let Some(view) = &self.view {
            let Greeting { missed, suggested } = greeting;
            let standing = Standing { suggested, ..self.standing(now) };
            let resumed = missed.and_then(|missed| self.resumed(class, view, &missed, standing));
            let frame = resumed.unwrap_or_else(|| {
                frame::text(json::state(class.dialect, &self.room, view, standing).as_bytes())
            });
            member.socket.send(&frame);
        }
        self.seat(member, user, class, now);
    }

    /// Takes a member out; unknown ones are no error.
    pub(super) fn leave(&mut self, session: &SessionId) {
        let Some((seat, class)) = self.seats.remove(session) else { return };
        seat.left.store(true, Ordering::Relaxed);
        self.take_out(&seat, class);
        if let Some(sessions) = self.sessions_by_user.get_mut(&seat.user) {
            sessions.retain(|other| other != session);
            if sessions.is_empty() {
                self.sessions_by_user.remove(&seat.user);
            }
        }
    }

    /// Replaces the state, as after an owner change, and tells all members.
    pub(super) fn reset(&mut self, view: View, generation: Generation, now: Timestamp) {
        let news = self.view.as_ref() != Some(&view) || self.generation != generation;
        self.view = Some(view);
        self.generation = generation;
        let Some(view) = self.view.as_ref().filter(|_| news) else { return };
        let viewers = self.seats.len();
        let standing = Standing { generation, viewers, now, suggested: None };
        for (class, lane) in &mut self.lanes {
            // The state says all that the batch would have said.
            lane.batch.clear();
            lane.waits = None;
            // It goes the way of the updates, or an older one could overtake it.
            let state = || json::state(class.dialect, &self.room, view, standing);
            lane.send(&state(), state);
        }
    }

    /// Tells all members what one event changed.
    pub(super) fn publish(&mut self, after: View, batches: Batches, now: Timestamp) {
        let Some(before) = self.view.replace(after) else { return };
        let Some(after) = &self.view else { return };
        let standing = self.standing(now);
        for (class, lane) in &mut self.lanes {
            let text = json::event(class.dialect, &self.room, Some(&before), after, class.delivery);
            let resync = || json::state(class.dialect, &self.room, after, standing);
            let waits = batches.window.get() > 0;
            // Where none is to wait any more, some may still: they go first.
            if class.delivery.batching && (waits || !lane.batch.is_empty()) {
                lane.batch.push(text);
                if !waits || lane.batch.len() >= batches.messages_max {
                    lane.flush(resync);
                } else if lane.waits.is_none() {
                    lane.waits = Some((now, batches.window));
                }
            } else {
                lane.send(&text, resync);
            }
        }
        self.tell_outbid(&before);
    }

    /// Sends the batches whose window has passed; returns when to come again.
    pub(super) fn flush_due(&mut self, now: Timestamp) -> Option<Timestamp> {
        let Some(view) = &self.view else { return None };
        let standing = self.standing(now);
        for (class, lane) in &mut self.lanes {
            if lane.waits.is_some_and(|(since, window)| since.has_passed(window, now)) {
                lane.flush(|| json::state(class.dialect, &self.room, view, standing));
            }
        }
        let waits = self.lanes.values().filter_map(|lane| lane.waits);
        waits.map(|(since, window)| since.saturating_add(window)).min()
    }

    /// Seats every member anew by the flags as they are now.
    pub(super) fn reclass(&mut self, settings: &Settings, now: Timestamp) {
        // What a batch holds is owed to the members of the old class.
        self.flush_due(Timestamp::new(u64::MAX));
        let moved: Vec<_> = self
            .seats
            .values()
            .map(|(seat, old)| (seat, *old, self.class_of(&seat.member, &seat.user, settings)))
            .filter(|(_, old, new)| old != new)
            .map(|(seat, old, new)| (Arc::clone(seat), old, new))
            .collect();
        for (seat, old, new) in moved {
            let turn = self.take_out(&seat, old);
            self.put_in(seat, new, turn, now);
        }
        self.flush_due(now);
    }

    /// Sends a frame to all members of a dialect.
    pub(super) fn tell(&self, dialect: Dialect, frame: &Bytes) {
        let seats = self.seats.values().map(|(seat, _)| seat);
        for seat in seats.filter(|seat| seat.member.dialect == dialect) {
            seat.member.socket.send(frame);
        }
    }

    /// Tells all members that something went wrong, and forgets them.
    pub(super) fn dismiss(&mut self, error: &ClientError) {
        for (seat, _) in self.seats.values() {
            seat.left.store(true, Ordering::Relaxed);
            seat.member.refuse(&self.room, error);
        }
        self.seats.clear();
        self.sessions_by_user.clear();
        self.lanes.clear();
    }

    fn seat(&mut self, member: &Arc<Member>, user: UserId, class: Class, now: Timestamp) {
        self.sessions_by_user.entry(user.clone()).or_default().push(member.session.clone());
        let (member, left) = (Arc::clone(member), AtomicBool::new(false));
        self.put_in(Arc::new(Seat { member, user, left }), class, None, now);
    }

    /// Puts a seat into its lane; what comes from there follows its turn.
    fn put_in(&mut self, seat: Arc<Seat>, class: Class, turn: Option<Turn>, now: Timestamp) {
        let standing = self.standing(now);
        let lane = self.lanes.entry(class).or_default();
        if let Some(view) = self.view.as_ref().filter(|_| !lane.batch.is_empty()) {
            // The new member's state holds what waits here: it must not come twice.
            lane.flush(|| json::state(class.dialect, &self.room, view, standing));
        }
        lane.add(&seat, turn);
        self.seats.insert(seat.member.session.clone(), (seat, class));
    }

    /// Takes a seat out of its lane; gives the turn of what comes from another
    /// one, if updates are still on their way from here.
    fn take_out(&mut self, seat: &Arc<Seat>, class: Class) -> Option<Turn> {
        let lane = self.lanes.get_mut(&class)?;
        let turn = lane.remove(seat);
        if lane.segments.is_empty() {
            self.lanes.remove(&class);
        }
        turn
    }

    fn class_of(&self, member: &Member, user: &UserId, settings: &Settings) -> Class {
        let seat = member.whom(user, &self.room, &self.node);
        let delivery = Delivery::of(&settings.flags, seat);
        Class { dialect: member.dialect, delivery }
    }

    /// What a member missed, as it would have come to its class; none if that
    /// is too much for a socket.
    fn resumed(
        &self,
        class: Class,
        view: &View,
        missed: &Missed<'_>,
        standing: Standing<'_>,
    ) -> Option<Bytes> {
        let Class { dialect, delivery } = class;
        let behind = u64::try_from(missed.views.len()).unwrap_or(u64::MAX);
        let from = Seq::new(view.seq.get().saturating_sub(behind));
        let mut texts = vec![json::resumed(dialect, &self.room, from, view.seq, standing)];
        let mut before = missed.known;
        for after in &missed.views {
            texts.push(json::event(dialect, &self.room, before, after, delivery));
            before = Some(after);
        }
        let frame = if delivery.batching && !missed.views.is_empty() {
            frame::text(json::batch(&texts).as_bytes())
        } else {
            let frames: Vec<_> = texts.iter().map(|text| frame::text(text.as_bytes())).collect();
            segment::merge(&frames)
        };
        (frame.len() <= RESUME_BYTES_MAX).then_some(frame)
    }

    fn standing(&self, now: Timestamp) -> Standing<'static> {
        let (generation, viewers) = (self.generation, self.seats.len());
        Standing { generation, viewers, now, suggested: None }
    }

    fn tell_outbid(&self, before: &View) {
        let (Some(after), Some(user)) = (&self.view, &before.high_bidder) else { return };
        if after.high_bidder.as_ref() == Some(user) || after.round != before.round {
            return;
        }
        for session in self.sessions_by_user.get(user).into_iter().flatten() {
            if let Some((seat, _)) = self.seats.get(session) {
                let text = json::outbid(seat.member.dialect, &self.room, after);
                seat.member.socket.send_text(&text);
            }
        }
    }
}

// === impl Lane ===

impl Lane {
    fn add(&mut self, seat: &Arc<Seat>, turn: Option<Turn>) {
        match self.segments.iter_mut().find(|segment| segment.has_room()) {
            Some(segment) => segment.add(seat, turn),
            None => {
                let mut segment = Segment::default();
                segment.add(seat, turn);
                self.segments.push(segment);
            }
        }
    }

    fn remove(&mut self, seat: &Arc<Seat>) -> Option<Turn> {
        let mut segments = self.segments.iter_mut();
        let turn = segments.find_map(|segment| segment.remove(seat).then(|| segment.turn()));
        self.segments.retain(|segment| !segment.is_empty());
        turn.flatten()
    }

    fn send(&self, text: &str, resync: impl Fn() -> String) {
        let frame = frame::text(text.as_bytes());
        for segment in &self.segments {
            segment.send(&frame, || frame::text(resync().as_bytes()));
        }
    }

    fn flush(&mut self, resync: impl Fn() -> String) {
        self.waits = None;
        match std::mem::take(&mut self.batch).as_slice() {
            [] => {}
            [one] => self.send(one, resync),
            many => self.send(&json::batch(many), resync),
        }
    }
}
