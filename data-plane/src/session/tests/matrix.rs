//! Who may say what: each kind of user with each kind of message, and what the
//! session makes of it.

use super::*;
use gavel_proto::denials::Denials;

/// In the room `a`. A word is what the shell is to do, an error what the client is told, and a
/// number what the socket is closed with.
const TABLE: &str = "
who               join            rejoin          leave           bid             bid-again       ping            auth            pause           resume          close           dance           binary
guest             join            join            leave           bid             bid             pong            verify          forbidden       forbidden       forbidden       unknown_type    1003
unproven          unauthenticated unauthenticated unauthenticated unauthenticated unauthenticated pong            verify          unauthenticated unauthenticated unauthenticated unknown_type    1003
viewer            join            join            leave           forbidden       forbidden       pong            verify          forbidden       forbidden       forbidden       unknown_type    1003
bidder            join            join            leave           bid             bid             pong            verify          forbidden       forbidden       forbidden       unknown_type    1003
auctioneer        join            join            leave           forbidden       forbidden       pong            verify          conduct         conduct         conduct         unknown_type    1003
both              join            join            leave           bid             bid             pong            verify          conduct         conduct         conduct         unknown_type    1003
bidder-everywhere join            join            leave           bid             bid             pong            verify          forbidden       forbidden       forbidden       unknown_type    1003
bidder-elsewhere  forbidden       forbidden       leave           forbidden       forbidden       pong            verify          forbidden       forbidden       forbidden       unknown_type    1003
nothing-granted   forbidden       forbidden       leave           forbidden       forbidden       pong            verify          forbidden       forbidden       forbidden       unknown_type    1003
overdue           4401            4401            4401            4401            4401            4401            4401            4401            4401            4401            4401            4401
expired           4401            4401            4401            4401            4401            4401            4401            4401            4401            4401            4401            4401
token-revoked     4401            4401            4401            4401            4401            4401            4401            4401            4401            4401            4401            4401
user-revoked      4401            4401            4401            4401            4401            4401            4401            4401            4401            4401            4401            4401
kicked            4403            4403            4403            4403            4403            4403            4403            4403            4403            4403            4403            4403
banned            4403            4403            4403            4403            4403            4403            4403            4403            4403            4403            4403            4403
guest-banned      4403            4403            4403            4403            4403            4403            4403            4403            4403            4403            4403            4403
banned-here       forbidden       forbidden       leave           forbidden       forbidden       pong            verify          forbidden       forbidden       forbidden       unknown_type    1003
banned-elsewhere  join            join            leave           bid             bid             pong            verify          conduct         conduct         conduct         unknown_type    1003
";

const OPENED_AT: Timestamp = Timestamp::new(NOW.as_millis() - 1_000);

