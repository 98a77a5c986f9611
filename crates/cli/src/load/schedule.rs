//! When each bid is meant to be sent, whatever the server does.

use super::{LoadArgs, shared::Shared, stats::Fault};
use crate::failure::Failure;
use gavel_runtime::{clock, shutdown::Shutdown};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Orders that may wait at one socket; more are not sent, and counted.
pub(crate) const ORDERS_MAX: usize = 64;
/// How long the schedule may sleep without looking whether to stop.
const NAP_MAX: Duration = Duration::from_millis(100);
/// How often the bar's text is written anew.
const TEXT_INTERVAL: Duration = Duration::from_millis(200);

/// A bid to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    /// When it was meant to be sent.
    pub(crate) intended: Instant,
    /// Tells the bids of two runs apart.
    pub(crate) run: u64,
}

/// A bar on standard error, where that is a terminal.
pub(crate) fn bar(what: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:12} {wide_bar} {pos}/{len} {eta} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style).with_prefix(what)
}

/// Sends all orders, each at its time, in turn to the sockets of each room.
pub(crate) async fn run(
    args: &LoadArgs,
    orders: Vec<(usize, mpsc::Sender<Order>)>,
    shared: &Arc<Shared>,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let duration = Duration::from_millis(args.duration.get());
    if args.bids_per_second == 0 {
        // Only looks: nothing to send, but time to receive.
        drop(tokio::time::timeout(duration, shutdown.wait()).await);
        return Ok(());
    }
    let mut by_room = vec![Vec::new(); args.room_ids.len()];
    for (room, sender) in orders {
        if let Some(senders) = by_room.get_mut(room) {
            senders.push(sender);
        }
    }
    by_room.retain(|senders| !senders.is_empty());
    let plan = Plan {
        duration,
        gap: Duration::from_secs(1) / args.bids_per_second,
        total: u64::from(args.bids_per_second) * args.duration.get() / 1000,
        run: clock::now_ms(),
        by_room,
    };
    let (shared, shutdown) = (Arc::clone(shared), shutdown.clone());
    // A thread of its own: the runtime's timer rounds up to milliseconds.
    tokio::task::spawn_blocking(move || plan.drive(&shared, &shutdown))
        .await
        .map_err(|error| Failure::internal("the schedule stopped", error))
}

#[derive(Debug)]
struct Plan {
    gap: Duration,
    duration: Duration,
    total: u64,
    run: u64,
    by_room: Vec<Vec<mpsc::Sender<Order>>>,
}

// === impl Plan ===

impl Plan {
    fn drive(&self, shared: &Shared, shutdown: &Shutdown) {
        let progress = bar("bidding", self.total);
        let start = clock::monotonic();
        let mut text_at = start;
        for n in 0..self.total {
            let intended = start + self.gap.saturating_mul(u32::try_from(n).unwrap_or(u32::MAX));
            if !sleep_until(intended, shutdown) {
                break;
            }
            let order = Order { intended, run: self.run };
            // Counted here, so that an order still on its way to its socket is
            // missed at the end of the run.
            if self.socket(n).is_some_and(|socket| socket.try_send(order).is_ok()) {
                shared.sent();
            } else {
                shared.unsent.fetch_add(1, Relaxed);
            }
            progress.set_position(n + 1);
            if intended >= text_at {
                text_at = intended + TEXT_INTERVAL;
                progress.set_message(summary(shared));
            }
        }
        // The last bid's share of the time belongs to the run too.
        sleep_until(start + self.duration, shutdown);
        progress.finish_and_clear();
    }

    fn socket(&self, n: u64) -> Option<&mpsc::Sender<Order>> {
        let rooms = u64::try_from(self.by_room.len()).ok()?;
        let room = self.by_room.get(usize::try_from(n.checked_rem(rooms)?).ok()?)?;
        let turn = usize::try_from(n / rooms).ok()?;
        room.get(turn.checked_rem(room.len())?)
    }
}

fn sleep_until(when: Instant, shutdown: &Shutdown) -> bool {
    loop {
        if shutdown.is_triggered() {
            return false;
        }
        let left = when.saturating_duration_since(clock::monotonic());
        if left.is_zero() {
            return true;
        }
        thread::sleep(left.min(NAP_MAX));
    }
}

fn summary(shared: &Shared) -> String {
    let faults: u64 = Fault::ALL.into_iter().map(|fault| shared.fault_count(fault)).sum();
    let [_, _, p99, ..] = shared.ack.percentiles();
    format!("{} accepted, ack p99 {p99:.1} ms, {faults} faults", shared.accepted_total())
}
