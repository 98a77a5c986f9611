//! What Prometheus and the control plane are told.

use std::sync::Arc;
use std::thread;

use gavel_rules::RejectReason;

use super::*;

#[test]
fn series_exist_from_the_start_and_their_number_is_constant() {
    let metrics = Metrics::new();
    let before = metrics.encode().lines().count();
    metrics.sockets_opened.inc(Opened::Accepted);
    metrics.bids.inc(BidOutcome::Accepted);
    metrics.bid_ack_seconds.observe(0.003);
    metrics.sockets.inc();
    assert_eq!(metrics.encode().lines().count(), before);
}

#[test]
fn text_names_labels_units_and_cumulative_buckets() {
    let metrics = Metrics::new();
    metrics.sockets_opened.inc(Opened::Accepted);
    metrics.sockets.set(3);
    metrics.fanout_recipients.observe(1.0);
    metrics.fanout_recipients.observe(70_000.0);
    metrics.bid_commit_seconds.observe(0.002);
    let text = metrics.encode();
    for line in [
        "gavel_sockets 3",
        "gavel_sockets_opened_total{result=\"accepted\"} 1",
        "gavel_sockets_closed_total{code=\"lost\"} 0",
        "gavel_fanout_recipients_bucket{le=\"1.0\"} 1",
        "gavel_fanout_recipients_bucket{le=\"50000.0\"} 1",
        "gavel_fanout_recipients_bucket{le=\"+Inf\"} 2",
        "gavel_fanout_recipients_sum 70001.0",
        "gavel_bid_commit_seconds_count 1",
        "gavel_fenced_total 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn a_report_holds_what_the_text_holds() {
    let metrics = Metrics::new();
    metrics.bids.inc_by(BidOutcome::TooLow, 2);
    metrics.fenced.inc();
    metrics.rooms_owned.set(5);
    metrics.fanout_seconds.observe(2.0);
    let node = "node-1".parse().unwrap();
    let report = metrics.report(&node, Incarnation::new(7), Timestamp::new(9));
    assert_eq!((report.node_id.as_str(), report.incarnation, report.at), ("node-1", 7, 9));

    let counter = |name: &str| report.counters.iter().find(|c| c.name == name).unwrap().value;
    assert_eq!(counter("gavel_bids{outcome=\"too_low\"}"), 2);
    assert_eq!(counter("gavel_fenced"), 1);
    let gauge = |name: &str| report.gauges.iter().find(|g| g.name == name).unwrap().value;
    assert_eq!(gauge("gavel_rooms_owned"), 5);
    for histogram in &report.histograms {
        assert_eq!(histogram.counts.len(), histogram.bounds.len() + 1);
        assert!(histogram.bounds.is_sorted_by(|a, b| a < b));
    }
    let fanout = report.histograms.iter().find(|h| h.name == "gavel_fanout_seconds").unwrap();
    assert_eq!((fanout.counts.last(), fanout.sum), (Some(&1), 2.0));
}

#[test]
fn two_nodes_of_one_process_do_not_mix() {
    let (one, other) = (Metrics::new(), Metrics::new());
    one.sockets_opened.inc(Opened::Accepted);
    assert_eq!((one.sockets_opened.total(), other.sockets_opened.total()), (1, 0));
}

#[test]
fn no_observation_is_lost_between_threads() {
    let metrics = Arc::new(Metrics::new());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let metrics = Arc::clone(&metrics);
            thread::spawn(move || {
                for _ in 0..1000 {
                    metrics.fanout_recipients.observe(1.0);
                    metrics.sockets_opened.inc(Opened::Limited);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(metrics.fanout_recipients.count(), 4000);
    assert_eq!(metrics.fanout_recipients.report("x").sum, 4000.0);
    assert_eq!(metrics.sockets_opened.get(Opened::Limited), 4000);
}

#[test]
fn reject_reasons_and_outcomes_have_the_same_words() {
    for outcome in BidOutcome::ALL {
        let [(_, word)] = outcome.pairs() else { panic!("one label") };
        assert_eq!(outcome.index(), BidOutcome::ALL.iter().position(|o| o == outcome).unwrap());
        assert!(word.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    }
    let low = BidOutcome::from(RejectReason::TooLow);
    assert_eq!(low.pairs(), [("outcome", RejectReason::TooLow.as_str())]);
}
