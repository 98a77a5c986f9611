//! What a session answers, message by message.

use super::*;
use crate::{
    auth::Pass,
    settings::{Live, Settings},
};
use gavel_proto::denials::{Denial, Denials, What};
use std::sync::Arc;

mod matrix;
mod times;

const NOW: Timestamp = Timestamp::new(1_000_000);
const ISSUED_AT: Timestamp = Timestamp::new(900_000);
const LATER: Timestamp = Timestamp::new(2_000_000);

/// The user `u1`: with a token `t1` of these grants, or as a guest.
fn identity(grants: Option<&str>, expires_at: Timestamp) -> Identity {
    let pass = grants.map(|grants| {
        let grants = serde_json::from_str(grants).expect("grants");
        let token_id = Some("t1".to_owned());
        Arc::new(Pass { grants, token_id, issued_at: Some(ISSUED_AT), expires_at })
    });
    Identity { user: "u1".parse().expect("id"), pass }
}

fn session(grants: Option<&str>, limits: &Limits) -> Session {
    let identity = identity(grants, LATER);
    let visitor = Visitor { identity, opened_at: NOW, proof_due: None };
    Session::new("s1".parse().expect("id"), Dialect::V1, visitor, limits)
}

fn ban(user: &str, room: Option<&str>) -> Denial {
    let (user, room) = (user.parse().unwrap(), room.map(|room| room.parse().unwrap()));
    Denial { what: What::Ban { user, room, reason: "".parse().unwrap() }, until: None }
}

fn revoked_token(token: &str, until: Timestamp) -> Denial {
    Denial { what: What::Token { token: token.parse().unwrap() }, until: Some(until) }
}

fn revoked_user(user: &str, issued_before: Timestamp, until: Timestamp) -> Denial {
    let what = What::User { user: user.parse().unwrap(), issued_before };
    Denial { what, until: Some(until) }
}

fn kick(user: &str, opened_before: Timestamp, until: Timestamp) -> Denial {
    let what = What::Kick { user: user.parse().unwrap(), opened_before };
    Denial { what, until: Some(until) }
}

fn settings(limits: Limits, denials: Denials) -> Settings {
    let usual = Live::default().get();
    Settings { limits, denials: denials.into(), ..(*usual).clone() }
}

fn step(session: &mut Session, input: Input<'_>, limits: &Limits) -> Vec<Action> {
    let settings = settings(limits.clone(), Denials::default());
    let mut actions = Vec::new();
    session.step(input, NOW, &settings, &mut actions);
    actions
}

fn say(session: &mut Session, text: &str, limits: &Limits) -> Vec<Action> {
    step(session, Input::Text(text), limits)
}

fn code(actions: &[Action]) -> Option<String> {
    actions.iter().find_map(|action| {
        let Action::Send(json) = action else { return None };
        let json: serde_json::Value = serde_json::from_str(json).expect("json");
        json["code"].as_str().map(str::to_owned)
    })
}

fn closed(actions: &[Action]) -> Option<u16> {
    actions.iter().find_map(|action| {
        let Action::Close(code) = action else { return None };
        Some(code.code())
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
    assert_eq!(step(&mut session, Input::Refused(3), &limits), []);
    assert!(closes(&step(&mut session, Input::Refused(1), &limits)));
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
    let actions = step(&mut session(None, &limits), Input::Binary, &limits);
    assert_eq!(actions, [Action::Close(CloseCode::Unsupported)]);
}
