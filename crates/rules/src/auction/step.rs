//! The decisions: what comes in, what is to be stored and answered.

use super::{
    Accepted, Auction, AuctionState, BIDS_MAX, Bid, Draft, Event, EventKind, ExtensionMode,
    Outcome, RejectReason, Rejected, Verdict,
    fold::{Standing, accepted},
};
use crate::{
    amount::Amount,
    time::{Millis, Timestamp},
};
use alloc::{boxed::Box, string::String, vec::Vec};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Somebody bids.
    Bid {
        /// The bid.
        bid: Bid,
        /// Returned with the answer.
        token: u64,
    },
    /// What flags say of rounds that open from now on. It takes no decision.
    Flags {
        /// What late bids count from; none leaves that to the rules.
        soft_close: Option<ExtensionMode>,
    },
    /// Time passed.
    Tick,
    /// Bids can be taken again, after an outage; before anything else is
    /// decided.
    Outage {
        /// When it is last known that they could be taken.
        since: Timestamp,
    },
    /// An administrator pauses.
    Pause {
        /// Why.
        reason: String,
    },
    /// An administrator resumes.
    Resume,
    /// An administrator closes.
    Close,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Store this event, with the others of the draft.
    Append(Event),
    /// Answer a bid, once the draft as of now is stored.
    Answer {
        /// Which bid.
        token: u64,
        /// The answer.
        verdict: Verdict,
    },
    /// An administrator's wish cannot be met.
    Refused(CommandError),
}

/// Why an administrator's wish cannot be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Only an open auction pauses.
    #[error("only an open auction can be paused")]
    NotOpen,
    /// Only a paused auction resumes.
    #[error("only a paused auction can be resumed")]
    NotPaused,
    /// It is closed already.
    #[error("the auction is closed")]
    AlreadyClosed,
    /// Bids wait to be stored first.
    #[error("a decision is on its way; try again")]
    Busy,
}

/// When, by the store's clock, events may be stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guard {
    /// Not earlier than this.
    pub not_before: Option<Timestamp>,
    /// Earlier than this.
    pub not_after: Option<Timestamp>,
}

// === impl Auction ===

impl Auction {
    /// Takes one input at `now`, by the auction clock. What is to be stored is
    /// proposed on the draft; returns when to come again with a
    /// [`Input::Tick`].
    pub fn step(
        &mut self,
        input: Input,
        now: Timestamp,
        actions: &mut Vec<Action>,
    ) -> Option<Timestamp> {
        match input {
            Input::Bid { bid, token } => {
                let verdict = self.bid(bid, now, actions);
                actions.push(Action::Answer { token, verdict });
            }
            Input::Flags { soft_close } => self.soft_close = soft_close,
            Input::Tick => self.tick(now, actions),
            Input::Outage { since } => self.credit(since, now, actions),
            Input::Pause { reason } => self.pause(reason, now, actions),
            Input::Resume => self.resume(now, actions),
            Input::Close => self.close_by_hand(now, actions),
        }
        self.standing().wake_at()
    }

    fn standing(&self) -> &Standing {
        self.draft.as_ref().map_or(&self.stored.standing, |draft| &draft.standing)
    }

    /// Opens, closes and reopens when it is time; alone in its draft.
    fn tick(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if self.draft.is_some() {
            return;
        }
        let standing = self.standing();
        let Some(due) = standing.wake_at().filter(|due| *due <= now) else { return };
        let kind = match standing.state {
            AuctionState::Scheduled => {
                // A hard close has no mode that could be another.
                let soft_close = self.soft_close.filter(|_| standing.extension().is_some());
                EventKind::Opened { closes_at: standing.closes_at, soft_close }
            }
            AuctionState::Open => EventKind::Closed { outcome: standing.settle() },
            AuctionState::Closed => {
                let length = standing
                    .rules
                    .as_ref()
                    .map(|rules| rules.closes_at.since(rules.opens_at))
                    .unwrap_or_default();
                EventKind::Reopened { opens_at: now, closes_at: now.saturating_add(length) }
            }
            AuctionState::Paused => return,
        };
        self.propose(kind, now, Guard { not_before: Some(due), not_after: None }, actions);
    }

