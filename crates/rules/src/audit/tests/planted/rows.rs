//! The corruptions, each with the invariant it must be found as.

use super::*;

/// An invariant, what breaks it, and how.
pub(super) type Row = (Invariant, &'static str, fn(&mut Case));

pub(super) fn accept(
    said: &mut Said,
    change: fn(&mut Seq, &mut crate::Amount, &mut crate::Amount),
) {
    let Said::Accepted { seq, amount, minimum, .. } = said else { panic!("it was accepted") };
    change(seq, amount, minimum);
}

fn extend(kind: &mut EventKind, to: Option<u64>) {
    let EventKind::BidAccepted { extended_to, .. } = kind else { panic!("it is a bid") };
    *extended_to = to.map(at);
}

fn set_bidder(kind: &mut EventKind, name: &str) {
    let EventKind::BidAccepted { bidder, .. } = kind else { panic!("it is a bid") };
    *bidder = user(name);
}

/// What is wrong with what is stored.
pub(super) const STREAM: &[Row] = {
    use Invariant as I;
    &[
        (I::OneOrder, "an event is missing", |case| case.drop_events(5, 1)),
        (I::OneOrder, "an event is there twice", |case| {
            let twin = case.stream.events[3].clone();
            case.stream.events.insert(4, twin);
        }),
        (I::OneOrder, "two events are swapped", |case| case.stream.events.swap(6, 7)),
        (I::OneOrder, "the end is missing", |case| case.drop_events(9, 1)),
        (I::OneOrder, "the beginning is missing, and no snapshot has it", |case| {
            case.drop_events(1, 3);
            case.stream.snapshot = None;
        }),
        (I::OneOrder, "a second creation", |case| {
            let created = case.kind(1).clone();
            *case.kind(5) = created;
        }),
        (I::OneOrder, "no creation", |case| {
            let opened = case.kind(2).clone();
            *case.kind(1) = opened;
        }),
        (I::Rising, "a bid below the minimum", |case| {
            let EventKind::BidAccepted { amount, .. } = case.kind(4) else { panic!("a bid") };
            *amount = cents(109);
        }),
        (I::Rising, "a minimum against the increments", |case| {
            let EventKind::BidAccepted { minimum_next, .. } = case.kind(7) else { panic!("a bid") };
            *minimum_next = cents(131);
        }),
        (I::OneAnswer, "a bid id is accepted twice", |case| {
            let EventKind::BidAccepted { bid_id, .. } = case.kind(8) else { panic!("a bid") };
            *bid_id = id("b3");
        }),
        (I::NoPhantom, "the seller bids", |case| set_bidder(case.kind(7), "seller")),
        (I::InTime, "it opens too early", |case| case.at(2, 999)),
        (I::InTime, "it opens with another close", |case| {
            *case.kind(2) = EventKind::Opened { closes_at: at(61_001), soft_close: None };
        }),
        (I::InTime, "a late bid goes by another mode than its round is pinned to", |case| {
            let soft_close = Some(ExtensionMode::Add);
            *case.kind(2) = EventKind::Opened { closes_at: at(61_000), soft_close };
        }),
        (I::InTime, "a mode where no bid moves the close", |case| {
            let EventKind::Created { rules } = case.kind(1) else { panic!("seq 1") };
            rules.extension = None;
            let soft_close = Some(ExtensionMode::Add);
            *case.kind(2) = EventKind::Opened { closes_at: at(61_000), soft_close };
        }),
        (I::InTime, "a bid at the close", |case| case.at(8, 80_000)),
        (I::InTime, "a bid in the pause", |case| {
            *case.kind(6) = EventKind::Paused { reason: "again".to_owned() };
        }),
        (I::InTime, "a bid after the close", |case| {
            let late = case.kind(8).clone();
            case.push(81_000, late);
        }),
        (I::InTime, "a second close", |case| {
            let closed = case.kind(9).clone();
            case.push(82_001, closed);
        }),
        (I::InTime, "a pause that costs bidders time", |case| {
            *case.kind(6) = EventKind::Resumed { closes_at: at(65_999) };
        }),
        (I::InTime, "an extension too long", |case| extend(case.kind(7), Some(80_001))),
        (I::InTime, "an extension that is due is missing", |case| extend(case.kind(7), None)),
        (I::InTime, "an extension by an early bid", |case| extend(case.kind(4), Some(81_000))),
        (I::InTime, "a close that is undone", |case| {
            let (opens_at, closes_at) = (at(90_000), at(150_000));
            case.push(90_000, EventKind::Reopened { opens_at, closes_at });
        }),
        (I::OneWinner, "another winner", |case| {
            let (winner, amount) = (user("u1"), cents(200));
            *case.kind(9) = EventKind::Closed { outcome: Outcome::Sold { winner, amount } };
        }),
        (I::OneWinner, "another price", |case| {
            let (winner, amount) = (user("u2"), cents(201));
            *case.kind(9) = EventKind::Closed { outcome: Outcome::Sold { winner, amount } };
        }),
        (I::OneWinner, "nobody wins", |case| {
            *case.kind(9) = EventKind::Closed { outcome: Outcome::ReserveNotMet };
        }),
        (I::Fenced, "an old owner appends", |case| case.stream.events[8].epoch = Epoch::new(1)),
        (I::Fenced, "an owner that never was appends", |case| {
            case.stream.events[8].epoch = Epoch::new(3);
        }),
        (I::SnapshotIsFold, "a snapshot with another bidder's answer", |case| {
            edit_snapshot(
                case,
                "\"bid_id\":\"b1\",\"bidder\":\"u1\"",
                "\"bid_id\":\"b1\",\"bidder\":\"u3\"",
            );
        }),
        (I::SnapshotIsFold, "a snapshot with another price", |case| {
            edit_snapshot(case, "[\"u2\",200]", "[\"u2\",300]");
        }),
    ]
};

fn edit_snapshot(case: &mut Case, from: &str, to: &str) {
    let json = serde_json::to_string(&case.stream.snapshot).expect("json");
    assert!(json.contains(from), "{json}");
    let edited: AuctionSnapshot = serde_json::from_str(&json.replace(from, to)).expect("json");
    case.stream.snapshot = Some(edited);
}

/// What is wrong with what was recorded, or with what is stored of it.
pub(super) const HISTORIES: &[Row] = {
    use Invariant as I;
    &[
        (I::AckedIsStored, "an ack of another amount", |case| {
            accept(case.said("b6"), |_, amount, _| *amount = cents(119));
        }),
        (I::AckedIsStored, "an ack of another minimum", |case| {
            accept(case.said("b6"), |_, _, minimum| *minimum = cents(129));
        }),
        (I::AckedIsStored, "an ack at another time", |case| {
            let Said::Accepted { at, .. } = case.said("b6") else { panic!("accepted") };
            *at = Timestamp::new(60_001);
        }),
        (I::AckedIsStored, "an ack of another's bid", |case| {
            accept(case.said("b6"), |seq, _, _| *seq = Seq::new(8));
        }),
        (I::AckedIsStored, "an ack of what is no bid", |case| {
            accept(case.said("b6"), |seq, _, _| *seq = Seq::new(6));
        }),
        (I::AckedIsStored, "an ack of what is not there", |case| {
            accept(case.said("b6"), |seq, _, _| *seq = Seq::new(99));
        }),
        (I::AckedIsStored, "an ack to somebody else", |case| case.bid("b6").bidder = user("u9")),
        (I::AckedIsStored, "an ack of a history that is lost", |case| {
            case.bid("b6").generation = Generation::new(4);
            accept(case.said("b6"), |seq, _, _| *seq = Seq::new(99));
        }),
        (I::AckedIsStored, "an ack of another event in a history before", |case| {
            case.bid("b6").generation = Generation::new(4);
            accept(case.said("b6"), |_, amount, _| *amount = cents(119));
        }),
        (I::AckedIsStored, "the store forgot the end", |case| {
            case.drop_events(7, 3);
            case.stream.snapshot = None;
        }),
        (I::OneAnswer, "the retry of an accepted bid is refused", |case| {
            let refused = case.said("b5").clone();
            case.histories[0].bids.last_mut().expect("a bid").bid_id = id("b1");
            let Said::Rejected { seq, price, minimum, .. } = refused else { panic!("refused") };
            let retried = Said::Rejected {
                reason: RejectReason::RateLimited,
                seq,
                price,
                minimum,
                at: at(21_000),
            };
            *case.said("b1") = retried;
        }),
        (I::RealTime, "a bid sent after a later one was acked", |case| {
            let at_us = case.bid("b7").answer.as_ref().map(|answer| answer.at_us);
            case.bid("b6").sent_us = at_us.expect("an answer") + 1;
            case.bid("b6").answer = None;
        }),
        (I::RealTime, "a bid sent after a later one was shown", |case| {
            case.histories[0].bids.retain(|bid| bid.bid_id != id("b8"));
            let shown = case.sight(8).at_us;
            case.bid("b7").sent_us = shown + 1;
            case.bid("b7").answer = None;
        }),
        (I::NoPhantom, "nobody sent the bid", |case| {
            case.histories[0].bids.retain(|bid| bid.bid_id != id("b6"));
        }),
        (I::NoPhantom, "the bid was sent with another amount", |case| {
            case.bid("b6").amount = cents(130);
        }),
        (I::TrueRefusal, "too low, and it was not", |case| case.bid("b2").amount = cents(110)),
        (I::TrueRefusal, "paused, and it was not", |case| case.refused("b2", RejectReason::Paused)),
        (I::TrueRefusal, "closed, and it was not", |case| case.refused("b2", RejectReason::Closed)),
        (I::TrueRefusal, "not open, and it was", |case| case.refused("b2", RejectReason::NotOpen)),
        (I::TrueRefusal, "own bid of somebody else", |case| case.bid("b4").bidder = user("u1")),
        (I::TrueRefusal, "seller, and somebody else", |case| {
            case.refused("b2", RejectReason::Seller);
        }),
        (I::TrueRefusal, "a refusal with a price that never was", |case| {
            let Said::Rejected { price, .. } = case.said("b2") else { panic!("refused") };
            *price = cents(101);
        }),
        (I::TrueRefusal, "a refusal at a seq that never was", |case| {
            let Said::Rejected { seq, .. } = case.said("b8") else { panic!("refused") };
            *seq = Seq::new(10);
        }),
        (I::TrueRefusal, "a refusal by what was over when the bid was sent", |case| {
            let shown = case.sight(6).at_us;
            case.bid("b5").sent_us = shown + 1;
            case.bid("b5").answer.as_mut().expect("an answer").at_us = shown + 2;
        }),
        (I::TrueRefusal, "a refusal by what was not yet sent", |case| {
            let sent = case.bid("b7").sent_us;
            case.bid("b8").answer.as_mut().expect("an answer").at_us = sent - 1;
        }),
        (I::TrueRefusal, "a refusal by what was sent later, though not next", |case| {
            // Of b7 and b6, sent in this order, only b6 is in the refused bidder's way.
            case.spread_times();
            let sent = case.bid("b6").sent_us;
            case.bid("b7").sent_us = sent - 2;
            let (reason, price, minimum) = (RejectReason::OwnBid, cents(120), cents(130));
            let said = Said::Rejected { reason, price, minimum, seq: Seq::new(7), at: at(60_000) };
            let answer = Some(Answer { at_us: sent - 4, said });
            let early = case.bid("b6").clone();
            let early = RecordedBid { bid_id: id("b9"), sent_us: sent - 6, answer, ..early };
            case.histories[0].bids.push(early);
        }),
        (I::OneWinner, "a viewer saw another winner", |case| {
            let closed = |sight: &&mut Sight| matches!(sight.shown, Shown::Closed { .. });
            let sight = case.histories[0].sights.iter_mut().find(closed).expect("a close");
            sight.shown = Shown::Closed { winner: Some(user("u1")), amount: Some(cents(200)) };
        }),
        (I::OneWinner, "a viewer saw a close that was none", |case| {
            case.sight(6).shown = Shown::Closed { winner: None, amount: None };
        }),
        (I::Prefix, "a viewer saw an update twice", |case| case.sight(6).seq = Seq::new(5)),
        (I::Prefix, "a viewer went back", |case| case.sight(7).seq = Seq::new(4)),
        (I::Prefix, "a viewer saw another price", |case| {
            let Shown::Update(shown) = &mut case.sight(7).shown else { panic!("an update") };
            shown.price = cents(121);
        }),
        (I::Prefix, "a viewer saw another high bidder", |case| {
            let Shown::Update(shown) = &mut case.sight(7).shown else { panic!("an update") };
            shown.high_bidder = None;
        }),
        (I::Prefix, "a viewer saw what is not stored", |case| case.sight(9).seq = Seq::new(11)),
    ]
};
