//! What the sockets of each room agree on: one price for each seq, and for
//! each acknowledged bid an update with its amount.

use super::stats::Fault;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// Updates kept for an ack that is still to come; those of other bidders are
/// dropped from the oldest.
const EARLY_SEQS_MAX: usize = 1024;

/// The rooms of a run.
#[derive(Debug)]
pub(crate) struct Ledger {
    rooms: Vec<Mutex<Room>>,
}

/// What an update told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// From the bid's intended time, where the bid is ours and its ack is here.
    pub(crate) delivery: Option<Duration>,
    /// Another price that was seen for the same seq.
    pub(crate) conflict: Option<u64>,
}

/// What an ack told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Acked {
    /// Of the updates that came before the ack.
    pub(crate) deliveries: Vec<Duration>,
    /// The seq acknowledges another bid already.
    pub(crate) duplicate: bool,
}

#[derive(Debug, Default)]
struct Room {
    price_by_seq: BTreeMap<u64, u64>,
    bid_by_seq: BTreeMap<u64, (u64, Instant)>,
    early_by_seq: BTreeMap<u64, Vec<Instant>>,
    // What somebody was told by a state in the place of updates.
    skipped: Vec<RangeInclusive<u64>>,
    // The newest seq that told a next minimum, and that minimum.
    minimum: (u64, u64),
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn new(rooms: usize) -> Self {
        Self { rooms: (0..rooms).map(|_| Mutex::default()).collect() }
    }

    /// A socket saw `price` at `seq`.
    pub(crate) fn see(&self, room: usize, seq: u64, price: u64, at: Instant) -> Seen {
        self.rooms.get(room).map(|room| room.lock().see(seq, price, at)).unwrap_or_default()
    }

    /// A bid of `amount`, meant for `intended`, is `seq`.
    pub(crate) fn ack(&self, room: usize, seq: u64, amount: u64, intended: Instant) -> Acked {
        self.rooms.get(room).map(|room| room.lock().ack(seq, amount, intended)).unwrap_or_default()
    }

    /// A state stood for these updates, as after a lost socket.
    pub(crate) fn skip(&self, room: usize, seqs: RangeInclusive<u64>) {
        if let Some(room) = self.rooms.get(room)
            && !seqs.is_empty()
        {
            room.lock().skipped.push(seqs);
        }
    }

    /// Somebody was told at `seq` what the next bid must offer.
    pub(crate) fn learn(&self, room: usize, seq: u64, minimum: u64) {
        if let Some(room) = self.rooms.get(room) {
            let mut room = room.lock();
            if seq >= room.minimum.0 {
                room.minimum = (seq, minimum);
            }
        }
    }

    /// What the next bid must offer, as far as any socket of the room knows.
    pub(crate) fn minimum(&self, room: usize) -> u64 {
        self.rooms.get(room).map_or(0, |room| room.lock().minimum.1)
    }

    /// The highest acknowledged seq by room.
    pub(crate) fn acked_up_to(&self) -> Vec<u64> {
        let last = |room: &Mutex<Room>| room.lock().bid_by_seq.keys().next_back().copied();
        self.rooms.iter().map(|room| last(room).unwrap_or(0)).collect()
    }

    /// The last update seen in a room: its seq and price.
    pub(crate) fn last_seen(&self, room: usize) -> Option<(u64, u64)> {
        let room = self.rooms.get(room)?.lock();
        room.price_by_seq.last_key_value().map(|(seq, price)| (*seq, *price))
    }

    /// Acknowledged bids whose amount nobody was shown.
    pub(crate) fn audit(&self) -> Vec<(Fault, String)> {
        self.rooms.iter().flat_map(|room| room.lock().audit()).collect()
    }
}

// === impl Room ===

