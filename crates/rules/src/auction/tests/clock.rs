//! What the clock does: opening, closing, soft close, reopening.

use super::*;

fn wake(auction: &Auction, now: u64) -> Option<Timestamp> {
    auction.clone().step(Input::Tick, at(now), &mut Vec::new())
}

#[test]
fn it_opens_and_closes_when_it_is_time_and_once() {
    let mut auction = scheduled(plain());
    assert_eq!(wake(&auction, 0), Some(at(OPENS)));
    assert_eq!(step(&mut auction, Input::Tick, OPENS - 1), vec![]);
    let opened = step(&mut auction, Input::Tick, OPENS + 5);
    assert_eq!(
        appended(&opened).kind,
        EventKind::Opened { closes_at: at(CLOSES), soft_close: None }
    );
    assert_eq!(auction.guard(), Guard { not_before: Some(at(OPENS)), not_after: None });
    auction.commit();

    assert_eq!(wake(&auction, OPENS), Some(at(CLOSES)));
    assert_eq!(step(&mut auction, Input::Tick, CLOSES - 1), vec![]);
    let closed = step(&mut auction, Input::Tick, CLOSES);
    assert_eq!(appended(&closed).kind, EventKind::Closed { outcome: Outcome::NoBids });
    assert_eq!(auction.guard(), Guard { not_before: Some(at(CLOSES)), not_after: None });
    auction.commit();

    assert_eq!(wake(&auction, CLOSES), None);
    assert_eq!(step(&mut auction, Input::Tick, CLOSES * 9), vec![]);
    assert_eq!(auction.view().state, AuctionState::Closed);
}

#[test]
fn an_owner_that_comes_late_opens_then_closes() {
    let mut auction = scheduled(plain());
    stored(&mut auction, Input::Tick, CLOSES + 1);
    assert_eq!(auction.view().state, AuctionState::Open);
    let refusal = rejected(step(&mut auction, bid("a", "1", 100), CLOSES + 1));
    assert_eq!(refusal.reason, RejectReason::Closed);
    stored(&mut auction, Input::Tick, CLOSES + 1);
    assert_eq!(auction.view().state, AuctionState::Closed);
}

#[test]
fn a_bid_at_the_wrong_time_is_told_when_there_will_be_a_right_one() {
    let again = AuctionRules { reopen_after: Some(Millis::new(15_000)), ..plain() };
    let told = |auction: &mut Auction, now| {
        let refusal = rejected(step(auction, bid("a", "1", 100), now));
        (refusal.reason, refusal.retry_after.map(Millis::get))
    };
    for (rules, reopens_in) in [(plain(), None), (again, Some(14_000))] {
        let mut auction = scheduled(rules);
        assert_eq!(told(&mut auction, 300), (RejectReason::NotOpen, Some(OPENS - 300)));
        // The clock is there and the auction is about to open.
        assert_eq!(told(&mut auction, OPENS + 1), (RejectReason::NotOpen, Some(0)));
        stored(&mut auction, Input::Tick, OPENS);
        stored(&mut auction, Input::Pause { reason: "lunch".to_owned() }, 2_000);
        assert_eq!(told(&mut auction, 2_000), (RejectReason::Paused, None), "nobody knows");
        stored(&mut auction, Input::Resume, 2_000);
        assert_eq!(told(&mut auction, CLOSES), (RejectReason::Closed, None), "not closed yet");
        stored(&mut auction, Input::Tick, CLOSES);
        assert_eq!(told(&mut auction, CLOSES + 1_000), (RejectReason::Closed, reopens_in));
    }
}

#[test]
fn a_bid_in_the_last_millisecond_counts() {
    let mut auction = open(plain());
    accepted(stored(&mut auction, bid("ann", "a", 100), CLOSES - 1));
    stored(&mut auction, Input::Tick, CLOSES);
    let sold = Outcome::Sold { winner: user("ann"), amount: cents(100) };
    assert_eq!(auction.view().outcome, Some(sold));
}

#[test]
fn add_moves_the_close_by_its_length_up_to_the_cap() {
    let mut auction = open(soft(ExtensionMode::Add, 5_000, 2_000, 2));
    let closes = |auction: &Auction| auction.view().closes_at.as_millis();
    stored(&mut auction, bid("a", "1", 100), CLOSES - 5_001);
    assert_eq!(closes(&auction), CLOSES, "too early to extend");
    stored(&mut auction, bid("b", "2", 110), CLOSES - 5_000);
    assert_eq!(closes(&auction), CLOSES + 2_000);
    stored(&mut auction, bid("a", "3", 120), CLOSES + 1_999);
    assert_eq!(closes(&auction), CLOSES + 4_000);
    let third = stored(&mut auction, bid("b", "4", 130), CLOSES + 3_999);
    assert_eq!(closes(&auction), CLOSES + 4_000, "twice is the most");
    assert!(matches!(appended(&third).kind, EventKind::BidAccepted { extended_to: None, .. }));
    assert_eq!(auction.view().extensions, 2);
}