/// A session of this kind of user, and the settings it is in.
fn session_of(who: &str) -> (Session, Settings) {
    let grants = match who {
        "guest" | "unproven" | "overdue" | "guest-banned" => None,
        "viewer" => Some(r#"{"a": ["view"]}"#),
        "bidder" => Some(r#"{"a": ["bid"]}"#),
        "auctioneer" => Some(r#"{"a": ["auctioneer"]}"#),
        "bidder-everywhere" => Some(r#"{"*": ["bid"]}"#),
        "bidder-elsewhere" => Some(r#"{"b": ["bid", "auctioneer"]}"#),
        "nothing-granted" => Some("{}"),
        _ => Some(r#"{"a": ["bid", "auctioneer"]}"#),
    };
    let identity = identity(grants, if who == "expired" { NOW } else { LATER });
    let proof_due = match who {
        "unproven" => Some(LATER),
        "overdue" => Some(NOW),
        _ => None,
    };
    let denials = match who {
        "token-revoked" => vec![revoked_token("t1", LATER)],
        "user-revoked" => vec![revoked_user("u1", OPENED_AT, LATER)],
        "kicked" => vec![kick("u1", NOW, LATER)],
        "banned" | "guest-banned" => vec![ban("u1", None)],
        "banned-here" => vec![ban("u1", Some("a"))],
        "banned-elsewhere" => vec![
            ban("u1", Some("b")),
            ban("u2", None),
            ban("u2", Some("a")),
            revoked_token("t2", LATER),
            revoked_user("u2", LATER, LATER),
            kick("u2", LATER, LATER),
            // These are over, or began before all of it.
            revoked_token("t1", NOW),
            revoked_user("u1", ISSUED_AT, LATER),
            kick("u1", OPENED_AT, LATER),
        ],
        _ => Vec::new(),
    };
    let visitor = Visitor { identity, opened_at: OPENED_AT, proof_due };
    let settings = settings(Limits::default(), Denials::new(denials).unwrap());
    let session = Session::new("s1".parse().unwrap(), Dialect::V1, visitor, &settings.limits);
    (session, settings)
}

fn message(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "join" => r#"{"type":"joinAuction","auctionId":"a"}"#,
        "rejoin" => r#"{"type":"joinAuction","auctionId":"a","generation":1,"seq":2}"#,
        "leave" => r#"{"type":"leaveAuction","auctionId":"a"}"#,
        "bid" => r#"{"type":"bid","auctionId":"a","amount":5}"#,
        "bid-again" => r#"{"type":"bid","auctionId":"a","amount":5,"bidId":"b1"}"#,
        "ping" => r#"{"type":"ping"}"#,
        "auth" => r#"{"type":"auth","token":"t"}"#,
        "pause" => r#"{"type":"pauseAuction","auctionId":"a","reason":"r"}"#,
        "resume" => r#"{"type":"resumeAuction","auctionId":"a"}"#,
        "close" => r#"{"type":"closeAuction","auctionId":"a"}"#,
        "dance" => r#"{"type":"dance","auctionId":"a"}"#,
        _ => return None,
    })
}

/// What came of a message, in a word of the table.
fn outcome(actions: &[Action]) -> String {
    let word = |action: &Action| match action {
        Action::Join(..) => "join".to_owned(),
        Action::Leave(_) => "leave".to_owned(),
        Action::Bid { .. } => "bid".to_owned(),
        Action::Conduct(..) => "conduct".to_owned(),
        Action::Verify(_) => "verify".to_owned(),
        Action::Send(json) if json.contains(r#""type":"pong""#) => "pong".to_owned(),
        Action::Send(_)
        | Action::SignedIn
        | Action::WakeAt(_)
        | Action::Exceeded(..)
        | Action::Close(_) => {
            code(std::slice::from_ref(action)).unwrap_or_else(|| format!("{action:?}"))
        }
    };
    match closed(actions) {
        Some(code) => code.to_string(),
        None => actions.iter().map(word).collect::<Vec<_>>().join("+"),
    }
}

#[test]
fn each_user_may_say_what_the_table_says() {
    let mut lines = TABLE.trim().lines();
    let kinds: Vec<&str> = lines.next().unwrap().split_whitespace().skip(1).collect();
    let mut rows = 0;
    for line in lines {
        let mut words = line.split_whitespace();
        let who = words.next().unwrap();
        for (kind, expected) in kinds.iter().zip(words) {
            let (mut session, settings) = session_of(who);
            let input = message(kind).map_or(Input::Binary, Input::Text);
            let mut actions = Vec::new();
            session.step(input, NOW, &settings, &mut actions);
            assert_eq!(outcome(&actions), expected, "{who} says {kind}: {actions:?}");
            rows += 1;
        }
    }
    assert_eq!(rows, 18 * 12);
}

#[test]
fn whose_token_a_socket_takes() {
    let other = |grants| Identity { user: "u2".parse().unwrap(), ..identity(grants, LATER) };
    let bids = Some(r#"{"a": ["bid"]}"#);
    for (who, shown, expected) in [
        ("guest", Ok(identity(bids, LATER)), "welcome"),
        ("guest", Ok(other(bids)), "welcome"),
        ("guest", Err(TokenRefused), "unauthenticated"),
        ("unproven", Ok(other(bids)), "welcome"),
        ("unproven", Err(TokenRefused), "unauthenticated"),
        ("bidder", Ok(identity(bids, LATER)), "welcome"),
        ("bidder", Ok(other(bids)), "forbidden"),
        ("bidder", Err(TokenRefused), "unauthenticated"),
        ("expired", Ok(identity(bids, LATER)), "4401"),
        ("banned-elsewhere", Ok(identity(bids, LATER)), "welcome"),
        // Of a guest who says who they are it is found out then.
        ("guest-in-trouble", Ok(identity(bids, LATER)), "unauthenticated"),
    ] {
        let (mut session, mut settings) = session_of(who.trim_end_matches("-in-trouble"));
        if who == "guest-in-trouble" {
            let denials = Denials::new([revoked_token("t1", LATER)]).unwrap();
            settings.denials = denials.into();
        }
        let mut actions = Vec::new();
        session.step(Input::Identified(shown.clone()), NOW, &settings, &mut actions);
        let welcomed = actions.contains(&Action::SignedIn);
        let found = if welcomed { "welcome".to_owned() } else { outcome(&actions) };
        assert_eq!(found, expected, "{who} shows {shown:?}");
    }
}
