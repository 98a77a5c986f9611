//! Random lives of auctions, and the invariants of `design/bids.md` that must
//! hold in all of them. The store is played by a clock that holds the guard.

use super::*;
use alloc::{collections::BTreeMap, format, string::ToString};
use proptest::{collection::vec as list, prelude::*};

/// One thing that happens, so many milliseconds after the last.
#[derive(Debug, Clone)]
enum Op {
    /// A bid of the minimum plus so much.
    Bid {
        bidder: u8,
        bid_id: u8,
        over: i64,
    },
    Do(Input),
    /// Bids could not be taken for so long.
    Outage(u64),
    /// The append is decided by the store.
    Store,
    Lose,
}

/// An auction, and what the store holds of it, each event with the store's time.
struct World {
    auction: Auction,
    now: u64,
    proposed: Vec<Event>,
    acked: Vec<Accepted>,
    history: Vec<(u64, Event)>,
}

impl World {
    fn new(rules: AuctionRules) -> Self {
        let (mut auction, created) = Auction::create(rules, at(0)).expect("rules that can be");
        auction.apply(&created).expect("it folds");
        let (proposed, acked) = (vec![], vec![]);
        Self { auction, now: 0, proposed, acked, history: vec![(0, created)] }
    }

    fn happens(&mut self, op: Op) {
        let before = (self.auction.view(), self.auction.to_snapshot());
        match op {
            Op::Bid { bidder, bid_id, over } => {
                let minimum = before.0.minimum.minor();
                let amount = minimum.saturating_add_signed(over).min(Amount::MAX.minor());
                self.step(bid(&format!("u{bidder}"), &format!("b{bid_id}"), amount));
            }
            Op::Do(input) => self.step(input),
            Op::Outage(ms) => {
                // Whoever asks may not know what has happened since.
                let since = at(self.now.saturating_sub(ms / 4));
                self.now += ms;
                self.step(Input::Outage { since });
            }
            Op::Store => return self.store(),
            Op::Lose => {
                self.auction.abandon();
                self.forget();
            }
        }
        assert_eq!((self.auction.view(), self.auction.to_snapshot()), before, "drafts do not show");
    }

    fn step(&mut self, input: Input) {
        for action in step(&mut self.auction, input, self.now) {
            match action {
                Action::Append(event) => self.proposed.push(event),
                Action::Answer { verdict: Verdict::Accepted(bid), .. } => self.acked.push(bid),
                Action::Answer { verdict: Verdict::Rejected(bid), .. } => {
                    assert_eq!(bid.at, at(self.now));
                }
                Action::Refused(_) => {}
            }
        }
        assert_eq!(self.auction.draft_is_empty(), self.proposed.is_empty());
        self.check_answers();
        if self.proposed.is_empty() {
            self.acked.clear();
        }
    }

    fn check_answers(&self) {
        for bid in &self.acked {
            let kept = self.auction.answer_for(&bid.bidder, &bid.bid_id);
            assert_eq!(kept.as_ref(), Some(bid), "invariant 4: one answer");
        }
    }

    fn store(&mut self) {
        let Guard { not_before, not_after } = self.auction.guard();
        let early = not_before.is_some_and(|from| at(self.now) < from);
        let late = not_after.is_some_and(|until| at(self.now) >= until);
        if early || late {
            self.auction.abandon();
            return self.forget();
        }
        self.auction.commit();
        let reopens = |event: &Event| matches!(event.kind, EventKind::Reopened { .. });
        if !self.proposed.iter().any(reopens) {
            self.check_answers();
        }
        self.acked.clear();
        let now = self.now;
        self.history.extend(self.proposed.drain(..).map(|event| (now, event)));
    }

    fn forget(&mut self) {
        self.proposed.clear();
        self.acked.clear();
    }
}

/// Reads a history with no help from the fold.
#[derive(Default)]
struct Checker {
    closes_at: Timestamp,
    open: bool,
    closed: bool,
    price: Option<Amount>,
    extensions: u32,
    /// What the round is pinned to.
    soft_close: Option<ExtensionMode>,
    credited: u64,
    /// No outage begins before it.
    served_until: Timestamp,
    opens_at: Timestamp,
    bids: BTreeMap<(UserId, BidId), u64>,
}

impl Checker {
    fn check(rules: &AuctionRules, history: &[(u64, Event)]) {
        let mut checker = Self::default();
        for (place, (stored_at, event)) in (1..).zip(history) {
            assert_eq!(event.seq.get(), place, "invariant 2: no gap, no repeat");
            checker.event(rules, *stored_at, event);
        }
    }

