//! What becomes of each rollout as time passes and bids come.

use super::guard::Groups;
use gavel_flags::{Rollout, RolloutState};
use std::collections::BTreeMap;

/// What the leader has seen of the rollouts under way.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen_by_flag: BTreeMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    started_ms: u64,
    step: usize,
    /// The counts when this leader first saw the rollout.
    first: Groups,
    /// The counts when it first saw the present step.
    at_step: Groups,
}

// === impl Watch ===

impl Watch {
    /// Looks at every rollout of the document; returns those that change.
    /// `groups` are the counts of each by flag and start, and only rise.
    pub(super) fn step<'a>(
        &mut self,
        rollouts: impl Iterator<Item = (&'a str, &'a Rollout)>,
        groups: &BTreeMap<(String, u64), Groups>,
        now_ms: u64,
    ) -> Vec<(String, Rollout)> {
        let mut seen_by_flag = BTreeMap::new();
        let mut changes = Vec::new();
        for (flag, rollout) in rollouts.filter(|(_, rollout)| rollout.state.is_under_way()) {
            let now = groups.get(&(flag.to_owned(), rollout.started_ms)).cloned();
            let now = now.unwrap_or_default();
            let seen = self.seen_by_flag.remove(flag);
            let seen = Seen::follow(seen, rollout, &now);
            let judged = seen.judged(&now, rollout.bids_min);
            let next = next(rollout, &judged, now_ms);
            changes.extend(next.map(|next| (flag.to_owned(), next)));
            seen_by_flag.insert(flag.to_owned(), seen);
        }
        self.seen_by_flag = seen_by_flag;
        changes
    }
}

/// What a rollout becomes now; none if it stays as it is.
fn next(rollout: &Rollout, judged: &Groups, now_ms: u64) -> Option<Rollout> {
    let since = Rollout { since_ms: now_ms, ..rollout.clone() };
    if let Some(worse) = judged.worse(rollout.ratio_max) {
        let (state, reason) = (RolloutState::RolledBack, worse.to_string());
        return Some(Rollout { state, reason, ..since });
    }
    let held = now_ms.saturating_sub(rollout.since_ms) >= rollout.hold_ms;
    let enough = judged.treatment.bids >= rollout.bids_min;
    if rollout.state != RolloutState::Running || !held || !enough {
        return None;
    }
    Some(if rollout.step + 1 < rollout.steps.len() {
        Rollout { step: rollout.step + 1, ..since }
    } else {
        Rollout { state: RolloutState::Completed, ..since }
    })
}

// === impl Seen ===

impl Seen {
    fn follow(seen: Option<Self>, rollout: &Rollout, now: &Groups) -> Self {
        let same = seen.filter(|seen| seen.started_ms == rollout.started_ms);
        let mut seen = same.unwrap_or_else(|| Self {
            started_ms: rollout.started_ms,
            step: rollout.step,
            first: now.clone(),
            at_step: now.clone(),
        });
        if seen.step != rollout.step {
            seen.step = rollout.step;
            seen.at_step = now.clone();
        }
        seen
    }

