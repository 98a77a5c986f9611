//! What each kind of event may do to an auction.

use super::{Checked, Moment, Money, Replay};
use crate::{
    amount::Amount,
    auction::{AuctionRules, AuctionState, Event, EventKind, ExtensionMode, Outcome},
    audit::{
        Invariant,
        violation::{money, result, told},
    },
    order::Seq,
    time::{Millis, Timestamp},
};
use alloc::{format, string::String};

// === impl Replay ===

impl<'a> Replay<'a> {
    pub(super) fn step(
        &mut self,
        place: usize,
        event: &'a Event,
        moment: &mut Moment<'a>,
    ) -> Checked {
        let created = matches!(event.kind, EventKind::Created { .. });
        if created != (event.seq == Seq::new(1)) {
            let found = told(event);
            return self.broken(Invariant::OneOrder, found, "the creation is seq 1 and no other");
        }
        if !matches!(event.kind, EventKind::BidAccepted { .. }) {
            self.turns.push(event.seq);
        }
        self.change(place, event, moment)?;
        let late_opening = matches!(event.kind, EventKind::Opened { .. });
        let served_until = if late_opening { moment.opens_at } else { Some(event.at) };
        moment.served_until = moment.served_until.max(served_until);
        Ok(())
    }

    fn change(&mut self, place: usize, event: &'a Event, moment: &mut Moment<'a>) -> Checked {
        match &event.kind {
            EventKind::Created { rules } => {
                self.rules = Some(rules);
                *moment = Moment::new_round(rules, rules.opens_at, rules.closes_at, 0);
                Ok(())
            }
            EventKind::Opened { closes_at, soft_close } => {
                self.open(event, *closes_at, moment)?;
                self.pin(event, *soft_close, moment)
            }
            EventKind::BidAccepted { .. } => self.bid(place, event, moment),
            EventKind::Paused { .. } => self.pause(event, moment),
            EventKind::Resumed { closes_at } => self.resume(event, *closes_at, moment),
            EventKind::Credited { since, closes_at } => {
                self.credit(event, *since, *closes_at, moment)
            }
            EventKind::Closed { outcome } => self.close(event, outcome, moment),
            EventKind::Reopened { opens_at, closes_at } => {
                self.reopen(event, *opens_at, *closes_at, moment)
            }
        }
    }

    fn open(&self, event: &Event, closes_at: Timestamp, moment: &mut Moment<'_>) -> Checked {
        self.wants(event, moment, AuctionState::Scheduled)?;
        if let Some(opens_at) = moment.opens_at.filter(|opens_at| event.at < *opens_at) {
            let against = format!("bidding opens at {opens_at}");
            return self.broken(Invariant::InTime, told(event), against);
        }
        self.wants_close_at(event, closes_at, moment.closes_at)?;
        (moment.state, moment.closes_at) = (Some(AuctionState::Open), Some(closes_at));
        Ok(())
    }

    /// What a flag had when bidding opened holds for the round.
    fn pin(
        &self,
        event: &Event,
        soft_close: Option<ExtensionMode>,
        moment: &mut Moment<'_>,
    ) -> Checked {
        let hard = self.rules.is_some_and(|rules| rules.extension.is_none());
        if hard && soft_close.is_some() {
            return self.broken(
                Invariant::InTime,
                told(event),
                "its rules let no bid move the close",
            );
        }
        moment.soft_close = Some(soft_close);
        Ok(())
    }