    fn event(&mut self, rules: &AuctionRules, stored_at: u64, event: &Event) {
        let reopens = matches!(event.kind, EventKind::Reopened { .. });
        assert_eq!(self.closed, reopens, "invariant 9: a close happens once and stays");
        match &event.kind {
            EventKind::Created { .. } => {
                (self.opens_at, self.closes_at) = (rules.opens_at, rules.closes_at);
            }
            EventKind::Opened { closes_at, soft_close } => {
                assert_eq!(*closes_at, self.closes_at);
                assert!(soft_close.is_none() || rules.extension.is_some(), "nothing to pin");
                (self.open, self.soft_close) = (true, *soft_close);
            }
            EventKind::BidAccepted { bidder, bid_id, amount, extended_to, .. } => {
                assert!(self.open && at(stored_at) < self.closes_at, "invariant 9: in time");
                let rise = self.price.map_or(Some(rules.opening_price), |price| {
                    price.checked_add(rules.increments.step_at(price))
                });
                assert!(rise.is_some_and(|least| *amount >= least), "invariant 3: it rises");
                self.price = Some(*amount);
                let key = (bidder.clone(), bid_id.clone());
                assert_eq!(self.bids.insert(key, stored_at), None, "invariant 4: accepted once");
                assert_ne!(Some(bidder), rules.seller.as_ref());
                self.extend(rules, event.at, *extended_to);
            }
            EventKind::Paused { .. } => self.open = false,
            EventKind::Resumed { closes_at } => {
                assert!(!self.open && *closes_at >= self.closes_at, "a pause takes no time away");
                (self.open, self.closes_at) = (true, *closes_at);
            }
            EventKind::Credited { since, closes_at } => {
                self.credit(rules, event.at, *since, *closes_at);
            }
            EventKind::Closed { outcome } => {
                assert_eq!(*outcome == Outcome::NoBids, self.price.is_none());
                (self.open, self.closed) = (false, true);
            }
            EventKind::Reopened { opens_at, closes_at } => {
                let (opens_at, closes_at) = (*opens_at, *closes_at);
                *self = Self { opens_at, closes_at, ..Self::default() };
            }
        }
        let opened = matches!(event.kind, EventKind::Opened { .. });
        self.served_until = if opened { self.opens_at } else { event.at };
    }

    fn credit(&mut self, rules: &AuctionRules, now: Timestamp, since: Timestamp, to: Timestamp) {
        assert!(self.open, "invariant 9: only an open auction is credited");
        assert!(since >= self.served_until, "no time is credited twice");
        assert!(since < self.closes_at && to > self.closes_at);
        let policy = rules.outage_credit.expect("a policy");
        let credit = to.since(self.closes_at);
        self.credited += credit.get();
        assert!(now.since(since) >= policy.from && credit <= now.since(since));
        assert!(self.credited <= policy.total_max.get(), "invariant 9: bounded");
        self.closes_at = to;
    }

    fn extend(&mut self, rules: &AuctionRules, now: Timestamp, extended_to: Option<Timestamp>) {
        let Some(extended_to) = extended_to else { return };
        let extension = rules.extension.as_ref().expect("a soft close");
        self.extensions += 1;
        assert!(self.extensions <= extension.extensions_max, "invariant 9: bounded");
        assert!(self.closes_at.since(now) <= extension.window);
        let from = match self.soft_close.unwrap_or(extension.mode) {
            ExtensionMode::Add => self.closes_at,
            ExtensionMode::ResetTo => now,
        };
        assert_eq!(extended_to, from.saturating_add(extension.by), "as the round is pinned");
        assert!(extended_to > self.closes_at);
        self.closes_at = extended_to;
    }
}

fn ops() -> impl Strategy<Value = Vec<(u64, Op)>> {
    let bid = (0..4_u8, 0..6_u8, -15..40_i64).prop_map(|(bidder, bid_id, over)| Op::Bid {
        bidder,
        bid_id,
        over,
    });
    let pause = Input::Pause { reason: "fire".to_owned() };
    let op = prop_oneof![
        30 => bid,
        10 => Just(Op::Do(Input::Tick)),
        3 => any_flags().prop_map(Op::Do),
        2 => (0..6_000_u64).prop_map(Op::Outage),
        2 => Just(Op::Do(pause)),
        6 => Just(Op::Do(Input::Resume)),
        1 => Just(Op::Do(Input::Close)),
        24 => Just(Op::Store),
        1 => Just(Op::Lose),
    ];
    let gap = prop_oneof![5 => Just(0), 8 => 0..100_u64, 1 => 0..1_500_u64];
    list((gap, op), 1..200)
}

