//! What is refused because there is more work than can be done in time.
//!
//! How long work waits tells, not how much of it there is. A queue that gets empty now and then
//! does what it is for; one in which everything waited for too long, for a whole interval, only
//! makes everybody late. This is the observation behind `CoDel` (RFC 8289, section 3): the least
//! wait within an interval, not the average. What is done about it differs, since here nobody
//! sends less when something is dropped: the work that matters least is refused first, and
//! something more with each further interval.
//!
//! ```text
//!                 High                      Extreme
//! threads late    pages                     and new sockets
//! a room's bids   joins of the room         and bids that have waited for too long
//! ```
//!
//! Closes are never shed, and neither is a bid whose append has begun.

use crate::{
    metrics::{Levels, Shed, Table},
    node::Shell,
    settings::Limits,
};
use gavel_rules::time::{Millis, Timestamp};
use gavel_runtime::clock;
use std::{sync::Arc, time::Duration};

#[cfg(test)]
mod tests;

/// How often the threads are asked how late they are.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// When to come again for what was shed.
pub(crate) const SHED_RETRY: Millis = Millis::new(1_000);

/// How far work is behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pressure {
    /// It is done in time.
    #[default]
    Normal,
    /// All of it was late for an interval.
    High,
    /// And in spite of what was shed for another one.
    Extreme,
}

/// What counts as late.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// What work may wait; zero sheds nothing.
    pub target: Millis,
    /// How long all of it must have waited longer.
    pub interval: Millis,
}

/// The pressure on one queue, by the waits of what leaves it.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pressure: Pressure,
    window: Option<Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began: Timestamp,
    /// The least wait of what left the queue since then.
    least: Option<Millis>,
}

/// A queue and what is shed while it is behind.
#[derive(Debug)]
pub(crate) struct Shedder {
    queue: Queue,
    /// What goes at a high and at an extreme pressure.
    order: [Shed; 2],
    shedding: Levels<Shed>,
    counts: Table<Shed>,
}

// === impl Bounds ===

impl Bounds {
    /// Those of the limits in force.
    pub(crate) const fn of(limits: &Limits) -> Self {
        Self { target: limits.shed_target, interval: limits.shed_interval }
    }

    fn exceeded_by(self, wait: Millis) -> bool {
        self.target > Millis::new(0) && wait > self.target
    }
}

// === impl Pressure ===

impl Pressure {
    const fn up(self) -> Self {
        match self {
            Self::Normal => Self::High,
            Self::High | Self::Extreme => Self::Extreme,
        }
    }

    const fn down(self) -> Self {
        match self {
            Self::Normal | Self::High => Self::Normal,
            Self::Extreme => Self::High,
        }
    }
}

// === impl Queue ===

impl Queue {
    /// Something left the queue after such a wait.
    pub(crate) fn took(&mut self, wait: Millis, now: Timestamp) {
        let window = self.window.get_or_insert(Window { began: now, least: None });
        window.least = Some(window.least.map_or(wait, |least| least.min(wait)));
    }

    /// Ends the interval if it is over; `oldest` is how long the first in the queue has waited.
    /// Returns when to look again.
    pub(crate) fn look(
        &mut self,
        oldest: Option<Millis>,
        now: Timestamp,
        bounds: Bounds,
    ) -> Option<Timestamp> {
        let mut window = match self.window {
            Some(window) => window,
            None if oldest.is_some() || self.pressure > Pressure::Normal => {
                Window { began: now, least: None }
            }
            None => return None,
        };
        if window.began.has_passed(bounds.interval, now) {
            // Where nothing left, what waits longest tells.
            let wait = window.least.or(oldest);
            let late = wait.is_some_and(|wait| bounds.exceeded_by(wait));
            self.pressure = if late { self.pressure.up() } else { self.pressure.down() };
            window = Window { began: now, least: None };
        }
        let in_time = window.least.is_some_and(|least| !bounds.exceeded_by(least));
        let idle = window.least.is_none() && oldest.is_none();
        // Nothing can come of this interval any more.
        let over = self.pressure == Pressure::Normal && (in_time || idle);
        self.window = (!over).then_some(window);
        self.window.map(|window| window.began.saturating_add(bounds.interval))
    }

    /// The pressure as of the last look.
    pub(crate) const fn pressure(&self) -> Pressure {
        self.pressure
    }
}

// === impl Shedder ===

impl Shedder {
    /// One that sheds the first at a high pressure, and the second as well at an extreme one.
    pub(crate) fn new(shell: &Shell, order: [Shed; 2]) -> Self {
        let metrics = &shell.metrics;
        Self {
            queue: Queue::default(),
            order,
            shedding: metrics.shedding.clone(),
            counts: metrics.shed.clone(),
        }
    }

    /// Something left the queue after such a wait.
    pub(crate) fn took(&mut self, wait: Millis, now: Timestamp) {
        self.queue.took(wait, now);
    }

    /// Looks at the queue, see [`Queue::look`].
    pub(crate) fn look(
        &mut self,
        oldest: Option<Millis>,
        now: Timestamp,
        bounds: Bounds,
    ) -> Option<Timestamp> {
        let before = self.queue.pressure();
        let again = self.queue.look(oldest, now, bounds);
        self.turn(before);
        again
    }

    /// Whether this is shed now.
    pub(crate) fn sheds(&self, what: Shed) -> bool {
        let [first, second] = self.order;
        match self.queue.pressure() {
            Pressure::Normal => false,
            Pressure::High => what == first,
            Pressure::Extreme => what == first || what == second,
        }
    }

    /// Counts that something was shed.
    pub(crate) fn shed(&self, what: Shed) {
        self.counts.inc(what);
    }

    /// Begins anew: what waits from now on is another queue.
    pub(crate) fn reset(&mut self) {
        let before = std::mem::take(&mut self.queue).pressure();
        self.turn(before);
    }

    /// Tells what is shed now and was not, or the other way round.
    fn turn(&self, before: Pressure) {
        let now = self.queue.pressure();
        for (what, at) in self.order.into_iter().zip([Pressure::High, Pressure::Extreme]) {
            match (before >= at, now >= at) {
                (false, true) => {
                    tracing::warn!(what = what.word(), "work is late: this is shed");
                    self.shedding.inc(what);
                }
                (true, false) => {
                    tracing::info!(what = what.word(), "this is no longer shed");
                    self.shedding.dec(what);
                }
                (true, true) | (false, false) => {}
            }
        }
    }
}

impl Drop for Shedder {
    fn drop(&mut self) {
        self.reset();
    }
}

// === impl Shell ===

impl Shell {
    /// Whether this is shed by the whole node; counts it if so.
    pub(crate) fn sheds(&self, what: Shed) -> bool {
        let sheds = self.metrics.shedding.get(what) > 0;
        if sheds {
            self.metrics.shed.inc(what);
        }
        sheds
    }
}

/// Asks the threads again and again how late they come to what is due.
pub(crate) async fn watch_threads(shell: Arc<Shell>) {
    let mut shedder = Shedder::new(&shell, [Shed::Pages, Shed::Sockets]);
    loop {
        let due = clock::monotonic() + ASK_EVERY;
        let slept = shell.stop.run_until_cancelled(tokio::time::sleep(ASK_EVERY)).await;
        if slept.is_none() {
            return;
        }
        let late = clock::monotonic().saturating_duration_since(due).as_millis();
        let (late, now) = (Millis::new(u64::try_from(late).unwrap_or(u64::MAX)), shell.now());
        shedder.took(late, now);
        shedder.look(None, now, Bounds::of(&shell.live.get().limits));
    }
}
