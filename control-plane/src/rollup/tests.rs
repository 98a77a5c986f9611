//! The rollup by example.

use super::*;
use gavel_proto::telemetry::v1::{self as wire, Counter, Gauge, Histogram};

const MAX_AGE: Millis = Millis::new(3_000);

fn at(ms: u64) -> Timestamp {
    Timestamp::new(ms)
}

fn id(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn report(node: &str, incarnation: u64, bids: u64, sockets: i64) -> StreamReportsRequest {
    let histogram = Histogram {
        name: "gavel_ack_seconds".to_owned(),
        bounds: vec![0.1, 1.0],
        counts: vec![bids, 0, 0],
        sum: 0.5,
    };
    StreamReportsRequest {
        node_id: node.to_owned(),
        incarnation,
        at: 0,
        counters: vec![Counter { name: "gavel_bids".to_owned(), value: bids }],
        gauges: vec![Gauge { name: "gavel_sockets".to_owned(), value: sockets }],
        histograms: vec![histogram],
        trials: Vec::new(),
    }
}

fn bids(rollup: &Rollup) -> u64 {
    let bids = rollup.counters().get("gavel_bids").copied().unwrap_or_default();
    let observed = rollup.percentiles().first().map_or(0, |p| p.count);
    assert_eq!(bids, observed, "histograms count like counters");
    bids
}

#[test]
fn sums_are_over_nodes() {
    let mut rollup = Rollup::default();
    rollup.report(report("a", 1, 3, 10), at(0));
    rollup.report(report("b", 1, 4, 20), at(1_000));
    let sample = |name: &str, value| Sample { name: name.to_owned(), value };
    let both = [sample("gavel_bids", 7), sample("gavel_sockets", 30)];
    assert_eq!(rollup.samples(at(3_000), MAX_AGE), both);
    assert_eq!(rollup.nodes(at(3_000), MAX_AGE), 2);
    let one = [sample("gavel_bids", 7), sample("gavel_sockets", 20)];
    assert_eq!(rollup.samples(at(3_001), MAX_AGE), one, "a is silent for too long");
    assert_eq!(rollup.nodes(at(3_001), MAX_AGE), 1);
}

#[test]
fn totals_never_fall() {
    let mut rollup = Rollup::default();
    rollup.report(report("a", 1, 5, 1), at(0));
    rollup.report(report("a", 1, 5, 1), at(1));
    assert_eq!(bids(&rollup), 5, "a repeat");
    rollup.report(report("a", 1, 4, 1), at(2));
    assert_eq!(bids(&rollup), 5, "overtaken");
    rollup.report(report("a", 2, 0, 1), at(3));
    assert_eq!(bids(&rollup), 5, "a restart");
    rollup.report(report("a", 2, 2, 1), at(4));
    assert_eq!(bids(&rollup), 7);
    rollup.report(report("a", 1, 9, 1), at(5));
    assert_eq!(bids(&rollup), 7, "a run that ended");
    rollup.forget(&id("a"));
    assert_eq!((bids(&rollup), rollup.nodes(at(5), MAX_AGE)), (7, 0));
    assert!(rollup.gauges(at(5), MAX_AGE).is_empty());
    rollup.report(report("a", 2, 3, 1), at(6));
    assert_eq!((bids(&rollup), rollup.nodes(at(6), MAX_AGE)), (8, 1), "the same run came back");
}

#[test]
fn a_gauge_that_is_no_longer_reported_is_gone() {
    let mut rollup = Rollup::default();
    rollup.report(report("a", 1, 0, 8), at(0));
    rollup.report(StreamReportsRequest { gauges: vec![], ..report("a", 1, 0, 0) }, at(1));
    assert!(rollup.gauges(at(1), MAX_AGE).is_empty());
}

#[test]
fn what_is_no_report_or_no_name_is_left_out() {
    let mut rollup = Rollup::default();
    rollup.report(report("not an id", 1, 1, 1), at(0));
    assert_eq!(rollup.nodes(at(0), MAX_AGE), 0);
    let counters =
        ["a\nb", "1", r#"a{b="c"#].map(|name| Counter { name: name.to_owned(), value: 1 });
    rollup
        .report(StreamReportsRequest { counters: counters.into(), ..report("a", 1, 0, 0) }, at(0));
    assert!(rollup.counters().is_empty());
}

#[test]
fn names_of_a_node_are_bounded() {
    let mut rollup = Rollup::default();
    for batch in 0..3 {
        let names = (0..1_500).map(|n| format!("n_{batch}_{n}"));
        let counters = names.map(|name| Counter { name, value: 1 }).collect();
        rollup.report(StreamReportsRequest { counters, ..report("a", 1, 0, 0) }, at(0));
    }
    let reported = rollup.nodes.values().next().unwrap();
    assert!(reported.totals.len() + reported.gauges.len() <= NAMES_PER_NODE_MAX);
}

#[test]
fn nodes_are_bounded_and_the_silent_make_room() {
    let mut rollup = Rollup::default();
    for n in 0..NODES_MAX as u64 {
        rollup.report(report(&format!("n-{n}"), 1, 1, 1), at(n));
    }
    let soon = at(SILENCE.get());
    rollup.report(report("late", 1, 1, 1), soon);
    assert_eq!((rollup.nodes.len(), bids(&rollup)), (NODES_MAX, 1_000), "all may still live");
    let later = at(SILENCE.get() + 1);
    rollup.report(report("late", 1, 1, 1), later);
    assert_eq!((rollup.nodes.len(), bids(&rollup)), (NODES_MAX, 1_001));
    assert!(!rollup.nodes.contains_key(&id("n-0")), "it was silent for longest");
}

#[test]
fn both_groups_of_a_rollout_are_summed_over_nodes_and_runs() {
    let group = |bids| wire::Group {
        bids,
        answer_counts: vec![bids, 0],
        answer_bounds: vec![0.1],
        ..wire::Group::default()
    };
    let trial = |flag: &str, started_ms, bids| wire::Trial {
        flag: flag.to_owned(),
        started_ms,
        treatment: Some(group(bids)),
        control: Some(group(10 * bids)),
    };
    let reports = |node, incarnation, trials| StreamReportsRequest {
        trials,
        ..report(node, incarnation, 0, 0)
    };
    let mut rollup = Rollup::default();
    rollup.report(reports("a", 1, vec![trial("x", 1, 5), trial("y", 1, 7)]), at(0));
    rollup.report(reports("b", 1, vec![trial("x", 1, 100)]), at(0));
    // A run reports what it counts still; another run counts anew.
    rollup.report(reports("a", 1, vec![trial("x", 1, 6), trial("y", 2, 1)]), at(0));
    rollup.report(reports("a", 2, vec![trial("x", 1, 1000)]), at(0));
    let mut wrong = trial("z", 1, 1);
    wrong.control = Some(wire::Group { answer_counts: vec![1], ..group(1) });
    rollup.report(reports("c", 1, vec![wrong]), at(0));
    let bids: Vec<_> = rollup
        .trials()
        .into_iter()
        .map(|((flag, started), groups)| {
            assert_eq!(groups.control.bids, 10 * groups.treatment.bids);
            assert_eq!(groups.treatment.answers, [groups.treatment.bids, 0]);
            (flag, started, groups.treatment.bids)
        })
        .collect();
    let expected = [("x", 1, 1106), ("y", 1, 7), ("y", 2, 1)];
    assert_eq!(bids, expected.map(|(flag, started, bids)| (flag.to_owned(), started, bids)));
}
