//! A distribution that can be read back, which the one of prometheus-client cannot.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gavel_proto::telemetry::v1 as wire;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Counts by bucket. Clones share them.
#[derive(Clone, Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// One more than bounds: the last has no upper one.
    counts: Box<[AtomicU64]>,
    /// The bits of an f64.
    sum: AtomicU64,
}

impl Histogram {
    /// All zero. `bounds` must ascend.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        debug_assert!(bounds.is_sorted(), "bounds ascend");
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        let sum = AtomicU64::new(0.0_f64.to_bits());
        Self { bounds, inner: Arc::new(Inner { counts, sum }) }
    }

    /// Counts one value.
    pub fn observe(&self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.inner.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let mut sum = self.inner.sum.load(Ordering::Relaxed);
        while let Err(other) = self.inner.sum.compare_exchange_weak(
            sum,
            (f64::from_bits(sum) + value).to_bits(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            sum = other;
        }
    }

    /// Counts a duration, in seconds.
    pub fn observe_duration(&self, duration: Duration) {
        self.observe(duration.as_secs_f64());
    }

    /// How many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts().iter().sum()
    }

    pub(crate) fn report(&self, name: &str) -> wire::Histogram {
        wire::Histogram {
            name: name.to_owned(),
            bounds: self.bounds.to_vec(),
            counts: self.counts(),
            sum: self.sum(),
        }
    }

    fn counts(&self) -> Vec<u64> {
        let counts = self.inner.counts.iter();
        counts.map(|count| count.load(Ordering::Relaxed)).collect()
    }

    fn sum(&self) -> f64 {
        f64::from_bits(self.inner.sum.load(Ordering::Relaxed))
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let counts = self.counts();
        let count = counts.iter().sum();
        let buckets: Vec<_> = bounds.zip(counts).collect();
        encoder.encode_histogram::<NoLabelSet>(self.sum(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
