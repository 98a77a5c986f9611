//! What a run came to: counted from the streams and from what clients
//! recorded, apart from the judgement of `gavel verify`.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// The figures of one run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Bids sent, retries not counted.
    pub(crate) sent: u64,
    /// Bids that clients know to be accepted.
    pub(crate) acked: u64,
    /// Bids refused as `unavailable`.
    pub(crate) unavailable: u64,
    /// Bids whose socket was lost before the answer; a retry settled each.
    pub(crate) unanswered: u64,
    /// Acked bids that are not stored as they were acked.
    pub(crate) lost: u64,
    /// Seqs that are stored or acked for more than one bid.
    pub(crate) duplicates: u64,
    /// The fewest and most winners of a room.
    pub(crate) winners: (usize, usize),
    /// The longest time without an ack in an affected room.
    pub(crate) gap_ms: u64,
}

/// Acks of one room, by seq: the bids, and when the first ack came.
type Acks = BTreeMap<u64, (BTreeSet<String>, u64)>;

// === impl Outcome ===

impl Outcome {
    pub(crate) fn read(
        report: &Value,
        history: &Path,
        streams: &Path,
        affected: &[String],
    ) -> Self {
        let number = |path: &str| report.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        let mut outcome = Self {
            sent: number("/bids/sent"),
            unavailable: number("/bids/rejected/unavailable"),
            ..Self::default()
        };
        let acks_by_room = outcome.read_history(history);
        outcome.compare(&acks_by_room, streams);
        let gaps = acks_by_room.iter().filter(|(room, _)| affected.contains(room));
        outcome.gap_ms = gaps.map(|(_, acks)| longest_gap_ms(acks)).max().unwrap_or(0);
        outcome
    }

    fn read_history(&mut self, history: &Path) -> BTreeMap<String, Acks> {
        let mut acks_by_room: BTreeMap<String, Acks> = BTreeMap::new();
        for line in lines(history) {
            let Some(bid) = line.get("bid") else { continue };
            if bid.get("answer").is_none_or(Value::is_null) {
                self.unanswered += 1;
            }
            let Some(seq) = bid.pointer("/answer/said/accepted/seq").and_then(Value::as_u64) else {
                continue;
            };
            self.acked += 1;
            let at_us = bid.pointer("/answer/at_us").and_then(Value::as_u64).expect("a time");
            let acks = acks_by_room.entry(text(bid, "room")).or_default();
            let (bids, first_us) = acks.entry(seq).or_insert((BTreeSet::new(), at_us));
            bids.insert(text(bid, "bid_id"));
            *first_us = at_us.min(*first_us);
        }
        acks_by_room
    }

    fn compare(&mut self, acks_by_room: &BTreeMap<String, Acks>, streams: &Path) {
        let mut bids: BTreeMap<String, BTreeMap<u64, String>> = BTreeMap::new();
        let mut winners: BTreeMap<String, usize> = BTreeMap::new();
        let mut room = String::new();
        for line in lines(streams) {
            if line.get("format").is_some() {
                room = text(&line, "room");
                winners.insert(room.clone(), 0);
                continue;
            }
            let seq = line.get("seq").and_then(Value::as_u64).expect("a seq");
            let bid = line.get("bid_id").and_then(Value::as_str).unwrap_or_default();
            let other = bids.entry(room.clone()).or_default().insert(seq, bid.to_owned());
            self.duplicates += u64::from(other.is_some());
            let won = line.pointer("/outcome/sold").is_some();
            *winners.entry(room.clone()).or_default() += usize::from(won);
        }
        for (room, acks) in acks_by_room {
            for (seq, (acked, _)) in acks {
                self.duplicates += u64::from(acked.len() > 1);
                let stored = bids.get(room).and_then(|bids| bids.get(seq));
                let lost = acked.iter().filter(|bid| stored != Some(bid)).count();
                self.lost += u64::try_from(lost).expect("few");
            }
        }
        let counts = || winners.values().copied();
        self.winners = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
    }
}

/// Between two acks that follow each other.
fn longest_gap_ms(acks: &Acks) -> u64 {
    let mut times: Vec<u64> = acks.values().map(|(_, at_us)| *at_us).collect();
    times.sort_unstable();
    let gaps = times.iter().zip(times.iter().skip(1)).map(|(before, after)| after - before);
    gaps.max().unwrap_or(0) / 1000
}

fn lines(file: &Path) -> impl Iterator<Item = Value> {
    let text = std::fs::read_to_string(file).expect("the file");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    lines.into_iter()
}

fn text(line: &Value, key: &str) -> String {
    line.get(key).and_then(Value::as_str).expect("a text").to_owned()
}
