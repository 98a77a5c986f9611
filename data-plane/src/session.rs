//! One socket's protocol after the upgrade: a pure machine. Messages go in,
//! what the shell is to do comes out. It reads no clock and knows no socket.

use crate::{
    auth::{Grant, GuestToken, Identity, TokenRefused},
    close::CloseCode,
    codec::json::{self, ClientError, ClientMessage, Conduct, Dialect, ErrorCode, PlaceBid},
    limit::{self, Exceeded, PLACE_RETRY},
    settings::{Limits, Settings},
};
use gavel_rules::{
    id::{BidId, RoomId, SessionId},
    limits::Gcra,
    order::Position,
    time::{Millis, Timestamp},
};

mod proof;
mod refusals;
mod sign_in;
#[cfg(test)]
mod tests;

use proof::Proof;
pub use proof::Visitor;
use refusals::Refusals;

/// Unreadable messages after which the socket is closed with 1007.
const BAD_MESSAGES_MAX: u8 = 5;
// What clients are told about it in `close` and in `ErrorCode`.
const _: () = assert!(BAD_MESSAGES_MAX == 5);

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The upgrade is done; a guest is told what to come back with.
    Opened(Option<GuestToken>),
    /// A text message came.
    Text(&'a str),
    /// A binary message came.
    Binary,
    /// The shell checked a token.
    Identified(Result<Identity, TokenRefused>),
    /// A room told that there is nothing to join.
    NotJoined(&'a RoomId),
    /// So many times was something refused elsewhere, as over a limit.
    Refused(u32),
    /// The time has come that was asked for, or what the settings deny has changed.
    Woken,
}

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this text.
    Send(String),
    /// Enter a room, perhaps as one that knows it up to a position.
    Join(RoomId, Option<Position>),
    /// Leave a room.
    Leave(RoomId),
    /// Place a bid.
    Bid {
        /// Where.
        room: RoomId,
        /// What.
        bid: PlacedBid,
    },
    /// Let a room do what its auctioneer wants.
    Conduct(RoomId, Conduct),
    /// Check a token and come back with [`Input::Identified`].
    Verify(String),
    /// Count the session as one of its user, who was somebody else before.
    SignedIn,
    /// Come back with [`Input::Woken`] then; this replaces what was asked for before.
    WakeAt(Option<Timestamp>),
    /// Count that a limit was exceeded, and what happened.
    Exceeded(Exceeded, limit::Action),
    /// Close the socket.
    Close(CloseCode),
}

/// A bid with its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedBid {
    /// How much.
    pub amount: gavel_rules::amount::Amount,
    /// The client's id of it, or one drawn here.
    pub bid_id: BidId,
    /// W3C traceparent of the client.
    pub traceparent: Option<String>,
}

/// The protocol state of one socket.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    dialect: Dialect,
    proof: Proof,
    joined: Vec<RoomId>,
    rate: Gcra,
    /// The settings that the rate was made of.
    rated: (u32, u32),
    bids: u32,
    bad_messages: u8,
    /// The last message was over the rate.
    flooding: bool,
    refusals: Refusals,
}

// === impl Session ===

impl Session {
    /// The session of a socket that has just been upgraded.
    #[must_use]
    pub fn new(id: SessionId, dialect: Dialect, visitor: Visitor, limits: &Limits) -> Self {
        let rated = (limits.messages_per_session_rate, limits.messages_per_session_burst);
        Self {
            id,
            dialect,
            proof: Proof::new(visitor),
            joined: Vec::new(),
            rate: Gcra::new(rated.0, rated.1),
            rated,
            bids: 0,
            bad_messages: 0,
            flooding: false,
            refusals: Refusals::default(),
        }
    }

