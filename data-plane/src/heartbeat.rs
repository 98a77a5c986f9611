//! One timer wheel for the heartbeats of all sockets of a node, so that an
//! idle socket has no timer of its own.
//!
//! Hashed wheel with rounds, after Varghese and Lauck, "Hashed and
//! hierarchical timing wheels" (1987), scheme 6.

use crate::{codec::frame, settings::Live, socket::Socket};
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
    socket: Weak<Socket>,
    rounds: usize,
    /// A ping is out and the pong is due.
    probed: bool,
}

// === impl Wheel ===

impl Default for Wheel {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        Self { slots: Arc::new(Mutex::new(Slots { slots, now: 0 })) }
    }
}

impl Wheel {
    /// Begins the heartbeat of a socket, at a random moment of the interval so
    /// that sockets which came together are not probed together.
    pub(crate) fn add(&self, socket: &Arc<Socket>, live: &Live) {
        let interval = live.get().limits.heartbeat_interval.get();
        let delay = rand::rng().random_range(interval / 2..=interval);
        let entry = Entry { socket: Arc::downgrade(socket), rounds: 0, probed: false };
        self.slots.lock().insert(entry, delay);
    }

    /// Turns the wheel for ever.
    pub(crate) async fn run(self, live: Live) {
        let mut tick = tokio::time::interval(Duration::from_millis(TICK_MS));
        let ping = frame::ping(b"");
        loop {
            tick.tick().await;
            let due = self.slots.lock().turn();
            let limits = &live.get().limits;
            for entry in due {
                let Some(socket) = entry.socket.upgrade() else { continue };
                let (interval, deadline) =
                    (limits.heartbeat_interval.get(), limits.pong_deadline.get());
                let (delay, probed) = if !entry.probed {
                    socket.probe(&ping);
                    (deadline, true)
                } else if socket.has_answered() {
                    (interval.saturating_sub(deadline), false)
                } else {
                    socket.terminate();
                    continue;
                };
                self.slots.lock().insert(Entry { rounds: 0, probed, ..entry }, delay);
            }
        }
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

    /// Moves on by one slot and takes what is due there; the ended sockets of
    /// the slot go as well.
    fn turn(&mut self) -> Vec<Entry> {
        self.now = (self.now + 1) % SLOTS;
        let Some(slot) = self.slots.get_mut(self.now) else { return Vec::new() };
        let mut due = Vec::new();
        for mut entry in std::mem::take(slot) {
            if entry.socket.strong_count() == 0 {
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
