//! How long a session lasts, and what it does when that changes.

use super::*;

fn open(grants: Option<&str>, expires_at: Timestamp, proof_due: Option<Timestamp>) -> Session {
    let visitor = Visitor { identity: identity(grants, expires_at), opened_at: NOW, proof_due };
    Session::new("s1".parse().unwrap(), Dialect::V1, visitor, &Limits::default())
}

fn at(session: &mut Session, now: u64, input: Input<'_>, denials: &Denials) -> Vec<Action> {
    let settings = settings(Limits::default(), denials.clone());
    let mut actions = Vec::new();
    session.step(input, Timestamp::new(now), &settings, &mut actions);
    actions
}

fn wakes(actions: &[Action]) -> Vec<Option<u64>> {
    let at = actions.iter().filter_map(|action| {
        let Action::WakeAt(at) = action else { return None };
        Some(at.map(Timestamp::as_millis))
    });
    at.collect()
}

const BIDS: Option<&str> = Some(r#"{"a": ["bid"], "b": ["view"]}"#);
const JOIN: &str = r#"{"type":"joinAuction","auctionId":"a"}"#;

#[test]
fn a_session_ends_with_its_token_unless_a_newer_one_comes() {
    let none = Denials::default();
    let mut session = open(BIDS, Timestamp::new(1_060_000), None);
    let opened = at(&mut session, 1_000_000, Input::Opened(None), &none);
    assert_eq!(wakes(&opened), [Some(1_060_000)]);
    let newer = identity(BIDS, Timestamp::new(1_120_000));
    let renewed = at(&mut session, 1_050_000, Input::Identified(Ok(newer)), &none);
    assert_eq!(wakes(&renewed), [Some(1_120_000)]);
    assert!(renewed.iter().any(
        |action| matches!(action, Action::Send(json) if json.contains(r#""tokenExpiresAt":1120000"#))
    ));
    assert_eq!(closed(&at(&mut session, 1_119_999, Input::Woken, &none)), None);
    let over = at(&mut session, 1_120_000, Input::Woken, &none);
    assert_eq!((closed(&over), code(&over).as_deref()), (Some(4401), Some("unauthenticated")));
}

#[test]
fn a_token_that_was_taken_late_is_good_for_a_moment() {
    let none = Denials::default();
    let mut session = open(BIDS, Timestamp::new(998_000), None);
    let opened = at(&mut session, 1_000_000, Input::Opened(None), &none);
    assert_eq!((closed(&opened), wakes(&opened)), (None, vec![Some(1_003_000)]));
}

#[test]
fn where_guests_are_not_let_in_a_token_must_come_in_time() {
    let none = Denials::default();
    let due = Some(Timestamp::new(1_005_000));
    let mut session = open(None, LATER, due);
    let opened = at(&mut session, 1_000_000, Input::Opened(None), &none);
    // There is no welcome before it is known for whom.
    assert_eq!(opened, [Action::WakeAt(due)]);
    assert_eq!(closed(&at(&mut session, 1_005_000, Input::Woken, &none)), Some(4401));

    let mut session = open(None, LATER, due);
    let known = at(&mut session, 1_004_999, Input::Identified(Ok(identity(BIDS, LATER))), &none);
    assert!(known.contains(&Action::SignedIn));
    assert_eq!(closed(&at(&mut session, 1_005_000, Input::Woken, &none)), None);
    let joined = at(&mut session, 1_005_000, Input::Text(JOIN), &none);
    assert!(matches!(joined.as_slice(), [Action::Join(..)]), "{joined:?}");
}

#[test]
fn a_ban_takes_effect_in_an_open_session() {
    let mut session = open(BIDS, LATER, None);
    let joined = at(&mut session, 1_000_000, Input::Text(JOIN), &Denials::default());
    assert!(matches!(joined.as_slice(), [Action::Join(..)]));
    let elsewhere = Denials::new([ban("u1", Some("b"))]).unwrap();
    assert_eq!(session.joined().len(), 1);
    assert_eq!(code(&at(&mut session, 1_000_000, Input::Woken, &elsewhere)), None);
    let here = Denials::new([ban("u1", Some("a"))]).unwrap();
    let left = at(&mut session, 1_000_000, Input::Woken, &here);
    assert_eq!(code(&left).as_deref(), Some("forbidden"));
    assert!(left.contains(&Action::Leave("a".parse().unwrap())), "{left:?}");
    assert!(session.joined().is_empty());
    let everywhere = Denials::new([ban("u1", None)]).unwrap();
    assert_eq!(closed(&at(&mut session, 1_000_000, Input::Woken, &everywhere)), Some(4403));
}

#[test]
fn a_newer_token_with_less_takes_the_session_out_of_rooms() {
    let none = Denials::default();
    let mut session = open(BIDS, LATER, None);
    at(&mut session, 1_000_000, Input::Text(JOIN), &none);
    let less = identity(Some(r#"{"b": ["bid"]}"#), LATER);
    let left = at(&mut session, 1_000_000, Input::Identified(Ok(less)), &none);
    assert!(left.contains(&Action::Leave("a".parse().unwrap())), "{left:?}");
    assert!(session.joined().is_empty());
}