impl Room {
    fn see(&mut self, seq: u64, price: u64, at: Instant) -> Seen {
        let known = *self.price_by_seq.entry(seq).or_insert(price);
        let delivery = match self.bid_by_seq.get(&seq) {
            Some((_, intended)) => Some(at.saturating_duration_since(*intended)),
            None => {
                self.early_by_seq.entry(seq).or_default().push(at);
                if self.early_by_seq.len() > EARLY_SEQS_MAX {
                    self.early_by_seq.pop_first();
                }
                None
            }
        };
        Seen { delivery, conflict: (known != price).then_some(known) }
    }

    fn ack(&mut self, seq: u64, amount: u64, intended: Instant) -> Acked {
        let early = self.early_by_seq.remove(&seq).unwrap_or_default();
        let duplicate = self.bid_by_seq.insert(seq, (amount, intended)).is_some();
        let deliveries =
            early.into_iter().map(|at| at.saturating_duration_since(intended)).collect();
        Acked { deliveries, duplicate }
    }

    fn audit(&self) -> Vec<(Fault, String)> {
        let mut faults = Vec::new();
        for (seq, (amount, _)) in &self.bid_by_seq {
            match self.price_by_seq.get(seq) {
                None if self.skipped.iter().any(|seqs| seqs.contains(seq)) => {}
                None => faults.push((
                    Fault::LostUpdate,
                    format!("the bid acknowledged as seq {seq} is in no update"),
                )),
                Some(price) if price != amount => faults.push((
                    Fault::PriceConflict,
                    format!("seq {seq} acknowledges {amount} and its update says {price}"),
                )),
                Some(_) => {}
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_runtime::clock;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn delivery_is_measured_whichever_comes_first() {
        let (ledger, intended) = (Ledger::new(1), clock::monotonic());
        assert_eq!(ledger.see(0, 5, 100, intended + 3 * MS), Seen::default());
        let acked = ledger.ack(0, 5, 100, intended);
        assert_eq!(acked, Acked { deliveries: vec![3 * MS], duplicate: false });
        assert_eq!(ledger.see(0, 5, 100, intended + 4 * MS).delivery, Some(4 * MS));
        assert!(ledger.ack(0, 5, 100, intended).duplicate);
        assert_eq!(ledger.acked_up_to(), [5]);
        assert_eq!(ledger.last_seen(0), Some((5, 100)));
        assert!(ledger.audit().is_empty());
    }

    #[test]
    fn the_newest_minimum_counts() {
        let ledger = Ledger::new(1);
        for (seq, minimum) in [(3, 30), (2, 20), (4, 10)] {
            ledger.learn(0, seq, minimum);
        }
        assert_eq!(ledger.minimum(0), 10);
    }

    #[test]
    fn disagreement_is_a_fault() {
        let (ledger, now) = (Ledger::new(1), clock::monotonic());
        ledger.see(0, 1, 100, now);
        assert_eq!(ledger.see(0, 1, 101, now).conflict, Some(100));
        ledger.ack(0, 1, 102, now);
        ledger.ack(0, 2, 103, now);
        let faults: Vec<Fault> = ledger.audit().into_iter().map(|(fault, _)| fault).collect();
        assert_eq!(faults, [Fault::PriceConflict, Fault::LostUpdate]);
    }

    #[test]
    fn what_a_state_stood_for_needs_no_update() {
        let (ledger, now) = (Ledger::new(1), clock::monotonic());
        for seq in 4..=7 {
            ledger.ack(0, seq, 100, now);
        }
        ledger.skip(0, 5..=6);
        let lost: Vec<String> = ledger.audit().into_iter().map(|(_, about)| about).collect();
        assert_eq!(lost.len(), 2, "{lost:?}");
        assert!(lost.iter().all(|about| !about.contains("seq 5") && !about.contains("seq 6")));
    }

    #[test]
    fn updates_of_other_bidders_are_bounded() {
        let (ledger, now) = (Ledger::new(1), clock::monotonic());
        for seq in 0..5_000 {
            ledger.see(0, seq, seq, now);
        }
        let kept = ledger.rooms.first().map(|room| room.lock().early_by_seq.len());
        assert_eq!(kept, Some(EARLY_SEQS_MAX));
    }
}
