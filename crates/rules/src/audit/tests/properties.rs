//! Whatever an auction lives through, its audit is clean; whatever is changed
//! afterwards is found.

use super::{
    world::{Fate, World},
    *,
};
use crate::auction::{
    EventKind, Input,
    tests::properties::{any_flags, any_rules},
};
use proptest::{collection::vec as list, prelude::*};
use std::string::ToString;

/// One thing that happens, so many milliseconds after the last.
#[derive(Debug, Clone)]
enum Op {
    Send { bidder: u8, bid_id: u8, over: i64 },
    Decide(Fate),
    Do(Input),
    Outage(u64),
    FailOver,
    ShowStates,
}

fn ops() -> impl Strategy<Value = Vec<(u64, Op)>> {
    let send = (0..4_u8, 0..8_u8, -15..40_i64).prop_map(|(bidder, bid_id, over)| Op::Send {
        bidder,
        bid_id,
        over,
    });
    let op = prop_oneof![
        30 => send,
        16 => Just(Op::Decide(Fate::Told)),
        1 => Just(Op::Decide(Fate::Untold)),
        1 => Just(Op::Decide(Fate::Lost)),
        10 => Just(Op::Do(Input::Tick)),
        3 => any_flags().prop_map(Op::Do),
        2 => Just(Op::Do(Input::Pause { reason: "fire".to_owned() })),
        6 => Just(Op::Do(Input::Resume)),
        1 => Just(Op::Do(Input::Close)),
        2 => (0..6_000_u64).prop_map(Op::Outage),
        1 => Just(Op::FailOver),
        2 => Just(Op::ShowStates),
    ];
    let gap = prop_oneof![5 => Just(0), 8 => 0..100_u64, 1 => 0..1_500_u64];
    list((gap, op), 1..200)
}

fn lived(rules: crate::AuctionRules, ops: Vec<(u64, Op)>) -> (Stream, Vec<History>) {
    let mut world = World::new(rules);
    for (gap, op) in ops {
        world.now += gap;
        match op {
            Op::Send { bidder, bid_id, over } => {
                let amount = world.minimum().saturating_add_signed(over).min((1 << 53) - 1);
                world.send(&std::format!("u{bidder}"), &std::format!("b{bid_id}"), amount);
            }
            Op::Decide(fate) => world.decide(fate),
            Op::Do(input) => world.command(input),
            Op::Outage(ms) => {
                let since = at(world.now);
                world.now += ms;
                world.command(Input::Outage { since });
            }
            Op::FailOver => world.fail_over(),
            Op::ShowStates => world.show_states(),
        }
    }
    world.end()
}

/// One change to what was recorded or stored; tells whether there was
/// anything to change.
fn corrupt(kind: u8, place: usize, stream: &mut Stream, history: &mut History) -> bool {
    let count = stream.events.len();
    let place_of = |count: usize| if count == 0 { 0 } else { place % count };
    let event = place_of(count);
    let bids: Vec<usize> = (0..count)
        .filter(|place| matches!(stream.events[*place].event.kind, EventKind::BidAccepted { .. }))
        .collect();
    let bid = bids.get(place_of(bids.len())).map(|bid| &mut stream.events[*bid].event.kind);
    let answers = history.bids.iter_mut().filter_map(|bid| bid.answer.as_mut());
    let mut said: Vec<&mut Said> = answers.map(|answer| &mut answer.said).collect();
    let answer = place_of(said.len());
    let answer = said.get_mut(answer).map(|said| &mut **said);
    let sight = place_of(history.sights.len());
    match (kind, bid, answer) {
        (0, ..) if event > 0 => drop(stream.events.remove(event)),
        (1, ..) if event > 0 => stream.events.swap(event - 1, event),
        (2, ..) if event > 0 => stream.events[event].epoch = Epoch::default(),
        (3, ..) => stream.events[event].epoch = stream.epoch.next(),
        (4, ..) => {
            let mut twin = stream.events[count - 1].clone();
            twin.event.seq = Seq::new(u64::try_from(count).expect("a count") + 1);
            twin.epoch = stream.epoch;
            stream.events.push(twin);
        }
        (5, Some(EventKind::BidAccepted { bidder, .. }), _) => *bidder = user("stranger"),
        (6, Some(EventKind::BidAccepted { amount, .. }), _) => *amount = less(*amount),
        (7, _, Some(Said::Accepted { seq, .. })) => *seq = seq.next(),
        (8, _, Some(Said::Accepted { amount, .. })) => *amount = less(*amount),
        (9, _, Some(Said::Accepted { at, .. })) => *at = at.saturating_add(crate::Millis::new(1)),
        (10, _, Some(Said::Rejected { price, .. })) => *price = less(*price),
        (11, _, Some(Said::Rejected { minimum, .. } | Said::Accepted { minimum, .. })) => {
            *minimum = less(*minimum);
        }
        (12, ..) => match &mut history.sights[sight].shown {
            Shown::State(shown) | Shown::Update(shown) => shown.price = less(shown.price),
            Shown::Closed { winner, .. } => *winner = Some(user("stranger")),
        },
        (13, ..) => {
            let twin = history.sights[sight].clone();
            let again = matches!(twin.shown, Shown::Update(_));
            history.sights.insert(sight + 1, twin);
            return again;
        }
        (14, ..) => {
            let EventKind::Credited { closes_at, .. } = &mut stream.events[event].event.kind else {
                return false;
            };
            *closes_at = closes_at.saturating_add(crate::Millis::new(1));
        }
        _ => return false,
    }
    true
}

fn less(amount: crate::Amount) -> crate::Amount {
    cents(amount.minor() - 1)
}

proptest! {
    #[test]
    fn every_life_is_found_good(rules in any_rules(), ops in ops()) {
        let (stream, histories) = lived(rules, ops);
        let report = audit(&stream, &histories, true).map_err(|found| found.to_string());
        prop_assert_eq!(report.as_ref().map(|report| report.unchecked), Ok(0), "{:?}", report);
        prop_assert_eq!(report.map(|report| report.events), Ok(stream.events.len()));
    }

    #[test]
    fn a_life_without_its_beginning_is_found_good(
        rules in any_rules(), ops in ops(), dropped in 1..40_usize,
    ) {
        let (mut stream, histories) = lived(rules, ops);
        stream.events.drain(..dropped.min(stream.events.len() - 1));
        let report = audit(&stream, &histories, true);
        prop_assert!(report.is_ok(), "{:?}", report);
    }

    #[test]
    fn what_is_changed_afterwards_is_found(
        rules in any_rules(), ops in ops(), kind in 0..15_u8, place in 0..1_000_usize,
    ) {
        let (mut stream, mut histories) = lived(rules, ops);
        prop_assume!(corrupt(kind, place, &mut stream, &mut histories[0]));
        prop_assert!(audit(&stream, &histories, true).is_err());
    }
}
