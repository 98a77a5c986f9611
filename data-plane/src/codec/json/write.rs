//! What the server says, in JSON.

use super::{ClientError, Conduct, Dialect, amount};
use crate::{
    auth::{GuestToken, Identity},
    flags::Delivery,
    settings::Limits,
};
use gavel_rules::{
    amount::Amount,
    auction::{Accepted, AuctionState, Outcome, Rejected, View},
    id::{BidId, RoomId, SessionId},
    order::{Generation, Seq},
    time::{Millis, Timestamp},
};
use std::fmt::Write as _;

/// The largest integer that JavaScript holds exactly, in digits.
const NUMERIC_ID_DIGITS_MAX: usize = 15;

/// Builds one JSON object, field by field.
struct Object {
    json: String,
    dialect: Dialect,
}

/// What a snapshot tells beside the view.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// The history that seq counts in.
    pub generation: Generation,
    /// Viewers on this node.
    pub viewers: usize,
    /// The auction clock.
    pub now: Timestamp,
    /// Where the room's owner takes sockets, for one that is to go there.
    pub suggested: Option<&'a str>,
}

// === impl Object ===

impl Object {
    fn new(kind: &str, dialect: Dialect) -> Self {
        let mut json = String::with_capacity(192);
        json.push_str(r#"{"type":""#);
        json.push_str(kind);
        json.push('"');
        Self { json, dialect }
    }

    fn key(&mut self, key: &str) {
        self.json.push_str(",\"");
        self.json.push_str(key);
        self.json.push_str("\":");
    }

    fn raw(mut self, key: &str, json: &str) -> Self {
        self.key(key);
        self.json.push_str(json);
        self
    }

    fn number(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.key(key);
        let written = write!(self.json, "{value}");
        debug_assert!(written.is_ok(), "a String takes whatever is written");
        self
    }

    fn text(self, key: &str, value: &str) -> Self {
        let json = serde_json::Value::from(value).to_string();
        self.raw(key, &json)
    }

    fn text_or_null(self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(key, value),
            None => self.raw(key, "null"),
        }
    }

    fn flag(self, key: &str, value: bool) -> Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    fn amount(mut self, key: &str, value: Amount) -> Self {
        self.key(key);
        amount::write(&mut self.json, value, self.dialect);
        self
    }

    fn time(self, key: &str, value: Timestamp) -> Self {
        self.number(key, value.as_millis())
    }

    fn standing(self, standing: Standing<'_>) -> Self {
        self.number("generation", standing.generation.get())
            .number("viewers", standing.viewers)
            .time("serverTime", standing.now)
            .when(standing.suggested.is_some(), |object| {
                object.text_or_null("suggested", standing.suggested)
            })
    }

    fn room(self, id: &RoomId) -> Self {
        let id = id.as_ref();
        let numeric = id.len() <= NUMERIC_ID_DIGITS_MAX
            && id.bytes().all(|b| b.is_ascii_digit())
            && (id == "0" || !id.starts_with('0'));
        if numeric { self.raw("auctionId", id) } else { self.text("auctionId", id) }
    }

    fn token_end(self, identity: &Identity) -> Self {
        match &identity.pass {
            Some(pass) => self.time("tokenExpiresAt", pass.expires_at),
            None => self,
        }
    }

    fn when(self, condition: bool, then: impl FnOnce(Self) -> Self) -> Self {
        if condition { then(self) } else { self }
    }

    fn end(mut self) -> String {
        self.json.push('}');
        self.json
    }
}

