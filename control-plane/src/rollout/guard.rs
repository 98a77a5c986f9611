//! Whether the treatment of a rollout does worse than its control group.
//!
//! Faults are rare and groups of different sizes, so rates are compared as
//! counts: if the treatment's rate were `ratio` times the control's, then of
//! all faults a share of `ratio * E_t / (ratio * E_t + E_c)` would be the
//! treatment's, binomially distributed, where E are the bids of each group.
//! A count too far above is no chance (J. Przyborowski and H. Wilenski,
//! Homogeneity of results in testing samples from Poisson series, 1940).

/// Standard deviations above what is expected that are no chance any more. It
/// is asked each second, so it must be rarer than one would ask for once.
const DEVIATIONS: f64 = 4.0;
/// Faults of the treatment below which nothing is concluded.
const FAULTS_MIN: u64 = 5;
/// The share of bids that may take longer than the control's 99th percentile.
const SLOW_SHARE: f64 = 0.01;

/// What happened to one group in some time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Group {
    /// Bids that were answered.
    pub(crate) bids: u64,
    /// Those that were not decided, or refused for no reason of the auction.
    pub(crate) refused: u64,
    /// Sockets that were lost or broke the protocol.
    pub(crate) disconnects: u64,
    /// Appends refused by the store's fence.
    pub(crate) fenced: u64,
    /// Bids by the time to their answer, by the bounds of [`Groups`].
    pub(crate) answers: Vec<u64>,
}

/// Both groups of a rollout.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Groups {
    pub(crate) treatment: Group,
    pub(crate) control: Group,
    /// Upper bounds of the times to an answer, in seconds.
    pub(crate) bounds: Vec<f64>,
}

/// What the treatment does worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Worse {
    /// Its bids are refused more often.
    #[error("{treatment} of {bids} bids refused, of the control group's {control} of {others}")]
    Refused { treatment: u64, bids: u64, control: u64, others: u64 },
    /// Its sockets are lost more often.
    #[error("{treatment} disconnects, {control} in the control group")]
    Disconnects { treatment: u64, control: u64 },
    /// Its appends are fenced more often.
    #[error("{treatment} fenced appends, {control} in the control group")]
    Fenced { treatment: u64, control: u64 },
    /// Its bids take longer.
    #[error("{slow} of {bids} bids took more than {above_ms} ms")]
    Slow { slow: u64, bids: u64, above_ms: u64 },
}

// === impl Groups ===

impl Groups {
    /// What the treatment does more than `ratio` times as badly, if anything.
    pub(crate) fn worse(&self, ratio: f64) -> Option<Worse> {
        let Self { treatment, control, .. } = self;
        let (bids, others) = (treatment.bids, control.bids);
        let more = |of: fn(&Group) -> u64| {
            let (ours, theirs) = (of(treatment), of(control));
            let is_more = exceeds((ours, treatment.bids), (theirs, control.bids), ratio);
            is_more.then_some((ours, theirs))
        };
        if let Some((treatment, control)) = more(|group| group.refused) {
            return Some(Worse::Refused { treatment, bids, control, others });
        }
        if let Some((treatment, control)) = more(|group| group.disconnects) {
            return Some(Worse::Disconnects { treatment, control });
        }
        if let Some((treatment, control)) = more(|group| group.fenced) {
            return Some(Worse::Fenced { treatment, control });
        }
        self.slow(ratio)
    }

    /// Whether more than a hundredth of the treatment's bids take longer than
    /// `ratio` times the control's 99th percentile, both rounded up to a bound.
    fn slow(&self, ratio: f64) -> Option<Worse> {
        let Self { treatment, control, bounds } = self;
        let total: u64 = control.answers.iter().sum();
        let mut seen = 0;
        let percentile = bounds.iter().zip(&control.answers).find(|(_, count)| {
            seen += **count;
            real(seen) >= real(total) * (1.0 - SLOW_SHARE)
        });
        let (percentile, _) = percentile.filter(|_| total > 0)?;
        let above = bounds.iter().find(|bound| **bound >= percentile * ratio)?;
        let within = bounds.iter().zip(&treatment.answers).filter(|(bound, _)| *bound <= above);
        let within: u64 = within.map(|(_, count)| *count).sum();
        let bids: u64 = treatment.answers.iter().sum();
        let slow = bids.saturating_sub(within);
        let is_slow = slow >= FAULTS_MIN && is_above(slow, bids, SLOW_SHARE);
        is_slow.then(|| Worse::Slow { slow, bids, above_ms: milliseconds(*above) })
    }
}

// === impl Group ===

impl Group {
    /// Adds what happened elsewhere.
    pub(crate) fn add(&mut self, other: &Self) {
        self.each(other, u64::saturating_add);
    }