    /// The treatment of this step beside the control group of this step, or of
    /// the whole rollout where that is too small by now.
    fn judged(&self, now: &Groups, bids_min: u64) -> Groups {
        let of_step = now.control.since(&self.at_step.control);
        let is_enough = of_step.bids >= bids_min.max(1);
        Groups {
            treatment: now.treatment.since(&self.at_step.treatment),
            control: if is_enough { of_step } else { now.control.since(&self.first.control) },
            bounds: now.bounds.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Group, *};
    use gavel_flags::Subject;

    const FLAG: &str = "batching";

    fn rollout() -> Rollout {
        Rollout {
            treatment: "off".to_owned(),
            control: "on".to_owned(),
            by: Subject::User,
            steps: vec![10, 50, 100],
            step: 0,
            hold_ms: 60_000,
            bids_min: 100,
            ratio_max: 2.0,
            started_ms: 1_000,
            since_ms: 1_000,
            state: RolloutState::Running,
            reason: String::new(),
            before: String::new(),
        }
    }

    /// Bids and disconnects of the treatment and of the control group.
    fn groups(treatment: (u64, u64), control: (u64, u64)) -> BTreeMap<(String, u64), Groups> {
        let group = |(bids, disconnects)| Group { bids, disconnects, ..Group::default() };
        let (treatment, control) = (group(treatment), group(control));
        let groups = Groups { treatment, control, bounds: Vec::new() };
        BTreeMap::from([((FLAG.to_owned(), 1_000), groups)])
    }

    /// One look; what the rollout becomes.
    fn look(
        watch: &mut Watch,
        rollout: &Rollout,
        groups: &BTreeMap<(String, u64), Groups>,
        now_ms: u64,
    ) -> Option<Rollout> {
        let mut changes = watch.step([(FLAG, rollout)].into_iter(), groups, now_ms);
        assert!(changes.len() <= 1 && watch.seen_by_flag.len() <= 1);
        changes.pop().map(|(_, next)| next)
    }

    #[test]
    fn a_step_is_held_for_its_time_and_until_bids_have_come() {
        let mut watch = Watch::default();
        let begun = rollout();
        assert_eq!(look(&mut watch, &begun, &groups((0, 0), (0, 0)), 1_000), None);
        assert_eq!(look(&mut watch, &begun, &groups((500, 0), (5_000, 0)), 60_999), None, "time");
        assert_eq!(look(&mut watch, &begun, &groups((99, 0), (5_000, 0)), 70_000), None, "bids");
        let next = look(&mut watch, &begun, &groups((100, 0), (5_000, 0)), 70_000).unwrap();
        assert_eq!((next.step, next.since_ms, next.state), (1, 70_000, RolloutState::Running));
        // What came in the step before does not count.
        assert_eq!(look(&mut watch, &next, &groups((100, 0), (5_000, 0)), 200_000), None);
        let next = look(&mut watch, &next, &groups((200, 0), (5_100, 0)), 200_000).unwrap();
        assert_eq!(next.step, 2);
        look(&mut watch, &next, &groups((200, 0), (5_100, 0)), 200_001);
        let done = look(&mut watch, &next, &groups((300, 0), (5_100, 0)), 300_000).unwrap();
        assert_eq!((done.state, done.percent()), (RolloutState::Completed, 100));
        assert_eq!(look(&mut watch, &done, &groups((900, 99), (5_100, 0)), 400_000), None);
        assert!(watch.seen_by_flag.is_empty());
    }

    #[test]
    fn what_does_worse_goes_back_at_once_whatever_its_step() {
        let mut watch = Watch::default();
        let begun = rollout();
        look(&mut watch, &begun, &groups((50, 20), (50, 0)), 1_000);
        // What was before this leader looked is not held against anybody.
        assert_eq!(look(&mut watch, &begun, &groups((150, 20), (950, 0)), 2_000), None);
        let back = look(&mut watch, &begun, &groups((150, 40), (950, 0)), 3_000).unwrap();
        assert_eq!((back.state, back.percent()), (RolloutState::RolledBack, 0));
        assert_eq!(back.reason, "20 disconnects, 0 in the control group");

        let mut watch = Watch::default();
        let paused = Rollout { state: RolloutState::Paused, ..rollout() };
        look(&mut watch, &paused, &groups((0, 0), (0, 0)), 1_000);
        assert_eq!(look(&mut watch, &paused, &groups((900, 0), (900, 0)), 1_000_000), None);
        let back = look(&mut watch, &paused, &groups((900, 60), (900, 0)), 1_000_001).unwrap();
        assert_eq!(back.state, RolloutState::RolledBack);
    }

    #[test]
    fn the_last_step_is_compared_with_the_control_group_of_before() {
        let mut watch = Watch::default();
        look(&mut watch, &rollout(), &groups((0, 0), (0, 0)), 1_000);
        let last = Rollout { step: 2, since_ms: 100_000, ..rollout() };
        look(&mut watch, &last, &groups((1_000, 0), (9_000, 9)), 100_000);
        let back = look(&mut watch, &last, &groups((2_000, 90), (9_000, 9)), 101_000).unwrap();
        assert_eq!(back.reason, "90 disconnects, 9 in the control group");
    }

    #[test]
    fn another_rollout_of_the_flag_begins_anew() {
        let mut watch = Watch::default();
        look(&mut watch, &rollout(), &groups((0, 0), (0, 0)), 1_000);
        let other = Rollout { started_ms: 2_000, since_ms: 2_000, ..rollout() };
        let of_both: BTreeMap<_, _> = groups((900, 90), (900, 0))
            .into_iter()
            .flat_map(|((flag, _), groups)| {
                [((flag.clone(), 1_000), groups.clone()), ((flag, 2_000), groups)]
            })
            .collect();
        assert_eq!(look(&mut watch, &other, &of_both, 3_000), None);
    }
}
