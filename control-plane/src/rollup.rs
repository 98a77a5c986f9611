//! The metrics of all nodes as one: what each node reported last, and what
//! runs of nodes that ended left behind.
//!
//! ```text
//!   counters, histograms = sum(last report of every node) + left behind     never fall
//!   gauges               = sum(last report of nodes heard of within max_age)
//! ```
//!
//! Reports are cumulative, so a lost or repeated one does no harm.

mod histogram;
mod series;
#[cfg(test)]
mod tests;
mod trials;

use gavel_proto::{
    admin::v1::{Percentiles, Sample},
    telemetry::v1::StreamReportsRequest,
};
use gavel_rules::{
    id::{Incarnation, NodeId},
    time::{Millis, Timestamp},
};
use std::collections::BTreeMap;

pub(crate) use self::histogram::Merged;
use self::trials::Trials;
use crate::rollout::Groups;

/// Nodes that are kept; the reports of further ones are not taken.
const NODES_MAX: usize = 1_000;
/// Names that are kept of one node; further ones are not taken.
const NAMES_PER_NODE_MAX: usize = 2_000;
/// Names that ended runs may leave behind.
const NAMES_LEFT_MAX: usize = 10_000;
/// After this silence a node may have to make room for another.
const SILENCE: Millis = Millis::new(60_000);

/// The metrics of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Rollup {
    nodes: BTreeMap<NodeId, Reported>,
    left: Totals,
    left_trials: Trials,
}

/// What one run of a node reported.
#[derive(Debug)]
struct Reported {
    incarnation: Incarnation,
    /// When it was last heard of; none after it left.
    heard_at: Option<Timestamp>,
    totals: Totals,
    gauges: BTreeMap<String, i64>,
    trials: Trials,
}

/// Values that only rise.
#[derive(Debug, Default)]
struct Totals {
    counters: BTreeMap<String, u64>,
    histograms: BTreeMap<String, Merged>,
}

// === impl Rollup ===

impl Rollup {
    /// Takes a report. What is not a node's report, or comes from a run that
    /// has been followed by another, is left out; so are names that are no
    /// Prometheus names.
    pub(crate) fn report(&mut self, report: StreamReportsRequest, now: Timestamp) {
        let Ok(node) = report.node_id.parse::<NodeId>() else { return };
        let incarnation = Incarnation::new(report.incarnation);
        let known = self.nodes.get(&node).map(|known| known.incarnation);
        if known.is_some_and(|known| known > incarnation) {
            return;
        }
        if known.is_some_and(|known| known < incarnation) {
            self.end(&node);
        }
        if !self.nodes.contains_key(&node) && !self.make_room(now) {
            return;
        }
        self.nodes.entry(node).or_insert_with(|| Reported::new(incarnation)).take(report, now);
    }

    /// A node left: its gauges count no longer. Its counters still do, and go
    /// on if the same run comes back.
    pub(crate) fn forget(&mut self, node: &NodeId) {
        if let Some(reported) = self.nodes.get_mut(node) {
            reported.heard_at = None;
            reported.gauges.clear();
        }
    }

    /// Counters and gauges of the cluster, by name.
    pub(crate) fn samples(&self, now: Timestamp, max_age: Millis) -> Vec<Sample> {
        let counters = self.counters().into_iter();
        let counters = counters.map(|(name, sum)| (name, i64::try_from(sum).unwrap_or(i64::MAX)));
        let mut samples: Vec<_> = counters
            .chain(self.gauges(now, max_age))
            .map(|(name, value)| Sample { name: name.to_owned(), value })
            .collect();
        samples.sort_by(|a, b| a.name.cmp(&b.name));
        samples
    }

    /// Percentiles of each histogram of the cluster, by name.
    pub(crate) fn percentiles(&self) -> Vec<Percentiles> {
        let histograms = self.histograms().into_iter();
        histograms.map(|(name, merged)| merged.percentiles(name)).collect()
    }

    /// Nodes heard of within `max_age`.
    pub(crate) fn nodes(&self, now: Timestamp, max_age: Millis) -> u32 {
        let live = self.nodes.values().filter(|node| node.is_live(now, max_age)).count();
        u32::try_from(live).unwrap_or(u32::MAX)
    }

    /// Each counter's sum.
    pub(crate) fn counters(&self) -> BTreeMap<&str, u64> {
        let mut sums = BTreeMap::<&str, u64>::new();
        for (name, value) in self.totals().flat_map(|totals| &totals.counters) {
            let sum = sums.entry(name).or_default();
            *sum = sum.saturating_add(*value);
        }
        sums
    }

