//! Lives of auctions, with all that is asked and told on record, and the audit over them.

use super::draw;
use arbitrary::Unstructured;
use gavel_rules::{
    amount::Amount,
    auction::{
        Action, Auction, AuctionRules, Bid, Event, Extension, ExtensionMode, GuestAccess,
        IncrementTable, Input, OutageCredit, Rejected, StoredEvent, Verdict,
    },
    audit::{Answer, History, RecordedBid, Said, Stream, StreamFormat, audit},
    id::{BidId, UserId},
    order::{Epoch, Generation, Version},
    time::{Millis, Timestamp},
};

/// An auction, its store, and what its bidders were told.
struct World {
    auction: Auction,
    now: u64,
    clock_us: u64,
    stream: Stream,
    history: History,
    proposed: Vec<Event>,
    answers: Vec<(u64, Verdict)>,
}

/// Any rules, then anything that may happen at any times, stored or lost. The audit finds nothing
/// (invariants 1 to 13 of docs/verify.md, as far as one history can tell), and snapshot and tail are the fold.
pub(crate) fn lives(bytes: &[u8]) -> bool {
    let draw = &mut draw::of(bytes);
    let Ok((auction, created)) = Auction::create(rules(draw), Timestamp::new(0)) else {
        return false;
    };
    let mut world = World::new(auction, created);
    let mut snapshot = world.auction.to_snapshot();
    while !draw.is_empty() {
        world.now = world.now.saturating_add(gap(draw));
        match draw::byte(draw) % 16 {
            0..=6 => world.bid(draw),
            7 | 8 => world.step(Input::Tick),
            9 => world
                .step(Input::Outage { since: Timestamp::new(draw::below(draw, world.now + 1)) }),
            10 => world.command(draw),
            11 => world.lose(),
            12 => world.stream.epoch = world.stream.epoch.next(),
            13 => {
                world.lose();
                snapshot = world.auction.to_snapshot();
            }
            _ => world.store(),
        }
    }
    world.lose();
    let mut resumed = Auction::from_snapshot(snapshot.clone());
    for stored in world.stream.events.iter().filter(|stored| stored.event.seq > snapshot.seq()) {
        resumed.apply(&stored.event).expect("it folds");
    }
    assert_eq!(resumed.to_snapshot(), world.auction.to_snapshot(), "invariant 13");
    world.stream.snapshot = Some(world.auction.to_snapshot());
    let report = audit(&world.stream, &[world.history], true);
    report.unwrap_or_else(|found| panic!("{found}")).bids > 0
}

// === impl World ===

impl World {
    fn new(mut auction: Auction, created: Event) -> Self {
        auction.apply(&created).expect("it is the first");
        let stream = Stream {
            format: StreamFormat::V1,
            room: "vase".parse().expect("an id"),
            generation: Generation::new(5),
            epoch: Epoch::new(1),
            snapshot: None,
            events: vec![StoredEvent { epoch: Epoch::new(1), event: created }],
        };
        let history =
            History { name: "fuzz".to_owned(), clock: "one".to_owned(), ..History::default() };
        let (proposed, answers) = (Vec::new(), Vec::new());
        Self { auction, now: 0, clock_us: 0, stream, history, proposed, answers }
    }

    fn bid(&mut self, draw: &mut Unstructured<'_>) {
        let bidder = format!("u{}", draw::byte(draw) % 4).parse().expect("an id");
        let bid_id = format!("b{}", draw::byte(draw) % 8).parse().expect("an id");
        let over: i8 = draw::any(draw);
        let minimum = self.auction.view().minimum.minor();
        let amount = minimum.saturating_add_signed(over.into()).min(Amount::MAX.minor());
        let amount = Amount::new(amount).expect("it is in range");
        let token = u64::try_from(self.history.bids.len()).expect("a count");
        let sent_us = self.tick();
        self.history.bids.push(RecordedBid {
            socket: 1,
            generation: self.stream.generation,
            bidder: UserId::clone(&bidder),
            bid_id: BidId::clone(&bid_id),
            amount,
            sent_us,
            answer: None,
        });
        let (flags, limits) = (Version::default(), Version::default());
        self.step(Input::Bid { bid: Bid { bidder, bid_id, amount, flags, limits }, token });
    }

