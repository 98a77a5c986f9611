//! Which bids are accepted, and what the others are told.

use super::*;

#[test]
fn the_first_bid_offers_the_opening_price_and_the_next_a_step_more() {
    let mut auction = open(plain());
    let first = accepted(stored(&mut auction, bid("ann", "a1", 100), 2_000));
    let expected = Accepted {
        bid_id: id("a1"),
        bidder: user("ann"),
        amount: cents(100),
        seq: crate::Seq::new(3),
        at: at(2_000),
        minimum_next: cents(110),
    };
    assert_eq!(first, expected);
    assert_eq!(
        rejected(step(&mut auction, bid("bob", "b1", 109), 2_001)).reason,
        RejectReason::TooLow
    );
    let second = accepted(stored(&mut auction, bid("bob", "b2", 110), 2_002));
    assert_eq!((second.minimum_next, auction.view().price), (cents(120), cents(110)));
    assert_eq!(auction.view().high_bidder, Some(user("bob")));
    assert_eq!(auction.view().bid_count, 2);
}

#[test]
fn every_refusal_says_why_and_what_would_do() {
    let cases = [
        ("bob", 109, 2_000, RejectReason::TooLow),
        ("bob", 0, 2_000, RejectReason::InvalidAmount),
        ("ann", 110, 2_000, RejectReason::OwnBid),
        ("seller", 110, 2_000, RejectReason::Seller),
        ("bob", 110, CLOSES, RejectReason::Closed),
        ("bob", 110, CLOSES + 1, RejectReason::Closed),
    ];
    for (bidder, amount, now, reason) in cases {
        let mut auction = open(plain());
        stored(&mut auction, bid("ann", "a1", 100), 1_500);
        let before = auction.to_snapshot();
        let refusal = rejected(step(&mut auction, bid(bidder, "x", amount), now));
        let expected = Rejected {
            bid_id: id("x"),
            reason,
            current: cents(100),
            minimum: cents(110),
            seq: crate::Seq::new(3),
            at: at(now),
            retry_after: None,
        };
        assert_eq!(refusal, expected);
        assert!(auction.draft_is_empty());
        assert_eq!(auction.to_snapshot(), before);
    }
}

#[test]
fn bids_are_refused_by_state() {
    let mut auction = scheduled(plain());
    let reason = |actions| rejected(actions).reason;
    assert_eq!(reason(step(&mut auction, bid("ann", "a", 100), 500)), RejectReason::NotOpen);
    // The clock alone does not open it: the event does.
    assert_eq!(reason(step(&mut auction, bid("ann", "a", 100), OPENS)), RejectReason::NotOpen);
    stored(&mut auction, Input::Tick, OPENS);
    stored(&mut auction, Input::Pause { reason: "fire".to_owned() }, 2_000);
    assert_eq!(reason(step(&mut auction, bid("ann", "a", 100), 2_001)), RejectReason::Paused);
    stored(&mut auction, Input::Close, 3_000);
    assert_eq!(reason(step(&mut auction, bid("ann", "a", 100), 3_001)), RejectReason::Closed);
    let nothing = step(&mut Auction::empty(), bid("ann", "a", 100), 500);
    assert_eq!(reason(nothing), RejectReason::NotOpen);
}

#[test]
fn a_round_holds_so_many_bids_and_no_more() {
    let mut auction = open(plain());
    auction.stored.standing.bid_count = BIDS_MAX - 1;
    accepted(stored(&mut auction, bid("ann", "a", 100), 2_000));
    let refusal = rejected(step(&mut auction, bid("bob", "b", 110), 2_000));
    assert_eq!(refusal.reason, RejectReason::TooManyBids);
}

#[test]
fn the_step_follows_the_price_band() {
    let bands =
        [(0, 10), (200, 50)].map(|(from, step)| Band { from: cents(from), step: cents(step) });
    let increments = IncrementTable::new(bands.to_vec()).expect("a table");
    let mut auction = open(AuctionRules { increments, ..plain() });
    assert_eq!(accepted(stored(&mut auction, bid("a", "1", 199), 2_000)).minimum_next, cents(209));
    assert_eq!(accepted(stored(&mut auction, bid("b", "2", 209), 2_000)).minimum_next, cents(259));
}