/// First words to a socket.
#[must_use]
pub fn welcome(
    dialect: Dialect,
    session: &SessionId,
    identity: &Identity,
    guest: Option<GuestToken>,
    limits: &Limits,
    now: Timestamp,
) -> String {
    let about = format!(
        r#"{{"bidsPerUser":{},"bidsWindowMs":{},"messageBytesMax":{}}}"#,
        limits.bids_per_user_max,
        limits.bids_window.get(),
        limits.message_bytes_max
    );
    Object::new("welcome", dialect)
        .text("sessionId", session.as_ref())
        .text("userId", identity.user.as_ref())
        .when(guest.is_some(), |object| {
            let token = guest.map(GuestToken::secret);
            object.text_or_null("guestToken", token.as_deref())
        })
        .token_end(identity)
        .time("serverTime", now)
        .number("heartbeatMs", limits.heartbeat_interval.get())
        .raw("limits", &about)
        .raw("features", r#"["batch","changedFields"]"#)
        .end()
}

/// What an auctioneer wanted of a room is done.
#[must_use]
pub fn conducted(dialect: Dialect, room: &RoomId, conduct: &Conduct) -> String {
    let word = match conduct {
        Conduct::Pause(_) => "pause",
        Conduct::Resume => "resume",
        Conduct::Close => "close",
    };
    Object::new("conducted", dialect).room(room).text("what", word).end()
}

/// The whole state of a room.
#[must_use]
pub fn state(dialect: Dialect, room: &RoomId, view: &View, standing: Standing<'_>) -> String {
    let (winner, closed) = match &view.outcome {
        Some(Outcome::Sold { winner, .. }) => (Some(winner.as_ref()), true),
        Some(_) => (None, true),
        None => (None, false),
    };
    fields(Object::new("auctionState", dialect).room(room), None, view)
        .text("title", &view.title)
        .text("currency", &view.currency)
        .when(closed, |object| object.text_or_null("winner", winner))
        .number("seq", view.seq.get())
        .standing(standing)
        .end()
}

/// What comes instead of the whole state: every update after `from` follows.
#[must_use]
pub fn resumed(
    dialect: Dialect,
    room: &RoomId,
    from: Seq,
    to: Seq,
    standing: Standing<'_>,
) -> String {
    Object::new("auctionResumed", dialect)
        .room(room)
        .number("from", from.get())
        .number("seq", to.get())
        .standing(standing)
        .end()
}

/// What one event did, from `before` to `after`; where it is not known what was
/// before, the update holds every field.
#[must_use]
pub fn event(
    dialect: Dialect,
    room: &RoomId,
    before: Option<&View>,
    after: &View,
    delivery: Delivery,
) -> String {
    let was_closed = before.is_some_and(|before| before.state == AuctionState::Closed);
    if after.state == AuctionState::Closed && !was_closed {
        return closed(dialect, room, after);
    }
    let object = Object::new("auctionUpdate", dialect).room(room).number("seq", after.seq.get());
    let before = before.filter(|_| delivery.changed_fields);
    let extended = before.is_none_or(|before| before.extensions != after.extensions);
    fields(object, before, after)
        .when(extended, |object| object.flag("timeExtended", after.extensions > 0))
        .end()
}

/// The fields of `after` that differ from `before`, or all.
fn fields(object: Object, before: Option<&View>, after: &View) -> Object {
    fn changed<T: PartialEq>(
        before: Option<&View>,
        after: &View,
        get: impl Fn(&View) -> T,
    ) -> bool {
        before.is_none_or(|before| get(before) != get(after))
    }
    object
        .when(changed(before, after, |v| v.state), |o| o.text("state", word(after.state)))
        .when(changed(before, after, |v| v.price), |o| o.amount("currentBid", after.price))
        .when(changed(before, after, |v| v.high_bidder.clone()), |o| {
            o.text_or_null("currentBidderId", after.high_bidder.as_ref().map(AsRef::as_ref))
        })
        .when(changed(before, after, |v| v.bid_count), |o| o.number("bidCount", after.bid_count))
        .when(changed(before, after, |v| v.minimum), |o| o.amount("minimumBid", after.minimum))
        .when(changed(before, after, |v| v.opens_at), |o| o.time("opensAt", after.opens_at))
        .when(changed(before, after, |v| v.closes_at), |o| o.time("closesAt", after.closes_at))
        .when(changed(before, after, |v| v.round), |o| o.number("round", after.round))
        .when(
            // Without outages there is nothing to be told of them.
            before.map_or(0, |before| before.credited.get()) != after.credited.get(),
            |o| o.number("creditedMs", after.credited.get()),
        )
        .when(changed(before, after, |v| v.reserve_met), |o| match after.reserve_met {
            Some(met) => o.flag("reserveMet", met),
            None => o,
        })
}

fn word(state: AuctionState) -> &'static str {
    match state {
        AuctionState::Scheduled => "scheduled",
        AuctionState::Open => "open",
        AuctionState::Paused => "paused",
        AuctionState::Closed => "closed",
    }
}

