//! Replies of Redis, from the bytes of its protocol on.

use super::draw;
use gavel_data_plane::store::{
    Appended, StoreError,
    redis_reply::{self, Append, Entries, Header, Loading},
};
use gavel_rules::order::Seq;
use redis::{FromRedisValue, Value};

/// Any reply to any script is read as what it is or refused: never an ack that nobody gave, never
/// a room whose parts do not fit.
pub(crate) fn scripts(bytes: &[u8]) -> bool {
    let Some((choice, bytes)) = bytes.split_first() else { return false };
    if choice.is_multiple_of(2) { append(bytes) } else { load(bytes) }
}

fn append(bytes: &[u8]) -> bool {
    let Some(value) = parsed(bytes) else { return false };
    let Ok(reply) = Append::from_redis_value(value) else { return false };
    let said = format!("{reply:?}");
    let outcome = redis_reply::appended(reply, Seq::new(7));
    let words = [
        ("stored", matches!(outcome, Ok(Appended::Stored { seq, .. }) if seq == Seq::new(7))),
        ("fenced", matches!(outcome, Ok(Appended::Fenced { .. }) | Err(StoreError::Corrupt(_)))),
        ("conflict", matches!(outcome, Ok(Appended::Conflict { .. }))),
        ("early", matches!(outcome, Ok(Appended::TooEarly { .. }))),
        ("late", matches!(outcome, Ok(Appended::TooLate { .. }))),
    ];
    let known = words.into_iter().find(|(word, _)| said.starts_with(&format!("(\"{word}\"")));
    assert!(known.map_or(outcome == Err(StoreError::Unknown), |(_, right)| right), "{said}");
    known.is_some()
}

/// The header's reply, then those of pages.
fn load(bytes: &[u8]) -> bool {
    let mut draw = draw::of(bytes);
    let length = usize::from(draw::any::<u16>(&mut draw)).min(draw.len());
    let header = draw.bytes(length).expect("so many are there");
    let page = draw.take_rest();
    let Some(Ok(header)) = parsed(header).map(Header::from_redis_value) else { return false };
    let told = Seq::new(header.4);
    let Ok(mut loading) = Loading::begin(header) else { return false };
    let began = loading.last();
    if let Some(Ok(entries)) = parsed(page).map(Entries::from_redis_value) {
        let Ok(events) = redis_reply::events(&entries) else { return false };
        if loading.page(&events).is_err() {
            return false;
        }
    }
    let last = loading.last();
    let Ok(loaded) = loading.end() else { return false };
    let now = loaded.auction.view();
    assert!(now.seq == last && last >= told && last >= began);
    let states = loaded.before.iter().chain([&now]).map(|view| view.seq.get());
    assert!(states.collect::<Vec<_>>().is_sorted_by(|a, b| a + 1 == *b), "a gap");
    true
}

fn parsed(bytes: &[u8]) -> Option<Value> {
    redis::parse_redis_value(bytes).ok()
}
