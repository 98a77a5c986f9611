//! One good story, and a table of corruptions: each must be found as what it is.

mod rows;

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
use rows::{HISTORIES, STREAM, accept};
use std::string::ToString;

/// What the audit gets.
struct Case {
    stream: Stream,
    histories: Vec<History>,
}

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

    /// Makes room between any two times.
    fn spread_times(&mut self) {
        let History { bids, sights, .. } = &mut self.histories[0];
        for bid in bids {
            bid.sent_us *= 10;
            if let Some(answer) = &mut bid.answer {
                answer.at_us *= 10;
            }
        }
        sights.iter_mut().for_each(|sight| sight.at_us *= 10);
    }

    fn audit(&self) -> Result<Report, Box<Violation>> {
        audit(&self.stream, &self.histories, true)
    }
}

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
fn a_bid_at_the_close_is_told_by_the_close() {
    let mut case = story();
    case.at(8, 80_000);
    let against = case.audit().map_err(|found| found.against);
    assert_eq!(against, Err("the close was at 80000".to_owned()));
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
    // A bid that was sent by two clocks may have been sent first by either.
    let mut case = story();
    let late = case.histories[0].bids.iter().map(|bid| bid.sent_us).max().expect("bids");
    case.bid("b6").answer = None;
    let twin = RecordedBid { sent_us: 1 << 40, ..case.bid("b6").clone() };
    case.bid("b6").sent_us = late;
    assert!(case.audit().is_err());
    let (name, clock) = ("b.jsonl".to_owned(), "another boot".to_owned());
    case.histories.push(History { name, clock, bids: vec![twin], sights: vec![] });
    assert!(case.audit().is_ok());
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

#[test]
fn an_ack_of_a_history_before_is_good_where_that_is_still_stored() {
    let mut case = story();
    case.bid("b6").generation = Generation::new(4);
    let report = case.audit().expect("nothing is wrong");
    assert_eq!(report.unchecked, 0);
}
