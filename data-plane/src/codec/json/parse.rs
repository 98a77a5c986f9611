//! What a client says, in JSON.

use super::{Dialect, ErrorCode, amount};
use gavel_rules::{
    amount::Amount,
    id::{BidId, RoomId},
    order::{Generation, Position, Seq},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientMessage {
    /// Enter a room; the state comes back, or what was missed since a position.
    Join(RoomId, Option<Position>),
    /// Leave a room.
    Leave(RoomId),
    /// Ask to pay an amount.
    Bid(PlaceBid),
    /// Ask for the server's time; the JSON of `t` comes back as it came.
    Ping(Option<String>),
    /// Prove who this is.
    Auth(String),
    /// As its auctioneer, let an auction be paused, for a reason, or go on, or close.
    Conduct(RoomId, Conduct),
}

/// What an auctioneer wants of an auction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conduct {
    /// Refuse bids and stop the clock; why is for whoever reads the stream.
    Pause(String),
    /// Go on.
    Resume,
    /// Close now.
    Close,
}

/// A bid as the client asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceBid {
    /// Where.
    pub room: RoomId,
    /// How much.
    pub amount: Amount,
    /// Makes retries safe; the server draws one where the client did not.
    pub bid_id: Option<BidId>,
    /// W3C traceparent of the client.
    pub traceparent: Option<String>,
}

/// Why a message was refused, as the client is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientError {
    /// Why.
    pub code: ErrorCode,
    /// For a developer who reads the console.
    pub message: String,
    /// The room of the message, where it could be read.
    pub room: Option<RoomId>,
    /// The bid of the message, where it could be read.
    pub bid_id: Option<BidId>,
    /// When a retry makes sense, in ms.
    pub retry_after_ms: Option<u64>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, rename = "auctionId")]
    room: Option<&'a RawValue>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
    #[serde(borrow, rename = "bidId")]
    bid_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "maxAmount")]
    max_amount: Option<&'a RawValue>,
    #[serde(borrow)]
    tp: Option<&'a RawValue>,
    #[serde(borrow)]
    t: Option<&'a RawValue>,
    #[serde(borrow)]
    token: Option<&'a RawValue>,
    #[serde(borrow)]
    reason: Option<&'a RawValue>,
    #[serde(borrow)]
    generation: Option<&'a RawValue>,
    #[serde(borrow)]
    seq: Option<&'a RawValue>,
}

/// The longest `t` that a ping gets back.
const PING_T_BYTES_MAX: usize = 64;
/// The longest reason of a pause; operators have as much.
const REASON_BYTES_MAX: usize = 256;

// === impl ClientError ===

impl ClientError {
    /// An error with nothing but a code and a message.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), room: None, bid_id: None, retry_after_ms: None }
    }

    /// The same about a room.
    #[must_use]
    pub fn in_room(mut self, room: &RoomId) -> Self {
        self.room = Some(room.clone());
        self
    }

    /// The same about a bid.
    #[must_use]
    pub fn of_bid(mut self, bid_id: Option<&BidId>) -> Self {
        self.bid_id = bid_id.cloned();
        self
    }

    /// The same with the time after which to try again.
    #[must_use]
    pub fn retry_after(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}

/// Reads one text message.
///
/// # Errors
/// [`ClientError`] with what the client is to be told.
pub fn parse(text: &str, dialect: Dialect) -> Result<ClientMessage, ClientError> {
    let raw: Raw<'_> = serde_json::from_str(text)
        .map_err(|_| ClientError::new(ErrorCode::BadJson, "not a JSON object of this protocol"))?;
    let kind = string("type", raw.kind)?
        .ok_or_else(|| ClientError::new(ErrorCode::BadField, "type: is missing"))?;
    match kind.as_ref() {
        "joinAuction" => join(&raw),
        "leaveAuction" => Ok(ClientMessage::Leave(room(&raw)?)),
        "bid" => bid(&raw, dialect).map(ClientMessage::Bid),
        "ping" => ping(&raw),
        "auth" => {
            let token = string("token", raw.token)?
                .ok_or_else(|| ClientError::new(ErrorCode::BadField, "token: is missing"))?;
            Ok(ClientMessage::Auth(token.into_owned()))
        }
        "pauseAuction" => pause(&raw),
        "resumeAuction" => Ok(ClientMessage::Conduct(room(&raw)?, Conduct::Resume)),
        "closeAuction" => Ok(ClientMessage::Conduct(room(&raw)?, Conduct::Close)),
        _ => Err(ClientError::new(ErrorCode::UnknownType, "no message of this type is known")),
    }
}

