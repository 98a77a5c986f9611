//! What is proposed and not yet stored.

use super::*;

#[test]
fn a_draft_shows_in_no_view() {
    let mut auction = open(plain());
    let (view, snapshot) = (auction.view(), auction.to_snapshot());
    accepted(step(&mut auction, bid("ann", "a", 100), 2_000));
    assert!(!auction.draft_is_empty());
    assert_eq!((auction.view(), auction.to_snapshot()), (view, snapshot));
}

#[test]
fn later_bids_are_decided_on_top_of_the_draft() {
    let mut auction = open(plain());
    let first = accepted(step(&mut auction, bid("ann", "a", 100), 2_000));
    let refusal = rejected(step(&mut auction, bid("bob", "low", 105), 2_000));
    assert_eq!((refusal.current, refusal.minimum), (cents(100), cents(110)));
    let second = accepted(step(&mut auction, bid("bob", "b", 110), 2_000));
    assert_eq!(second.seq, first.seq.next());
    auction.commit();
    assert_eq!((auction.view().seq, auction.view().price), (second.seq, cents(110)));
}

#[test]
fn a_retry_finds_its_bid_in_the_draft() {
    let mut auction = open(plain());
    let first = accepted(step(&mut auction, bid("ann", "a", 100), 2_000));
    step(&mut auction, bid("bob", "b", 110), 2_000);
    let actions = step(&mut auction, bid("ann", "a", 100), 2_001);
    assert_eq!(actions.len(), 1);
    assert_eq!(accepted(actions), first);
    assert_eq!(auction.answer_for(&user("ann"), &id("a")), Some(first.clone()));
    auction.commit();
    assert_eq!(accepted(step(&mut auction, bid("ann", "a", 100), 2_002)), first);
}

#[test]
fn an_abandoned_draft_leaves_the_state_as_it_was() {
    let mut auction = open(plain());
    let before = auction.to_snapshot();
    step(&mut auction, bid("ann", "a", 100), 2_000);
    auction.abandon();
    assert!(auction.draft_is_empty());
    assert_eq!(auction.guard(), Guard::default());
    assert_eq!(auction.to_snapshot(), before);
    assert_eq!(auction.answer_for(&user("ann"), &id("a")), None);
    accepted(step(&mut auction, bid("bob", "b", 100), 2_000));
}

#[test]
fn to_commit_is_to_apply_the_events() {
    let mut auction = open(soft(ExtensionMode::Add, 5_000, 2_000, 9));
    let mut replayed = auction.clone();
    let mut actions = step(&mut auction, bid("ann", "a", 100), CLOSES - 10);
    actions.extend(step(&mut auction, bid("bob", "b", 120), CLOSES - 10));
    auction.commit();
    for action in actions {
        if let Action::Append(event) = action {
            replayed.apply(&event).expect("it folds");
        }
    }
    assert_eq!(replayed.to_snapshot(), auction.to_snapshot());
    auction.commit();
    assert_eq!(replayed.to_snapshot(), auction.to_snapshot(), "nothing to commit, nothing done");
}

#[test]
fn the_first_closing_time_guards_all_bids_of_a_draft() {
    let mut auction = open(soft(ExtensionMode::Add, 5_000, 2_000, 9));
    step(&mut auction, bid("ann", "a", 100), CLOSES - 10);
    let guard = Guard { not_before: None, not_after: Some(at(CLOSES)) };
    assert_eq!(auction.guard(), guard);
    step(&mut auction, bid("bob", "b", 110), CLOSES - 5);
    assert_eq!(auction.guard(), guard);
    auction.commit();
    assert_eq!(auction.guard(), Guard::default());
    assert_eq!(auction.view().closes_at, at(CLOSES + 4_000));
    step(&mut auction, bid("ann", "c", 120), CLOSES);
    assert_eq!(auction.guard().not_after, Some(at(CLOSES + 4_000)));
}

#[test]
fn a_close_shares_no_draft_with_bids() {
    let mut auction = open(plain());
    step(&mut auction, bid("ann", "a", 100), CLOSES - 1);
    assert_eq!(step(&mut auction, Input::Tick, CLOSES), vec![], "the close waits for the bids");
    auction.abandon();

    step(&mut auction, Input::Tick, CLOSES);
    // A clock that lags behind would still accept.
    let refusal = rejected(step(&mut auction, bid("ann", "a", 100), CLOSES - 1));
    assert_eq!(refusal.reason, RejectReason::Closed);
}

#[test]
fn an_opening_shares_no_draft_with_bids() {
    let mut auction = scheduled(plain());
    step(&mut auction, Input::Tick, OPENS);
    let refusal = rejected(step(&mut auction, bid("ann", "a", 100), OPENS));
    assert_eq!(refusal.reason, RejectReason::Unavailable);
    auction.commit();
    accepted(step(&mut auction, bid("ann", "a", 100), OPENS));
}

#[test]
fn a_tick_adds_nothing_to_a_draft() {
    // The guard of the opening would let the close be stored before its time.
    let mut auction = scheduled(plain());
    step(&mut auction, Input::Tick, OPENS);
    let guard = auction.guard();
    let mut actions = Vec::new();
    let woken = auction.step(Input::Tick, at(CLOSES), &mut actions);
    assert_eq!((actions, woken), (vec![], Some(at(CLOSES))), "again once it is stored");
    assert_eq!(auction.guard(), guard);
    auction.commit();
    assert_eq!(auction.view().state, AuctionState::Open);
}

#[test]
#[should_panic(expected = "an open draft")]
fn nothing_is_applied_under_a_draft() {
    let mut auction = open(plain());
    let actions = step(&mut auction, bid("ann", "a", 100), 2_000);
    let _misuse = auction.apply(appended(&actions));
}
