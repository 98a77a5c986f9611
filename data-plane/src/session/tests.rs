//! What a session answers, message by message.

use super::*;
use crate::auth::{Grants, Pass};
use gavel_rules::time::Timestamp;
use std::sync::Arc;

const NOW: Timestamp = Timestamp::new(1_000_000);

fn session(grants: Option<Grants>, limits: &Limits) -> Session {
    let expires_at = Timestamp::new(NOW.as_millis() + 60_000);
    let pass = grants.map(|grants| Pass { grants, token_id: None, issued_at: None, expires_at });
    let identity = Identity { user: "u1".parse().expect("id"), pass: pass.map(Arc::new) };
    Session::new("s1".parse().expect("id"), Dialect::V1, identity, limits)
}

fn say(session: &mut Session, text: &str, limits: &Limits) -> Vec<Action> {
    let mut actions = Vec::new();
    session.step(Input::Text(text), NOW, limits, &mut actions);
    actions
}

fn code(actions: &[Action]) -> Option<String> {
    actions.iter().find_map(|action| match action {
        Action::Send(json) => {
            let json: serde_json::Value = serde_json::from_str(json).expect("json");
            json["code"].as_str().map(str::to_owned)
        }
        Action::Join(..)
        | Action::Leave(_)
        | Action::Bid { .. }
        | Action::Verify(_)
        | Action::Exceeded(..)
        | Action::Close(_) => None,
    })
}