    /// Gives the outage back as far as the policy goes; a due opening, which
    /// it held up as well, comes first.
    fn credit(&mut self, since: Timestamp, now: Timestamp, actions: &mut Vec<Action>) {
        if self.draft.is_some() || self.standing().credit(since, now).is_none() {
            return;
        }
        if self.standing().state == AuctionState::Scheduled {
            self.tick(now, actions);
        }
        if let Some((since, closes_at)) = self.standing().credit(since, now) {
            let kind = EventKind::Credited { since, closes_at };
            let guard = Guard { not_before: Some(now), not_after: None };
            self.propose(kind, now, guard, actions);
            // Also behind an opening: no clock but the store's says how long it was.
            if let Some(draft) = &mut self.draft {
                draft.guard = guard;
            }
        }
    }

    fn bid(&mut self, bid: Bid, now: Timestamp, actions: &mut Vec<Action>) -> Verdict {
        // Before any rule: the retry of an accepted bid is no new bid.
        if let Some(bid) = self.answer_for(&bid.bidder, &bid.bid_id) {
            return Verdict::Accepted(bid);
        }
        let standing = self.standing();
        let minimum_next = standing.rules.as_ref().map(|rules| {
            // Where no amount is a step more, the next bid is refused whatever it is.
            rules.minimum_after(bid.amount).unwrap_or(Amount::MAX)
        });
        let reason = match (standing.refusal(&bid, now), minimum_next) {
            (Some(reason), _) => Some(reason),
            (None, None) => Some(RejectReason::NotOpen),
            (None, Some(_)) if self.draft.as_ref().is_some_and(|draft| !draft.bids) => {
                Some(RejectReason::Unavailable)
            }
            (None, Some(_)) => None,
        };
        if let Some(reason) = reason {
            return Verdict::Rejected(standing.rejected(bid, reason, now));
        }
        let extended_to = standing
            .extension()
            .and_then(|extension| extension.extended(standing.closes_at, now, standing.extensions));
        // The first closing time guards the whole draft: no bid of it may be
        // stored after it, whatever the bids before it in the draft extended.
        let guard = Guard { not_before: None, not_after: Some(self.stored.standing.closes_at) };
        let kind = EventKind::BidAccepted {
            bidder: bid.bidder,
            bid_id: bid.bid_id,
            amount: bid.amount,
            minimum_next: minimum_next.unwrap_or(Amount::MAX),
            extended_to,
            flags: bid.flags,
            limits: bid.limits,
        };
        let accepted = self.propose(kind, now, guard, actions);
        accepted.map_or_else(|| unreachable!("a bid was proposed"), Verdict::Accepted)
    }

    fn pause(&mut self, reason: String, now: Timestamp, actions: &mut Vec<Action>) {
        let refused = self.refuses(AuctionState::Open, CommandError::NotOpen, now);
        match refused {
            Some(error) => actions.push(Action::Refused(error)),
            None => {
                let not_after = Some(self.standing().closes_at);
                let guard = Guard { not_before: None, not_after };
                self.propose(EventKind::Paused { reason }, now, guard, actions);
            }
        }
    }

    fn resume(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        match self.refuses(AuctionState::Paused, CommandError::NotPaused, now) {
            Some(error) => actions.push(Action::Refused(error)),
            None => {
                let standing = self.standing();
                let credit = now.since(standing.paused_at);
                let closes_at = standing.closes_at.saturating_add(credit);
                self.propose(EventKind::Resumed { closes_at }, now, Guard::default(), actions);
            }
        }
    }

    fn close_by_hand(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let error = if self.draft.is_some() {
            Some(CommandError::Busy)
        } else if self.standing().state == AuctionState::Closed || self.rules().is_none() {
            Some(CommandError::AlreadyClosed)
        } else {
            None
        };
        match error {
            Some(error) => actions.push(Action::Refused(error)),
            None => {
                let outcome = self.standing().settle();
                self.propose(EventKind::Closed { outcome }, now, Guard::default(), actions);
            }
        }
    }

    /// Why a command that needs `state` cannot be done at `now`.
    fn refuses(
        &self,
        state: AuctionState,
        otherwise: CommandError,
        now: Timestamp,
    ) -> Option<CommandError> {
        let standing = self.standing();
        let over = standing.state == AuctionState::Open && standing.closes_at <= now;
        if self.draft.is_some() {
            Some(CommandError::Busy)
        } else if standing.state != state || over {
            Some(otherwise)
        } else {
            None
        }
    }