    /// Each gauge's sum over live nodes.
    pub(crate) fn gauges(&self, now: Timestamp, max_age: Millis) -> BTreeMap<&str, i64> {
        let mut sums = BTreeMap::<&str, i64>::new();
        let live = self.nodes.values().filter(|node| node.is_live(now, max_age));
        for (name, value) in live.flat_map(|node| &node.gauges) {
            let sum = sums.entry(name).or_default();
            *sum = sum.saturating_add(*value);
        }
        sums
    }

    /// Each histogram merged. Bounds that differ, which they must not, cannot
    /// be merged: those of nodes come before those left behind.
    pub(crate) fn histograms(&self) -> BTreeMap<&str, Merged> {
        let mut sums = BTreeMap::<&str, Merged>::new();
        for (name, part) in self.totals().flat_map(|totals| &totals.histograms) {
            match sums.get_mut(name.as_str()) {
                Some(sum) => sum.add(part),
                None => drop(sums.insert(name, part.clone())),
            }
        }
        sums
    }

    /// Both groups of each rollout that any node counts or counted, by its flag
    /// and its start.
    pub(crate) fn trials(&self) -> BTreeMap<(String, u64), Groups> {
        let mut sums = self.left_trials.clone();
        for node in self.nodes.values() {
            sums.add(&node.trials);
        }
        sums.into_groups()
    }

    fn totals(&self) -> impl Iterator<Item = &Totals> {
        self.nodes.values().map(|node| &node.totals).chain([&self.left])
    }

    /// Whether one more node fits, if need be in the place of the one that has
    /// been silent for longest.
    fn make_room(&mut self, now: Timestamp) -> bool {
        if self.nodes.len() < NODES_MAX {
            return true;
        }
        let silent = self
            .nodes
            .iter()
            .filter(|(_, node)| !node.is_live(now, SILENCE))
            .min_by_key(|(_, node)| node.heard_at)
            .map(|(id, _)| id.clone());
        silent.is_some_and(|node| {
            self.end(&node);
            true
        })
    }

    /// Adds what a run reported to what is left behind.
    fn end(&mut self, node: &NodeId) {
        let Some(ended) = self.nodes.remove(node) else { return };
        self.left_trials.add(&ended.trials);
        for (name, value) in ended.totals.counters {
            if let Some(sum) = self.left.counters.get_mut(&name) {
                *sum = sum.saturating_add(value);
            } else if self.left.len() < NAMES_LEFT_MAX {
                self.left.counters.insert(name, value);
            }
        }
        for (name, part) in ended.totals.histograms {
            if let Some(sum) = self.left.histograms.get_mut(&name) {
                sum.add(&part);
            } else if self.left.len() < NAMES_LEFT_MAX {
                self.left.histograms.insert(name, part);
            }
        }
    }
}

// === impl Reported ===

impl Reported {
    fn new(incarnation: Incarnation) -> Self {
        let (totals, gauges, trials) = (Totals::default(), BTreeMap::new(), Trials::default());
        Self { incarnation, heard_at: None, totals, gauges, trials }
    }

    fn is_live(&self, now: Timestamp, max_age: Millis) -> bool {
        self.heard_at.is_some_and(|heard_at| now.since(heard_at) <= max_age)
    }

    fn take(&mut self, report: StreamReportsRequest, now: Timestamp) {
        self.heard_at = Some(now);
        self.gauges.clear();
        self.trials.follow(report.trials);
        for counter in report.counters {
            if let Some(held) = self.totals.counters.get_mut(&counter.name) {
                // Reports may overtake each other.
                *held = counter.value.max(*held);
            } else if self.takes(&counter.name, series::is_series) {
                self.totals.counters.insert(counter.name, counter.value);
            }
        }
        for histogram in report.histograms {
            let name = histogram.name.clone();
            let Some(merged) = Merged::new(histogram) else { continue };
            if let Some(held) = self.totals.histograms.get_mut(&name) {
                held.follow(merged);
            } else if self.takes(&name, series::is_family) {
                self.totals.histograms.insert(name, merged);
            }
        }
        for gauge in report.gauges {
            if self.takes(&gauge.name, series::is_series) {
                self.gauges.insert(gauge.name, gauge.value);
            }
        }
    }

    /// Whether a name that is not held yet is one and fits.
    fn takes(&self, name: &str, is_name: fn(&str) -> bool) -> bool {
        self.totals.len() + self.gauges.len() < NAMES_PER_NODE_MAX && is_name(name)
    }
}

// === impl Totals ===

impl Totals {
    fn len(&self) -> usize {
        self.counters.len() + self.histograms.len()
    }
}