fn closed(dialect: Dialect, room: &RoomId, view: &View) -> String {
    let object = Object::new("auctionClosed", dialect).room(room).number("seq", view.seq.get());
    match &view.outcome {
        Some(Outcome::Sold { winner, amount }) => object
            .text("winner", winner.as_ref())
            .amount("amount", *amount)
            .flag("reserveMet", true)
            .end(),
        Some(Outcome::ReserveNotMet) => {
            object.raw("winner", "null").raw("amount", "null").flag("reserveMet", false).end()
        }
        Some(Outcome::NoBids) | None => {
            object.raw("winner", "null").raw("amount", "null").flag("reserveMet", true).end()
        }
    }
}

/// The ack of a stored bid.
#[must_use]
pub fn accepted(dialect: Dialect, room: &RoomId, bid: &Accepted, durability: &str) -> String {
    Object::new("bidAccepted", dialect)
        .room(room)
        .text("bidId", bid.bid_id.as_ref())
        .number("seq", bid.seq.get())
        .amount("amount", bid.amount)
        .amount("minimumBid", bid.minimum_next)
        .time("serverTime", bid.at)
        .text("durability", durability)
        .end()
}

/// The refusal of a bid.
#[must_use]
pub fn rejected(dialect: Dialect, room: &RoomId, bid: &Rejected) -> String {
    Object::new("bidRejected", dialect)
        .room(room)
        .text("bidId", bid.bid_id.as_ref())
        .text("reason", bid.reason.as_str())
        .amount("currentBid", bid.current)
        .amount("minimumBid", bid.minimum)
        .number("seq", bid.seq.get())
        .time("serverTime", bid.at)
        .when(bid.retry_after.is_some(), |object| {
            object.number("retryAfterMs", bid.retry_after.map_or(0, |after| after.get()))
        })
        .end()
}

/// Somebody else holds the high bid now.
#[must_use]
pub fn outbid(dialect: Dialect, room: &RoomId, view: &View) -> String {
    Object::new("outbid", dialect)
        .room(room)
        .amount("currentBid", view.price)
        .amount("minimumBid", view.minimum)
        .end()
}

/// The server's time; `t` is the client's own JSON.
#[must_use]
pub fn pong(dialect: Dialect, t: Option<&str>, now: Timestamp) -> String {
    let object = Object::new("pong", dialect);
    let object = match t {
        Some(t) => object.raw("t", t),
        None => object,
    };
    object.time("serverTime", now).end()
}

/// Something was refused.
#[must_use]
pub fn error(dialect: Dialect, error: &ClientError) -> String {
    let object = Object::new("error", dialect)
        .text("code", error.code.as_str())
        .text("message", &error.message);
    let object = match &error.room {
        Some(room) => object.room(room),
        None => object,
    };
    let bid_id = error.bid_id.as_ref().map(BidId::as_ref);
    object
        .when(bid_id.is_some(), |object| object.text_or_null("bidId", bid_id))
        .when(error.retry_after_ms.is_some(), |object| {
            object.number("retryAfterMs", error.retry_after_ms.unwrap_or(0))
        })
        .end()
}

/// The socket is about to be closed; when to come back.
#[must_use]
pub fn reconnect(dialect: Dialect, after: Millis, reason: &str) -> String {
    Object::new("reconnect", dialect).number("afterMs", after.get()).text("reason", reason).end()
}

/// How much of a room's service there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Level {
    /// All of it.
    #[default]
    Full,
    /// So many bids wait that late ones are refused.
    Slow,
    /// Bids are not decided; the state may be old.
    Paused,
}

/// How much of a room's service there is from now on, and for how long it has
/// been less.
#[must_use]
pub fn degraded(dialect: Dialect, room: &RoomId, level: Level, stale: Millis) -> String {
    let level = match level {
        Level::Full => "full",
        Level::Slow => "slow",
        Level::Paused => "paused",
    };
    let object = Object::new("degraded", dialect).room(room).text("level", level);
    object.number("staleMs", stale.get()).end()
}

/// Several messages in the seed's envelope.
#[must_use]
pub fn batch(messages: &[String]) -> String {
    let mut json = String::from(r#"{"type":"batch","messages":["#);
    for (n, message) in messages.iter().enumerate() {
        if n > 0 {
            json.push(',');
        }
        json.push_str(message);
    }
    json.push_str("]}");
    json
}
