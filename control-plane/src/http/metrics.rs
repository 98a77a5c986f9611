//! The page that Prometheus scrapes.

use super::HttpState;
use crate::rollup::Merged;
use gavel_rules::time::{Millis, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Display, Write as _},
    sync::atomic::Ordering,
};

/// How long a node's gauges count after its last report.
const GAUGES_MAX_AGE: Millis = Millis::new(10_000);

/// A page as it grows.
#[derive(Debug, Default)]
struct Page {
    text: String,
    /// Two families of one name would make the whole page unreadable.
    families: BTreeSet<String>,
}

/// Every metric of the cluster and of this process.
pub(super) fn page(state: &HttpState, now: Timestamp) -> String {
    let mut page = Page::default();
    let rollup = state.rollup.lock();
    page.scalar("gavel_control_nodes_live", "gauge", state.nodes_live.load(Ordering::Relaxed));
    page.scalar("gavel_control_nodes_reporting", "gauge", rollup.nodes(now, GAUGES_MAX_AGE));
    page.scalar("gavel_control_rooms", "gauge", state.rooms.load(Ordering::Relaxed));
    let assignments = state.assignments.load(Ordering::Relaxed);
    page.scalar("gavel_control_assignments_total", "counter", assignments);
    let refused = state.config_refused.load(Ordering::Relaxed);
    page.scalar("gavel_control_config_refused_total", "counter", refused);
    for (family, series) in by_family(rollup.counters()) {
        page.family(&format!("{}_total", of_cluster(family)), "counter", &series);
    }
    for (family, series) in by_family(rollup.gauges(now, GAUGES_MAX_AGE)) {
        page.family(&of_cluster(family), "gauge", &series);
    }
    for (name, merged) in rollup.histograms() {
        page.histogram(&of_cluster(name), &merged);
    }
    page.text
}

/// Series by the name before their labels. Sorting by the whole name would
/// tear families apart, and Prometheus wants each in one piece.
fn by_family<V>(series: BTreeMap<&str, V>) -> BTreeMap<&str, Vec<(&str, V)>> {
    let mut families = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in series {
        let (family, labels) = name.split_at(name.find('{').unwrap_or(name.len()));
        families.entry(family).or_default().push((labels, value));
    }
    families
}

/// A sum must not have the name of its parts, or a query would count twice.
fn of_cluster(name: &str) -> String {
    format!("gavel_cluster_{}", name.strip_prefix("gavel_").unwrap_or(name))
}

// === impl Page ===

impl Page {
    fn scalar(&mut self, name: &str, kind: &str, value: impl Display) {
        self.family(name, kind, &[("", value)]);
    }

    fn family(&mut self, name: &str, kind: &str, series: &[(&str, impl Display)]) {
        if !self.begin(name, kind) {
            return;
        }
        for (labels, value) in series {
            self.line(format_args!("{name}{labels} {value}"));
        }
    }

    fn histogram(&mut self, name: &str, merged: &Merged) {
        if !self.begin(name, "histogram") {
            return;
        }
        for (bound, count) in merged.cumulative() {
            self.line(format_args!("{name}_bucket{{le=\"{bound}\"}} {count}"));
        }
        let (count, sum) = (merged.count(), merged.sum());
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {count}"));
        self.line(format_args!("{name}_sum {sum}"));
        self.line(format_args!("{name}_count {count}"));
    }

    fn begin(&mut self, name: &str, kind: &str) -> bool {
        let new = self.families.insert(name.to_owned());
        if new {
            self.line(format_args!("# TYPE {name} {kind}"));
        }
        new
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("writing to a String does not fail");
    }
}
