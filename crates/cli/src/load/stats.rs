//! Counters and histograms of a run.

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::time::Duration;

/// The longest latency told apart, in microseconds.
const MICROS_MAX: u64 = 300_000_000;

/// What a cluster must never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A socket could not connect or join.
    ConnectFailed,
    /// A socket was closed during the run.
    Disconnected,
    /// A message that the protocol does not know.
    BadMessage,
    /// A bid without an answer.
    LostAck,
    /// An answer to no bid, or the second to one.
    UnexpectedAck,
    /// A socket that did not see the last acknowledged bid of its room.
    LostUpdate,
    /// A seq came twice.
    DuplicateSeq,
    /// A seq came after a higher one.
    Disorder,
    /// A seq was skipped.
    Gap,
    /// Two prices for one seq.
    PriceConflict,
    /// A snapshot after the run that does not hold what was acknowledged.
    Snapshot,
    /// Bids were sent and none was accepted: the run proved nothing.
    NothingAccepted,
}

/// Latencies in microseconds.
#[derive(Debug)]
pub(crate) struct Latency {
    histogram: Mutex<Histogram<u64>>,
}

// === impl Fault ===

impl Fault {
    /// All kinds, as reported.
    pub(crate) const ALL: [Self; 12] = [
        Self::ConnectFailed,
        Self::Disconnected,
        Self::BadMessage,
        Self::LostAck,
        Self::UnexpectedAck,
        Self::LostUpdate,
        Self::DuplicateSeq,
        Self::Disorder,
        Self::Gap,
        Self::PriceConflict,
        Self::Snapshot,
        Self::NothingAccepted,
    ];

    /// Its name in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ConnectFailed => "connectFailed",
            Self::Disconnected => "disconnected",
            Self::BadMessage => "badMessages",
            Self::LostAck => "lostAcks",
            Self::UnexpectedAck => "unexpectedAcks",
            Self::LostUpdate => "lostUpdates",
            Self::DuplicateSeq => "duplicateSeqs",
            Self::Disorder => "orderFaults",
            Self::Gap => "gaps",
            Self::PriceConflict => "priceConflicts",
            Self::Snapshot => "snapshotFaults",
            Self::NothingAccepted => "nothingAccepted",
        }
    }
}

// === impl Latency ===

impl Latency {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_max(MICROS_MAX, 3).expect("the bounds are constants");
        Self { histogram: Mutex::new(histogram) }
    }

    /// Records one; whatever is over the maximum counts as the maximum.
    pub(crate) fn record(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(MICROS_MAX);
        self.histogram.lock().saturating_record(micros);
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.histogram.lock().len()
    }

    /// The percentiles p50, p90, p99, p99.9 and the maximum, in milliseconds.
    pub(crate) fn percentiles(&self) -> [f64; 5] {
        let histogram = self.histogram.lock();
        [0.5, 0.9, 0.99, 0.999, 1.0].map(|quantile| {
            let micros = histogram.value_at_quantile(quantile);
            u32::try_from(micros).map_or(f64::INFINITY, f64::from) / 1_000.0
        })
    }

    /// The same, by name.
    pub(crate) fn to_json(&self) -> Value {
        let [p50, p90, p99, p999, max] = self.percentiles();
        json!({
            "count": self.count(),
            "p50Ms": p50, "p90Ms": p90, "p99Ms": p99, "p999Ms": p999, "maxMs": max,
        })
    }
}