    fn command(&mut self, draw: &mut Unstructured<'_>) {
        let pause = Input::Pause { reason: "fire".to_owned() };
        let inputs = [pause, Input::Resume, Input::Resume, Input::Close];
        self.step(draw::one(draw, &inputs));
    }

    fn step(&mut self, input: Input) {
        let before = self.auction.to_snapshot();
        let mut actions = Vec::new();
        self.auction.step(input, Timestamp::new(self.now), &mut actions);
        assert_eq!(self.auction.to_snapshot(), before, "a draft does not show");
        for action in actions {
            match action {
                Action::Append(event) => self.proposed.push(event),
                Action::Answer { token, verdict } => self.answers.push((token, verdict)),
                Action::Refused(_) => {}
            }
        }
        if self.auction.draft_is_empty() {
            assert!(self.proposed.is_empty());
            self.tell();
        }
    }

    /// The store decides the draft by its clock.
    fn store(&mut self) {
        let (guard, now) = (self.auction.guard(), Timestamp::new(self.now));
        let early = guard.not_before.is_some_and(|from| now < from);
        if early || guard.not_after.is_some_and(|until| now >= until) {
            return self.lose();
        }
        self.auction.commit();
        let epoch = self.stream.epoch;
        let events = self.proposed.drain(..).map(|event| StoredEvent { epoch, event });
        self.stream.events.extend(events);
        self.tell();
    }

    fn lose(&mut self) {
        self.auction.abandon();
        self.proposed.clear();
        self.answers.clear();
    }

    fn tell(&mut self) {
        for (token, verdict) in std::mem::take(&mut self.answers) {
            let said = match verdict {
                Verdict::Accepted(bid) => Said::Accepted {
                    seq: bid.seq,
                    amount: bid.amount,
                    minimum: bid.minimum_next,
                    at: bid.at,
                },
                Verdict::Rejected(Rejected { reason, current, minimum, seq, at, .. }) => {
                    Said::Rejected { reason, price: current, minimum, seq, at }
                }
            };
            let answer = Some(Answer { at_us: self.tick(), said });
            let asked = usize::try_from(token).ok().and_then(|at| self.history.bids.get_mut(at));
            asked.expect("an answer is to a bid").answer = answer;
        }
    }

    fn tick(&mut self) -> u64 {
        self.clock_us += 1;
        self.clock_us
    }
}

fn gap(draw: &mut Unstructured<'_>) -> u64 {
    match draw::byte(draw) {
        0..128 => 0,
        128..250 => draw::byte(draw).into(),
        _ => draw::below(draw, 100_000),
    }
}

fn rules(draw: &mut Unstructured<'_>) -> AuctionRules {
    let millis = |draw: &mut _| Millis::new(u64::from(draw::any::<u16>(draw)));
    let kinds = draw::byte(draw);
    let when = |bit: u8| kinds & bit != 0;
    let opens_at = draw::below(draw, 1_000);
    let high = Amount::new(Amount::MAX.minor() - 60).expect("an amount");
    let low = Amount::new(100).expect("an amount");
    let modes = [ExtensionMode::Add, ExtensionMode::ResetTo];
    AuctionRules {
        title: "A lamp".to_owned(),
        currency: "EUR".to_owned(),
        opening_price: if when(1) { high } else { low },
        increments: IncrementTable::flat(Amount::new(10).expect("an amount")).expect("a step"),
        reserve: when(2).then(|| draw::amount(draw)),
        opens_at: Timestamp::new(opens_at),
        closes_at: Timestamp::new(opens_at.saturating_add(draw::number(draw))),
        extension: when(4).then(|| Extension {
            mode: draw::one(draw, &modes),
            window: millis(draw),
            by: millis(draw),
            extensions_max: u32::from(draw::byte(draw) % 8),
        }),
        guests: GuestAccess::Bid,
        seller: when(8).then(|| "u0".parse().expect("an id")),
        reopen_after: when(16).then(|| millis(draw)),
        outage_credit: when(32)
            .then(|| OutageCredit { from: millis(draw), total_max: millis(draw) }),
    }
}
