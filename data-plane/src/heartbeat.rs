//! One timer wheel for the heartbeats of all sockets of a node, so that an
//! idle socket has no timer of its own.
//!
//! Hashed wheel with rounds, after Varghese and Lauck, "Hashed and
//! hierarchical timing wheels" (1987), scheme 6.

use crate::{codec::frame, flags, node::Shell, room::Member, settings::Settings};
use gavel_flags::Cached;
use gavel_rules::{id::NodeId, time::Millis};
use parking_lot::Mutex;
use rand::Rng;
use std::{
    sync::{Arc, Weak},
    time::Duration,
};

/// Time between two slots.
const TICK_MS: u64 = 100;
/// Slots of one turn.
const SLOTS: usize = 512;

/// The wheel of one node.
#[derive(Debug, Clone)]
pub(crate) struct Wheel {
    slots: Arc<Mutex<Slots>>,
}

#[derive(Debug)]
struct Slots {
    slots: Vec<Vec<Entry>>,
    now: usize,
}

#[derive(Debug)]
struct Entry {
    member: Weak<Member>,
    rounds: usize,
    /// A ping is out and the pong is due.
    probed: bool,
    interval: Interval,
}

/// The time between two heartbeats of a socket.
#[derive(Debug, Default)]
struct Interval {
    /// What the flags say, where they do.
    own: Cached<Option<Millis>>,
}

/// The time between two heartbeats of a socket as of now.
pub(crate) fn interval(shell: &Shell, member: &Member) -> Millis {
    Interval::default().of(&shell.live.get(), member, &shell.id)
}

// === impl Wheel ===

impl Default for Wheel {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        Self { slots: Arc::new(Mutex::new(Slots { slots, now: 0 })) }
    }
}

impl Wheel {
    /// Begins the heartbeat of a socket.
    pub(crate) fn add(&self, member: &Arc<Member>, shell: &Shell) {
        let mut interval = Interval::default();
        let delay = at_random(interval.of(&shell.live.get(), member, &shell.id));
        let entry = Entry { member: Arc::downgrade(member), rounds: 0, probed: false, interval };
        self.slots.lock().insert(entry, delay);
    }

    /// Turns the wheel for ever.
    pub(crate) async fn run(self, shell: Arc<Shell>) {
        let mut tick = tokio::time::interval(Duration::from_millis(TICK_MS));
        let mut changes = shell.live.watch();
        let ping = frame::ping(b"");
        loop {
            tick.tick().await;
            if changes.has_changed().unwrap_or_default() {
                self.hurry(&changes.borrow_and_update().clone(), &shell.id);
            }
            let due = self.slots.lock().turn();
            let settings = shell.live.get();
            let deadline = settings.limits.pong_deadline.get();
            for mut entry in due {
                let Some(member) = entry.member.upgrade() else { continue };
                let (delay, probed) = if !entry.probed {
                    member.socket.probe(&ping);
                    (deadline, true)
                } else if member.socket.has_answered() {
                    let interval = entry.interval.of(&settings, &member, &shell.id);
                    (interval.get().saturating_sub(deadline), false)
                } else {
                    member.socket.terminate();
                    continue;
                };
                self.slots.lock().insert(Entry { rounds: 0, probed, ..entry }, delay);
            }
        }
    }

    /// Lets nobody wait by an interval that has become shorter.
    fn hurry(&self, settings: &Settings, node: &NodeId) {
        // Rules are run for each socket: others must be able to add theirs meanwhile.
        let waiting = self.slots.lock().take_all();
        for (mut delay, mut entry) in waiting {
            let Some(member) = entry.member.upgrade() else { continue };
            let interval = entry.interval.of(settings, &member, node);
            if !entry.probed && delay > interval.get() {
                delay = at_random(interval);
            }
            self.slots.lock().insert(entry, delay);
        }
    }
}

/// A random moment of the interval, so that sockets which came together are not
/// probed together.
fn at_random(interval: Millis) -> u64 {
    rand::rng().random_range(interval.get() / 2..=interval.get())
}

// === impl Interval ===

impl Interval {
    fn of(&mut self, settings: &Settings, member: &Member, node: &NodeId) -> Millis {
        let flags = &settings.flags;
        let (user, session) = (&member.opened_for, &member.session);
        let own = self.own.get(flags, || flags::heartbeat_interval(flags, user, session, node));
        own.unwrap_or(settings.limits.heartbeat_interval)
    }
}

// === impl Slots ===

impl Slots {
    fn insert(&mut self, entry: Entry, delay_ms: u64) {
        let ticks = usize::try_from(delay_ms / TICK_MS).unwrap_or(usize::MAX).max(1);
        let slot = (self.now + ticks) % SLOTS;
        let rounds = (ticks - 1) / SLOTS;
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.push(Entry { rounds, ..entry });
        }
    }

    /// Empties the wheel; each entry comes with the time that it still waits.
    fn take_all(&mut self) -> Vec<(u64, Entry)> {
        let now = self.now;
        let waits = |slot: usize, entry: &Entry| {
            let ticks = match (slot + SLOTS - now) % SLOTS {
                0 => SLOTS,
                ticks => ticks,
            };
            u64::try_from(entry.rounds * SLOTS + ticks).unwrap_or(u64::MAX) * TICK_MS
        };
        let slots = self.slots.iter_mut().enumerate();
        let entries = slots.flat_map(|(n, slot)| {
            std::mem::take(slot).into_iter().map(move |entry| (waits(n, &entry), entry))
        });
        entries.collect()
    }

    /// Moves on by one slot and takes what is due there; the ended sockets of
    /// the slot go as well.
    fn turn(&mut self) -> Vec<Entry> {
        self.now = (self.now + 1) % SLOTS;
        let Some(slot) = self.slots.get_mut(self.now) else { return Vec::new() };
        let mut due = Vec::new();
        for mut entry in std::mem::take(slot) {
            if entry.member.strong_count() == 0 {
                continue;
            }
            if entry.rounds == 0 {
                due.push(entry);
            } else {
                entry.rounds -= 1;
                slot.push(entry);
            }
        }
        due
    }
}