fn join(raw: &Raw<'_>) -> Result<ClientMessage, ClientError> {
    let room = room(raw)?;
    let missing = |field| ClientError::new(ErrorCode::BadField, format!("{field}: is missing"));
    let since = match (raw.generation, raw.seq) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(missing("seq")),
        (None, Some(_)) => Err(missing("generation")),
        (Some(generation), Some(seq)) => position(generation, seq).map(Some),
    };
    let since = since.map_err(|error| error.in_room(&room))?;
    Ok(ClientMessage::Join(room, since))
}

fn position(generation: &RawValue, seq: &RawValue) -> Result<Position, ClientError> {
    let generation = Generation::new(number("generation", generation)?);
    Ok(Position { generation, seq: Seq::new(number("seq", seq)?) })
}

fn number(field: &str, json: &RawValue) -> Result<u64, ClientError> {
    serde_json::from_str(json.get()).map_err(|_| {
        ClientError::new(ErrorCode::BadField, format!("{field}: must be a whole number"))
    })
}

fn bid(raw: &Raw<'_>, dialect: Dialect) -> Result<PlaceBid, ClientError> {
    let room = room(raw)?;
    let bid_id = string("bidId", raw.bid_id)
        .and_then(|id| id.map(|id| id.parse::<BidId>().map_err(|_| bad_id("bidId"))).transpose())
        .map_err(|error| error.in_room(&room))?;
    let refuse = |error: ClientError| error.in_room(&room).of_bid(bid_id.as_ref());
    // Money must not be promised by a field that does nothing.
    if raw.max_amount.is_some() {
        let message = "maxAmount: maximum bids are not supported";
        return Err(refuse(ClientError::new(ErrorCode::Unsupported, message)));
    }
    let amount =
        raw.amount.and_then(|json| amount::read(json.get(), dialect)).ok_or_else(|| {
            refuse(ClientError::new(ErrorCode::BadAmount, "amount: is not an amount"))
        })?;
    let traceparent = string("tp", raw.tp).map_err(refuse)?.map(Cow::into_owned);
    Ok(PlaceBid { room, amount, bid_id, traceparent })
}

fn pause(raw: &Raw<'_>) -> Result<ClientMessage, ClientError> {
    let room = room(raw)?;
    let reason = string("reason", raw.reason).map_err(|error| error.in_room(&room))?;
    let reason = reason.map(Cow::into_owned).unwrap_or_default();
    if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
        let message = "reason: must be at most 256 bytes without control characters";
        return Err(ClientError::new(ErrorCode::BadField, message).in_room(&room));
    }
    Ok(ClientMessage::Conduct(room, Conduct::Pause(reason)))
}

fn ping(raw: &Raw<'_>) -> Result<ClientMessage, ClientError> {
    match raw.t.map(RawValue::get) {
        Some(t) if t.len() > PING_T_BYTES_MAX || t.starts_with(['{', '[']) => {
            Err(ClientError::new(ErrorCode::BadField, "t: must be a short string or a number"))
        }
        t => Ok(ClientMessage::Ping(t.map(str::to_owned))),
    }
}

fn room(raw: &Raw<'_>) -> Result<RoomId, ClientError> {
    let json =
        raw.room.ok_or_else(|| ClientError::new(ErrorCode::BadField, "auctionId: is missing"))?;
    let text = json.get();
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_err(|_| bad_id("auctionId"));
    }
    let text = string("auctionId", Some(json))?.unwrap_or_default();
    text.parse().map_err(|_| bad_id("auctionId"))
}

fn bad_id(field: &str) -> ClientError {
    ClientError::new(ErrorCode::BadId, format!("{field}: must be 1 to 64 of A-Z a-z 0-9 _ -"))
}

