//! The protocol of one socket, whatever comes when.

use super::draw;
use arbitrary::Unstructured;
use gavel_data_plane::{
    auth::{GuestToken, Identity, Pass, TokenRefused},
    codec::json::Dialect,
    session::{Action, Input, Session, Visitor},
    settings::{Limits, Live, Settings},
};
use gavel_proto::denials::{Denial, Denials, What};
use gavel_rules::time::Timestamp;
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

/// Pieces of messages, so that the fuzzer need not guess words.
const MESSAGES: &[&str] = &[
    r#"{"type":"joinAuction","auctionId":"#,
    r#"{"type":"joinAuction","generation":5,"seq":3,"auctionId":"#,
    r#"{"type":"leaveAuction","auctionId":"#,
    r#"{"type":"bid","amount":"12.34","auctionId":"#,
    r#"{"type":"bid","bidId":"b","amount":5,"auctionId":"#,
    r#"{"type":"ping","t":"#,
    r#"{"type":"auth","token":"#,
    r#"{"type":"pauseAuction","reason":"r","auctionId":"#,
    r#"{"type":"closeAuction","auctionId":"#,
    r#"{"type":"#,
    "",
];

/// Inputs at any times. Rooms, answers and their sizes stay within their bounds; bids without an
/// id get one that no other has; and who is denied, late or without a token does nothing.
pub(crate) fn sockets(bytes: &[u8]) -> bool {
    let draw = &mut draw::of(bytes);
    let limits = Limits {
        rooms_per_session_max: usize::from(draw::byte(draw) % 4),
        messages_per_session_rate: u32::from(draw::byte(draw) % 4),
        messages_per_session_burst: draw::byte(draw).into(),
        ..Limits::default()
    };
    let dialect = draw::one(draw, &[Dialect::Seed, Dialect::V1]);
    let guest: GuestToken = "00112233445566778899aabbccddeeff".parse().expect("a token");
    let id = "s0123456789abcdef".parse().expect("an id");
    let proof_due = draw::byte(draw).is_multiple_of(4).then_some(Timestamp::new(5_000));
    let visitor = Visitor { identity: guest.identity(), opened_at: Timestamp::new(0), proof_due };
    let mut session = Session::new(id, dialect, visitor, &limits);
    let mut settings = Settings { limits, ..(*Live::default().get()).clone() };
    let mut proven = proof_due.is_none();
    let (mut now, mut drawn, mut acted) = (0_u64, BTreeSet::new(), false);
    while !draw.is_empty() {
        now = now.saturating_add(draw::below(draw, 2_000));
        let mut actions = Vec::new();
        let joined = session.joined().to_vec();
        let text = text(draw);
        let input = match draw::byte(draw) % 16 {
            6 => Input::Woken,
            7 => {
                settings.denials = denials(draw).into();
                Input::Woken
            }
            5 => Input::Refused(draw::byte(draw).into()),
            0 => Input::Opened(Some(guest)),
            1 => Input::Binary,
            2 => Input::Identified(Err(TokenRefused)),
            3 => Input::Identified(Ok(signed_in(draw))),
            4 if !joined.is_empty() => Input::NotJoined(joined.first().expect("one")),
            _ => Input::Text(&text),
        };
        session.step(input, Timestamp::new(now), &settings, &mut actions);
        assert!(actions.len() <= 4 + 2 * joined.len(), "{actions:?}");
        proven |= actions.contains(&Action::SignedIn);
        for action in actions {
            let acts = check(&action, &session, &mut drawn);
            assert!(proven || !matches!(action, Action::Join(..) | Action::Bid { .. }));
            acted |= acts;
        }
        let most = settings.limits.rooms_per_session_max;
        assert!(most == 0 || session.joined().len() <= most);
        let distinct: BTreeSet<_> = session.joined().iter().collect();
        assert_eq!(distinct.len(), session.joined().len(), "each room once");
    }
    acted
}

fn text(draw: &mut Unstructured<'_>) -> String {
    let mut text = draw::one(draw, MESSAGES).to_owned();
    let length = usize::from(draw::byte(draw) % 16).min(draw.len());
    let rest = draw.bytes(length).expect("so many are there");
    text += &String::from_utf8_lossy(rest);
    if draw::byte(draw).is_multiple_of(2) {
        text.push('}');
    }
    text
}

/// The user, once there is a token, may be banned from a room or from all.
fn denials(draw: &mut Unstructured<'_>) -> Denials {
    let user = "u1".parse().expect("an id");
    let room = match draw::byte(draw) % 3 {
        0 => return Denials::default(),
        1 => None,
        _ => Some("1".parse().expect("an id")),
    };
    let what = What::Ban { user, room, reason: "".parse().expect("a reason") };
    Denials::new([Denial { what, until: None }]).expect("one")
}

fn signed_in(draw: &mut Unstructured<'_>) -> Identity {
    let grants = match draw::byte(draw) % 3 {
        0 => serde_json::json!({}),
        1 => serde_json::json!({ "*": ["view"] }),
        _ => serde_json::json!({ "1": ["bid", "auctioneer"] }),
    };
    let grants = serde_json::from_value(grants).expect("grants");
    let expires_at = Timestamp::new(1_000_000);
    let pass = Pass { grants, token_id: None, issued_at: None, expires_at };
    Identity { user: "u1".parse().expect("an id"), pass: Some(Arc::new(pass)) }
}

/// Checks one action; tells whether it is more than an answer.
fn check(action: &Action, session: &Session, drawn: &mut BTreeSet<String>) -> bool {
    let identity = session.identity();
    match action {
        Action::Send(text) => {
            let said: Value = serde_json::from_str(text).expect(text);
            assert!(said["type"].is_string() && text.len() < 512, "{text}");
            false
        }
        Action::Join(room, _) => {
            assert!(session.joined().contains(room) && identity.may_view(room));
            true
        }
        Action::Leave(room) => {
            assert!(!session.joined().contains(room));
            true
        }
        Action::Bid { room, bid } => {
            assert!(identity.may_bid(room));
            let id = bid.bid_id.as_ref();
            assert!(id == "b" || drawn.insert(id.to_owned()), "{id} was drawn before");
            true
        }
        Action::Conduct(room, _) => {
            assert!(identity.may_conduct(room));
            true
        }
        Action::Exceeded(..) | Action::SignedIn | Action::WakeAt(_) => false,
        Action::Verify(_) | Action::Close(_) => true,
    }
}