#[test]
fn reset_to_counts_from_the_bid_and_never_moves_back() {
    let mut auction = open(soft(ExtensionMode::ResetTo, 5_000, 3_000, 9));
    stored(&mut auction, bid("a", "1", 100), CLOSES - 5_000);
    stored(&mut auction, bid("b", "2", 110), CLOSES - 3_000);
    assert_eq!((auction.view().closes_at, auction.view().extensions), (at(CLOSES), 0));
    stored(&mut auction, bid("a", "3", 120), CLOSES - 1_000);
    assert_eq!((auction.view().closes_at, auction.view().extensions), (at(CLOSES + 2_000), 1));
}

#[test]
fn a_round_keeps_what_it_was_pinned_to_when_it_opened() {
    let rules = AuctionRules {
        reopen_after: Some(Millis::new(10)),
        ..soft(ExtensionMode::ResetTo, 5_000, 3_000, 9)
    };
    let flags = |soft_close| Input::Flags { soft_close };
    let closes = |auction: &Auction| auction.view().closes_at.as_millis();
    let mut auction = scheduled(rules);
    assert_eq!(step(&mut auction, flags(Some(ExtensionMode::Add)), 0), vec![]);
    let opened = stored(&mut auction, Input::Tick, OPENS);
    let soft_close = Some(ExtensionMode::Add);
    assert_eq!(appended(&opened).kind, EventKind::Opened { closes_at: at(CLOSES), soft_close });
    // The flag changes under the open round, and another owner goes on.
    stored(&mut auction, flags(None), OPENS);
    let mut auction = Auction::from_snapshot(auction.to_snapshot());
    stored(&mut auction, bid("ann", "a-1", 100), CLOSES - 1_000);
    assert_eq!(closes(&auction), CLOSES + 3_000, "on from the close");
    stored(&mut auction, Input::Tick, CLOSES + 3_000);
    stored(&mut auction, Input::Tick, CLOSES + 4_000);
    let opened = stored(&mut auction, Input::Tick, CLOSES + 4_000);
    let EventKind::Opened { soft_close: None, .. } = appended(&opened).kind else {
        panic!("{opened:?}")
    };
    let before = closes(&auction);
    stored(&mut auction, bid("ann", "a-2", 100), before - 1_000);
    assert_eq!(closes(&auction), before + 2_000, "counted from the bid, as it was created");
}

#[test]
fn a_hard_close_is_pinned_to_nothing() {
    let mut auction = scheduled(plain());
    stored(&mut auction, Input::Flags { soft_close: Some(ExtensionMode::Add) }, 0);
    let opened = stored(&mut auction, Input::Tick, OPENS);
    let unpinned = EventKind::Opened { closes_at: at(CLOSES), soft_close: None };
    assert_eq!(appended(&opened).kind, unpinned);
}

#[test]
fn only_accepted_bids_extend() {
    let mut auction = open(soft(ExtensionMode::Add, 5_000, 2_000, 9));
    stored(&mut auction, bid("ann", "1", 100), 2_000);
    let late = CLOSES - 1;
    for (bidder, bid_id, amount) in
        [("bob", "low", 101), ("ann", "own", 200), ("seller", "s", 200), ("ann", "1", 100)]
    {
        assert_eq!(step(&mut auction, bid(bidder, bid_id, amount), late).len(), 1);
    }
    assert_eq!(auction.view().closes_at, at(CLOSES));
    assert!(auction.draft_is_empty());
}

#[test]
fn no_extension_without_any_or_beyond_the_end_of_time() {
    let mut auction = open(soft(ExtensionMode::Add, 5_000, 2_000, 0));
    stored(&mut auction, bid("a", "1", 100), CLOSES - 1);
    assert_eq!(auction.view().closes_at, at(CLOSES));

    let rules =
        AuctionRules { closes_at: at(u64::MAX - 1), ..soft(ExtensionMode::Add, 5_000, 2_000, 9) };
    let mut auction = open(rules);
    accepted(stored(&mut auction, bid("a", "1", 100), u64::MAX - 2));
    assert_eq!(auction.view().closes_at, at(u64::MAX - 1));
}

#[test]
fn a_demo_auction_begins_anew() {
    let rules = AuctionRules {
        reopen_after: Some(Millis::new(500)),
        ..soft(ExtensionMode::Add, 5_000, 2_000, 9)
    };
    let mut auction = open(rules);
    stored(&mut auction, bid("ann", "a", 100), CLOSES - 1);
    let closed = CLOSES + 2_007;
    stored(&mut auction, Input::Tick, closed);
    assert_eq!(step(&mut auction, Input::Tick, closed + 499), vec![]);
    let again = closed + 600;
    let reopened = step(&mut auction, Input::Tick, again);
    let (opens_at, closes_at) = (at(again), at(again + CLOSES - OPENS));
    assert_eq!(appended(&reopened).kind, EventKind::Reopened { opens_at, closes_at });
    assert_eq!(auction.guard().not_before, Some(at(closed + 500)));
    auction.commit();

    let view = auction.view();
    let fresh = View { seq: view.seq, round: 1, opens_at, closes_at, ..scheduled_view() };
    assert_eq!(view, fresh);
    assert_eq!(auction.answer_for(&user("ann"), &id("a")), None);
    stored(&mut auction, Input::Tick, again);
    accepted(stored(&mut auction, bid("ann", "a", 100), again + 1));
}

fn scheduled_view() -> View {
    scheduled(plain()).view()
}
