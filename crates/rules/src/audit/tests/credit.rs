//! A credit for an outage, and each way in which it may be wrong.

use super::{world::World, *};
use crate::{
    auction::{AuctionRules, EventKind, ExtensionMode, Input, OutageCredit, tests::soft},
    time::Millis,
};

/// ```text
/// seq 1 created 0 s, 2 opened 1 s, 3 credited 60 s with 30 s of the 40 s since 20 s, 4 closed 91 s
/// ```
fn story() -> Stream {
    let (from, total_max) = (Millis::new(2_000), Millis::new(30_000));
    let outage_credit = Some(OutageCredit { from, total_max });
    let soft = soft(ExtensionMode::ResetTo, 20_000, 20_000, 2);
    let mut world = World::new(AuctionRules { outage_credit, ..soft });
    for (now, input) in
        [(1_000, Input::Tick), (60_000, Input::Outage { since: at(20_000) }), (91_000, Input::Tick)]
    {
        world.now = now;
        world.command(input);
    }
    world.end().0
}

fn credit(stream: &mut Stream, since: u64, closes_at: u64) {
    let kind = &mut stream.events[2].event.kind;
    assert!(matches!(kind, EventKind::Credited { .. }));
    *kind = EventKind::Credited { since: at(since), closes_at: at(closes_at) };
}

fn policy(stream: &mut Stream, change: impl Fn(&mut Option<OutageCredit>)) {
    let EventKind::Created { rules } = &mut stream.events[0].event.kind else { panic!("seq 1") };
    change(&mut rules.outage_credit);
}

#[test]
fn a_credit_by_the_policy_is_good() {
    let report = audit(&story(), &[], true).expect("nothing is wrong");
    assert_eq!((report.events, report.outcome), (4, Some(Outcome::NoBids)));
}

#[test]
fn a_credit_against_the_policy_is_found() {
    type Plant = fn(&mut Stream);
    let rows: [(&str, Plant); 8] = [
        ("it gives more than there was", |stream| credit(stream, 20_000, 91_001)),
        ("it takes time away", |stream| credit(stream, 20_000, 60_999)),
        ("it begins before the opening", |stream| credit(stream, 999, 91_000)),
        ("it begins when time had run out", |stream| credit(stream, 61_000, 61_001)),
        ("it is too short", |stream| credit(stream, 58_001, 61_000 + 1_999)),
        ("there is no policy", |stream| policy(stream, |policy| *policy = None)),
        ("it goes beyond the maximum", |stream| {
            policy(stream, |policy| policy.as_mut().expect("one").total_max = Millis::new(29_999));
        }),
        ("it comes after the close", |stream| {
            let mut late = stream.events[2].clone();
            (late.event.seq, late.event.at) = (Seq::new(5), at(99_000));
            stream.events.push(late);
        }),
    ];
    for (about, plant) in rows {
        let mut stream = story();
        plant(&mut stream);
        match audit(&stream, &[], true) {
            Ok(_) => panic!("{about}: not found"),
            Err(found) => assert_eq!(found.invariant, Invariant::InTime, "{about}: {found}"),
        }
    }
}

#[test]
fn a_snapshot_that_forgets_a_credit_is_found() {
    let mut stream = story();
    let mut snapshot = serde_json::to_value(&stream.snapshot).expect("json");
    snapshot["standing"]["credited"] = 0.into();
    stream.snapshot = serde_json::from_value(snapshot).expect("json");
    let found = audit(&stream, &[], true).expect_err("it is wrong");
    assert_eq!(found.invariant, Invariant::SnapshotIsFold);
}
