//! The metrics of all nodes as one: pure sums of what they report.
//!
//! Reports are cumulative, so a lost or repeated one does no harm. What an
//! ended run of a node had counted is kept: totals never fall.

use gavel_proto::{
    admin::v1::{Percentiles, Sample},
    telemetry::v1::{Histogram, StreamReportsRequest},
};
use gavel_rules::time::{Millis, Timestamp};
use std::collections::BTreeMap;

/// Nodes that are kept; a report of one more is dropped.
const NODES_MAX: usize = 1_000;
/// Metrics that one node may report of each kind.
const METRICS_MAX: usize = 2_000;
/// Bytes of a metric's name.
const NAME_BYTES_MAX: usize = 200;

/// What nodes have reported.
#[derive(Debug, Default)]
pub(crate) struct Rollup {
    nodes: BTreeMap<String, Latest>,
    /// Counters of runs that have ended.
    ended: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Latest {
    incarnation: u64,
    at: Timestamp,
    counters: BTreeMap<String, u64>,
    gauges: BTreeMap<String, i64>,
    histograms: BTreeMap<String, Histogram>,
}

// === impl Rollup ===

impl Rollup {
    /// Takes a node's report, which came at `now`.
    pub(crate) fn report(&mut self, report: StreamReportsRequest, now: Timestamp) {
        let known = self.nodes.get(&report.node_id);
        let old_run = known.is_some_and(|latest| latest.incarnation > report.incarnation);
        if old_run || (known.is_none() && self.nodes.len() >= NODES_MAX) {
            return;
        }
        let new_run = known.is_some_and(|latest| latest.incarnation < report.incarnation);
        if new_run && let Some(ended) = self.nodes.remove(&report.node_id) {
            for (name, value) in ended.counters {
                *self.ended.entry(name).or_default() += value;
            }
        }
        let counters = report.counters.into_iter().map(|one| (one.name, one.value));
        let gauges = report.gauges.into_iter().map(|one| (one.name, one.value));
        let histograms = report.histograms.into_iter().map(|one| (one.name.clone(), one));
        let latest = Latest {
            incarnation: report.incarnation,
            at: now,
            counters: bounded(counters),
            gauges: bounded(gauges),
            histograms: bounded(histograms.filter(|(_, one)| is_sound(one))),
        };
        self.nodes.insert(report.node_id, latest);
    }

    /// Sums of counters and gauges by name. A node that has not reported for
    /// `age_max` no longer counts in the gauges.
    pub(crate) fn samples(&self, now: Timestamp, age_max: Millis) -> Vec<Sample> {
        let clamp = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let mut sums: BTreeMap<&str, i64> =
            self.ended.iter().map(|(name, value)| (name.as_str(), clamp(*value))).collect();
        for latest in self.nodes.values() {
            for (name, value) in &latest.counters {
                let sum = sums.entry(name).or_default();
                *sum = sum.saturating_add(clamp(*value));
            }
            if now.since(latest.at) > age_max {
                continue;
            }
            for (name, value) in &latest.gauges {
                let sum = sums.entry(name).or_default();
                *sum = sum.saturating_add(*value);
            }
        }
        let sample = |(name, value): (&str, i64)| Sample { name: name.to_owned(), value };
        sums.into_iter().map(sample).collect()
    }

    /// Percentiles of the merged histograms. Bounds are the same on every
    /// node, so the merge is exact; a percentile is the bound of its bucket.
    pub(crate) fn percentiles(&self) -> Vec<Percentiles> {
        let mut merged: BTreeMap<&str, Histogram> = BTreeMap::new();
        for (name, one) in self.nodes.values().flat_map(|latest| &latest.histograms) {
            match merged.get_mut(name.as_str()) {
                None => {
                    merged.insert(name, one.clone());
                }
                Some(sum) if sum.bounds == one.bounds => {
                    for (sum, count) in sum.counts.iter_mut().zip(&one.counts) {
                        *sum = sum.saturating_add(*count);
                    }
                }
                // A release with other bounds cannot be added to this one.
                Some(_) => {}
            }
        }
        let percentiles = |(name, one): (&str, Histogram)| Percentiles {
            name: name.to_owned(),
            count: one.counts.iter().sum(),
            p50: quantile(&one, 50),
            p90: quantile(&one, 90),
            p99: quantile(&one, 99),
        };
        merged.into_iter().map(percentiles).collect()
    }