fn string<'a>(
    field: &str,
    json: Option<&'a RawValue>,
) -> Result<Option<Cow<'a, str>>, ClientError> {
    let Some(json) = json else { return Ok(None) };
    let text = serde_json::from_str::<String>(json.get())
        .map_err(|_| ClientError::new(ErrorCode::BadField, format!("{field}: must be a string")))?;
    Ok(Some(Cow::Owned(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> &'static str {
        parse(text, Dialect::V1).expect_err(text).code.as_str()
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("", "bad_json"),
            ("{", "bad_json"),
            ("[]", "bad_json"),
            ("null", "bad_json"),
            ("1", "bad_json"),
            (r#"{"type":"bid","type":"bid"}"#, "bad_json"),
            ("{}", "bad_field"),
            (r#"{"type":1}"#, "bad_field"),
            (r#"{"type":"dance"}"#, "unknown_type"),
            (r#"{"type":"joinAuction"}"#, "bad_field"),
            (r#"{"type":"joinAuction","auctionId":null}"#, "bad_field"),
            (r#"{"type":"joinAuction","auctionId":{}}"#, "bad_field"),
            (r#"{"type":"joinAuction","auctionId":1.5}"#, "bad_field"),
            (r#"{"type":"joinAuction","auctionId":-1}"#, "bad_field"),
            (r#"{"type":"joinAuction","auctionId":""}"#, "bad_id"),
            (r#"{"type":"joinAuction","auctionId":"a b"}"#, "bad_id"),
            (r#"{"type":"joinAuction","auctionId":"{x}"}"#, "bad_id"),
            (r#"{"type":"joinAuction","auctionId":"a\r\nb"}"#, "bad_id"),
            (r#"{"type":"joinAuction","auctionId":"a\u0000"}"#, "bad_id"),
            (r#"{"type":"joinAuction","auctionId":"ünï"}"#, "bad_id"),
            (r#"{"type":"joinAuction","auctionId":1,"seq":3}"#, "bad_field"),
            (r#"{"type":"joinAuction","auctionId":1,"generation":3}"#, "bad_field"),
            (r#"{"type":"joinAuction","auctionId":1,"generation":3,"seq":null}"#, "bad_field"),
            (r#"{"type":"joinAuction","auctionId":1,"generation":3,"seq":"4"}"#, "bad_field"),
            (r#"{"type":"joinAuction","auctionId":1,"generation":[],"seq":4}"#, "bad_field"),
            (r#"{"type":"joinAuction","auctionId":1,"generation":-1,"seq":4}"#, "bad_field"),
            (r#"{"type":"joinAuction","auctionId":1,"generation":1,"seq":4.5}"#, "bad_field"),
            (
                r#"{"type":"joinAuction","auctionId":1,"generation":1,"seq":18446744073709551616}"#,
                "bad_field",
            ),
            (r#"{"type":"bid","auctionId":1}"#, "bad_amount"),
            (r#"{"type":"bid","auctionId":1,"amount":"x"}"#, "bad_amount"),
            (r#"{"type":"bid","auctionId":1,"amount":-5}"#, "bad_amount"),
            (r#"{"type":"bid","auctionId":1,"amount":NaN}"#, "bad_json"),
            (r#"{"type":"bid","auctionId":1,"amount":5,"bidId":7}"#, "bad_field"),
            (r#"{"type":"bid","auctionId":1,"amount":5,"bidId":"a:b"}"#, "bad_id"),
            (r#"{"type":"bid","auctionId":1,"amount":5,"maxAmount":9}"#, "unsupported"),
            (r#"{"type":"bid","auctionId":1,"amount":5,"tp":[]}"#, "bad_field"),
            (r#"{"type":"ping","t":{}}"#, "bad_field"),
            (r#"{"type":"auth"}"#, "bad_field"),
            (r#"{"type":"closeAuction"}"#, "bad_field"),
            (r#"{"type":"pauseAuction","auctionId":1,"reason":7}"#, "bad_field"),
            (r#"{"type":"pauseAuction","auctionId":1,"reason":"a\nb"}"#, "bad_field"),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
        let long = format!(r#"{{"type":"joinAuction","auctionId":"{}"}}"#, "a".repeat(65));
        assert_eq!(code(&long), "bad_id");
    }

    #[test]
    fn a_position_is_read_whole() {
        let text = r#"{"type":"joinAuction","auctionId":"a","generation":1700000000000,"seq":0}"#;
        let since = Position { generation: Generation::new(1_700_000_000_000), seq: Seq::new(0) };
        let join = ClientMessage::Join("a".parse().expect("id"), Some(since));
        assert_eq!(parse(text, Dialect::V1), Ok(join));
    }

    #[test]
    fn the_seeds_messages_are_read() {
        let join = parse(r#"{"type":"joinAuction","auctionId":7}"#, Dialect::Seed);
        assert_eq!(join, Ok(ClientMessage::Join("7".parse().expect("id"), None)));
        let bid = parse(r#"{"type":"bid","auctionId":7,"amount":512.7391,"x":1}"#, Dialect::Seed);
        let Ok(ClientMessage::Bid(bid)) = bid else { panic!("{bid:?}") };
        assert_eq!(bid.amount.minor(), 51_273);
    }
}
