//! The hub against real sockets.

use super::*;
use crate::{flags::RoomFlags, settings::Live, socket::Socket};
use gavel_flags::Flags;
use gavel_rules::{
    amount::Amount,
    auction::{AuctionState, GuestAccess, Outcome},
    order::{Seq, Version},
    time::Millis,
};
use serde_json::Value;
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

const NOW: Timestamp = Timestamp::new(1_000_000);

/// The far end of a member's socket.
struct Far(TcpStream);

impl Far {
    /// The next text message; server frames of this size have a short header.
    async fn next(&mut self) -> Value {
        let mut header = [0; 2];
        self.0.read_exact(&mut header).await.expect("header");
        assert_eq!(header[0], 0x81, "a whole text frame");
        let length = match header[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).await.expect("length");
                usize::from(u16::from_be_bytes(length))
            }
            short => usize::from(short),
        };
        let mut text = vec![0; length];
        self.0.read_exact(&mut text).await.expect("payload");
        serde_json::from_slice(&text).expect("JSON")
    }
}

async fn member(name: &str) -> (Arc<Member>, Far) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let far = TcpStream::connect(listener.local_addr().expect("addr")).await.expect("connect");
    let (near, _) = listener.accept().await.expect("accept");
    let socket = Arc::new(Socket::new(near.into()));
    let session = name.parse().expect("id");
    (
        Arc::new(Member {
            socket,
            session,
            opened_for: name.parse().expect("id"),
            dialect: Dialect::V1,
            woken: Default::default(),
            refused_by: Default::default(),
            refusals: Default::default(),
            seats: Default::default(),
        }),
        Far(far),
    )
}

fn view(seq: u64, price: u64, bidder: Option<&str>) -> View {
    View {
        state: AuctionState::Open,
        title: "Clock".to_owned(),
        currency: "EUR".to_owned(),
        price: Amount::new(price).expect("amount"),
        high_bidder: bidder.map(|bidder| bidder.parse().expect("id")),
        bid_count: seq,
        minimum: Amount::new(price + 100).expect("amount"),
        opens_at: Timestamp::new(0),
        closes_at: Timestamp::new(2_000_000),
        extensions: 0,
        credited: Millis::default(),
        reserve_met: None,
        seq: Seq::new(seq),
        guests: GuestAccess::Bid,
        outcome: None,
        round: 0,
    }
}

fn settings(flags: &str) -> Arc<Settings> {
    let live = Live::default();
    live.set_flags(Flags::parse(flags).expect("flags"), Version::new(1));
    live.get()
}

fn batches(settings: &Settings) -> Batches {
    let flags =
        RoomFlags::of(&settings.flags, &"a".parse().expect("id"), &"n1".parse().expect("id"));
    flags.batches(settings)
}

const OFF: &str = r#"{"flags":{
    "batching":{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off"},
    "changed-fields":{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off"}}}"#;
const CHANGED_FIELDS: &str = r#"{"flags":{
    "batching":{"state":"ENABLED","variants":{"on":true,"off":false},"defaultVariant":"off"}}}"#;
const BOTH: &str = r#"{"flags":{}}"#;

fn hub() -> Hub {
    let mut hub = Hub::new("a".parse().expect("id"), "n1".parse().expect("id"));
    hub.reset(view(1, 1_000, None), Generation::new(7), NOW);
    hub
}

#[tokio::test]
async fn a_member_gets_the_state_and_then_every_update() {
    let (one, mut far) = member("s1").await;
    let mut hub = hub();
    let settings = settings(CHANGED_FIELDS);
    hub.join(&one, "u1".parse().expect("id"), Greeting::default(), &settings, NOW);
    for seq in 2..50 {
        hub.publish(view(seq, seq * 1_000, Some("u2")), batches(&settings), NOW);
    }
    let state = far.next().await;
    assert_eq!((&state["type"], &state["seq"]), (&"auctionState".into(), &1.into()));
    assert_eq!(state["generation"], 7);
    for seq in 2..50 {
        let update = far.next().await;
        assert_eq!((&update["type"], &update["seq"]), (&"auctionUpdate".into(), &seq.into()));
        assert_eq!(update["currentBid"], seq * 1_000);
        assert!(update.get("closesAt").is_none(), "unchanged fields stay out");
        assert_eq!(update.get("currentBidderId").is_some(), seq == 2);
    }
}

#[tokio::test]
async fn without_the_flag_an_update_is_the_whole_state() {
    let (one, mut far) = member("s1").await;
    let (mut hub, settings) = (hub(), settings(OFF));
    hub.join(&one, "u1".parse().expect("id"), Greeting::default(), &settings, NOW);
    hub.publish(view(2, 1_000, None), batches(&settings), NOW);
    far.next().await;
    let update = far.next().await;
    for field in ["currentBid", "closesAt", "state", "minimumBid", "bidCount"] {
        assert!(update.get(field).is_some(), "{field}");
    }
}

