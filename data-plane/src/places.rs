//! Places for sockets of an address, of a user and in a room, which are counted
//! over the whole cluster. A place is held by a guard, so that it falls by
//! whatever path a socket ends.
//!
//! ```text
//! take() -> Tally -> one question at a time -> store.hold() -> Tally -> Place, or none
//! drop(Place) -> Tally -> the store is told the new number
//! ```
//!
//! The store is told how many places this run of the node holds, never to add
//! or to take away one: a call that is repeated or lost changes nothing that
//! the next does not put right. Everybody who comes while a question is out
//! goes into the next. Without an answer the node counts by itself.

use crate::{
    contact::Contact,
    node::Shell,
    settings::Limits,
    store::{Counted, Holder, RoomStore, Wanted},
};
use gavel_runtime::{clock, tasks};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{runtime::Handle, sync::oneshot};

mod tally;
#[cfg(test)]
mod tests;

pub(crate) use tally::Bound;
use tally::{Answer, Tally};

/// How often the node looks for what the store does not know or may forget.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(1);
/// Of how many things it is told again at a time.
const RENEWED_MAX: usize = 5_000;
/// Things that may be counted here; beyond it what nobody holds any more is
/// forgotten, though the store has yet to be told.
const SLOTS_MAX: usize = 131_072;

/// What this node has given to sockets.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Arc<dyn RoomStore>,
    contact: Arc<Contact>,
    holder: Holder,
    /// Places that were given without an answer of the store.
    alone: Counter,
    slots: Mutex<HashMap<Counted, Arc<Slot>>>,
}

/// One thing that is counted.
#[derive(Debug)]
struct Slot {
    counted: Counted,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tally: Tally,
    waiting: VecDeque<oneshot::Sender<Outcome>>,
    /// What those who wait go by: the newest setting.
    bound: Bound,
    /// A task asks the store.
    busy: bool,
}

/// A place; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
}

/// What became of somebody who wanted a place.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// There is one.
    Within(Place),
    /// There is none; a place all the same where the limit is only tried.
    Beyond(Option<Place>),
}

// === impl Places ===

impl Places {
    /// The places of a run of a node, which has none so far.
    pub(crate) fn new(
        store: Arc<dyn RoomStore>,
        contact: Arc<Contact>,
        holder: Holder,
        alone: Counter,
    ) -> Self {
        let slots = Mutex::default();
        Self { shared: Arc::new(Shared { store, contact, holder, alone, slots }) }
    }

    /// Takes a place of something that has no limit at present.
    pub(crate) fn take_any(&self, counted: Counted) -> Place {
        let mut slots = self.shared.slots.lock();
        let slot = Shared::slot(&mut slots, counted);
        let mut state = slot.state.lock();
        state.tally.take();
        drop(state);
        drop(slots);
        Place { shared: Arc::clone(&self.shared), slot }
    }

    /// Takes a place, if there is one in the whole cluster.
    pub(crate) async fn take(&self, counted: Counted, bound: Bound) -> Outcome {
        let (sender, receiver) = oneshot::channel();
        let (slot, is_idle) = {
            let mut slots = self.shared.slots.lock();
            let slot = Shared::slot(&mut slots, counted);
            let mut state = slot.state.lock();
            if state.tally.is_full(bound) {
                return Outcome::Beyond(None);
            }
            state.bound = bound;
            state.waiting.push_back(sender);
            let is_idle = !std::mem::replace(&mut state.busy, true);
            drop(state);
            (slot, is_idle)
        };
        if is_idle {
            self.shared.work(slot);
        }
        receiver.await.unwrap_or(Outcome::Beyond(None))
    }

    /// Tells the store everything again, bit by bit: it may have forgotten, or
    /// others may have taken this node for gone.
    pub(crate) fn announce(&self) {
        for slot in self.shared.slots.lock().values() {
            slot.state.lock().tally.doubt();
        }
    }

    /// Addresses that have a place here.
    pub(crate) fn addresses(&self) -> usize {
        let slots = self.shared.slots.lock();
        let addresses = slots.values().filter(|slot| matches!(slot.counted, Counted::Address(_)));
        addresses.filter(|slot| slot.state.lock().tally.held() > 0).count()
    }

    /// Counts over the cluster what has a limit, and only that.
    fn limits_changed(&self, limits: &Limits) {
        for slot in self.shared.slots.lock().values() {
            let max = match slot.counted {
                Counted::Address(_) => limits.sockets_per_ip_max,
                Counted::User(_) => limits.sockets_per_user_max,
                Counted::Room(_) => limits.sockets_per_room_max,
            };
            slot.state.lock().tally.count(max > 0);
        }
    }