    fn bid(&mut self, place: usize, event: &'a Event, moment: &mut Moment<'a>) -> Checked {
        let EventKind::BidAccepted { bidder, bid_id, amount, minimum_next, extended_to, .. } =
            &event.kind
        else {
            return Ok(());
        };
        self.wants(event, moment, AuctionState::Open)?;
        self.wants_before_close(event, moment)?;
        if self.rules.is_some_and(|rules| rules.seller.as_ref() == Some(bidder)) {
            return self.broken(Invariant::NoPhantom, told(event), "the seller may not bid");
        }
        self.check_amount(event, *amount, *minimum_next, moment)?;
        self.check_extension(event, *extended_to, moment)?;

        let round = moment.round;
        let places = self.places_by_bid.entry((bidder, bid_id)).or_default();
        let same_round = |place: &&usize| {
            self.moments.get(**place).is_some_and(|accepted| accepted.round == round)
        };
        if let Some(twin) = places.last().filter(same_round) {
            let twin = self.stream.events.get(*twin).map(|twin| told(&twin.event));
            return self.broken(Invariant::OneAnswer, told(event), twin.unwrap_or_default());
        }
        places.push(place);

        let (price, minimum) = (*amount, *minimum_next);
        moment.money = Some(Money { price, minimum, high_bidder: Some(bidder) });
        moment.state = Some(AuctionState::Open);
        moment.bids = moment.bids.map(|bids| bids + 1);
        if let Some(extended_to) = extended_to {
            moment.closes_at = Some(*extended_to);
            moment.extensions = moment.extensions.map(|extensions| extensions + 1);
        }
        Ok(())
    }

