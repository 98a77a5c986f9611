//! What nodes report of rollouts under way.

use crate::rollout::{Group, Groups};
use gavel_proto::telemetry::v1 as wire;
use std::collections::BTreeMap;

/// Rollouts that are kept of one run of a node, or of all that ended.
const TRIALS_MAX: usize = 64;
/// Bounds that may come with a report.
const BOUNDS_MAX: usize = 128;

/// Both groups of each rollout, by its flag and its start.
#[derive(Debug, Clone, Default)]
pub(super) struct Trials(BTreeMap<(String, u64), Groups>);

// === impl Trials ===

impl Trials {
    /// Takes what a run of a node reports. What it counts no longer stays as it
    /// was reported last.
    pub(super) fn follow(&mut self, reported: Vec<wire::Trial>) {
        self.0.extend(reported.into_iter().take(TRIALS_MAX).filter_map(read));
        self.trim();
    }

    /// Adds those of another run or node.
    pub(super) fn add(&mut self, other: &Self) {
        for (key, groups) in &other.0 {
            match self.0.get_mut(key) {
                Some(sum) if sum.bounds == groups.bounds => {
                    sum.treatment.add(&groups.treatment);
                    sum.control.add(&groups.control);
                }
                // Bounds are the same in each release, and cannot be added else.
                Some(_) => {}
                None => drop(self.0.insert(key.clone(), groups.clone())),
            }
        }
        self.trim();
    }

    /// Forgets those that started first, where there are too many.
    fn trim(&mut self) {
        while self.0.len() > TRIALS_MAX {
            let oldest = self.0.keys().min_by_key(|(_, started_ms)| *started_ms).cloned();
            self.0.retain(|key, _| Some(key) != oldest.as_ref());
        }
    }

    pub(super) fn into_groups(self) -> BTreeMap<(String, u64), Groups> {
        self.0
    }
}

/// One report; none if it is no such thing.
fn read(reported: wire::Trial) -> Option<((String, u64), Groups)> {
    let wire::Trial { flag, started_ms, treatment, control } = reported;
    let (treatment, control) = (treatment?, control?);
    let bounds = treatment.answer_bounds.clone();
    let fits = bounds == control.answer_bounds && bounds.len() <= BOUNDS_MAX;
    let group = |group: wire::Group| {
        let wire::Group { bids, refused, disconnects, fenced, answer_counts: answers, .. } = group;
        let fits = fits && answers.len() == bounds.len() + 1;
        fits.then_some(Group { bids, refused, disconnects, fenced, answers })
    };
    let (treatment, control) = (group(treatment)?, group(control)?);
    Some(((flag, started_ms), Groups { treatment, control, bounds }))
}