#[tokio::test]
async fn a_batch_goes_when_it_is_full_or_its_window_has_passed() {
    let (one, mut far) = member("s1").await;
    let (mut hub, settings) = (hub(), settings(BOTH));
    hub.join(&one, "u1".parse().expect("id"), Greeting::default(), &settings, NOW);
    far.next().await;
    for seq in 2..14 {
        hub.publish(view(seq, seq * 1_000, Some("u2")), batches(&settings), NOW);
    }
    let batch = far.next().await;
    let messages = batch["messages"].as_array().expect("messages");
    assert_eq!((messages.len(), &messages[0]["seq"]), (10, &2.into()));
    let due = hub.flush_due(NOW).expect("two updates wait");
    assert_eq!(due, NOW.saturating_add(Millis::new(100)));
    assert_eq!(hub.flush_due(due), None);
    let batch = far.next().await;
    assert_eq!(batch["messages"].as_array().expect("messages").len(), 2);
    hub.publish(view(14, 20_000, Some("u2")), batches(&settings), NOW);
    hub.flush_due(Timestamp::new(NOW.as_millis() - 5_000));
    assert_eq!(far.next().await["seq"], 14, "the clock was set back: it does not wait for that");
}

#[tokio::test]
async fn who_joins_while_a_batch_waits_does_not_get_it_on_top_of_the_state() {
    let (one, mut far_one) = member("s1").await;
    let (two, mut far_two) = member("s2").await;
    let (mut hub, settings) = (hub(), settings(BOTH));
    hub.join(&one, "u1".parse().expect("id"), Greeting::default(), &settings, NOW);
    hub.publish(view(2, 2_000, Some("u3")), batches(&settings), NOW);
    hub.join(&two, "u2".parse().expect("id"), Greeting::default(), &settings, NOW);
    hub.publish(view(3, 3_000, Some("u4")), batches(&settings), NOW);
    hub.flush_due(NOW.saturating_add(Millis::new(100)));
    for expected in [1, 2, 3] {
        assert_eq!(far_one.next().await["seq"], expected);
    }
    for expected in [2, 3] {
        assert_eq!(far_two.next().await["seq"], expected);
    }
}

#[tokio::test]
async fn flags_move_members_without_losing_what_they_are_owed() {
    let (one, mut far) = member("s1").await;
    let (mut hub, batched) = (hub(), settings(BOTH));
    hub.join(&one, "u1".parse().expect("id"), Greeting::default(), &batched, NOW);
    hub.publish(view(2, 2_000, Some("u2")), batches(&batched), NOW);
    let plain = settings(OFF);
    hub.reclass(&plain, NOW);
    hub.publish(view(3, 3_000, Some("u2")), batches(&plain), NOW);
    let seqs = [far.next().await, far.next().await, far.next().await];
    let seqs: Vec<_> = seqs.iter().map(|message| message["seq"].as_u64()).collect();
    assert_eq!(seqs, [Some(1), Some(2), Some(3)]);
}

