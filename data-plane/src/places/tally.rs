//! What one node knows of one thing that is counted: a machine. Sockets take
//! places and give them back, the store is told, and its answers say how many of
//! those that wait get a place.

use crate::store::{Held, PLACES_KEPT, Wanted};
use std::time::{Duration, Instant};

/// How many may wait for one answer of the store; more go into the next.
const ASKED_MAX: usize = 256;

/// How many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    /// In the whole cluster.
    pub max: u32,
    /// Whether nobody is kept out, and it is only told who would be.
    pub dry_run: bool,
}

/// What somebody who waited gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// A place within the bound.
    Within,
    /// A place beyond it, as it is only tried.
    Beyond,
    /// None.
    None,
}

/// A question to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    /// What it asks for, but for whether silent nodes count as gone.
    pub(super) wanted: Wanted,
    /// How many wait for the answer.
    pub(super) asked: usize,
    bound: Bound,
}

/// The places of one node.
#[derive(Debug)]
pub(super) struct Tally {
    /// Those that sockets have.
    held: u32,
    /// Those that the store has noted.
    told: u32,
    /// The store may have noted another number.
    unsure: bool,
    /// They are counted over the cluster at present.
    counted: bool,
    /// When the store last noted them, or was first to.
    noted_at: Instant,
}

// === impl Tally ===

impl Tally {
    pub(super) fn new(now: Instant) -> Self {
        Self { held: 0, told: 0, unsure: false, counted: false, noted_at: now }
    }

    pub(super) fn held(&self) -> u32 {
        self.held
    }

    /// Takes a place of which there are enough.
    pub(super) fn take(&mut self) {
        self.held += 1;
    }

    pub(super) fn give_back(&mut self) {
        self.held = self.held.saturating_sub(1);
    }

    /// Counts over the cluster from now on, or no more.
    pub(super) fn count(&mut self, counted: bool) {
        self.counted = counted;
    }

    /// The store may have forgotten.
    pub(super) fn doubt(&mut self) {
        self.unsure |= self.told > 0 || self.counted && self.held > 0;
    }

    /// Doubts what was noted long ago; what could not be noted at all is void by now.
    pub(super) fn grow_old(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.noted_at);
        let kept = Duration::from_millis(PLACES_KEPT.get());
        if age >= kept && self.target() == 0 {
            (self.told, self.unsure) = (0, false);
        } else if age >= kept / 3 {
            self.doubt();
        }
    }

    /// Whether the store has to be told something, though nobody waits.
    pub(super) fn is_behind(&self) -> bool {
        self.unsure || self.told != self.target()
    }

    /// Whether nothing would be lost with it.
    pub(super) fn is_over(&self) -> bool {
        self.held == 0 && !self.is_behind()
    }

    /// Whether there is certainly no place: this node alone holds as many.
    pub(super) fn is_full(&self, bound: Bound) -> bool {
        !bound.dry_run && self.held >= bound.max
    }

    /// What to ask the store; nothing where it knows all and nobody waits.
    pub(super) fn ask(&mut self, waiting: usize, bound: Bound) -> Option<Question> {
        let asked = waiting.min(ASKED_MAX);
        if asked == 0 {
            let least = self.target();
            let wanted = Wanted { least, most: least, max: u32::MAX, buries: false };
            return self.is_behind().then_some(Question { wanted, asked, bound });
        }
        self.counted = true;
        let most = self.held.saturating_add(u32::try_from(asked).unwrap_or(u32::MAX));
        let max = if bound.dry_run { u32::MAX } else { bound.max };
        let wanted = Wanted { least: self.held, most, max, buries: false };
        Some(Question { wanted, asked, bound })
    }

    /// Takes in the store's answer, and answers those who waited for it.
    pub(super) fn settle(&mut self, question: Question, held: Held, now: Instant) -> Vec<Answer> {
        (self.told, self.unsure, self.noted_at) = (held.mine, false, now);
        let free = held.mine.saturating_sub(question.wanted.least);
        self.give(question, free, held.others)
    }

    /// The store gives no answer: a place is given by what this node alone holds, for the store is
    /// no reason to keep anybody out.
    pub(super) fn settle_alone(&mut self, question: Question) -> Vec<Answer> {
        self.unsure = true;
        let free = question.wanted.max.saturating_sub(self.held);
        self.give(question, free, 0)
    }

    fn give(&mut self, question: Question, mut free: u32, others: u32) -> Vec<Answer> {
        let max = question.bound.max;
        let answers = (0..question.asked).map(|_| {
            if free == 0 {
                return Answer::None;
            }
            free -= 1;
            self.held += 1;
            let beyond = self.held.saturating_add(others) > max;
            if beyond && question.bound.dry_run { Answer::Beyond } else { Answer::Within }
        });
        answers.collect()
    }

    /// What the store should have noted.
    fn target(&self) -> u32 {
        if self.counted { self.held } else { 0 }
    }
}
