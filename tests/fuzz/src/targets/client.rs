//! JSON of clients and for clients, in both dialects.

use super::{choice_and_text, draw};
use gavel_data_plane::{
    codec::json::{self, ClientMessage, Conduct, Dialect, PlaceBid, Standing},
    flags::Delivery,
};
use gavel_rules::{
    amount::Amount,
    auction::{Accepted, Rejected},
    id::{BidId, ID_CHARS_MAX, RoomId},
    order::{Generation, Seq},
    time::Timestamp,
};
use serde_json::{Value, value::RawValue};
use std::collections::BTreeMap;

/// Reads a message; what was understood is written as a client would and reads back the same.
pub(crate) fn messages(bytes: &[u8]) -> bool {
    let Some((choice, text)) = choice_and_text(bytes) else { return false };
    let dialect = dialect(choice);
    match json::parse(text, dialect) {
        Ok(message) => {
            let again = write(&message, dialect);
            assert_eq!(json::parse(&again, dialect), Ok(message), "{again}");
            true
        }
        Err(error) => {
            let told = json::error(dialect, &error);
            assert!(object(&told)["message"].is_string() && told.len() < 512, "{told}");
            false
        }
    }
}

/// Reads one amount, and again without our parser.
pub(crate) fn amounts(bytes: &[u8]) -> bool {
    let Some((choice, text)) = choice_and_text(bytes) else { return false };
    let dialect = dialect(choice);
    // What is no JSON value is no amount but a broken message.
    if serde_json::from_str::<Value>(text).is_err() || text.trim() != text {
        return false;
    }
    let message = format!(r#"{{"type":"bid","auctionId":"a","amount":{text}}}"#);
    let read = match json::parse(&message, dialect) {
        Ok(ClientMessage::Bid(bid)) => Some(bid.amount),
        Ok(other) => panic!("{text} made {other:?} of a bid"),
        Err(_) => None,
    };
    assert_eq!(read.map(Amount::minor), minor_units(text, dialect), "{text}");
    read.is_some()
}

/// Reads one id.
pub(crate) fn ids(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let expected = (1..=ID_CHARS_MAX).contains(&text.len()) && text.chars().all(plain);
    let id = text.parse::<RoomId>();
    assert_eq!(id.is_ok(), expected, "{text:?}");
    let quoted = Value::from(text).to_string();
    assert_eq!(serde_json::from_str::<BidId>(&quoted).is_ok(), expected, "{text:?}");
    let join = format!(r#"{{"type":"joinAuction","auctionId":{quoted}}}"#);
    for dialect in [Dialect::Seed, Dialect::V1] {
        let joined = json::parse(&join, dialect).ok();
        let asked = id.clone().ok().map(|id| ClientMessage::Join(id, None));
        assert_eq!(joined, asked, "{text:?}");
    }
    expected
}

/// Writes what any state comes to; it is JSON whose amounts and ids read back the same.
pub(crate) fn views(bytes: &[u8]) -> bool {
    let draw = &mut draw::of(bytes);
    let dialect = dialect(draw::byte(draw));
    let (room, bid_id) = (draw::id::<RoomId>(draw), draw::id::<BidId>(draw));
    let (before, after) = (draw::view(draw), draw::view(draw));
    let (seq, at) = (after.seq, Timestamp::new(draw::number(draw)));
    let standing =
        Standing { generation: Generation::new(seq.get()), viewers: 1, now: at, suggested: None };
    let delivery = Delivery { changed_fields: seq.get() % 2 == 0, batching: false };
    let accepted = Accepted {
        bid_id: bid_id.clone(),
        bidder: draw::id(draw),
        amount: after.price,
        seq,
        at,
        minimum_next: after.minimum,
    };
    let rejected = Rejected {
        bid_id,
        reason: draw::reason(draw),
        current: after.price,
        minimum: after.minimum,
        seq,
        at,
        retry_after: None,
    };
    let told = [
        json::state(dialect, &room, &after, standing),
        json::event(dialect, &room, Some(&before), &after, delivery),
        json::event(dialect, &room, None, &after, delivery),
        json::resumed(dialect, &room, Seq::default(), seq, standing),
        json::accepted(dialect, &room, &accepted, "memory"),
        json::rejected(dialect, &room, &rejected),
        json::outbid(dialect, &room, &after),
    ];
    for text in &told {
        // Numbers as they stand there: as a float the greatest would lose their cents.
        let said: BTreeMap<String, &RawValue> = serde_json::from_str(text).expect(text);
        assert_eq!(read_bid(said["auctionId"].get(), "1", dialect).0, room, "{text}");
        for (key, amount) in [("currentBid", after.price), ("minimumBid", after.minimum)] {
            if let Some(value) = said.get(key) {
                assert_eq!(read_bid("1", value.get(), dialect).1, amount, "{text}");
            }
        }
    }
    let batch = object(&json::batch(&told));
    assert_eq!(batch["messages"].as_array().map(Vec::len), Some(told.len()));
    true
}

fn dialect(choice: u8) -> Dialect {
    if choice.is_multiple_of(2) { Dialect::Seed } else { Dialect::V1 }
}

fn object(text: &str) -> Value {
    let value: Value = serde_json::from_str(text).expect(text);
    assert!(value["type"].is_string(), "{text}");
    value
}

/// The room and the amount of a bid that names them so.
fn read_bid(room: &str, amount: &str, dialect: Dialect) -> (RoomId, Amount) {
    let text = format!(r#"{{"type":"bid","auctionId":{room},"amount":{amount}}}"#);
    match json::parse(&text, dialect) {
        Ok(ClientMessage::Bid(PlaceBid { room, amount, .. })) => (room, amount),
        other => panic!("{text}: {other:?}"),
    }
}

/// A message as a client writes it.
fn write(message: &ClientMessage, dialect: Dialect) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let named = |kind: &str, rest: String| format!(r#"{{"type":"{kind}"{rest}}}"#);
    let of = |room: &RoomId| format!(r#","auctionId":{}"#, text(room.as_ref()));
    match message {
        ClientMessage::Join(room, since) => {
            let since = since.map(|since| {
                format!(r#","generation":{},"seq":{}"#, since.generation.get(), since.seq.get())
            });
            named("joinAuction", of(room) + &since.unwrap_or_default())
        }
        ClientMessage::Leave(room) => named("leaveAuction", of(room)),
        ClientMessage::Bid(bid) => {
            let minor = bid.amount.minor();
            let amount = match dialect {
                Dialect::Seed => format!("{}.{:02}", minor / 100, minor % 100),
                Dialect::V1 => minor.to_string(),
            };
            let mut rest = of(&bid.room) + &format!(r#","amount":{amount}"#);
            if let Some(bid_id) = &bid.bid_id {
                rest += &format!(r#","bidId":{}"#, text(bid_id.as_ref()));
            }
            if let Some(traceparent) = &bid.traceparent {
                rest += &format!(r#","tp":{}"#, text(traceparent));
            }
            named("bid", rest)
        }
        ClientMessage::Ping(t) => {
            named("ping", t.as_ref().map(|t| format!(r#","t":{t}"#)).unwrap_or_default())
        }
        ClientMessage::Auth(token) => named("auth", format!(r#","token":{}"#, text(token))),
        ClientMessage::Conduct(room, Conduct::Pause(reason)) => {
            named("pauseAuction", of(room) + &format!(r#","reason":{}"#, text(reason)))
        }
        ClientMessage::Conduct(room, Conduct::Resume) => named("resumeAuction", of(room)),
        ClientMessage::Conduct(room, Conduct::Close) => named("closeAuction", of(room)),
    }
}

/// What the protocol says an amount is, by long arithmetic on its digits.
fn minor_units(json: &str, dialect: Dialect) -> Option<u64> {
    let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let text = inner.unwrap_or(json);
    let (major, fraction) = match text.split_once('.') {
        Some((major, fraction)) => (major, Some(fraction)),
        None => (text, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(major) || !fraction.is_none_or(digits) {
        return None;
    }
    let whole = major.trim_start_matches('0');
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let cents = |fraction: &str| {
        let two = fraction.bytes().chain(*b"00").take(2);
        two.fold(0, |sum, digit| sum * 10 + u128::from(digit - b'0'))
    };
    let minor = match (dialect, fraction) {
        (Dialect::V1, Some(_)) if inner.is_none() => return None,
        (Dialect::V1, Some(fraction)) if fraction.len() > 2 => return None,
        (Dialect::V1, None) => u128::from(whole),
        (_, fraction) => u128::from(whole) * 100 + fraction.map_or(0, cents),
    };
    u64::try_from(minor).ok().filter(|minor| *minor <= Amount::MAX.minor())
}