#[tokio::test]
async fn a_window_that_ends_lets_nothing_overtake_what_waits() {
    let (one, mut far) = member("s1").await;
    let (mut hub, settings) = (hub(), settings(BOTH));
    hub.join(&one, "u1".parse().expect("id"), Greeting::default(), &settings, NOW);
    hub.publish(view(2, 2_000, Some("u2")), batches(&settings), NOW);
    // The window is read with each update; the room is told of the change later.
    let none = Batches { window: Millis::new(0), ..batches(&settings) };
    hub.publish(view(3, 3_000, Some("u2")), none, NOW);
    hub.publish(view(4, 4_000, Some("u2")), none, NOW);
    hub.reclass(&settings, NOW);
    assert_eq!(far.next().await["seq"], 1);
    let batch = far.next().await;
    let seqs: Vec<_> = batch["messages"].as_array().expect("a batch").iter().collect();
    assert_eq!(seqs.iter().map(|message| &message["seq"]).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(far.next().await["seq"], 4);
}

/// The seqs of all that comes up to this one.
async fn seqs_up_to(far: &mut Far, last: u64) -> Vec<u64> {
    let mut seqs = Vec::new();
    while seqs.last() != Some(&last) {
        seqs.push(far.next().await["seq"].as_u64().expect("a seq"));
    }
    seqs
}

#[tokio::test]
async fn who_joins_again_is_sent_nothing_older_than_the_state() {
    for leaves_first in [false, true] {
        let (one, mut far) = member("s1").await;
        let (mut hub, settings) = (hub(), settings(CHANGED_FIELDS));
        hub.join(&one, "u1".parse().expect("id"), Greeting::default(), &settings, NOW);
        // Nothing of this is written before the test waits.
        for seq in 2..6 {
            hub.publish(view(seq, seq * 1_000, Some("u2")), batches(&settings), NOW);
        }
        if leaves_first {
            hub.leave(&one.session);
        }
        hub.join(&one, "u1".parse().expect("id"), Greeting::default(), &settings, NOW);
        hub.publish(view(6, 6_000, Some("u2")), batches(&settings), NOW);
        assert_eq!(seqs_up_to(&mut far, 6).await, [1, 5, 6], "leaves first: {leaves_first}");
    }
}

#[tokio::test]
async fn who_is_moved_by_a_flag_is_not_overtaken_by_its_new_class() {
    let settings_of = |switched: &str| {
        settings(&format!(
            r#"{{"flags":{{"batching":{{"state":"ENABLED","variants":{{"on":true,"off":false}},
                "defaultVariant":"off"}},"changed-fields":{{"state":"ENABLED",
                "variants":{{"on":true,"off":false}},"defaultVariant":"off","targeting":
                {{"if":[{{"==":[{{"var":"userId"}},"{switched}"]}},"on","off"]}}}}}}}}"#
        ))
    };
    let (mut hub, before, after) = (hub(), settings_of("nobody"), settings_of("last"));
    let mut others = Vec::new();
    // Enough that the writer takes a breath before it comes to the last.
    for n in 0..150 {
        let (one, far) = member(&format!("s{n}")).await;
        hub.join(&one, "u1".parse().expect("id"), Greeting::default(), &before, NOW);
        others.push((one, far));
    }
    let (last, mut far) = member("last").await;
    hub.join(&last, "last".parse().expect("id"), Greeting::default(), &before, NOW);
    for seq in 2..4 {
        hub.publish(view(seq, seq * 1_000, Some("u2")), batches(&before), NOW);
    }
    hub.reclass(&after, NOW);
    hub.publish(view(4, 4_000, Some("u2")), batches(&after), NOW);
    // And back, behind all that.
    hub.reclass(&before, NOW);
    hub.publish(view(5, 5_000, Some("u2")), batches(&before), NOW);
    assert_eq!(seqs_up_to(&mut far, 5).await, [1, 2, 3, 4, 5]);
    for (_, far) in &mut others {
        assert_eq!(seqs_up_to(far, 5).await, [1, 2, 3, 4, 5]);
    }
}

#[tokio::test]
async fn only_who_was_outbid_is_told_and_a_close_is_its_own_message() {
    let (one, mut far_one) = member("s1").await;
    let (two, mut far_two) = member("s2").await;
    let (mut hub, settings) = (hub(), settings(CHANGED_FIELDS));
    hub.join(&one, "u1".parse().expect("id"), Greeting::default(), &settings, NOW);
    hub.join(&two, "u2".parse().expect("id"), Greeting::default(), &settings, NOW);
    hub.publish(view(2, 2_000, Some("u1")), batches(&settings), NOW);
    hub.publish(view(3, 3_000, Some("u2")), batches(&settings), NOW);
    let (winner, amount) = ("u2".parse().expect("id"), Amount::new(3_000).expect("amount"));
    let outcome = Some(Outcome::Sold { winner, amount });
    let closed = View { state: AuctionState::Closed, outcome, ..view(4, 3_000, Some("u2")) };
    hub.publish(closed, batches(&settings), NOW);
    let mut kinds = Vec::new();
    for _ in 0..5 {
        kinds.push(far_one.next().await["type"].as_str().expect("type").to_owned());
    }
    kinds.sort();
    let expected = ["auctionClosed", "auctionState", "auctionUpdate", "auctionUpdate", "outbid"];
    assert_eq!(kinds, expected);
    for kind in ["auctionState", "auctionUpdate", "auctionUpdate"] {
        assert_eq!(far_two.next().await["type"], kind);
    }
    let closed = far_two.next().await;
    assert_eq!((&closed["winner"], &closed["amount"]), (&"u2".into(), &3_000.into()));
}

#[tokio::test]
async fn who_leaves_leaves_nothing_behind() {
    let (mut hub, settings) = (hub(), settings(BOTH));
    let mut members = Vec::new();
    for n in 0..5 {
        let (one, far) = member(&format!("s{n}")).await;
        hub.join(&one, "u1".parse().expect("id"), Greeting::default(), &settings, NOW);
        members.push((one, far));
    }
    assert_eq!(hub.len(), 5);
    for (one, _) in &members {
        hub.leave(&one.session);
        hub.leave(&one.session);
    }
    assert!(hub.seats.is_empty() && hub.lanes.is_empty() && hub.sessions_by_user.is_empty());
}

