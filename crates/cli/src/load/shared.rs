//! What all sockets of a run share.

use super::{
    ledger::Ledger,
    record::Recorder,
    stats::{Fault, Latency},
};
use gavel_runtime::tls::Tls;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Counters, histograms and the ledger of one run.
#[derive(Debug)]
pub(crate) struct Shared {
    /// What the rooms' sockets agree on.
    pub(crate) ledger: Ledger,
    /// Whose certificates are believed.
    pub(crate) tls: Tls,
    /// Where the run is recorded, if it is.
    pub(crate) recorder: Option<Recorder>,
    /// TCP, upgrade and the server's welcome.
    pub(crate) connect: Latency,
    /// From asking for a room to its state.
    pub(crate) join: Latency,
    /// From a bid's intended time to its answer.
    pub(crate) ack: Latency,
    /// From a bid's intended time to each socket's update.
    pub(crate) delivery: Latency,
    /// Updates received.
    pub(crate) updates: AtomicU64,
    /// Orders that found their socket busy and were not sent.
    pub(crate) unsent: AtomicU64,
    /// Sockets that were lost and replaced.
    pub(crate) reconnects: AtomicU64,
    sent: AtomicU64,
    accepted: AtomicU64,
    rejected: Mutex<BTreeMap<String, u64>>,
    faults: Mutex<BTreeMap<Fault, u64>>,
    trouble: Mutex<Option<String>>,
    positions: Vec<Position>,
}

/// How far one socket has come.
#[derive(Debug, Default)]
struct Position {
    /// One more than the room's index; zero while the socket has not joined.
    room: AtomicU64,
    seq: AtomicU64,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(rooms: usize, sockets: usize) -> Self {
        Self {
            ledger: Ledger::new(rooms),
            tls: Tls::default(),
            recorder: None,
            connect: Latency::new(),
            join: Latency::new(),
            ack: Latency::new(),
            delivery: Latency::new(),
            updates: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            rejected: Mutex::default(),
            faults: Mutex::default(),
            trouble: Mutex::default(),
            positions: (0..sockets).map(|_| Position::default()).collect(),
        }
    }

    pub(crate) fn sockets(&self) -> usize {
        self.positions.len()
    }

    /// Sockets that joined their room.
    pub(crate) fn joined(&self) -> usize {
        self.positions.iter().filter(|position| position.room.load(Relaxed) > 0).count()
    }

    /// A socket has everything up to `seq`.
    pub(crate) fn moved_to(&self, socket: usize, room: usize, seq: u64) {
        if let Some(position) = self.positions.get(socket) {
            position.seq.store(seq, Relaxed);
            position.room.store(u64::try_from(room).unwrap_or(u64::MAX - 1) + 1, Relaxed);
        }
    }

    pub(crate) fn sent(&self) {
        self.sent.fetch_add(1, Relaxed);
    }

    pub(crate) fn sent_total(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    pub(crate) fn accepted_total(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Refused bids by reason.
    pub(crate) fn rejected(&self) -> BTreeMap<String, u64> {
        self.rejected.lock().clone()
    }

    /// A bid meant for `intended` was accepted as `seq`.
    pub(crate) fn accept(
        &self,
        room: usize,
        seq: u64,
        amount: u64,
        intended: Instant,
        at: Instant,
    ) {
        self.accepted.fetch_add(1, Relaxed);
        self.ack.record(at.saturating_duration_since(intended));
        let known = self.ledger.ack(room, seq, amount, intended);
        for latency in known.deliveries {
            self.delivery.record(latency);
        }
        if known.duplicate {
            self.fault(Fault::DuplicateSeq, || format!("seq {seq} acknowledges two bids"));
        }
    }

    /// A bid meant for `intended` was refused.
    pub(crate) fn reject(&self, reason: &str, intended: Instant, at: Instant) {
        self.ack.record(at.saturating_duration_since(intended));
        *self.rejected.lock().entry(reason.to_owned()).or_default() += 1;
    }

    /// A socket saw the update `seq` with this price.
    pub(crate) fn see(&self, room: usize, seq: u64, price: u64, at: Instant) {
        self.updates.fetch_add(1, Relaxed);
        let seen = self.ledger.see(room, seq, price, at);
        if let Some(latency) = seen.delivery {
            self.delivery.record(latency);
        }
        if let Some(other) = seen.conflict {
            self.fault(Fault::PriceConflict, || {
                format!("seq {seq} has prices {other} and {price}")
            });
        }
    }

    /// Counts a fault; the first one is kept in words.
    pub(crate) fn fault(&self, fault: Fault, about: impl FnOnce() -> String) {
        self.faults(fault, 1, about);
    }

    /// How often `fault` was found.
    pub(crate) fn fault_count(&self, fault: Fault) -> u64 {
        self.faults.lock().get(&fault).copied().unwrap_or(0)
    }

    /// The first fault in words.
    pub(crate) fn first_trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Whether every bid is answered and every socket up to date.
    pub(crate) fn is_settled(&self) -> bool {
        self.unanswered() == 0 && self.behind() == 0
    }

    /// Counts what has not arrived as lost.
    pub(crate) fn count_losses(&self) {
        let (acks, updates) = (self.unanswered(), self.behind());
        self.faults(Fault::LostAck, acks, || format!("{acks} bids have no answer"));
        self.faults(Fault::LostUpdate, updates, || format!("{updates} sockets are behind"));
    }

    /// Compares acknowledged bids with the updates seen.
    pub(crate) fn audit(&self) {
        for (fault, about) in self.ledger.audit() {
            self.fault(fault, || about);
        }
        if self.sent_total() > 0 && self.accepted_total() == 0 {
            self.fault(Fault::NothingAccepted, || "no bid was accepted".to_owned());
        }
    }

    fn faults(&self, fault: Fault, count: u64, about: impl FnOnce() -> String) {
        if count == 0 {
            return;
        }
        *self.faults.lock().entry(fault).or_default() += count;
        self.trouble.lock().get_or_insert_with(|| format!("{}: {}", fault.name(), about()));
    }

    fn unanswered(&self) -> u64 {
        let rejected: u64 = self.rejected.lock().values().sum();
        self.sent_total().saturating_sub(self.accepted_total() + rejected)
    }

    fn behind(&self) -> u64 {
        let acked = self.ledger.acked_up_to();
        let behind = self.positions.iter().filter(|position| {
            let room =
                usize::try_from(position.room.load(Relaxed)).ok().and_then(|n| n.checked_sub(1));
            let wanted = room.and_then(|room| acked.get(room)).copied().unwrap_or(0);
            position.seq.load(Relaxed) < wanted
        });
        u64::try_from(behind.count()).unwrap_or(u64::MAX)
    }
}

/// Bids a second over a time.
pub(crate) fn per_second(count: u64, time: Duration) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from) / time.as_secs_f64().max(0.001)
}
