//! One socket's protocol after the upgrade: a pure machine. Messages go in,
//! what the shell is to do comes out. It reads no clock and knows no socket.

use crate::{
    auth::{GuestToken, Identity, TokenRefused},
    close::CloseCode,
    codec::json::{self, ClientError, ClientMessage, Dialect, ErrorCode, PlaceBid},
    limit::{self, Exceeded, PLACE_RETRY},
    settings::Limits,
};
use gavel_rules::{
    id::{BidId, RoomId, SessionId},
    limits::Gcra,
    order::Position,
    time::{Millis, Timestamp},
};

mod refusals;
#[cfg(test)]
mod tests;

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
    /// Check a token and come back with [`Input::Identified`].
    Verify(String),
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
    identity: Identity,
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
    pub fn new(id: SessionId, dialect: Dialect, identity: Identity, limits: &Limits) -> Self {
        let rated = (limits.messages_per_session_rate, limits.messages_per_session_burst);
        Self {
            id,
            dialect,
            identity,
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
        &self.identity
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
        limits: &Limits,
        actions: &mut Vec<Action>,
    ) {
        match input {
            Input::Opened(guest) => actions.push(Action::Send(self.welcome(guest, limits, now))),
            Input::Text(text) => self.text(text, now, limits, actions),
            Input::Binary => actions.push(Action::Close(CloseCode::Unsupported)),
            Input::Identified(Ok(identity)) => {
                self.identity = identity;
                actions.push(Action::Send(self.welcome(None, limits, now)));
            }
            Input::Identified(Err(_)) => {
                let error =
                    ClientError::new(ErrorCode::Unauthenticated, "the token is not valid here");
                self.refuse(&error, actions);
            }
            Input::NotJoined(room) => self.joined.retain(|joined| joined != room),
            Input::Refused(times) => self.refused(times, now, limits, actions),
        }
    }

    fn welcome(&self, guest: Option<GuestToken>, limits: &Limits, now: Timestamp) -> String {
        json::welcome(self.dialect, &self.id, &self.identity.user, guest, limits, now)
    }

    fn text(&mut self, text: &str, now: Timestamp, limits: &Limits, actions: &mut Vec<Action>) {
        if let Err(after) = self.take_message(now, limits)
            && !self.flooded(after, now, limits, actions)
        {
            return;
        }
        self.flooding = false;
        match json::parse(text, self.dialect) {
            Ok(message) => self.message(message, now, limits, actions),
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
        limits: &Limits,
        actions: &mut Vec<Action>,
    ) {
        match message {
            ClientMessage::Join(room, since) => self.join(room, since, now, limits, actions),
            ClientMessage::Leave(room) => {
                self.joined.retain(|joined| *joined != room);
                actions.push(Action::Leave(room));
            }
            ClientMessage::Bid(bid) => self.bid(bid, actions),
            ClientMessage::Ping(t) => {
                actions.push(Action::Send(json::pong(self.dialect, t.as_deref(), now)));
            }
            ClientMessage::Auth(token) => actions.push(Action::Verify(token)),
        }
    }

    fn join(
        &mut self,
        room: RoomId,
        since: Option<Position>,
        now: Timestamp,
        limits: &Limits,
        actions: &mut Vec<Action>,
    ) {
        if !self.identity.may_view(&room) {
            let error = ClientError::new(ErrorCode::Forbidden, "the token does not open this room");
            return self.refuse(&error.in_room(&room), actions);
        }
        if !self.joined.contains(&room) {
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

    fn bid(&mut self, bid: PlaceBid, actions: &mut Vec<Action>) {
        let PlaceBid { room, amount, bid_id, traceparent } = bid;
        if !self.identity.may_bid(&room) {
            let error =
                ClientError::new(ErrorCode::Forbidden, "the token does not allow bids here");
            let error = error.in_room(&room).of_bid(bid_id.as_ref());
            return self.refuse(&error, actions);
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
