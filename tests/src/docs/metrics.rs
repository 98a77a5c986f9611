//! The tables of docs/metrics.md, read from the pages that Prometheus reads:
//! what is counted and shown has a row.

use super::table::{Table, code};
use gavel_data_plane::metrics::{Metrics, label_values};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// Metrics of one name.
#[derive(Default)]
struct Family {
    help: String,
    kind: String,
    unit: String,
    /// The name to ask for.
    name: String,
    values_by_label: BTreeMap<String, Vec<String>>,
}

/// The metrics of a node, then what the values of their labels mean.
pub(super) fn of_a_node() -> String {
    let families = read(&Metrics::new().encode());
    let shown: BTreeSet<_> = families.values().flat_map(Family::pairs).collect();
    let mut tables = BTreeMap::<&str, Table<2>>::new();
    let mut meant = BTreeSet::new();
    for (label, value, meaning) in label_values() {
        let table = tables.entry(label).or_insert_with(|| Table::new(["Value", "Meaning"]));
        table.row([code(value), meaning.to_owned()]);
        meant.insert((label, value));
    }
    assert_eq!(shown, meant, "each label value has a meaning");
    tables.into_iter().fold(table(&families), |mut text, (label, table)| {
        write!(text, "\n### Values of `{label}`\n\n{}", table.end()).expect("a String takes it");
        text
    })
}

/// The metrics of a control plane, but for those of its nodes.
pub(super) fn of_the_control_plane() -> String {
    table(&read(&gavel_control_plane::metrics_at_start()))
}

fn table(families: &BTreeMap<String, Family>) -> String {
    let mut table = Table::new(["Metric", "Type", "Unit", "Labels", "Meaning"]);
    for family in families.values() {
        let Family { name, kind, unit, help, .. } = family;
        assert!(!help.is_empty() && !kind.is_empty(), "{name} says what it is");
        table.row([code(name), kind.clone(), unit.clone(), family.labels(), help.clone()]);
    }
    table.end()
}

/// Reads a page of Prometheus or OpenMetrics.
fn read(page: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    let mut current = String::new();
    for line in page.lines().filter(|line| *line != "# EOF") {
        if let Some(about) = line.strip_prefix("# ") {
            let (word, rest) = about.split_once(' ').expect("a word");
            let (name, text) = rest.split_once(' ').expect("a name and a text");
            name.clone_into(&mut current);
            let family = families.entry(name.to_owned()).or_default();
            match word {
                "HELP" => text.clone_into(&mut family.help),
                "TYPE" => text.clone_into(&mut family.kind),
                "UNIT" => text.clone_into(&mut family.unit),
                _ => panic!("{line}"),
            }
        } else {
            let family = families.get_mut(&current).unwrap_or_else(|| panic!("{line}: no TYPE"));
            family.sample(&current, line);
        }
    }
    families
}

// === impl Family ===

impl Family {
    fn sample(&mut self, family: &str, line: &str) {
        let (series, _) = line.rsplit_once(' ').expect("a series and a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        assert!(name.starts_with(family), "{line} is not of {family}");
        if self.name.is_empty() {
            let shown = if self.kind == "histogram" { family } else { name };
            shown.clone_into(&mut self.name);
        }
        for pair in labels.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty()) {
            let (label, value) = pair.split_once('=').expect("a label and its value");
            let values = self.values_by_label.entry(label.to_owned()).or_default();
            let value = value.trim_matches('"');
            if !values.iter().any(|known| known == value) {
                values.push(value.to_owned());
            }
        }
    }

    /// Each label with each value, except for the bounds of buckets.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let labels = self.values_by_label.iter().filter(|(label, _)| *label != "le");
        labels
            .flat_map(|(label, values)| values.iter().map(|value| (label.as_str(), value.as_str())))
    }

    fn labels(&self) -> String {
        let labels = self.values_by_label.iter().map(|(label, values)| match label.as_str() {
            "le" => format!("{}: {}", code(label), values.join(", ")),
            _ => {
                let values: Vec<_> = values.iter().map(code).collect();
                format!("{}: {}", code(label), values.join(", "))
            }
        });
        labels.collect::<Vec<_>>().join("; ")
    }
}
