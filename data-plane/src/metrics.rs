//! What a node counts. One [`Metrics`] per node: two nodes of one process do not mix.
//!
//! Everything has a fixed number of series and lives in atomics reached without a lookup, so a
//! count costs the same for each message. The same values go to Prometheus ([`Metrics::encode`])
//! and to the control plane ([`Metrics::report`]).

mod histogram;
mod labels;
mod record;
mod table;

use gavel_proto::telemetry::v1 as wire;
use gavel_rules::{Incarnation, NodeId, Timestamp};
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

pub use self::histogram::Histogram;
pub use self::labels::{
    BidOutcome, Breaker, Closed, Hit, Labels, Opened, Shed, StoreFailure, TokenOutcome,
    values as label_values,
};
pub use self::table::{Levels, Table};

/// Bounds of the durations of a bid's way, in seconds. The same on every node and in every
/// release, or sums over nodes would be wrong.
pub(crate) const BID_BOUNDS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0,
];

/// Bounds of the time one update takes to all sockets of a node, in seconds.
const FANOUT_BOUNDS: &[f64] =
    &[0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];

/// Bounds of the number of sockets one update goes to.
const RECIPIENTS_BOUNDS: &[f64] =
    &[0.0, 1.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0, 10_000.0, 50_000.0];

/// Everything one node counts.
#[derive(Debug)]
pub struct Metrics {
    /// Sockets open now.
    pub sockets: Gauge,
    /// Rooms this node decides the bids of.
    pub rooms_owned: Gauge,
    /// Rooms that have a socket here.
    pub rooms_joined: Gauge,
    /// Memory that the process holds; zero where there is no maximum.
    pub memory_resident_bytes: Gauge,
    /// Memory that it may hold; zero where there is no maximum.
    pub memory_max_bytes: Gauge,
    /// Circuit breakers, by what they lead to and their state.
    pub breakers: Levels<Breaker>,
    /// Who sheds now: rooms, or the node, by what is shed.
    pub shedding: Levels<Shed>,
    /// What was refused because work was late.
    pub shed: Table<Shed>,
    /// Upgrades asked for, by what became of them.
    pub sockets_opened: Table<Opened>,
    /// Sockets that ended, by kind of end.
    pub sockets_closed: Table<Closed>,
    /// Limits that were exceeded, and what happened then.
    pub limit_hits: Table<Hit>,
    /// Places given to sockets without an answer of the store.
    pub places_alone: Counter,
    /// Bids by answer.
    pub bids: Table<BidOutcome>,
    /// Tokens of users that were checked, by outcome.
    pub tokens: Table<TokenOutcome>,
    /// Sets of keys of tokens that could not be read or used.
    pub token_keys_refused: Counter,
    /// For how long the keys at `auth.keys_url` have not been read.
    pub token_keys_age_seconds: Gauge,
    /// Times this node found that a room has another owner.
    pub fenced: Counter,
    /// Store calls without an answer.
    pub store_errors: Table<StoreFailure>,
    /// Sockets closed or set back to a snapshot because they read too slowly.
    pub slow_consumers: Counter,
    /// Documents from the control plane this node did not accept.
    pub config_refused: Counter,
    /// Relay streams opened again after a loss.
    pub relay_reconnects: Counter,
    /// Rooms decided in the place of an owner that was out of reach.
    pub stand_ins: Counter,
    /// Events put back into a store that had lost them.
    pub replayed_events: Counter,
    /// Owned rooms whose history was lost in part and replaced by another.
    pub histories_replaced: Counter,
    /// From the start of an append to its answer.
    pub bid_commit_seconds: Histogram,
    /// From a bid's arrival at this node to its answer being written.
    pub bid_ack_seconds: Histogram,
    /// From an event to the last socket it was queued for.
    pub fanout_seconds: Histogram,
    /// Sockets one update was queued for.
    pub fanout_recipients: Histogram,
    registry: Registry,
}

// === impl Metrics ===

