//! Counters and gauges for every value of a closed label set.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gavel_proto::telemetry::v1 as wire;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::Labels;

/// One counter for each `L`, found by its position. Clones share them.
///
/// Unlike a family, whose series appear with their first use, all of them are there from the
/// start: the number of series is constant, and a rate over the first count is right.
pub struct Table<L> {
    counts: Arc<[AtomicU64]>,
    labels: PhantomData<fn(L)>,
}

impl<L: Labels> Table<L> {
    /// Counts one.
    pub fn inc(&self, labels: L) {
        self.inc_by(labels, 1);
    }

    /// Counts several at once.
    pub fn inc_by(&self, labels: L, by: u64) {
        if let Some(count) = self.counts.get(labels.index()) {
            count.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// The count of one value.
    #[must_use]
    pub fn get(&self, labels: L) -> u64 {
        let count = self.counts.get(labels.index());
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// The count of all values together.
    #[must_use]
    pub fn total(&self) -> u64 {
        L::ALL.iter().map(|labels| self.get(*labels)).sum()
    }

    pub(super) fn report(&self, name: &str, into: &mut Vec<wire::Counter>) {
        into.extend(L::ALL.iter().map(|labels| {
            let pairs = labels.pairs().iter();
            let pairs: Vec<_> = pairs.map(|(key, value)| format!("{key}=\"{value}\"")).collect();
            wire::Counter {
                name: format!("{name}{{{}}}", pairs.join(",")),
                value: self.get(*labels),
            }
        }));
    }
}

/// One gauge for each `L`, likewise.
#[derive(Clone, Debug)]
pub struct Levels<L>(Table<L>);

impl<L: Labels> Levels<L> {
    /// Sets one value.
    pub fn set(&self, labels: L, level: u64) {
        if let Some(count) = self.0.counts.get(labels.index()) {
            count.store(level, Ordering::Relaxed);
        }
    }

    /// Raises one value by one.
    pub fn inc(&self, labels: L) {
        self.0.inc(labels);
    }

    /// Lowers one value by one.
    pub fn dec(&self, labels: L) {
        if let Some(count) = self.0.counts.get(labels.index()) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The level of one value.
    #[must_use]
    pub fn get(&self, labels: L) -> u64 {
        self.0.get(labels)
    }

    pub(super) fn report(&self, name: &str, into: &mut Vec<wire::Gauge>) {
        let mut counters = Vec::new();
        self.0.report(name, &mut counters);
        into.extend(counters.into_iter().map(|wire::Counter { name, value }| wire::Gauge {
            name,
            value: i64::try_from(value).unwrap_or(i64::MAX),
        }));
    }
}

impl<L: Labels> Default for Levels<L> {
    fn default() -> Self {
        Self(Table::default())
    }
}

impl<L: Labels> EncodeMetric for Levels<L> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        for labels in L::ALL {
            let level = i64::try_from(self.get(*labels)).unwrap_or(i64::MAX);
            encoder.encode_family(&labels.pairs())?.encode_gauge(&level)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }
}

impl<L: Labels> Default for Table<L> {
    fn default() -> Self {
        Self { counts: L::ALL.iter().map(|_| AtomicU64::new(0)).collect(), labels: PhantomData }
    }
}

impl<L> Clone for Table<L> {
    fn clone(&self) -> Self {
        Self { counts: Arc::clone(&self.counts), labels: PhantomData }
    }
}

impl<L> fmt::Debug for Table<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Table").field(&self.counts).finish()
    }
}

impl<L: Labels> EncodeMetric for Table<L> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        for labels in L::ALL {
            encoder
                .encode_family(&labels.pairs())?
                .encode_counter::<NoLabelSet, _, u64>(&self.get(*labels), None)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}