    /// Nodes that have reported within `age_max`.
    pub(crate) fn nodes(&self, now: Timestamp, age_max: Millis) -> u32 {
        let live = self.nodes.values().filter(|latest| now.since(latest.at) <= age_max);
        u32::try_from(live.count()).unwrap_or(u32::MAX)
    }
}

fn bounded<T>(all: impl Iterator<Item = (String, T)>) -> BTreeMap<String, T> {
    all.filter(|(name, _)| name.len() <= NAME_BYTES_MAX).take(METRICS_MAX).collect()
}

/// One count for each bound and one beyond the last.
fn is_sound(histogram: &Histogram) -> bool {
    histogram.counts.len() == histogram.bounds.len() + 1 && !histogram.bounds.is_empty()
}

/// The bound of the bucket that holds this percentile; the last bound where
/// it lies beyond, zero without observations.
fn quantile(histogram: &Histogram, percent: u64) -> f64 {
    let count: u64 = histogram.counts.iter().sum();
    let rank = count.saturating_mul(percent).div_ceil(100);
    let mut seen = 0;
    let within = histogram.counts.iter().zip(&histogram.bounds).find(|(count, _)| {
        seen += **count;
        seen >= rank
    });
    match (count, within) {
        (0, _) => 0.0,
        (_, Some((_, bound))) => *bound,
        (_, None) => histogram.bounds.last().copied().unwrap_or(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_proto::telemetry::v1::{Counter, Gauge};

    const AGE_MAX: Millis = Millis::new(3_000);

    fn report(node: &str, incarnation: u64, value: u64) -> StreamReportsRequest {
        StreamReportsRequest {
            node_id: node.to_owned(),
            incarnation,
            at: 0,
            counters: vec![Counter { name: "gavel_bids".to_owned(), value }],
            gauges: vec![Gauge { name: "gavel_sockets".to_owned(), value: 10 }],
            histograms: vec![Histogram {
                name: "gavel_ack".to_owned(),
                bounds: vec![0.1, 0.5, 1.0],
                counts: vec![value, 1, 0, 0],
                sum: 1.0,
            }],
        }
    }

    fn value(rollup: &Rollup, name: &str, now: u64) -> i64 {
        let samples = rollup.samples(Timestamp::new(now), AGE_MAX);
        samples.iter().find(|sample| sample.name == name).map_or(0, |sample| sample.value)
    }

    #[test]
    fn totals_never_fall_and_repeats_do_no_harm() {
        let mut rollup = Rollup::default();
        for (node, run, count, expected) in
            [("a", 1, 5, 5), ("a", 1, 5, 5), ("b", 1, 2, 7), ("a", 2, 1, 8), ("a", 1, 99, 8)]
        {
            rollup.report(report(node, run, count), Timestamp::new(0));
            assert_eq!(value(&rollup, "gavel_bids", 0), expected);
        }
        assert_eq!(value(&rollup, "gavel_sockets", 0), 20);
        assert_eq!(value(&rollup, "gavel_sockets", 3_001), 0, "silent nodes hold no sockets");
        assert_eq!(value(&rollup, "gavel_bids", 3_001), 8);
        assert_eq!(rollup.nodes(Timestamp::new(3_000), AGE_MAX), 2);
    }

    #[test]
    fn percentiles_are_those_of_all_nodes_together() {
        let mut rollup = Rollup::default();
        rollup.report(report("a", 1, 98), Timestamp::new(0));
        let slow = Histogram {
            name: "gavel_ack".to_owned(),
            bounds: vec![0.1, 0.5, 1.0],
            counts: vec![0, 0, 0, 1],
            sum: 9.0,
        };
        let slow = StreamReportsRequest { histograms: vec![slow], ..report("b", 1, 0) };
        rollup.report(slow, Timestamp::new(0));
        let all = rollup.percentiles();
        let [one] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((one.count, one.p50, one.p99), (100, 0.1, 0.5));
    }

    #[test]
    fn what_a_node_may_report_is_bounded() {
        let mut rollup = Rollup::default();
        for n in 0..2_000 {
            rollup.report(report(&format!("n{n}"), 1, 1), Timestamp::new(0));
        }
        assert_eq!(rollup.nodes.len(), NODES_MAX);
        let long = Counter { name: "x".repeat(201), value: 1 };
        let report = StreamReportsRequest { counters: vec![long], ..report("n1", 1, 1) };
        rollup.report(report, Timestamp::new(0));
        assert!(rollup.nodes.get("n1").expect("n1").counters.is_empty());
    }
}