impl Metrics {
    /// All zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            sockets: Gauge::default(),
            rooms_owned: Gauge::default(),
            rooms_joined: Gauge::default(),
            memory_resident_bytes: Gauge::default(),
            memory_max_bytes: Gauge::default(),
            breakers: Levels::default(),
            shedding: Levels::default(),
            shed: Table::default(),
            sockets_opened: Table::default(),
            sockets_closed: Table::default(),
            limit_hits: Table::default(),
            places_alone: Counter::default(),
            bids: Table::default(),
            tokens: Table::default(),
            token_keys_refused: Counter::default(),
            token_keys_age_seconds: Gauge::default(),
            fenced: Counter::default(),
            store_errors: Table::default(),
            slow_consumers: Counter::default(),
            config_refused: Counter::default(),
            relay_reconnects: Counter::default(),
            stand_ins: Counter::default(),
            replayed_events: Counter::default(),
            histories_replaced: Counter::default(),
            bid_commit_seconds: Histogram::new(BID_BOUNDS),
            bid_ack_seconds: Histogram::new(BID_BOUNDS),
            fanout_seconds: Histogram::new(FANOUT_BOUNDS),
            fanout_recipients: Histogram::new(RECIPIENTS_BOUNDS),
            registry: Registry::default(),
        };
        metrics.registry = metrics.register();
        metrics
    }

    /// The text Prometheus scrapes.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        match text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing to a String does not fail; an empty page is what a scraper would call down.
            Err(std::fmt::Error) => String::new(),
        }
    }

    /// The same values for the control plane.
    #[must_use]
    pub fn report(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
        at: Timestamp,
    ) -> wire::StreamReportsRequest {
        let mut counters = Vec::new();
        self.sockets_opened.report("gavel_sockets_opened", &mut counters);
        self.sockets_closed.report("gavel_sockets_closed", &mut counters);
        self.limit_hits.report("gavel_limit_hits", &mut counters);
        self.shed.report("gavel_shed", &mut counters);
        self.bids.report("gavel_bids", &mut counters);
        self.tokens.report("gavel_tokens", &mut counters);
        self.store_errors.report("gavel_store_errors", &mut counters);
        for (name, _, counter) in self.counters() {
            counters.push(wire::Counter { name: format!("gavel_{name}"), value: counter.get() });
        }
        let mut gauges: Vec<_> = self
            .gauges()
            .map(|(name, _, gauge)| wire::Gauge {
                name: format!("gavel_{name}"),
                value: gauge.get(),
            })
            .into();
        self.breakers.report("gavel_breakers", &mut gauges);
        self.shedding.report("gavel_shedding", &mut gauges);
        wire::StreamReportsRequest {
            node_id: node.to_string(),
            incarnation: incarnation.get(),
            at: at.as_millis(),
            counters,
            gauges,
            histograms: vec![
                self.bid_commit_seconds.report("gavel_bid_commit_seconds"),
                self.bid_ack_seconds.report("gavel_bid_ack_seconds"),
                self.fanout_seconds.report("gavel_fanout_seconds"),
                self.fanout_recipients.report("gavel_fanout_recipients"),
            ],
            trials: Vec::new(),
        }
    }

    fn gauges(&self) -> [(&'static str, &'static str, &Gauge); 5] {
        [
            ("sockets", "Sockets open now", &self.sockets),
            ("rooms_owned", "Rooms whose bids this node decides", &self.rooms_owned),
            ("rooms_joined", "Rooms with a socket on this node", &self.rooms_joined),
            (
                "memory_resident_bytes",
                "Memory that the process holds; 0 where there is no maximum",
                &self.memory_resident_bytes,
            ),
            (
                "memory_max_bytes",
                "Memory that the process may hold; 0 where there is no maximum",
                &self.memory_max_bytes,
            ),
        ]
    }

    fn counters(&self) -> [(&'static str, &'static str, &Counter); 9] {
        [
            ("fenced", "Rooms found to have another owner by now", &self.fenced),
            ("slow_consumers", "Sockets closed because they read too slowly", &self.slow_consumers),
            ("config_refused", "Documents that this node refused", &self.config_refused),
            (
                "token_keys_refused",
                "Sets of keys of tokens that could not be read or used",
                &self.token_keys_refused,
            ),
            ("relay_reconnects", "Relay streams opened again after a loss", &self.relay_reconnects),
            (
                "places_alone",
                "Places given to sockets without an answer of the store",
                &self.places_alone,
            ),
            ("stand_ins", "Rooms decided here while their owner was out of reach", &self.stand_ins),
            (
                "replayed_events",
                "Events put back into a store that lost them",
                &self.replayed_events,
            ),
            (
                "histories_replaced",
                "Owned rooms that lost a part of their history",
                &self.histories_replaced,
            ),
        ]
    }

    fn register(&self) -> Registry {
        let mut all = Registry::with_prefix("gavel");
        for (name, help, gauge) in self.gauges() {
            all.register(name, help, gauge.clone());
        }
        let breakers = self.breakers.clone();
        all.register(
            "breakers",
            "Circuit breakers, by what they lead to and their state",
            breakers,
        );
        let shedding = self.shedding.clone();
        all.register("shedding", "Rooms, or the node, that refuse this now", shedding);
        all.register("shed", "What was refused because of load", self.shed.clone());
        let opened = self.sockets_opened.clone();
        all.register("sockets_opened", "Upgrades asked for, by what became of them", opened);
        let closed = self.sockets_closed.clone();
        all.register("sockets_closed", "Sockets that ended, by how", closed);
        let hits = self.limit_hits.clone();
        all.register("limit_hits", "Limits exceeded, by limit and what happened then", hits);
        all.register("bids", "Bids, by answer", self.bids.clone());
        all.register("tokens", "Tokens of users, by what came of them", self.tokens.clone());
        // Ages of several nodes make no sum, so only Prometheus gets it.
        all.register_with_unit(
            "token_keys_age",
            "Time since the keys at `auth.keys_url` were read; 0 without one",
            Unit::Seconds,
            self.token_keys_age_seconds.clone(),
        );
        let errors = self.store_errors.clone();
        all.register("store_errors", "Calls of the store without an answer, by kind", errors);
        for (name, help, counter) in self.counters() {
            all.register(name, help, counter.clone());
        }
        for (name, help, histogram) in [
            ("bid_commit", "Time from an append to its answer", &self.bid_commit_seconds),
            ("bid_ack", "Time from a bid's arrival to its answer", &self.bid_ack_seconds),
            ("fanout", "Time an update takes to the last socket's queue", &self.fanout_seconds),
        ] {
            all.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
        let recipients = self.fanout_recipients.clone();
        all.register("fanout_recipients", "Sockets that one update was queued for", recipients);
        all
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
