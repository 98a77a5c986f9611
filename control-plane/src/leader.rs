//! Which replica of the control plane acts. A pure machine: events in, actions
//! out.
//!
//! ```text
//!             Ask: mine                      2 s without an answer
//!   Follows ------------> Leads (a new term) ---------------------> Paused
//!      ^                    |  ^------------------------------------- |
//!      |   Ask: another's   |        Ask: mine, the same term         |
//!      +--------------------+-----------------------------------------+
//! ```
//!
//! The lease in the store lasts three seconds from the moment that the store
//! grants it; its holder acts for two from the moment that it asked. So a
//! leader has stopped before another can begin, unless it stands still in
//! between; and then the store refuses its term. A paused leader keeps what it
//! knows: if nobody led meanwhile, all of it is still true.
//!
//! Followers learn that a lease is free by asking for it ten times a second.
//! A message on a channel would be a little sooner and could be lost, so that
//! the question would be needed all the same.

use crate::store::Candidate;
use gavel_rules::{
    order::Term,
    time::{Millis, Timestamp},
};

#[cfg(test)]
mod tests;

/// For so long after it asked, a replica acts on the lease that it got.
const ACT: Millis = Millis::new(2_000);
/// Time between two renewals.
const RENEWAL: Millis = Millis::new(1_000);
/// Time between two looks at a lease that another holds, and between two tries
/// of a renewal.
const LOOK: Millis = Millis::new(100);

const _: () = assert!(ACT.get() < crate::store::LEASE.get() && RENEWAL.get() < ACT.get());

/// The part that this replica plays.
#[derive(Debug)]
pub(crate) struct Election {
    part: Part,
    /// When the question was asked that has no answer yet.
    asked_at: Option<Timestamp>,
    /// When to ask next.
    ask_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Follows(Option<Leads>),
    Leads { term: Term, until: Timestamp },
    Paused { term: Term },
    Resigned,
}

/// A replica and the term that it leads under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leads {
    pub(crate) leader: Candidate,
    pub(crate) term: Term,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// This replica holds the lease.
    Mine(Term),
    /// Another holds it.
    Anothers(Leads),
    /// The store gave no answer.
    NoAnswer,
    /// The store refused a change, since there is a later leader.
    Fenced,
    /// What is needed to lead could not be had.
    Failed,
    /// The process stops.
    Stop,
    /// Time passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ask the store for the lease, or for its renewal under this term.
    Ask { term: Option<Term> },
    /// Begin to lead, from what the store holds.
    Lead { term: Term },
    /// Stop acting, and keep what is known.
    Pause,
    /// Go on acting.
    Resume,
    /// Drop what was known as a leader; follow this one, if one is known.
    Follow(Option<Leads>),
    /// Stop acting, then give the lease back.
    Resign { term: Term },
}

// === impl Election ===

impl Election {
    /// A replica that knows of no leader.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { part: Part::Follows(None), asked_at: None, ask_at: now }
    }

    /// Takes one event; returns when to come again with a [`Event::Tick`].
    pub(crate) fn step(
        &mut self,
        event: Event,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) -> Option<Timestamp> {
        if self.part == Part::Resigned {
            return None;
        }
        match event {
            Event::Mine(term) => self.mine(term, now, actions),
            Event::Anothers(leads) => {
                self.answered(now, LOOK);
                self.follow(Some(leads), actions);
            }
            Event::NoAnswer => self.answered(now, LOOK),
            Event::Fenced => self.depose(now, actions),
            Event::Failed => {
                if let Some(term) = self.term() {
                    actions.push(Action::Resign { term });
                }
                self.depose(now.saturating_add(RENEWAL), actions);
            }
            Event::Stop => {
                if let Some(term) = self.term() {
                    actions.push(Action::Resign { term });
                }
                self.part = Part::Resigned;
                return None;
            }
            Event::Tick => {}
        }
        self.pause(now, actions);
        if self.asked_at.is_none() && self.ask_at <= now {
            self.asked_at = Some(now);
            actions.push(Action::Ask { term: self.term() });
        }
        self.next_wake()
    }

    fn mine(&mut self, term: Term, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(asked_at) = self.asked_at else { return };
        let until = asked_at.saturating_add(ACT);
        if until <= now {
            // An answer from so long ago says nothing about now.
            return self.answered(now, Millis::default());
        }
        self.answered(asked_at, RENEWAL);
        match &self.part {
            Part::Leads { term: held, .. } if *held == term => {}
            Part::Paused { term: held } if *held == term => actions.push(Action::Resume),
            Part::Follows(_) | Part::Leads { .. } | Part::Paused { .. } | Part::Resigned => {
                actions.push(Action::Lead { term });
            }
        }
        self.part = Part::Leads { term, until };
    }

    fn follow(&mut self, leads: Option<Leads>, actions: &mut Vec<Action>) {
        let part = Part::Follows(leads.clone());
        if self.part != part {
            self.part = part;
            actions.push(Action::Follow(leads));
        }
    }

    /// No longer leads, and asks who does.
    fn depose(&mut self, ask_at: Timestamp, actions: &mut Vec<Action>) {
        if self.term().is_some() {
            self.follow(None, actions);
            self.ask_at = ask_at;
        }
    }

    fn pause(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if let Part::Leads { term, until } = self.part
            && until <= now
        {
            self.part = Part::Paused { term };
            actions.push(Action::Pause);
        }
    }

    fn answered(&mut self, from: Timestamp, pause: Millis) {
        self.asked_at = None;
        self.ask_at = from.saturating_add(pause);
    }

    /// The term that this replica has, acting or not.
    fn term(&self) -> Option<Term> {
        match self.part {
            Part::Leads { term, .. } | Part::Paused { term } => Some(term),
            Part::Follows(_) | Part::Resigned => None,
        }
    }

    fn next_wake(&self) -> Option<Timestamp> {
        let ask = self.asked_at.is_none().then_some(self.ask_at);
        let pause = match self.part {
            Part::Leads { until, .. } => Some(until),
            Part::Follows(_) | Part::Paused { .. } | Part::Resigned => None,
        };
        ask.into_iter().chain(pause).min()
    }
}
