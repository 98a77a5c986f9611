//! The stored form. Streams written by one release are read by the next, so
//! a change here is a change of the format and must be meant.

use super::*;
use crate::order::Seq;

const RULES: &str = concat!(
    r#""rules":{"title":"A lamp","currency":"EUR","opening_price":100,"#,
    r#""increments":[{"from":0,"step":10}],"reserve":500,"opens_at":1000,"closes_at":61000,"#,
    r#""extension":{"mode":"reset_to","window":5000,"by":2000,"extensions_max":3},"#,
    r#""guests":"view","seller":"seller","reopen_after":9000,"#,
    r#""outage_credit":{"from":2000,"total_max":60000}}"#,
);
/// How they ended before outages were credited.
const NO_CREDIT: &str = r#","outage_credit":{"from":2000,"total_max":60000}"#;

fn full() -> AuctionRules {
    AuctionRules {
        reserve: Some(cents(500)),
        reopen_after: Some(Millis::new(9_000)),
        outage_credit: Some(credit()),
        ..soft(ExtensionMode::ResetTo, 5_000, 2_000, 3)
    }
}

fn credit() -> OutageCredit {
    OutageCredit { from: Millis::new(2_000), total_max: Millis::new(60_000) }
}

fn bid_accepted(extended_to: Option<Timestamp>) -> EventKind {
    EventKind::BidAccepted {
        bidder: user("ann"),
        bid_id: id("a-1"),
        amount: cents(100),
        minimum_next: cents(110),
        extended_to,
        flags: Version::new(7),
        limits: Version::new(3),
    }
}

