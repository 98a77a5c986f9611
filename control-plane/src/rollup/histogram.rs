//! Distributions that are added bucket by bucket.

use gavel_proto::{admin::v1::Percentiles, telemetry::v1 as wire};

/// Bounds that one histogram may have.
const BOUNDS_MAX: usize = 128;

/// A distribution of one node or of several.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Merged {
    /// Upper bounds, ascending.
    bounds: Vec<f64>,
    /// One more than bounds: the last has no upper one.
    counts: Vec<u64>,
    sum: f64,
}

// === impl Merged ===

impl Merged {
    /// Takes a reported histogram; none if it is no such thing.
    pub(super) fn new(reported: wire::Histogram) -> Option<Self> {
        let wire::Histogram { name: _, bounds, counts, sum } = reported;
        let fits = !bounds.is_empty()
            && bounds.len() <= BOUNDS_MAX
            && counts.len() == bounds.len() + 1
            && bounds.iter().all(|bound| bound.is_finite())
            && bounds.is_sorted_by(|a, b| a < b)
            && sum.is_finite();
        fits.then_some(Self { bounds, counts, sum })
    }

    /// Adds a distribution over the same bounds; another is left out.
    pub(super) fn add(&mut self, part: &Self) {
        if self.bounds != part.bounds {
            return;
        }
        for (sum, count) in self.counts.iter_mut().zip(&part.counts) {
            *sum = sum.saturating_add(*count);
        }
        self.sum += part.sum;
    }

    /// Becomes a report of the same run, unless that is an older one which was
    /// overtaken.
    pub(super) fn follow(&mut self, report: Self) {
        if self.bounds == report.bounds && self.count() <= report.count() {
            *self = report;
        }
    }

    /// Observations.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Sum of all observations.
    pub(crate) fn sum(&self) -> f64 {
        self.sum
    }

    /// Each bound with the observations up to it.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let counts = self.counts.iter().scan(0_u64, |sum, count| {
            *sum = sum.saturating_add(*count);
            Some(*sum)
        });
        self.bounds.iter().copied().zip(counts)
    }

    pub(super) fn percentiles(&self, name: &str) -> Percentiles {
        Percentiles {
            name: name.to_owned(),
            count: self.count(),
            p50: self.percentile(50),
            p90: self.percentile(90),
            p99: self.percentile(99),
        }
    }

    /// The bound of the bucket that holds this percentile; the last bound
    /// where it lies beyond, as `histogram_quantile` of Prometheus has it, and
    /// zero without observations.
    fn percentile(&self, percent: u8) -> f64 {
        let count = self.count();
        if count == 0 {
            return 0.0;
        }
        let rank = (u128::from(count) * u128::from(percent)).div_ceil(100);
        let bucket = self.cumulative().find(|(_, up_to)| u128::from(*up_to) >= rank);
        bucket.map(|(bound, _)| bound).or(self.bounds.last().copied()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(bounds: &[f64], counts: &[u64]) -> wire::Histogram {
        let (bounds, counts) = (bounds.to_vec(), counts.to_vec());
        wire::Histogram { name: "h".to_owned(), bounds, counts, sum: 1.0 }
    }

    fn merged(counts: &[u64]) -> Merged {
        Merged::new(reported(&[0.1, 0.2, 0.4], counts)).unwrap()
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        let bad: [(&[f64], &[u64]); 6] = [
            (&[], &[1]),
            (&[1.0], &[1]),
            (&[1.0, 1.0], &[0, 0, 0]),
            (&[2.0, 1.0], &[0, 0, 0]),
            (&[f64::NAN], &[0, 0]),
            (&[f64::INFINITY], &[0, 0]),
        ];
        for (bounds, counts) in bad {
            assert_eq!(Merged::new(reported(bounds, counts)), None, "{bounds:?}");
        }
        let endless = wire::Histogram { sum: f64::NAN, ..reported(&[1.0], &[0, 0]) };
        assert_eq!(Merged::new(endless), None);
    }

    #[test]
    fn percentiles_are_bounds_of_buckets() {
        let quantiles = |counts: &[u64]| {
            let Percentiles { p50, p90, p99, .. } = merged(counts).percentiles("h");
            (p50, p90, p99)
        };
        assert_eq!(quantiles(&[0, 0, 0, 0]), (0.0, 0.0, 0.0));
        assert_eq!(quantiles(&[50, 40, 10, 0]), (0.1, 0.2, 0.4));
        assert_eq!(quantiles(&[49, 41, 10, 0]), (0.2, 0.2, 0.4));
        assert_eq!(quantiles(&[0, 0, 0, 7]), (0.4, 0.4, 0.4), "beyond the last bound");
        assert_eq!(quantiles(&[u64::MAX, u64::MAX, 0, 0]).0, 0.1, "counts do not wrap");
    }

    #[test]
    fn adding_is_exact_and_other_bounds_are_left_out() {
        let mut sum = merged(&[1, 2, 3, 4]);
        sum.add(&merged(&[10, 0, 0, 1]));
        sum.add(&Merged::new(reported(&[0.1], &[5, 5])).unwrap());
        assert_eq!((sum.count(), sum.sum()), (21, 2.0));
        assert_eq!(sum.cumulative().map(|(_, n)| n).collect::<Vec<_>>(), [11, 13, 16]);
    }

    #[test]
    fn a_report_that_was_overtaken_changes_nothing() {
        let mut held = merged(&[1, 2, 3, 4]);
        held.follow(merged(&[1, 2, 3, 3]));
        assert_eq!(held, merged(&[1, 2, 3, 4]));
        held.follow(merged(&[1, 2, 3, 5]));
        assert_eq!(held, merged(&[1, 2, 3, 5]));
    }
}
