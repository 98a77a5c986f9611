//! The node's contact with the store: a heartbeat tells the store that the
//! node is there, and tells the node that the store is.
//!
//! ```text
//! here  the store was away, or this process stood still: rooms hear since when
//! there the node is gone: whoever claims its rooms hears when it last was there
//! ```
//! Neither can be told from the events of a room, where a quiet hour and an
//! outage look the same.

use crate::{node::Shell, store::HOLDER_SILENT_MAX};
use gavel_rules::{
    auction::OUTAGE_MIN,
    time::{Millis, Timestamp},
};
use gavel_runtime::clock;
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Between two heartbeats.
const INTERVAL: Millis = Millis::new(1_000);

/// How often the store may ask its replicas, if it has any.
const REPLICAS_INTERVAL: Duration = Duration::from_millis(100);

// One heartbeat may be late without an outage being seen.
const _: () = assert!(OUTAGE_MIN.get() >= 2 * INTERVAL.get());

/// When the store last answered a heartbeat: by its clock, and by one of this
/// machine that nobody sets, for an outage must not be made up by a clock.
#[derive(Debug, Default)]
pub(crate) struct Contact {
    heard: Mutex<Option<(Timestamp, Instant)>>,
    /// Since when there was no outage.
    steady_since: Mutex<Option<Instant>>,
}

// === impl Contact ===

impl Contact {
    /// Makes sure that the store has heard of this run of the node, before a
    /// claim that it is to tell from those of runs before, and that it is known
    /// whether the store has replicas, before anything is left to them. Without,
    /// the next owner may be told too little, or a failover lose something,
    /// which is no reason not to claim.
    pub(crate) async fn begin(&self, shell: &Shell) {
        if self.heard.lock().is_none()
            && let Some(at) = beat(shell).await
        {
            self.hear(at);
        }
        if shell.store.watermark().server == 0 {
            drop(shell.store.ask_durability().await);
        }
    }

    /// When the store was last heard of, if that is so long ago that bids may
    /// have been lost since.
    pub(crate) fn lost_since(&self) -> Option<Timestamp> {
        let (at, heard) = (*self.heard.lock())?;
        let silent = clock::monotonic().saturating_duration_since(heard);
        (silent >= Duration::from_millis(OUTAGE_MIN.get())).then_some(at)
    }

    /// Whether the store is there, and has been for so long that it would have heard of every
    /// other node as well.
    pub(crate) fn is_steady(&self) -> bool {
        let Some(since) = *self.steady_since.lock() else { return false };
        let steady = clock::monotonic().saturating_duration_since(since);
        self.is_there() && steady >= Duration::from_millis(HOLDER_SILENT_MAX.get())
    }

    /// Whether the store was heard of and is not lost.
    pub(crate) fn is_there(&self) -> bool {
        self.heard.lock().is_some() && self.lost_since().is_none()
    }

    fn hear(&self, at: Timestamp) {
        if !self.is_there() {
            *self.steady_since.lock() = Some(clock::monotonic());
        }
        *self.heard.lock() = Some((at, clock::monotonic()));
    }
}

/// Sends heartbeats until the node stops.
pub(crate) async fn run(shell: Arc<Shell>) {
    let mut tick = tokio::time::interval(Duration::from_millis(INTERVAL.get()));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shell.stop.run_until_cancelled(tick.tick()).await.is_some() {
        let Some(at) = beat(&shell).await else { continue };
        if let Some(since) = shell.contact.lost_since() {
            let lost_ms = at.since(since).get();
            tracing::warn!(lost_ms, "the store is back; the rooms hear of the outage");
            // Others may have taken this node for gone.
            shell.places.announce();
            // Before anything else is decided by a contact that is good again.
            shell.rooms.outage(since).await;
        }
        shell.contact.hear(at);
    }
}

/// Asks how far the store's replicas are until the node stops, and lets the rooms hear of a
/// failover.
pub(crate) async fn watch_durability(shell: Arc<Shell>) {
    let mut tick = tokio::time::interval(REPLICAS_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut server = 0;
    while shell.stop.run_until_cancelled(tick.tick()).await.is_some() {
        // Without an answer the mark stays where it is; rooms meet the trouble themselves.
        drop(shell.store.ask_durability().await);
        let now = shell.store.watermark().server;
        if now != server {
            server = now;
            shell.places.announce();
            shell.rooms.store_changed().await;
        }
    }
}

/// The store's time, if it answers.
async fn beat(shell: &Shell) -> Option<Timestamp> {
    let sent_at = shell.now();
    let told = shell.store.heartbeat(&shell.id, shell.incarnation).await.ok()?;
    shell.clock.observe(told, sent_at);
    Some(told)
}