    /// Puts an event on the draft; returns its answer if it is a bid.
    fn propose(
        &mut self,
        kind: EventKind,
        now: Timestamp,
        guard: Guard,
        actions: &mut Vec<Action>,
    ) -> Option<Accepted> {
        let standing = &self.stored.standing;
        let bids = matches!(kind, EventKind::BidAccepted { .. });
        let draft = self.draft.get_or_insert_with(|| {
            let standing = standing.clone();
            Box::new(Draft { standing, accepted: Vec::new(), events: Vec::new(), guard, bids })
        });
        let event = Event { seq: draft.standing.seq.next(), at: now, kind };
        let folded = draft.standing.apply(&event);
        debug_assert!(folded.is_ok(), "a proposed event folds: {folded:?}");
        let accepted = accepted(&event);
        draft.accepted.extend(accepted.clone());
        draft.events.push(event.clone());
        actions.push(Action::Append(event));
        accepted
    }
}

// === impl Standing ===

impl Standing {
    /// When the clock has something to say.
    fn wake_at(&self) -> Option<Timestamp> {
        let rules = self.rules.as_ref()?;
        match self.state {
            AuctionState::Scheduled => Some(self.opens_at),
            AuctionState::Open => Some(self.closes_at),
            AuctionState::Paused => None,
            AuctionState::Closed => self.closed_at.checked_add(rules.reopen_after?),
        }
    }

    /// From when an outage until `now` counts, and when the auction closes
    /// with it credited; none where nothing is to be credited.
    fn credit(&self, since: Timestamp, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let policy = self.rules.as_ref()?.outage_credit?;
        let serves = match self.state {
            AuctionState::Open => true,
            AuctionState::Scheduled => self.opens_at <= now,
            AuctionState::Paused | AuctionState::Closed => false,
        };
        let since = since.max(self.served_until).max(self.opens_at);
        // What had run out before the outage began has lost nothing.
        if !serves || since >= self.closes_at {
            return None;
        }
        let credit = policy.credit(since, now, self.credited)?;
        // At the end of time nothing can be moved: it would be credited again and again.
        Some((since, self.closes_at.checked_add(credit)?))
    }

    /// Why the bid cannot be accepted at `now`, if it cannot.
    fn refusal(&self, bid: &Bid, now: Timestamp) -> Option<RejectReason> {
        let seller = self.rules.as_ref().and_then(|rules| rules.seller.as_ref());
        let holds = self.high_bid.as_ref().is_some_and(|(bidder, _)| *bidder == bid.bidder);
        match self.state {
            AuctionState::Scheduled => Some(RejectReason::NotOpen),
            AuctionState::Paused => Some(RejectReason::Paused),
            AuctionState::Closed => Some(RejectReason::Closed),
            AuctionState::Open if now >= self.closes_at => Some(RejectReason::Closed),
            AuctionState::Open if seller == Some(&bid.bidder) => Some(RejectReason::Seller),
            AuctionState::Open if bid.amount == Amount::ZERO => Some(RejectReason::InvalidAmount),
            AuctionState::Open if holds => Some(RejectReason::OwnBid),
            AuctionState::Open if bid.amount < self.minimum => Some(RejectReason::TooLow),
            // Near the top of the range no amount is a whole step more.
            AuctionState::Open if self.is_at_top() => Some(RejectReason::TooLow),
            AuctionState::Open if self.bid_count >= BIDS_MAX => Some(RejectReason::TooManyBids),
            AuctionState::Open => None,
        }
    }

    /// Whether there is a bid that none can exceed by the increment.
    fn is_at_top(&self) -> bool {
        let after = |(_, amount): &(_, Amount)| self.rules.as_ref()?.minimum_after(*amount);
        self.high_bid.as_ref().is_some_and(|high| after(high).is_none())
    }

    fn rejected(&self, bid: Bid, reason: RejectReason, now: Timestamp) -> Rejected {
        Rejected {
            bid_id: bid.bid_id,
            reason,
            current: self.price(),
            minimum: self.minimum,
            seq: self.seq,
            at: now,
            retry_after: self.opens_in(now),
        }
    }

    /// How long until bids are taken, where the clock alone brings that about.
    fn opens_in(&self, now: Timestamp) -> Option<Millis> {
        match self.state {
            AuctionState::Scheduled | AuctionState::Closed => {
                self.wake_at().map(|opens_at| opens_at.since(now))
            }
            AuctionState::Open | AuctionState::Paused => None,
        }
    }

    /// How the auction ends as it stands.
    fn settle(&self) -> Outcome {
        match &self.high_bid {
            None => Outcome::NoBids,
            Some(_) if self.reserve_met() == Some(false) => Outcome::ReserveNotMet,
            Some((winner, amount)) => Outcome::Sold { winner: winner.clone(), amount: *amount },
        }
    }
}