    /// Tells the store what it does not know, and again what it may soon forget.
    fn renew(&self) {
        let now = clock::monotonic();
        let mut behind = Vec::new();
        let mut slots = self.shared.slots.lock();
        slots.retain(|_, slot| {
            let mut state = slot.state.lock();
            state.tally.grow_old(now);
            let is_free = !state.busy && state.waiting.is_empty();
            if is_free && state.tally.is_behind() && behind.len() < RENEWED_MAX {
                state.busy = true;
                behind.push(Arc::clone(slot));
            }
            !(is_free && state.tally.is_over())
        });
        drop(slots);
        for slot in behind {
            self.shared.work(slot);
        }
    }
}

/// Keeps the store's notes what they should be, until the node stops.
pub(crate) async fn run(shell: Arc<Shell>) {
    let mut settings = shell.live.watch();
    let mut tick = tokio::time::interval(RENEWAL_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            // The sender lives as long as the node.
            changed = settings.changed() => if changed.is_err() { return },
            () = shell.stop.cancelled() => return,
        }
        let limits = settings.borrow_and_update().clone();
        shell.places.limits_changed(&limits.limits);
        if shell.contact.is_there() {
            shell.places.renew();
        }
    }
}

// === impl Shared ===

impl Shared {
    fn slot(slots: &mut HashMap<Counted, Arc<Slot>>, counted: Counted) -> Arc<Slot> {
        let slot = slots.entry(counted).or_insert_with_key(|counted| {
            let state = State {
                tally: Tally::new(clock::monotonic()),
                waiting: VecDeque::new(),
                bound: Bound { max: 0, dry_run: false },
                busy: false,
            };
            Arc::new(Slot { counted: counted.clone(), state: Mutex::new(state) })
        });
        Arc::clone(slot)
    }

    /// Starts the task that asks the store about a slot; there is one at a time.
    fn work(self: &Arc<Self>, slot: Arc<Slot>) {
        let shared = Arc::clone(self);
        drop(tasks::spawn("places", async move {
            while shared.step(&slot).await {}
            shared.forget(&slot);
        }));
    }

    /// Asks once; false when there is nothing to ask, or no answer and nobody waits.
    async fn step(self: &Arc<Self>, slot: &Arc<Slot>) -> bool {
        let question = {
            let mut state = slot.state.lock();
            let (waiting, bound) = (state.waiting.len(), state.bound);
            let question = state.tally.ask(waiting, bound);
            state.busy = question.is_some();
            question
        };
        let Some(question) = question else { return false };
        let wanted = Wanted { buries: self.contact.is_steady(), ..question.wanted };
        let held = self.store.hold(&slot.counted, &self.holder, wanted).await;
        let mut state = slot.state.lock();
        let answers = match &held {
            Ok(held) => state.tally.settle(question, *held, clock::monotonic()),
            Err(error) => {
                tracing::debug!(%error, "places are counted here alone");
                self.alone.inc_by(u64::try_from(question.asked).unwrap_or(0));
                state.tally.settle_alone(question)
            }
        };
        let asked = question.asked.min(state.waiting.len());
        let waited: Vec<_> = state.waiting.drain(..asked).collect();
        let goes_on = held.is_ok() || !state.waiting.is_empty();
        state.busy = goes_on;
        drop(state);
        for (waiter, answer) in waited.into_iter().zip(answers) {
            // Who does not wait any more gives the place back by dropping it.
            drop(waiter.send(self.outcome(slot, answer)));
        }
        goes_on
    }

    fn outcome(self: &Arc<Self>, slot: &Arc<Slot>, answer: Answer) -> Outcome {
        let place = || Place { shared: Arc::clone(self), slot: Arc::clone(slot) };
        match answer {
            Answer::Within => Outcome::Within(place()),
            Answer::Beyond => Outcome::Beyond(Some(place())),
            Answer::None => Outcome::Beyond(None),
        }
    }

    /// Forgets a slot that nobody needs.
    fn forget(&self, slot: &Arc<Slot>) {
        let mut slots = self.slots.lock();
        // There may be another of the same name by now.
        if !slots.get(&slot.counted).is_some_and(|held| Arc::ptr_eq(held, slot)) {
            return;
        }
        let is_over = {
            let state = slot.state.lock();
            let is_free = !state.busy && state.waiting.is_empty();
            let too_many = slots.len() > SLOTS_MAX && state.tally.held() == 0;
            is_free && (state.tally.is_over() || too_many)
        };
        if is_over {
            slots.remove(&slot.counted);
        }
    }
}

// === impl Place ===

impl Place {
    /// Whether it is one of these.
    pub(crate) fn is_of(&self, counted: &Counted) -> bool {
        self.slot.counted == *counted
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.slot.state.lock();
        state.tally.give_back();
        if state.busy {
            return;
        }
        // Where the process ends there is nobody to tell the store; the run's end will.
        state.busy = state.tally.is_behind() && Handle::try_current().is_ok();
        let is_busy = state.busy;
        drop(state);
        if is_busy {
            self.shared.work(Arc::clone(&self.slot));
        } else {
            self.shared.forget(&self.slot);
        }
    }
}