    /// What happened since.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let mut since = self.clone();
        since.each(before, u64::saturating_sub);
        since
    }

    fn each(&mut self, other: &Self, with: fn(u64, u64) -> u64) {
        self.bids = with(self.bids, other.bids);
        self.refused = with(self.refused, other.refused);
        self.disconnects = with(self.disconnects, other.disconnects);
        self.fenced = with(self.fenced, other.fenced);
        let length = self.answers.len().max(other.answers.len());
        self.answers.resize(length, 0);
        for (count, other) in self.answers.iter_mut().zip(&other.answers) {
            *count = with(*count, *other);
        }
    }
}

/// Whether the first of two counts, each of so many, is too high for a rate
/// `ratio` times the other's.
fn exceeds((ours, of_ours): (u64, u64), (theirs, of_theirs): (u64, u64), ratio: f64) -> bool {
    let weight = ratio * real(of_ours);
    let share = weight / (weight + real(of_theirs));
    // Without bids in either group there is nothing to compare: not a number.
    ours >= FAULTS_MIN && share < 1.0 && is_above(ours, ours.saturating_add(theirs), share)
}

/// Whether `count` of `all` is too much for a probability of `share` each.
fn is_above(count: u64, all: u64, share: f64) -> bool {
    let (count, all) = (real(count), real(all));
    count > all * share + DEVIATIONS * (all * share * (1.0 - share)).sqrt()
}

/// Counts lie far below 2^53, up to where this is exact.
fn real(count: u64) -> f64 {
    count as f64
}

fn milliseconds(seconds: f64) -> u64 {
    let text = format!("{:.0}", seconds * 1000.0);
    text.parse().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn group(bids: u64, faults: u64) -> Group {
        Group { bids, disconnects: faults, ..Group::default() }
    }

    fn worse(treatment: Group, control: Group) -> Option<Worse> {
        Groups { treatment, control, bounds: vec![0.01, 0.1, 1.0] }.worse(2.0)
    }

    #[test]
    fn a_rate_that_is_clearly_more_than_twice_the_others_is_found() {
        let found = Some(Worse::Disconnects { treatment: 30, control: 10 });
        assert_eq!(worse(group(1_000, 30), group(9_000, 10)), found);
        // The same counts in groups of their sizes are nothing.
        assert_eq!(worse(group(9_000, 30), group(1_000, 10)), None);
        assert_eq!(worse(group(1_000, 15), group(1_000, 10)), None);
        assert_eq!(worse(group(1_000, 40), group(1_000, 20)), None);
    }

    #[test]
    fn few_faults_or_nobody_to_compare_with_say_nothing() {
        assert_eq!(worse(group(1_000, 4), group(100_000, 0)), None);
        assert!(worse(group(1_000, 5), group(100_000, 0)).is_some());
        assert_eq!(worse(group(1_000, 500), group(0, 0)), None);
        assert_eq!(worse(group(0, 0), group(0, 0)), None);
        let fenced = Group { bids: 100, fenced: 9, ..Group::default() };
        let found = Some(Worse::Fenced { treatment: 9, control: 0 });
        assert_eq!(worse(fenced, group(900, 0)), found);
        let refused = Group { bids: 100, refused: 9, ..Group::default() };
        assert!(matches!(worse(refused, group(900, 0)), Some(Worse::Refused { bids: 100, .. })));
    }

    #[test]
    fn slow_bids_are_found_by_the_bounds_of_the_control_group() {
        let answers = |answers: [u64; 4]| Group {
            bids: 1_000,
            answers: answers.to_vec(),
            ..Group::default()
        };
        // The control's 99th percentile is within 10 ms; twice that within 100.
        let control = answers([995, 5, 0, 0]);
        assert_eq!(worse(answers([900, 100, 0, 0]), control.clone()), None);
        let found = Some(Worse::Slow { slow: 40, bids: 1_000, above_ms: 100 });
        assert_eq!(worse(answers([960, 0, 30, 10]), control.clone()), found);
        assert_eq!(worse(answers([990, 0, 8, 2]), control), None);
        // Where the control is that slow itself, nothing is slower.
        assert_eq!(worse(answers([0, 0, 0, 1_000]), answers([0, 0, 900, 100])), None);
    }

    proptest! {
        /// With equal rates, one round in far more than a thousand is found wrong.
        #[test]
        fn equal_rates_are_left_alone(
            bids in 1_u64..10_000, others in 1_u64..10_000, per_mille in 0_u64..200,
        ) {
            let faults = |bids: u64| bids * per_mille / 1_000;
            prop_assert_eq!(worse(group(bids, faults(bids)), group(others, faults(others))), None);
        }

        #[test]
        fn more_faults_are_never_better(
            bids in 1_u64..10_000, others in 1_u64..10_000, ours in 0_u64..500, theirs in 0_u64..500,
        ) {
            let found = |ours: u64| worse(group(bids, ours), group(others, theirs)).is_some();
            prop_assert!(!found(ours) || found(ours + 1));
        }
    }
}
