//! One good story, and a table of corruptions: each must be found as what it is.

use super::{
    world::{Fate, World},
    *,
};
use crate::{
    auction::{
        AuctionRules, AuctionSnapshot, EventKind, ExtensionMode, Input, RejectReason, tests::soft,
    },
    time::Timestamp,
};
use std::string::ToString;

/// What the audit gets.
struct Case {
    stream: Stream,
    histories: Vec<History>,
}

type Row = (Invariant, &'static str, fn(&mut Case));

fn rules() -> AuctionRules {
    let reserve = Some(cents(150));
    AuctionRules { reserve, ..soft(ExtensionMode::ResetTo, 20_000, 20_000, 2) }
}

/// ```text
/// seq 1 created 0 s, 2 opened 1 s, 3 u1 at 1.00, 4 u2 at 1.10, 5 paused 20 s,
///     6 resumed 25 s (close 66 s), 7 u1 at 1.20 (close 80 s),
///     8 u2 at 2.00 (close 82 s) by another owner, 9 sold to u2
/// ```
fn story() -> Case {
    let mut world = World::new(rules());
    let bid = |world: &mut World, now, bidder, bid_id, amount| {
        world.now = now;
        world.send(bidder, bid_id, amount);
        world.decide(Fate::Told);
    };
    bid(&mut world, 500, "u1", "b0", 100);
    world.now = 1_000;
    world.command(Input::Tick);
    bid(&mut world, 2_000, "u1", "b1", 100);
    bid(&mut world, 3_000, "u2", "b2", 109);
    bid(&mut world, 4_000, "u2", "b3", 110);
    bid(&mut world, 5_000, "u2", "b4", 120);
    world.now = 20_000;
    world.command(Input::Pause { reason: "fire".to_owned() });
    bid(&mut world, 21_000, "u1", "b5", 120);
    world.now = 25_000;
    world.command(Input::Resume);
    bid(&mut world, 60_000, "u1", "b6", 120);
    world.fail_over();
    bid(&mut world, 62_000, "u2", "b7", 200);
    bid(&mut world, 62_500, "u2", "b3", 110);
    world.now = 82_000;
    world.command(Input::Tick);
    bid(&mut world, 83_000, "u1", "b8", 210);
    let (stream, histories) = world.end();
    Case { stream, histories }
}

// === impl Case ===

impl Case {
    fn kind(&mut self, seq: usize) -> &mut EventKind {
        &mut self.stream.events[seq - 1].event.kind
    }

    fn at(&mut self, seq: usize, ms: u64) {
        self.stream.events[seq - 1].event.at = at(ms);
    }

    fn drop_events(&mut self, from: usize, count: usize) {
        self.stream.events.drain(from - 1..from - 1 + count);
    }

    fn push(&mut self, ms: u64, kind: EventKind) {
        let mut stored = self.stream.events[8].clone();
        stored.event.seq = Seq::new(10);
        stored.event.at = at(ms);
        stored.event.kind = kind;
        self.stream.events.push(stored);
    }

    fn bid(&mut self, bid_id: &str) -> &mut RecordedBid {
        let bids = &mut self.histories[0].bids;
        bids.iter_mut().find(|bid| bid.bid_id == id(bid_id)).expect("a bid")
    }

    fn said(&mut self, bid_id: &str) -> &mut Said {
        &mut self.bid(bid_id).answer.as_mut().expect("an answer").said
    }

    fn refused(&mut self, bid_id: &str, as_reason: RejectReason) {
        if let Said::Rejected { reason, .. } = self.said(bid_id) {
            *reason = as_reason;
        }
    }

    fn sight(&mut self, seq: u64) -> &mut Sight {
        let update = |sight: &&mut Sight| {
            sight.socket == 8
                && sight.seq == Seq::new(seq)
                && matches!(sight.shown, Shown::Update(_))
        };
        self.histories[0].sights.iter_mut().find(update).expect("an update")
    }

    fn audit(&self) -> Result<Report, Box<Violation>> {
        audit(&self.stream, &self.histories, true)
    }
}

fn accept(said: &mut Said, change: fn(&mut Seq, &mut crate::Amount, &mut crate::Amount)) {
    let Said::Accepted { seq, amount, minimum, .. } = said else { panic!("it was accepted") };
    change(seq, amount, minimum);
}

fn extend(kind: &mut EventKind, to: Option<u64>) {
    let EventKind::BidAccepted { extended_to, .. } = kind else { panic!("it is a bid") };
    *extended_to = to.map(at);
}

fn set_bidder(kind: &mut EventKind, name: &str) {
    let EventKind::BidAccepted { bidder, .. } = kind else { panic!("it is a bid") };
    *bidder = user(name);
}

const STREAM: &[Row] = {
    use Invariant as I;
    &[
        (I::OneOrder, "an event is missing", |case| case.drop_events(5, 1)),
        (I::OneOrder, "an event is there twice", |case| {
            let twin = case.stream.events[3].clone();
            case.stream.events.insert(4, twin);
        }),
        (I::OneOrder, "two events are swapped", |case| case.stream.events.swap(6, 7)),
        (I::OneOrder, "the end is missing", |case| case.drop_events(9, 1)),
        (I::OneOrder, "the beginning is missing, and no snapshot has it", |case| {
            case.drop_events(1, 3);
            case.stream.snapshot = None;
        }),
        (I::OneOrder, "a second creation", |case| {
            let created = case.kind(1).clone();
            *case.kind(5) = created;
        }),
        (I::OneOrder, "no creation", |case| {
            let opened = case.kind(2).clone();
            *case.kind(1) = opened;
        }),
        (I::Rising, "a bid below the minimum", |case| {
            let EventKind::BidAccepted { amount, .. } = case.kind(4) else { panic!("a bid") };
            *amount = cents(109);
        }),
        (I::Rising, "a minimum against the increments", |case| {
            let EventKind::BidAccepted { minimum_next, .. } = case.kind(7) else { panic!("a bid") };
            *minimum_next = cents(131);
        }),
        (I::OneAnswer, "a bid id is accepted twice", |case| {
            let EventKind::BidAccepted { bid_id, .. } = case.kind(8) else { panic!("a bid") };
            *bid_id = id("b3");
        }),
        (I::NoPhantom, "the seller bids", |case| set_bidder(case.kind(7), "seller")),
        (I::InTime, "it opens too early", |case| case.at(2, 999)),
        (I::InTime, "it opens with another close", |case| {
            *case.kind(2) = EventKind::Opened { closes_at: at(61_001) };
        }),
        (I::InTime, "a bid at the close", |case| case.at(8, 80_000)),
        (I::InTime, "a bid in the pause", |case| {
            *case.kind(6) = EventKind::Paused { reason: "again".to_owned() };
        }),
        (I::InTime, "a bid after the close", |case| {
            let late = case.kind(8).clone();
            case.push(81_000, late);
        }),
        (I::InTime, "a second close", |case| {
            let closed = case.kind(9).clone();
            case.push(82_001, closed);
        }),
        (I::InTime, "a pause that costs bidders time", |case| {
            *case.kind(6) = EventKind::Resumed { closes_at: at(65_999) };
        }),
        (I::InTime, "an extension too long", |case| extend(case.kind(7), Some(80_001))),
        (I::InTime, "an extension that is due is missing", |case| extend(case.kind(7), None)),
        (I::InTime, "an extension by an early bid", |case| extend(case.kind(4), Some(81_000))),
        (I::InTime, "a close that is undone", |case| {
            let (opens_at, closes_at) = (at(90_000), at(150_000));
            case.push(90_000, EventKind::Reopened { opens_at, closes_at });
        }),
        (I::OneWinner, "another winner", |case| {
            let (winner, amount) = (user("u1"), cents(200));
            *case.kind(9) = EventKind::Closed { outcome: Outcome::Sold { winner, amount } };
        }),
        (I::OneWinner, "another price", |case| {
            let (winner, amount) = (user("u2"), cents(201));
            *case.kind(9) = EventKind::Closed { outcome: Outcome::Sold { winner, amount } };
        }),
        (I::OneWinner, "nobody wins", |case| {
            *case.kind(9) = EventKind::Closed { outcome: Outcome::ReserveNotMet };
        }),
        (I::Fenced, "an old owner appends", |case| case.stream.events[8].epoch = Epoch::new(1)),
        (I::Fenced, "an owner that never was appends", |case| {
            case.stream.events[8].epoch = Epoch::new(3);
        }),
        (I::SnapshotIsFold, "a snapshot with another bidder's answer", |case| {
            edit_snapshot(
                case,
                "\"bid_id\":\"b1\",\"bidder\":\"u1\"",
                "\"bid_id\":\"b1\",\"bidder\":\"u3\"",
            );
        }),
        (I::SnapshotIsFold, "a snapshot with another price", |case| {
            edit_snapshot(case, "[\"u2\",200]", "[\"u2\",300]");
        }),
    ]
};

fn edit_snapshot(case: &mut Case, from: &str, to: &str) {
    let json = serde_json::to_string(&case.stream.snapshot).expect("json");
    assert!(json.contains(from), "{json}");
    let edited: AuctionSnapshot = serde_json::from_str(&json.replace(from, to)).expect("json");
    case.stream.snapshot = Some(edited);
}

const HISTORIES: &[Row] = {
    use Invariant as I;
    &[
        (I::AckedIsStored, "an ack of another amount", |case| {
            accept(case.said("b6"), |_, amount, _| *amount = cents(119));
        }),
        (I::AckedIsStored, "an ack of another minimum", |case| {
            accept(case.said("b6"), |_, _, minimum| *minimum = cents(129));
        }),
        (I::AckedIsStored, "an ack at another time", |case| {
            let Said::Accepted { at, .. } = case.said("b6") else { panic!("accepted") };
            *at = Timestamp::new(60_001);
        }),
        (I::AckedIsStored, "an ack of another's bid", |case| {
            accept(case.said("b6"), |seq, _, _| *seq = Seq::new(8));
        }),
        (I::AckedIsStored, "an ack of what is no bid", |case| {
            accept(case.said("b6"), |seq, _, _| *seq = Seq::new(6));
        }),
        (I::AckedIsStored, "an ack of what is not there", |case| {
            accept(case.said("b6"), |seq, _, _| *seq = Seq::new(99));
        }),
        (I::AckedIsStored, "an ack to somebody else", |case| case.bid("b6").bidder = user("u9")),
        (I::AckedIsStored, "an ack of a history that is lost", |case| {
            case.bid("b6").generation = Generation::new(4);
        }),
        (I::AckedIsStored, "the store forgot the end", |case| {
            case.drop_events(7, 3);
            case.stream.snapshot = None;
        }),
        (I::OneAnswer, "the retry of an accepted bid is refused", |case| {
            let refused = case.said("b5").clone();
            case.histories[0].bids.last_mut().expect("a bid").bid_id = id("b1");
            let Said::Rejected { seq, price, minimum, .. } = refused else { panic!("refused") };
            let retried = Said::Rejected {
                reason: RejectReason::RateLimited,
                seq,
                price,
                minimum,
                at: at(21_000),
            };
            *case.said("b1") = retried;
        }),
        (I::RealTime, "a bid sent after a later one was acked", |case| {
            let at_us = case.bid("b7").answer.as_ref().map(|answer| answer.at_us);
            case.bid("b6").sent_us = at_us.expect("an answer") + 1;
            case.bid("b6").answer = None;
        }),
        (I::RealTime, "a bid sent after a later one was shown", |case| {
            case.histories[0].bids.retain(|bid| bid.bid_id != id("b8"));
            let shown = case.sight(8).at_us;
            case.bid("b7").sent_us = shown + 1;
            case.bid("b7").answer = None;
        }),
        (I::NoPhantom, "nobody sent the bid", |case| {
            case.histories[0].bids.retain(|bid| bid.bid_id != id("b6"));
        }),
        (I::NoPhantom, "the bid was sent with another amount", |case| {
            case.bid("b6").amount = cents(130);
        }),
        (I::TrueRefusal, "too low, and it was not", |case| case.bid("b2").amount = cents(110)),
        (I::TrueRefusal, "paused, and it was not", |case| case.refused("b2", RejectReason::Paused)),
        (I::TrueRefusal, "closed, and it was not", |case| case.refused("b2", RejectReason::Closed)),
        (I::TrueRefusal, "not open, and it was", |case| case.refused("b2", RejectReason::NotOpen)),
        (I::TrueRefusal, "own bid of somebody else", |case| case.bid("b4").bidder = user("u1")),
        (I::TrueRefusal, "seller, and somebody else", |case| {
            case.refused("b2", RejectReason::Seller);
        }),
        (I::TrueRefusal, "a refusal with a price that never was", |case| {
            let Said::Rejected { price, .. } = case.said("b2") else { panic!("refused") };
            *price = cents(101);
        }),
        (I::TrueRefusal, "a refusal at a seq that never was", |case| {
            let Said::Rejected { seq, .. } = case.said("b8") else { panic!("refused") };
            *seq = Seq::new(10);
        }),
        (I::TrueRefusal, "a refusal by what was over when the bid was sent", |case| {
            let shown = case.sight(6).at_us;
            case.bid("b5").sent_us = shown + 1;
            case.bid("b5").answer.as_mut().expect("an answer").at_us = shown + 2;
        }),
        (I::TrueRefusal, "a refusal by what was not yet sent", |case| {
            let sent = case.bid("b7").sent_us;
            case.bid("b8").answer.as_mut().expect("an answer").at_us = sent - 1;
        }),
        (I::OneWinner, "a viewer saw another winner", |case| {
            let closed = |sight: &&mut Sight| matches!(sight.shown, Shown::Closed { .. });
            let sight = case.histories[0].sights.iter_mut().find(closed).expect("a close");
            sight.shown = Shown::Closed { winner: Some(user("u1")), amount: Some(cents(200)) };
        }),
        (I::OneWinner, "a viewer saw a close that was none", |case| {
            case.sight(6).shown = Shown::Closed { winner: None, amount: None };
        }),
        (I::Prefix, "a viewer saw an update twice", |case| case.sight(6).seq = Seq::new(5)),
        (I::Prefix, "a viewer went back", |case| case.sight(7).seq = Seq::new(4)),
        (I::Prefix, "a viewer saw another price", |case| {
            let Shown::Update(shown) = &mut case.sight(7).shown else { panic!("an update") };
            shown.price = cents(121);
        }),
        (I::Prefix, "a viewer saw another high bidder", |case| {
            let Shown::Update(shown) = &mut case.sight(7).shown else { panic!("an update") };
            shown.high_bidder = None;
        }),
        (I::Prefix, "a viewer saw what is not stored", |case| case.sight(9).seq = Seq::new(11)),
    ]
};

#[test]
fn the_story_is_good() {
    let case = story();
    let report = case.audit().expect("nothing is wrong");
    let (winner, amount) = (user("u2"), cents(200));
    assert_eq!(report.outcome, Some(Outcome::Sold { winner, amount }));
    assert_eq!((report.events, report.bids, report.epochs), (9, 4, 2));
    assert_eq!((report.first, report.unchecked), (Seq::new(1), 0));
    assert_eq!((report.recorded, report.sights), (10, 22));
}

#[test]
fn each_corruption_is_found_as_what_it_is() {
    for (invariant, about, plant) in STREAM.iter().chain(HISTORIES) {
        let mut case = story();
        plant(&mut case);
        match case.audit() {
            Ok(_) => panic!("{about}: not found"),
            Err(found) => assert_eq!(found.invariant, *invariant, "{about}: {found}"),
        }
    }
}

#[test]
fn every_invariant_has_a_corruption() {
    for invariant in Invariant::ALL {
        let planted = STREAM.iter().chain(HISTORIES).any(|(found, ..)| *found == invariant);
        assert!(planted, "{invariant}");
    }
}

#[test]
fn both_pieces_of_evidence_are_told() {
    let mut case = story();
    accept(case.said("b6"), |_, amount, _| *amount = cents(4_100));
    let found = case.audit().expect_err("it is wrong").to_string();
    let expected = "room vase, invariant 1 (acked is stored): \
        seq 7 at 60000 was acked to u1 as bid b6 at 41.00, 1.30 next, in a.jsonl, \
        but seq 7 at 60000 is bid b6 of u1 at 1.20, 1.30 next";
    assert_eq!(found, expected);
}

#[test]
fn what_cannot_be_known_is_not_held_against_anybody() {
    // Histories that are not complete may lack a bid.
    let mut case = story();
    case.histories[0].bids.clear();
    assert!(audit(&case.stream, &case.histories, false).is_ok());
    // Times of two clocks do not compare.
    let mut case = story();
    let late = case.bid("b6").clone();
    case.histories[0].bids.retain(|bid| bid.bid_id != id("b6"));
    let late = RecordedBid { sent_us: 1 << 40, answer: None, ..late };
    let clock = "another boot".to_owned();
    case.histories.push(History {
        name: "b.jsonl".to_owned(),
        clock,
        bids: vec![late],
        sights: vec![],
    });
    assert!(case.audit().is_ok());
    case.histories[1].clock = case.histories[0].clock.clone();
    assert!(case.audit().is_err());
    // An unknown outcome may be either.
    let mut case = story();
    for bid in &mut case.histories[0].bids {
        bid.answer = None;
    }
    assert!(case.audit().is_ok());
    // What was dropped cannot be compared.
    let mut case = story();
    case.drop_events(1, 4);
    let report = case.audit().expect("nothing is wrong");
    assert_eq!((report.first, report.unchecked), (Seq::new(5), 6 + 10));
}