#[test]
fn a_retry_gets_its_answer_before_any_other_rule() {
    let mut auction = open(plain());
    let first = accepted(stored(&mut auction, bid("ann", "a1", 100), 2_000));
    // Below the minimum, own bid, an impossible amount: still the same answer, and no new event.
    for amount in [100, 500, 0] {
        let actions = step(&mut auction, bid("ann", "a1", amount), 2_500);
        assert_eq!(actions.len(), 1);
        assert_eq!(accepted(actions), first);
    }
    stored(&mut auction, bid("bob", "b1", 110), 2_600);
    stored(&mut auction, Input::Pause { reason: "fire".to_owned() }, 2_700);
    assert_eq!(accepted(step(&mut auction, bid("ann", "a1", 100), 2_800)), first);
    stored(&mut auction, Input::Close, 2_900);
    assert_eq!(accepted(step(&mut auction, bid("ann", "a1", 100), CLOSES + 9)), first);
    assert_eq!(auction.answer_for(&user("ann"), &id("a1")), Some(first));
}

#[test]
fn a_bid_id_is_the_bidders_own() {
    let mut auction = open(plain());
    accepted(stored(&mut auction, bid("ann", "same", 100), 2_000));
    let bob = accepted(stored(&mut auction, bid("bob", "same", 110), 2_000));
    assert_eq!((bob.bidder, bob.amount), (user("bob"), cents(110)));
}

#[test]
fn a_refused_bid_may_try_again_under_its_id() {
    let mut auction = open(plain());
    rejected(step(&mut auction, bid("ann", "a", 99), 2_000));
    accepted(step(&mut auction, bid("ann", "a", 100), 2_001));
}

#[test]
fn the_reserve_shows_only_as_met_or_not() {
    let mut auction = open(AuctionRules { reserve: Some(cents(200)), ..plain() });
    assert_eq!(auction.view().reserve_met, Some(false));
    stored(&mut auction, bid("ann", "a", 199), 2_000);
    assert_eq!(auction.view().reserve_met, Some(false));
    let mut unsold = auction.clone();
    stored(&mut unsold, Input::Tick, CLOSES);
    assert_eq!(unsold.view().outcome, Some(Outcome::ReserveNotMet));

    stored(&mut auction, bid("bob", "b", 209), 2_000);
    assert_eq!(auction.view().reserve_met, Some(true));
    stored(&mut auction, Input::Tick, CLOSES);
    let sold = Outcome::Sold { winner: user("bob"), amount: cents(209) };
    assert_eq!(auction.view().outcome, Some(sold));
    assert_eq!(open(plain()).view().reserve_met, None);
}

#[test]
fn a_price_equal_to_the_reserve_meets_it() {
    let mut auction = open(AuctionRules { reserve: Some(cents(200)), ..plain() });
    stored(&mut auction, bid("ann", "a", 200), 2_000);
    assert_eq!(auction.view().reserve_met, Some(true));
    stored(&mut auction, Input::Tick, CLOSES);
    let sold = Outcome::Sold { winner: user("ann"), amount: cents(200) };
    assert_eq!(auction.view().outcome, Some(sold));
}

#[test]
fn the_versions_in_force_are_stored_with_the_bid() {
    let mut auction = open(plain());
    let actions = step(&mut auction, bid("ann", "a", 100), 2_000);
    let expected = EventKind::BidAccepted {
        bidder: user("ann"),
        bid_id: id("a"),
        amount: cents(100),
        minimum_next: cents(110),
        extended_to: None,
        flags: Version::new(7),
        limits: Version::new(3),
    };
    assert_eq!(appended(&actions).kind, expected);
}

#[test]
fn at_the_top_of_the_range_no_bid_rises_by_less_than_the_step() {
    let top = Amount::MAX.minor();
    let mut auction = open(AuctionRules { opening_price: cents(top - 15), ..plain() });
    let first = accepted(stored(&mut auction, bid("a", "1", top - 15), 2_000));
    assert_eq!(first.minimum_next, cents(top - 5));
    let second = accepted(stored(&mut auction, bid("b", "2", top - 5), 2_000));
    assert_eq!(second.minimum_next, Amount::MAX);
    let refusal = rejected(step(&mut auction, bid("a", "3", top), 2_000));
    assert_eq!(refusal.reason, RejectReason::TooLow);

    let mut auction = open(plain());
    accepted(stored(&mut auction, bid("a", "1", top), 2_000));
    let refusal = rejected(step(&mut auction, bid("b", "2", top), 2_000));
    assert_eq!((refusal.reason, refusal.minimum), (RejectReason::TooLow, Amount::MAX));
}
