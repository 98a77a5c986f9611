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
    let term = state.leading_term.load(Ordering::Relaxed);
    page.scalar(
        "gavel_control_leader",
        "gauge",
        "1 on the replica that leads.",
        u8::from(term > 0),
    );
    let help = "The term that this process leads under, 0 if it does not.";
    page.scalar("gavel_control_term", "gauge", help, term);
    let rollup = state.rollup.lock();
    let nodes_live = state.nodes_live.load(Ordering::Relaxed);
    page.scalar("gavel_control_nodes_live", "gauge", "Nodes whose lease holds.", nodes_live);
    let reporting = rollup.nodes(now, GAUGES_MAX_AGE);
    let help = format!("Nodes that reported within the last {} ms.", GAUGES_MAX_AGE.get());
    page.scalar("gavel_control_nodes_reporting", "gauge", &help, reporting);
    let nodes_held = state.nodes_held.load(Ordering::Relaxed);
    let help = "Nodes that are silent and keep their rooms for the brake.";
    page.scalar("gavel_control_nodes_held", "gauge", help, nodes_held);
    let brake = state.brake.load(Ordering::Relaxed);
    let help = "1 while so many nodes are silent that none loses its rooms.";
    page.scalar("gavel_control_brake", "gauge", help, brake);
    let rooms = state.rooms.load(Ordering::Relaxed);
    page.scalar("gavel_control_rooms", "gauge", "Rooms that exist.", rooms);
    let assignments = state.assignments.load(Ordering::Relaxed);
    let help = "Rooms given to a node by this process, for the first time or anew.";
    page.scalar("gavel_control_assignments_total", "counter", help, assignments);
    let moves = state.moves.load(Ordering::Relaxed);
    let help = "Rooms moved from one living node to another.";
    page.scalar("gavel_control_moves_total", "counter", help, moves);
    let refused = state.config_refused.load(Ordering::Relaxed);
    let help = "Documents that a node refused.";
    page.scalar("gavel_control_config_refused_total", "counter", help, refused);
    let rollbacks = state.rollbacks.load(Ordering::Relaxed);
    let help = "Rollouts of flags that went back because the treatment did worse.";
    page.scalar("gavel_control_rollbacks_total", "counter", help, rollbacks);
    for (family, series) in by_family(rollup.counters()) {
        let name = format!("{}_total", of_cluster(family));
        page.family(&name, "counter", &of_all_nodes(family), &series);
    }
    for (family, series) in by_family(rollup.gauges(now, GAUGES_MAX_AGE)) {
        page.family(&of_cluster(family), "gauge", &of_all_nodes(family), &series);
    }
    for (name, merged) in rollup.histograms() {
        page.histogram(&of_cluster(name), &of_all_nodes(name), &merged);
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

fn of_all_nodes(name: &str) -> String {
    format!("{name} of all nodes together.")
}

// === impl Page ===

impl Page {
    fn scalar(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help, &[("", value)]);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str, series: &[(&str, impl Display)]) {
        if !self.begin(name, kind, help) {
            return;
        }
        for (labels, value) in series {
            self.line(format_args!("{name}{labels} {value}"));
        }
    }

    fn histogram(&mut self, name: &str, help: &str, merged: &Merged) {
        if !self.begin(name, "histogram", help) {
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

    fn begin(&mut self, name: &str, kind: &str, help: &str) -> bool {
        let new = self.families.insert(name.to_owned());
        if new {
            self.line(format_args!("# HELP {name} {help}"));
            self.line(format_args!("# TYPE {name} {kind}"));
        }
        new
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("writing to a String does not fail");
    }
}