    /// Who the session acts for.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.proof.identity()
    }

    /// The rooms that the session is in.
    #[must_use]
    pub fn joined(&self) -> &[RoomId] {
        &self.joined
    }

    /// Takes one input; what is to be done is pushed to `actions`.
    pub fn step(
        &mut self,
        input: Input<'_>,
        now: Timestamp,
        settings: &Settings,
        actions: &mut Vec<Action>,
    ) {
        // Whoever is over must not bid for as long as nobody has looked.
        if let Some(over) = self.proof.over(now, settings) {
            return self.end(over, actions);
        }
        let limits = &settings.limits;
        match input {
            Input::Opened(guest) => {
                if !self.proof.is_due() {
                    actions.push(Action::Send(self.welcome(guest, limits, now)));
                }
                actions.push(Action::WakeAt(self.proof.next()));
            }
            Input::Text(text) => self.text(text, now, settings, actions),
            Input::Binary => actions.push(Action::Close(CloseCode::Unsupported)),
            Input::Identified(identified) => self.identified(identified, now, settings, actions),
            Input::NotJoined(room) => self.joined.retain(|joined| joined != room),
            Input::Refused(times) => self.refused(times, now, limits, actions),
            Input::Woken => {
                self.leave_forbidden(now, settings, actions);
                actions.push(Action::WakeAt(self.proof.next()));
            }
        }
    }

    fn welcome(&self, guest: Option<GuestToken>, limits: &Limits, now: Timestamp) -> String {
        json::welcome(self.dialect, &self.id, self.identity(), guest, limits, now)
    }

    fn text(&mut self, text: &str, now: Timestamp, settings: &Settings, actions: &mut Vec<Action>) {
        let limits = &settings.limits;
        if let Err(after) = self.take_message(now, limits)
            && !self.flooded(after, now, limits, actions)
        {
            return;
        }
        self.flooding = false;
        match json::parse(text, self.dialect) {
            Ok(message) => self.message(message, now, settings, actions),
            Err(error) => {
                let unreadable = error.code == ErrorCode::BadJson;
                self.refuse(&error, actions);
                if unreadable {
                    self.bad_messages = self.bad_messages.saturating_add(1);
                }
                if self.bad_messages >= BAD_MESSAGES_MAX {
                    actions.push(Action::Close(CloseCode::Invalid));
                }
                self.refused(1, now, limits, actions);
            }
        }
    }

    /// Takes one message of the rate, which may have changed since the last.
    fn take_message(&mut self, now: Timestamp, limits: &Limits) -> Result<(), Millis> {
        let (rate, burst) = (limits.messages_per_session_rate, limits.messages_per_session_burst);
        if self.rated != (rate, burst) {
            (self.rated, self.rate) = ((rate, burst), Gcra::new(rate, burst));
        }
        if rate == 0 { Ok(()) } else { self.rate.try_take(now) }
    }

    /// A message came over the rate; true if that is only counted.
    fn flooded(
        &mut self,
        after: Millis,
        now: Timestamp,
        limits: &Limits,
        actions: &mut Vec<Action>,
    ) -> bool {
        // One answer tells it; answering each would double the flood.
        let error = ClientError::new(ErrorCode::RateLimited, "too many messages");
        let error = (!self.flooding).then(|| error.retry_after(after.get()));
        let over = self.exceed(Exceeded::MessagesPerSession, error, now, limits, actions);
        self.flooding = true;
        !over
    }

    /// Does with whoever exceeds a limit what the settings say; false if that is nothing.
    fn exceed(
        &mut self,
        exceeded: Exceeded,
        error: Option<ClientError>,
        now: Timestamp,
        limits: &Limits,
        actions: &mut Vec<Action>,
    ) -> bool {
        let action = limits.actions.at(exceeded);
        actions.push(Action::Exceeded(exceeded, action));
        if action == limit::Action::DryRun {
            return false;
        }
        if let Some(error) = error {
            self.refuse(&error, actions);
        }
        match action.close_code(exceeded) {
            Some(code) => actions.push(Action::Close(code)),
            None => self.refused(1, now, limits, actions),
        }
        true
    }

    /// Something was refused so many times; a session that goes on with it is closed.
    fn refused(&mut self, times: u32, now: Timestamp, limits: &Limits, actions: &mut Vec<Action>) {
        if let Err(retry_after) = self.refusals.note(times, now, limits) {
            let error = ClientError::new(ErrorCode::RateLimited, "too much that had to be refused");
            self.refuse(&error.retry_after(retry_after.get()), actions);
            actions.push(Action::Close(CloseCode::MessageRate));
        }
    }

    fn message(
        &mut self,
        message: ClientMessage,
        now: Timestamp,
        settings: &Settings,
        actions: &mut Vec<Action>,
    ) {
        let needs_proof = !matches!(message, ClientMessage::Auth(_) | ClientMessage::Ping(_));
        if needs_proof && self.proof.is_due() {
            let error = ClientError::new(ErrorCode::Unauthenticated, "a token must come first");
            self.refuse(&error, actions);
            return self.refused(1, now, &settings.limits, actions);
        }
        match message {
            ClientMessage::Join(room, since) => self.join(room, since, now, settings, actions),
            ClientMessage::Leave(room) => {
                self.joined.retain(|joined| *joined != room);
                actions.push(Action::Leave(room));
            }
            ClientMessage::Bid(bid) => self.bid(bid, now, settings, actions),
            ClientMessage::Ping(t) => {
                actions.push(Action::Send(json::pong(self.dialect, t.as_deref(), now)));
            }
            ClientMessage::Auth(token) => actions.push(Action::Verify(token)),
            ClientMessage::Conduct(room, conduct) => {
                match self.barred(&room, Grant::Auctioneer, now, settings) {
                    None => actions.push(Action::Conduct(room, conduct)),
                    Some(error) => self.refuse(&error, actions),
                }
            }
        }
    }

    fn join(
        &mut self,
        room: RoomId,
        since: Option<Position>,
        now: Timestamp,
        settings: &Settings,
        actions: &mut Vec<Action>,
    ) {
        if let Some(error) = self.barred(&room, Grant::View, now, settings) {
            return self.refuse(&error, actions);
        }
        if !self.joined.contains(&room) {
            let limits = &settings.limits;
            let most = limits.rooms_per_session_max;
            if most > 0 && self.joined.len() >= most {
                let message = format!("a socket may be in {most} rooms at most");
                let error = ClientError::new(ErrorCode::TooManyRooms, message).in_room(&room);
                let error = Some(error.retry_after(PLACE_RETRY.get()));
                if self.exceed(Exceeded::RoomsPerSession, error, now, limits, actions) {
                    return;
                }
            }
            self.joined.push(room.clone());
        }
        actions.push(Action::Join(room, since));
    }

    fn bid(
        &mut self,
        bid: PlaceBid,
        now: Timestamp,
        settings: &Settings,
        actions: &mut Vec<Action>,
    ) {
        let PlaceBid { room, amount, bid_id, traceparent } = bid;
        if let Some(error) = self.barred(&room, Grant::Bid, now, settings) {
            return self.refuse(&error.of_bid(bid_id.as_ref()), actions);
        }
        let bid_id = bid_id.unwrap_or_else(|| self.draw_bid_id());
        let bid = PlacedBid { amount, bid_id, traceparent };
        actions.push(Action::Bid { room, bid });
    }

    /// An id for a bid of a client that gave none: unique, since the session's is.
    fn draw_bid_id(&mut self) -> BidId {
        self.bids = self.bids.wrapping_add(1);
        let text = format!("{}-{}", self.id.as_ref(), self.bids);
        text.parse().unwrap_or_else(|_| unreachable!("a session id leaves room for a number"))
    }

    fn refuse(&self, error: &ClientError, actions: &mut Vec<Action>) {
        actions.push(Action::Send(json::error(self.dialect, error)));
    }
}