pub(crate) fn any_flags() -> impl Strategy<Value = Input> {
    let mode = prop_oneof![Just(ExtensionMode::Add), Just(ExtensionMode::ResetTo)];
    proptest::option::of(mode).prop_map(|soft_close| Input::Flags { soft_close })
}

pub(crate) fn any_rules() -> impl Strategy<Value = AuctionRules> {
    let mode = prop_oneof![Just(ExtensionMode::Add), Just(ExtensionMode::ResetTo)];
    let extension = (mode, 0..2_000_u64, 1..2_000_u64, 0..5_u32);
    let soft_close = proptest::option::of(extension.prop_map(|(mode, window, by, max)| {
        let (window, by) = (Millis::new(window), Millis::new(by));
        Extension { mode, window, by, extensions_max: max }
    }));
    let opening = prop_oneof![4 => Just(100), 1 => Just(Amount::MAX.minor() - 60)];
    let reserve = proptest::option::of(50..400_u64);
    let reopen = proptest::option::of(0..900_u64);
    let credit = proptest::option::of((2_000..4_000_u64, 0..9_000_u64).prop_map(|(from, more)| {
        let (from, total_max) = (Millis::new(from), Millis::new(from + more));
        OutageCredit { from, total_max }
    }));
    (soft_close, opening, reserve, reopen, credit, 1..6_000_u64).prop_map(
        |(extension, opening, reserve, reopen, outage_credit, length)| AuctionRules {
            opening_price: cents(opening),
            reserve: reserve.map(cents),
            opens_at: at(1),
            closes_at: at(1 + length),
            extension,
            seller: Some(user("u0")),
            reopen_after: reopen.map(Millis::new),
            outage_credit,
            ..plain()
        },
    )
}

fn lived(rules: AuctionRules, ops: Vec<(u64, Op)>) -> World {
    let mut world = World::new(rules);
    for (gap, op) in ops {
        world.now += gap;
        world.happens(op);
    }
    world.auction.abandon();
    world
}

proptest! {
    #[test]
    fn every_life_keeps_the_invariants(rules in any_rules(), ops in ops()) {
        let world = lived(rules.clone(), ops);
        Checker::check(&rules, &world.history);
    }

    #[test]
    fn a_snapshot_anywhere_and_the_tail_is_the_whole(rules in any_rules(), ops in ops()) {
        let world = lived(rules, ops);
        let mut folded = Auction::empty();
        for (place, (_, event)) in world.history.iter().enumerate() {
            let line = serde_json::to_string(event).expect("json");
            prop_assert_eq!(&serde_json::from_str::<Event>(&line).expect("json"), event);
            folded.apply(event).expect("it folds");
            let json = serde_json::to_string(&folded.to_snapshot()).expect("json");
            let kept = serde_json::from_str(&json).expect("json");
            prop_assert_eq!(&folded.to_snapshot(), &kept);
            let mut resumed = Auction::from_snapshot(kept);
            for (_, event) in &world.history[place + 1..] {
                resumed.apply(event).expect("it folds");
            }
            prop_assert_eq!(resumed.to_snapshot(), world.auction.to_snapshot());
        }
    }

    #[test]
    fn money_is_stored_as_integers(rules in any_rules(), ops in ops()) {
        for (_, event) in lived(rules, ops).history {
            let json = serde_json::to_value(&event).expect("json");
            for money in ["amount", "minimum_next"].into_iter().filter_map(|key| json.get(key)) {
                prop_assert!(money.as_u64().is_some_and(|minor| minor <= Amount::MAX.minor()));
            }
        }
    }
}

#[test]
fn random_lives_reach_every_kind_of_event() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut kinds = BTreeMap::new();
    for _ in 0..300 {
        let rules = any_rules().new_tree(&mut runner).expect("rules").current();
        let ops = ops().new_tree(&mut runner).expect("ops").current();
        for (_, event) in lived(rules, ops).history {
            let kind = serde_json::to_value(&event).expect("json")["kind"].to_string();
            *kinds.entry(kind).or_insert(0_u32) += 1;
        }
    }
    assert!(kinds.len() == 8 && kinds.values().all(|count| *count >= 20), "{kinds:?}");
}
