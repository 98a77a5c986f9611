//! Places for sockets that are counted over the whole cluster: what the engines have in common,
//! and the counts of those in this process.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use gavel_rules::{Incarnation, Millis, NodeId, RoomId, Timestamp, UserId};

use super::heartbeats::Heartbeats;

/// A node of whose contact with the store nothing was seen for so long holds nothing any more.
/// Tests cannot wait for it.
pub const HOLDER_SILENT_MAX: Millis = Millis::new(if cfg!(test) { 1_000 } else { 10_000 });

/// A note of places that is not repeated for so long is void. As above.
pub const PLACES_KEPT: Millis = Millis::new(if cfg!(test) { 5_000 } else { 600_000 });

/// Entries below which nobody looks for void ones.
const SWEEP_ENTRIES_MIN: usize = 1024;

/// Whose sockets are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Those of an address, as [`crate::address::customer`] has it.
    Address(IpAddr),
    /// Those of a user with a token.
    User(UserId),
    /// Those in a room.
    Room(RoomId),
}

/// One run of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// The node.
    pub node: NodeId,
    /// The run.
    pub incarnation: Incarnation,
}

/// What a run asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The places it has given to sockets, which are noted in any case.
    pub least: u32,
    /// Those, and the ones it would like to give.
    pub most: u32,
    /// How many there are in the whole cluster.
    pub max: u32,
    /// Whether silent nodes count as gone. Not after the store itself was away: then nobody was
    /// heard of.
    pub buries: bool,
}

/// What it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its places from now on, from `least` to `most`.
    pub mine: u32,
    /// Those of others.
    pub others: u32,
}

/// The counts of the engines in this process.
pub(super) struct Places {
    noted: HashMap<Counted, HashMap<Holder, (u32, Timestamp)>>,
    sweep_at: usize,
}

// === impl Counted ===

impl fmt::Display for Counted {
    /// Its name in the store: no two have the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "ip:{address}"),
            Self::User(user) => write!(f, "user:{user}"),
            Self::Room(room) => write!(f, "room:{room}"),
        }
    }
}

// === impl Holder ===

impl Holder {
    /// Whether this run, last noted at `noted_at`, holds nothing any more.
    pub(super) fn is_gone(
        &self,
        noted_at: Timestamp,
        heard: Heartbeats,
        now: Timestamp,
        buries: bool,
    ) -> bool {
        if heard.incarnation > self.incarnation {
            return true;
        }
        let is_current = heard.incarnation == self.incarnation;
        let seen_at = if is_current { noted_at.max(heard.last_at) } else { noted_at };
        buries && now.since(seen_at) >= HOLDER_SILENT_MAX
    }
}

// === impl Wanted ===

impl Wanted {
    /// How many of the wanted places there are, beside those of others.
    fn beside(self, others: u32) -> u32 {
        self.max.saturating_sub(others).max(self.least).min(self.most)
    }
}

// === impl Places ===

impl Default for Places {
    fn default() -> Self {
        Self { noted: HashMap::new(), sweep_at: SWEEP_ENTRIES_MIN }
    }
}

impl Places {
    /// Notes the places of `holder`; `heard` tells the heartbeats of a node.
    pub(super) fn hold(
        &mut self,
        counted: &Counted,
        holder: &Holder,
        wanted: Wanted,
        now: Timestamp,
        heard: impl Fn(&NodeId) -> Heartbeats,
    ) -> Held {
        self.sweep(now);
        let notes = self.noted.entry(counted.clone()).or_default();
        notes.retain(|other, (_, at)| {
            now.since(*at) < PLACES_KEPT
                && (other == holder || !other.is_gone(*at, heard(&other.node), now, wanted.buries))
        });
        let counts =
            notes.iter().filter(|(other, _)| *other != holder).map(|(_, (count, _))| count);
        let others = counts.fold(0_u32, |sum, count| sum.saturating_add(*count));
        let mine = wanted.beside(others);
        if mine == 0 {
            notes.remove(holder);
        } else {
            notes.insert(holder.clone(), (mine, now));
        }
        if notes.is_empty() {
            self.noted.remove(counted);
        }
        Held { mine, others }
    }

    fn sweep(&mut self, now: Timestamp) {
        if self.noted.len() >= self.sweep_at {
            let is_void = |at: &Timestamp| now.since(*at) >= PLACES_KEPT;
            self.noted.retain(|_, notes| notes.values().any(|(_, at)| !is_void(at)));
            self.sweep_at = SWEEP_ENTRIES_MIN.max(self.noted.len().saturating_mul(2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(node: &str, incarnation: u64) -> Holder {
        Holder { node: node.parse().unwrap(), incarnation: Incarnation::new(incarnation) }
    }

    #[test]
    fn a_run_is_gone_when_it_is_silent_or_has_a_successor() {
        let at = Timestamp::new;
        let silent = HOLDER_SILENT_MAX.get();
        for (incarnation, last, noted, now, buries, gone) in [
            // It sends heartbeats, or was noted not long ago.
            (5, 50_000, 0, 50_000 + silent - 1, true, false),
            (5, 50_000, 0, 50_000 + silent, true, true),
            (5, 50_000, 0, 50_000 + silent, false, false),
            (0, 0, 50_000, 50_000 + silent - 1, true, false),
            (0, 0, 50_000, 50_000 + silent, true, true),
            // Heartbeats of the run before say nothing of this one.
            (4, 90_000, 50_000, 90_000, true, true),
            (4, 90_000, 89_500, 90_000, true, false),
            // It has a successor.
            (6, 90_000, 90_000, 90_000, true, true),
            (6, 90_000, 90_000, 90_000, false, true),
        ] {
            let heard = Heartbeats {
                incarnation: Incarnation::new(incarnation),
                last_at: at(last),
                ..Heartbeats::default()
            };
            let found = holder("n", 5).is_gone(at(noted), heard, at(now), buries);
            assert_eq!(found, gone, "{incarnation} {last} {noted} {now} {buries}");
        }
    }

    #[test]
    fn void_notes_are_swept() {
        let mut places = Places::default();
        let wanted = Wanted { least: 0, most: 1, max: 1, buries: false };
        for n in 0..10 * u64::try_from(SWEEP_ENTRIES_MIN).unwrap() {
            let counted = Counted::User(format!("u{n}").parse().unwrap());
            let now = Timestamp::new(n * PLACES_KEPT.get() / 100);
            let held =
                places.hold(&counted, &holder("n", 1), wanted, now, |_| Heartbeats::default());
            assert_eq!(held, Held { mine: 1, others: 0 });
        }
        assert!(places.noted.len() <= 2 * SWEEP_ENTRIES_MIN, "{}", places.noted.len());
    }
}