    fn check_amount(
        &self,
        event: &Event,
        amount: Amount,
        minimum_next: Amount,
        moment: &Moment<'_>,
    ) -> Checked {
        if let Some(least) =
            moment.money.map(|before| before.minimum).filter(|least| amount < *least)
        {
            let against = format!("the least to offer was {}", money(least));
            return self.broken(Invariant::Rising, told(event), against);
        }
        let Some(rules) = self.rules else { return Ok(()) };
        let top = |before: Money<'_>| {
            before.high_bidder.is_some() && rules.minimum_after(before.price).is_none()
        };
        if moment.money.is_some_and(top) {
            return self.broken(Invariant::Rising, told(event), "no amount was a step more");
        }
        let due = rules.minimum_after(amount).unwrap_or(Amount::MAX);
        if due != minimum_next {
            let found = format!("{}, and {} is next", told(event), money(minimum_next));
            let against = format!("the increments make it {}", money(due));
            return self.broken(Invariant::Rising, found, against);
        }
        Ok(())
    }

    fn check_extension(
        &self,
        event: &Event,
        extended_to: Option<Timestamp>,
        moment: &Moment<'_>,
    ) -> Checked {
        let (Some(rules), Some(closes_at), Some(extensions), Some(soft_close)) =
            (self.rules, moment.closes_at, moment.extensions, moment.soft_close)
        else {
            return Ok(());
        };
        let extension = rules.extension.map(|rule| rule.pinned_to(soft_close));
        let due = extension.and_then(|rule| rule.extended(closes_at, event.at, extensions));
        if due == extended_to {
            return Ok(());
        }
        let words = |to: Option<Timestamp>| match to {
            Some(to) => format!("moves the close to {to}"),
            None => String::from("moves no close"),
        };
        let found = format!("{} and {}", told(event), words(extended_to));
        let after = format!("after {extensions} extensions and before the close at {closes_at}");
        self.broken(Invariant::InTime, found, format!("{after} it {}", words(due)))
    }

    fn pause(&self, event: &Event, moment: &mut Moment<'_>) -> Checked {
        self.wants(event, moment, AuctionState::Open)?;
        self.wants_before_close(event, moment)?;
        (moment.state, moment.paused_at) = (Some(AuctionState::Paused), Some(event.at));
        Ok(())
    }

    fn resume(&self, event: &Event, closes_at: Timestamp, moment: &mut Moment<'_>) -> Checked {
        self.wants(event, moment, AuctionState::Paused)?;
        let credited =
            |(paused_at, before): (_, Timestamp)| before.saturating_add(event.at.since(paused_at));
        self.wants_close_at(
            event,
            closes_at,
            moment.paused_at.zip(moment.closes_at).map(credited),
        )?;
        (moment.state, moment.closes_at) = (Some(AuctionState::Open), Some(closes_at));
        Ok(())
    }

    fn credit(
        &self,
        event: &Event,
        since: Timestamp,
        closes_at: Timestamp,
        moment: &mut Moment<'_>,
    ) -> Checked {
        self.wants(event, moment, AuctionState::Open)?;
        let Some(rules) = self.rules else { return Ok(()) };
        let Some(policy) = rules.outage_credit else {
            return self.broken(Invariant::InTime, told(event), "its rules give nothing back");
        };
        if let Some(served) = moment.served_until.filter(|served| since < *served) {
            let against = format!("it was served until {served}");
            return self.broken(Invariant::InTime, told(event), against);
        }
        let before = moment.closes_at;
        if let Some(before) = before.filter(|before| since >= *before) {
            let against = format!("its time had run out at {before}");
            return self.broken(Invariant::InTime, told(event), against);
        }
        if let Some((before, credited)) = before.zip(moment.credited) {
            let Some(credit) = policy.credit(since, event.at, credited) else {
                return self.broken(Invariant::InTime, told(event), "the policy gives nothing");
            };
            self.wants_close_at(event, closes_at, Some(before.saturating_add(credit)))?;
            moment.credited = Some(Millis::new(credited.get().saturating_add(credit.get())));
        }
        moment.closes_at = Some(closes_at);
        Ok(())
    }

    fn close(&self, event: &Event, outcome: &Outcome, moment: &mut Moment<'_>) -> Checked {
        if moment.state == Some(AuctionState::Closed) {
            return self.broken(Invariant::InTime, told(event), "the auction had closed before");
        }
        let due = self.rules.zip(moment.money).map(|(rules, money)| settle(rules, money));
        if let Some(due) = due.filter(|due| due != outcome) {
            let against = format!("the bids before it make it {}", result(&due));
            return self.broken(Invariant::OneWinner, told(event), against);
        }
        (moment.state, moment.closed_at) = (Some(AuctionState::Closed), Some(event.at));
        Ok(())
    }

    fn reopen(
        &self,
        event: &Event,
        opens_at: Timestamp,
        closes_at: Timestamp,
        moment: &mut Moment<'a>,
    ) -> Checked {
        self.wants(event, moment, AuctionState::Closed)?;
        let Some(rules) = self.rules else { return Ok(()) };
        let Some(after) = rules.reopen_after else {
            return self.broken(Invariant::InTime, told(event), "its rules let it close for good");
        };
        let due = moment.closed_at.map(|closed_at| closed_at.saturating_add(after));
        if let Some(due) = due.filter(|due| event.at < *due) {
            return self.broken(Invariant::InTime, told(event), format!("it was due at {due}"));
        }
        let length = rules.closes_at.since(rules.opens_at);
        self.wants_close_at(event, closes_at, Some(opens_at.saturating_add(length)))?;
        *moment = Moment::new_round(rules, opens_at, closes_at, moment.round + 1);
        Ok(())
    }

    fn wants(&self, event: &Event, moment: &Moment<'_>, state: AuctionState) -> Checked {
        match moment.state {
            Some(is) if is != state => {
                let against = format!("the auction was {is:?} and not {state:?}");
                self.broken(Invariant::InTime, told(event), against)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn wants_before_close(&self, event: &Event, moment: &Moment<'_>) -> Checked {
        match moment.closes_at {
            Some(closes_at) if event.at >= closes_at => {
                let against = format!("the close was at {closes_at}");
                self.broken(Invariant::InTime, told(event), against)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn wants_close_at(&self, event: &Event, is: Timestamp, due: Option<Timestamp>) -> Checked {
        match due {
            Some(due) if is != due => {
                let found = format!("{} and sets the close to {is}", told(event));
                self.broken(Invariant::InTime, found, format!("{due} is right"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn settle(rules: &AuctionRules, Money { price, high_bidder, .. }: Money<'_>) -> Outcome {
    match high_bidder {
        None => Outcome::NoBids,
        Some(_) if rules.reserve.is_some_and(|reserve| price < reserve) => Outcome::ReserveNotMet,
        Some(winner) => Outcome::Sold { winner: winner.clone(), amount: price },
    }
}