#[test]
fn a_guest_joins_and_bids_without_joining_first() {
    let limits = Limits::default();
    let mut session = session(None, &limits);
    let actions = say(&mut session, r#"{"type":"bid","auctionId":"a","amount":5}"#, &limits);
    let [Action::Bid { room, bid }] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!((room.as_ref(), bid.bid_id.as_ref()), ("a", "s1-1"));
    assert!(session.joined().is_empty());
    let actions = say(&mut session, r#"{"type":"joinAuction","auctionId":"a"}"#, &limits);
    assert!(matches!(actions.as_slice(), [Action::Join(..)]));
    assert_eq!(session.joined().len(), 1);
}

#[test]
fn a_token_without_the_grant_may_neither_join_nor_bid() {
    let limits = Limits::default();
    let grants: Grants = serde_json::from_str(r#"{"a":["view"]}"#).expect("grants");
    let mut session = session(Some(grants), &limits);
    let bid = say(&mut session, r#"{"type":"bid","auctionId":"a","amount":5}"#, &limits);
    assert_eq!(code(&bid).as_deref(), Some("forbidden"));
    let join = say(&mut session, r#"{"type":"joinAuction","auctionId":"b"}"#, &limits);
    assert_eq!(code(&join).as_deref(), Some("forbidden"));
    let join = say(&mut session, r#"{"type":"joinAuction","auctionId":"a"}"#, &limits);
    assert!(matches!(join.as_slice(), [Action::Join(..)]));
}

#[test]
fn bad_json_is_told_and_then_closes() {
    let limits = Limits::default();
    let mut session = session(None, &limits);
    for n in 1..=BAD_MESSAGES_MAX {
        let actions = say(&mut session, "{", &limits);
        assert_eq!(code(&actions).as_deref(), Some("bad_json"));
        let closed = actions.contains(&Action::Close(CloseCode::Invalid));
        assert_eq!(closed, n == BAD_MESSAGES_MAX, "message {n}");
    }
}

/// A session that has just used up its messages.
fn flooding(limits: &Limits) -> Session {
    let mut session = session(None, limits);
    for _ in 0..limits.messages_per_session_burst {
        assert_eq!(say(&mut session, PING, limits).len(), 1);
    }
    session
}

const PING: &str = r#"{"type":"ping"}"#;

#[test]
fn a_flood_is_told_once_and_then_closes() {
    let limits =
        Limits { messages_per_session_burst: 3, refusals_per_session_max: 20, ..Limits::default() };
    let mut session = flooding(&limits);
    let hit = Action::Exceeded(Exceeded::MessagesPerSession, limit::Action::Refuse);
    let first = say(&mut session, PING, &limits);
    assert_eq!((code(&first).as_deref(), first.first()), (Some("rate_limited"), Some(&hit)));
    for _ in 2..20 {
        assert_eq!(say(&mut session, PING, &limits), std::slice::from_ref(&hit));
    }
    let last = say(&mut session, PING, &limits);
    let [Action::Exceeded(..), Action::Send(error), close] = last.as_slice() else {
        panic!("{last:?}")
    };
    assert!(error.contains("retryAfterMs"), "{error}");
    assert_eq!(*close, Action::Close(CloseCode::MessageRate));
}

#[test]
fn a_changed_rate_is_in_force_for_open_sockets() {
    let limits = Limits { messages_per_session_burst: 3, ..Limits::default() };
    let mut session = flooding(&limits);
    assert_eq!(code(&say(&mut session, PING, &limits)).as_deref(), Some("rate_limited"));
    let raised = Limits { messages_per_session_burst: 5, ..limits.clone() };
    for limited in [false, false, false, false, false, true] {
        let said = say(&mut session, PING, &raised);
        assert_eq!(code(&said).is_some(), limited, "{said:?}");
    }
    let lifted = Limits { messages_per_session_rate: 0, ..limits };
    assert_eq!(code(&say(&mut session, PING, &lifted)), None);
}

#[test]
fn what_happens_over_the_rate_is_chosen() {
    for (action, closed) in [
        (limit::Action::Close, Some(CloseCode::MessageRate)),
        (limit::Action::Shed, Some(CloseCode::Overloaded)),
        (limit::Action::DryRun, None),
    ] {
        let usual = Limits { messages_per_session_burst: 3, ..Limits::default() };
        let actions = usual.actions.clone().with(Exceeded::MessagesPerSession, action);
        let limits = Limits { actions, ..usual };
        let over = say(&mut flooding(&limits), PING, &limits);
        let hit = Action::Exceeded(Exceeded::MessagesPerSession, action);
        assert_eq!(over.first(), Some(&hit));
        let close = over.iter().find(|action| matches!(action, Action::Close(_)));
        assert_eq!(close, closed.map(Action::Close).as_ref(), "{over:?}");
        let limited = code(&over).as_deref() == Some("rate_limited");
        assert_eq!(limited, closed.is_some(), "{over:?}");
    }
}

#[test]
fn refusals_of_all_kinds_count_together() {
    let limits =
        Limits { rooms_per_session_max: 1, refusals_per_session_max: 4, ..Limits::default() };
    let mut session = session(None, &limits);
    let closes = |actions: &[Action]| actions.contains(&Action::Close(CloseCode::MessageRate));
    for (said, closed) in [
        (r#"{"type":"joinAuction","auctionId":"a"}"#, false),
        (r#"{"type":"joinAuction","auctionId":"b"}"#, false),
        (r#"{"type":"no"}"#, false),
        (r#"{"type":"bid","auctionId":"a","amount":-1}"#, false),
        (r#"{"type":"joinAuction","auctionId":"c"}"#, true),
    ] {
        assert_eq!(closes(&say(&mut session, said, &limits)), closed, "{said}");
    }
    let mut actions = Vec::new();
    session.step(Input::Refused(3), NOW, &limits, &mut actions);
    assert_eq!(actions, []);
    session.step(Input::Refused(1), NOW, &limits, &mut actions);
    assert!(closes(&actions));
}

#[test]
fn rooms_of_a_session_are_bounded() {
    let limits = Limits { rooms_per_session_max: 2, ..Limits::default() };
    let mut session = session(None, &limits);
    for room in ["a", "b", "a"] {
        let join = format!(r#"{{"type":"joinAuction","auctionId":"{room}"}}"#);
        assert_eq!(code(&say(&mut session, &join, &limits)), None);
    }
    let over = say(&mut session, r#"{"type":"joinAuction","auctionId":"c"}"#, &limits);
    assert_eq!(code(&over).as_deref(), Some("too_many_rooms"));
    let dry_run = limits.actions.clone().with(Exceeded::RoomsPerSession, limit::Action::DryRun);
    let limits = Limits { actions: dry_run, ..limits };
    let over = say(&mut session, r#"{"type":"joinAuction","auctionId":"c"}"#, &limits);
    assert!(matches!(over.as_slice(), [Action::Exceeded(..), Action::Join(..)]), "{over:?}");
}

#[test]
fn binary_is_refused_in_a_text_dialect() {
    let limits = Limits::default();
    let mut actions = Vec::new();
    session(None, &limits).step(Input::Binary, NOW, &limits, &mut actions);
    assert_eq!(actions, [Action::Close(CloseCode::Unsupported)]);
}
