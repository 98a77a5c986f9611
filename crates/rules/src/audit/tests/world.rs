//! A small cluster by which bids are asked, decided, stored and told, with
//! all of it recorded.

use super::*;
use crate::{
    auction::{
        Action, Auction, AuctionRules, Bid, Event, EventKind, Guard, Input, Rejected, Verdict,
    },
    order::Version,
};

/// Sockets that only look.
const VIEWERS: [u64; 2] = [7, 8];

/// What becomes of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is stored and told.
    Told,
    /// It is stored, and everybody who asked is left without an answer.
    Untold,
    /// It is lost.
    Lost,
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) stream: Stream,
    pub(super) history: History,
    auction: Auction,
    /// What viewers are shown, event by event.
    told: Auction,
    clock_us: u64,
    /// Bids on their way, by their place in the history.
    inbox: Vec<usize>,
}

// === impl World ===

impl World {
    pub(super) fn new(rules: AuctionRules) -> Self {
        let (auction, created) = Auction::create(rules, at(0)).expect("rules that can be");
        let stream = Stream {
            format: StreamFormat::V1,
            room: "vase".parse().expect("an id"),
            generation: Generation::new(5),
            epoch: Epoch::new(1),
            events: vec![],
            snapshot: None,
        };
        let (name, clock) = ("a.jsonl".to_owned(), "boot".to_owned());
        let history = History { name, clock, bids: vec![], sights: vec![] };
        let told = Auction::empty();
        let mut world = Self { now: 0, stream, history, auction, told, clock_us: 0, inbox: vec![] };
        world.store(vec![created], Fate::Told);
        world.show_states();
        world
    }

    pub(super) fn minimum(&self) -> u64 {
        self.auction.view().minimum.minor()
    }

    pub(super) fn send(&mut self, bidder: &str, bid_id: &str, amount: u64) {
        let sent_us = self.tick();
        self.inbox.push(self.history.bids.len());
        self.history.bids.push(RecordedBid {
            socket: 1,
            generation: self.stream.generation,
            bidder: user(bidder),
            bid_id: id(bid_id),
            amount: cents(amount),
            sent_us,
            answer: None,
        });
    }

    /// Decides all bids on their way in one draft.
    pub(super) fn decide(&mut self, fate: Fate) {
        let inbox = core::mem::take(&mut self.inbox);
        let mut actions = vec![];
        for place in inbox {
            let RecordedBid { bidder, bid_id, amount, .. } = self.history.bids[place].clone();
            let (flags, limits) = (Version::new(1), Version::new(1));
            let bid = Bid { bidder, bid_id, amount, flags, limits };
            let token = u64::try_from(place).expect("a small number");
            self.auction.step(Input::Bid { bid, token }, at(self.now), &mut actions);
        }
        self.act(actions, fate);
    }

    pub(super) fn command(&mut self, input: Input) {
        let mut actions = vec![];
        self.auction.step(input, at(self.now), &mut actions);
        self.act(actions, Fate::Told);
    }

    /// Another owner goes on.
    pub(super) fn fail_over(&mut self) {
        self.stream.epoch = self.stream.epoch.next();
    }

    /// Late viewers, and those that have lost the thread, get the whole state.
    pub(super) fn show_states(&mut self) {
        let view = self.told.view();
        for socket in VIEWERS {
            self.show(socket, view.seq, Shown::State(believed(&view)));
        }
    }

    /// The stream with its snapshot, and the history.
    pub(super) fn end(mut self) -> (Stream, Vec<History>) {
        self.stream.snapshot = Some(self.auction.to_snapshot());
        (self.stream, vec![self.history])
    }

    fn act(&mut self, actions: Vec<Action>, fate: Fate) {
        let (mut events, mut answers) = (vec![], vec![]);
        for action in actions {
            match action {
                Action::Append(event) => events.push(event),
                Action::Answer { token, verdict } => answers.push((token, verdict)),
                Action::Refused(_) => {}
            }
        }
        let Guard { not_before, not_after } = self.auction.guard();
        let early = not_before.is_some_and(|from| at(self.now) < from);
        let late = not_after.is_some_and(|until| at(self.now) >= until);
        self.auction.abandon();
        if fate == Fate::Lost || early || late {
            return;
        }
        self.store(events, fate);
        if fate == Fate::Told {
            // Answers overtake each other.
            for (token, verdict) in answers.into_iter().rev() {
                self.answer(token, verdict);
            }
        }
    }

    fn store(&mut self, events: Vec<Event>, fate: Fate) {
        for event in events {
            self.auction.apply(&event).expect("it folds");
            self.told.apply(&event).expect("it folds");
            self.stream.events.push(StoredEvent { epoch: self.stream.epoch, event: event.clone() });
            for socket in VIEWERS {
                // An answer that is lost takes the updates of one node with it.
                if fate == Fate::Told || socket == VIEWERS[0] {
                    self.update(socket, &event);
                }
            }
        }
    }

    fn update(&mut self, socket: u64, event: &Event) {
        let view = self.told.view();
        if let (EventKind::Closed { .. }, Some(outcome)) = (&event.kind, &view.outcome) {
            let (winner, amount) = match outcome {
                Outcome::Sold { winner, amount } => (Some(winner.clone()), Some(*amount)),
                Outcome::ReserveNotMet | Outcome::NoBids => (None, None),
            };
            self.show(socket, event.seq, Shown::Closed { winner, amount });
        }
        self.show(socket, event.seq, Shown::Update(believed(&view)));
    }

    fn show(&mut self, socket: u64, seq: Seq, shown: Shown) {
        let (at_us, generation) = (self.tick(), self.stream.generation);
        self.history.sights.push(Sight { socket, at_us, generation, seq, shown });
    }

    fn answer(&mut self, token: u64, verdict: Verdict) {
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
        let at_us = self.tick();
        let place = usize::try_from(token).expect("a small number");
        self.history.bids[place].answer = Some(Answer { at_us, said });
    }

    fn tick(&mut self) -> u64 {
        self.clock_us += 1;
        self.clock_us
    }
}

fn believed(view: &crate::auction::View) -> Believed {
    Believed { price: view.price, high_bidder: view.high_bidder.clone() }
}
