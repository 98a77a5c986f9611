//! What a run found.

use super::{
    shared::{Shared, per_second},
    stats::{Fault, Latency},
};
use crate::output::Table;
use serde_json::{Map, Value, json};
use std::{fmt, sync::atomic::Ordering::Relaxed, time::Duration};

/// The results of one run.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    shared: &'a Shared,
    took: Duration,
}

// === impl Report ===

impl<'a> Report<'a> {
    pub(crate) fn new(shared: &'a Shared, took: Duration) -> Self {
        Self { shared, took }
    }

    /// Faults of all kinds.
    pub(crate) fn faults_total(&self) -> u64 {
        Fault::ALL.into_iter().map(|fault| self.shared.fault_count(fault)).sum()
    }

    /// The first fault in words.
    pub(crate) fn trouble(&self) -> String {
        self.shared.first_trouble().unwrap_or_else(|| "none".to_owned())
    }

    pub(crate) fn to_json(&self) -> Value {
        let shared = self.shared;
        let faults: Map<String, Value> = Fault::ALL
            .into_iter()
            .map(|fault| (fault.name().to_owned(), shared.fault_count(fault).into()))
            .collect();
        let latencies: Map<String, Value> = self
            .latencies()
            .into_iter()
            .map(|(name, latency)| (name.to_owned(), latency.to_json()))
            .collect();
        json!({
            "sockets": {
                "wanted": shared.sockets(),
                "joined": shared.joined(),
                "reconnects": shared.reconnects.load(Relaxed),
            },
            "seconds": self.took.as_secs_f64(),
            "bids": {
                "sent": shared.sent_total(),
                "unsent": shared.unsent.load(Relaxed),
                "accepted": shared.accepted_total(),
                "rejected": shared.rejected(),
            },
            "updates": shared.updates.load(Relaxed),
            "latency": latencies,
            "faults": faults,
            "faultsTotal": self.faults_total(),
            "firstFault": shared.first_trouble(),
        })
    }

    fn latencies(&self) -> [(&'static str, &'a Latency); 4] {
        let shared = self.shared;
        [
            ("connect", &shared.connect),
            ("join", &shared.join),
            ("ack", &shared.ack),
            ("delivery", &shared.delivery),
        ]
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.shared;
        let updates = shared.updates.load(Relaxed);
        let rejected = shared.rejected();
        writeln!(
            f,
            "sockets   {} of {} joined, {} reconnects",
            shared.joined(),
            shared.sockets(),
            shared.reconnects.load(Relaxed),
        )?;
        writeln!(
            f,
            "bids      {} sent ({:.1}/s), {} accepted, {} rejected, {} not sent",
            shared.sent_total(),
            per_second(shared.sent_total(), self.took),
            shared.accepted_total(),
            rejected.values().sum::<u64>(),
            shared.unsent.load(Relaxed),
        )?;
        for (reason, count) in &rejected {
            writeln!(f, "          {count} {reason}")?;
        }
        writeln!(f, "updates   {updates} ({:.0}/s)\n", per_second(updates, self.took))?;
        let mut table = Table::new(["ms", "count", "p50", "p90", "p99", "p99.9", "max"]);
        for (name, latency) in self.latencies() {
            let [p50, p90, p99, p999, max] = latency.percentiles().map(|ms| format!("{ms:.2}"));
            table.row([name.to_owned(), latency.count().to_string(), p50, p90, p99, p999, max]);
        }
        writeln!(f, "{table}")?;
        let mut table = Table::plain();
        for fault in Fault::ALL {
            table.row([fault.name().to_owned(), shared.fault_count(fault).to_string()]);
        }
        write!(f, "faults\n{table}")
    }
}