#[test]
fn every_event_keeps_its_stored_form() {
    let created = alloc::format!(r#"{{"seq":9,"at":5,"kind":"created",{RULES}}}"#);
    let sold = Outcome::Sold { winner: user("ann"), amount: cents(100) };
    let closed = |outcome| EventKind::Closed { outcome };
    let lines = [
        (EventKind::Created { rules: Box::new(full()) }, created.as_str()),
        (
            EventKind::Opened { closes_at: at(6), soft_close: None },
            r#"{"seq":9,"at":5,"kind":"opened","closes_at":6}"#,
        ),
        (
            EventKind::Opened { closes_at: at(6), soft_close: Some(ExtensionMode::ResetTo) },
            r#"{"seq":9,"at":5,"kind":"opened","closes_at":6,"soft_close":"reset_to"}"#,
        ),
        (
            bid_accepted(None),
            r#"{"seq":9,"at":5,"kind":"bid_accepted","bidder":"ann","bid_id":"a-1","amount":100,"minimum_next":110,"flags":7,"limits":3}"#,
        ),
        (
            bid_accepted(Some(at(8))),
            r#"{"seq":9,"at":5,"kind":"bid_accepted","bidder":"ann","bid_id":"a-1","amount":100,"minimum_next":110,"extended_to":8,"flags":7,"limits":3}"#,
        ),
        (
            EventKind::Paused { reason: "fire".to_owned() },
            r#"{"seq":9,"at":5,"kind":"paused","reason":"fire"}"#,
        ),
        (
            EventKind::Resumed { closes_at: at(6) },
            r#"{"seq":9,"at":5,"kind":"resumed","closes_at":6}"#,
        ),
        (
            EventKind::Credited { since: at(4), closes_at: at(6) },
            r#"{"seq":9,"at":5,"kind":"credited","since":4,"closes_at":6}"#,
        ),
        (
            closed(sold),
            r#"{"seq":9,"at":5,"kind":"closed","outcome":{"sold":{"winner":"ann","amount":100}}}"#,
        ),
        (
            closed(Outcome::ReserveNotMet),
            r#"{"seq":9,"at":5,"kind":"closed","outcome":"reserve_not_met"}"#,
        ),
        (closed(Outcome::NoBids), r#"{"seq":9,"at":5,"kind":"closed","outcome":"no_bids"}"#),
        (
            EventKind::Reopened { opens_at: at(6), closes_at: at(7) },
            r#"{"seq":9,"at":5,"kind":"reopened","opens_at":6,"closes_at":7}"#,
        ),
    ];
    for (kind, line) in lines {
        let event = Event { seq: Seq::new(9), at: at(5), kind };
        assert_eq!(serde_json::to_string(&event).expect("json"), line);
        assert_eq!(serde_json::from_str::<Event>(line).expect(line), event);
    }
}

#[test]
fn a_snapshot_keeps_its_stored_form() {
    let mut auction = open(full());
    stored(&mut auction, bid("ann", "a-1", 100), 2_000);
    let line = alloc::format!(
        concat!(
            r#"{{"standing":{{{},"state":"open","seq":3,"high_bid":["ann",100],"minimum":110,"#,
            r#""bid_count":1,"opens_at":1000,"closes_at":61000,"closed_at":0,"paused_at":0,"#,
            r#""extensions":0,"outcome":null,"round":0,"credited":0,"served_until":2000}},"#,
            r#""answers":[{{"bid_id":"a-1","#,
            r#""bidder":"ann","amount":100,"seq":3,"at":2000,"minimum_next":110}}]}}"#,
        ),
        RULES
    );
    let snapshot = auction.to_snapshot();
    assert_eq!(serde_json::to_string(&snapshot).expect("json"), line);
    assert_eq!(serde_json::from_str::<AuctionSnapshot>(&line).expect("json"), snapshot);
    assert_eq!(snapshot.seq(), Seq::new(3));
}

#[test]
fn what_was_stored_before_outages_were_credited_is_read_as_crediting_none() {
    let mut auction = open(AuctionRules { outage_credit: None, ..full() });
    stored(&mut auction, bid("ann", "a-1", 100), 2_000);
    let line = serde_json::to_string(&auction.to_snapshot()).expect("json");
    let old = line.replace(r#","credited":0,"served_until":2000"#, "");
    assert!(old.len() < line.len() && !old.contains("credit"), "{old}");
    let mut auction = Auction::from_snapshot(serde_json::from_str(&old).expect(&old));
    assert_eq!(auction.view().credited, Millis::new(0));
    let outage = Input::Outage { since: at(2_000) };
    assert_eq!(step(&mut auction, outage, 9_000), vec![]);

    let created = alloc::format!(r#"{{"seq":1,"at":5,"kind":"created",{RULES}}}"#);
    let old = created.replace(NO_CREDIT, "");
    let EventKind::Created { rules } = serde_json::from_str::<Event>(&old).expect(&old).kind else {
        panic!("{old}")
    };
    assert_eq!(*rules, AuctionRules { outage_credit: None, ..full() });
}

#[test]
fn the_words_for_reasons_are_those_of_the_stored_form() {
    for reason in RejectReason::ALL {
        let json = serde_json::to_string(&reason).expect("json");
        assert_eq!(json.trim_matches('"'), reason.as_str());
    }
}

#[test]
fn an_event_out_of_place_does_not_fold_and_changes_nothing() {
    let mut auction = open(plain());
    let before = auction.to_snapshot();
    let event = |seq, kind| Event { seq: Seq::new(seq), at: at(5_000), kind };
    for seq in [0, 1, 2, 4, u64::MAX] {
        let expected = FoldError::OutOfOrder { expected: Seq::new(3), found: Seq::new(seq) };
        assert_eq!(auction.apply(&event(seq, bid_accepted(None))), Err(expected));
    }
    let again = EventKind::Created { rules: Box::new(plain()) };
    assert_eq!(auction.apply(&event(3, again)), Err(FoldError::Misplaced(Seq::new(3))));
    assert_eq!(auction.to_snapshot(), before);
    let first = event(1, bid_accepted(None));
    assert_eq!(Auction::empty().apply(&first), Err(FoldError::Misplaced(Seq::new(1))));
}