#[tokio::test]
async fn a_member_that_does_not_read_is_closed_as_too_slow() {
    let (one, far) = member("s1").await;
    let (mut hub, settings) = (hub(), settings(OFF));
    hub.join(&one, "u1".parse().expect("id"), Greeting::default(), &settings, NOW);
    let frame = frame::text(&vec![b'x'; 60_000]);
    // The kernel's buffers take a few megabytes, and then nothing more.
    let ended = (0..10_000).any(|_| {
        one.socket.send(&frame);
        one.socket.is_closing()
    });
    assert!(ended, "the backlog is bounded");
    drop(far);
}

/// Joins a hub that went from seq 1 to 5 as one that knows it up to `since`.
async fn resumes(flags: &str, since: u64, knows: bool) -> (Hub, Arc<Member>, Far) {
    let (mut hub, settings) = (hub(), settings(flags));
    let views: Vec<_> = (1..=5).map(|seq| view(seq, seq * 1_000, Some("u2"))).collect();
    for view in &views {
        hub.publish(view.clone(), batches(&settings), NOW);
    }
    let (one, far) = member("s1").await;
    let missed = Missed {
        known: views.iter().find(|view| knows && view.seq.get() == since),
        views: views.iter().filter(|view| view.seq.get() > since).collect(),
    };
    hub.join(
        &one,
        "u1".parse().expect("id"),
        Greeting { missed: Some(missed), suggested: None },
        &settings,
        NOW,
    );
    hub.publish(view(6, 6_000, Some("u2")), batches(&settings), NOW);
    (hub, one, far)
}

#[tokio::test]
async fn who_comes_back_gets_what_it_missed_in_the_form_of_its_class() {
    let (_hub, _one, mut far) = resumes(CHANGED_FIELDS, 3, true).await;
    let resumed = far.next().await;
    assert_eq!(resumed["type"], "auctionResumed");
    assert_eq!((&resumed["from"], &resumed["seq"]), (&3.into(), &5.into()));
    assert_eq!(resumed["generation"], 7);
    for seq in 4..=6 {
        let update = far.next().await;
        assert_eq!((&update["seq"], &update["currentBid"]), (&seq.into(), &(seq * 1_000).into()));
        assert!(update.get("closesAt").is_none(), "unchanged fields stay out");
    }
    for (flags, knows) in [(OFF, true), (CHANGED_FIELDS, false)] {
        let (_hub, _one, mut far) = resumes(flags, 4, knows).await;
        assert_eq!(far.next().await["from"], 4);
        assert!(far.next().await.get("closesAt").is_some(), "every field");
        assert_eq!(far.next().await.get("closesAt").is_some(), flags == OFF);
    }
}

#[tokio::test]
async fn what_was_missed_comes_as_one_batch_where_batches_come() {
    let (mut hub, _one, mut far) = resumes(BOTH, 2, true).await;
    let batch = far.next().await;
    let kinds: Vec<_> = batch["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .map(|message| (message["type"].as_str().expect("type"), &message["seq"]))
        .collect();
    let update = "auctionUpdate";
    let (three, four, five) = (3.into(), 4.into(), 5.into());
    let expected = [("auctionResumed", &five), (update, &three), (update, &four), (update, &five)];
    assert_eq!(kinds, expected);
    hub.flush_due(NOW.saturating_add(Millis::new(100)));
    assert_eq!(far.next().await["seq"], 6);
    let (_hub, _one, mut far) = resumes(BOTH, 5, true).await;
    let resumed = far.next().await;
    assert_eq!((&resumed["type"], &resumed["from"]), (&"auctionResumed".into(), &five));
}

#[tokio::test]
async fn more_than_a_socket_should_be_sent_at_once_is_the_state() {
    let (one, mut far) = member("s1").await;
    let (mut hub, settings) = (hub(), settings(OFF));
    let views: Vec<_> = (2..=512).map(|seq| view(seq, seq * 1_000, Some("u2"))).collect();
    for view in &views {
        hub.publish(view.clone(), batches(&settings), NOW);
    }
    let missed = Missed { known: None, views: views.iter().collect() };
    hub.join(
        &one,
        "u1".parse().expect("id"),
        Greeting { missed: Some(missed), suggested: None },
        &settings,
        NOW,
    );
    let state = far.next().await;
    assert_eq!((&state["type"], &state["seq"]), (&"auctionState".into(), &512.into()));
}
