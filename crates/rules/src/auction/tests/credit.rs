//! Outages: what is given back, and what is not.

use super::*;

fn credits(from: u64, total_max: u64) -> AuctionRules {
    let (from, total_max) = (Millis::new(from), Millis::new(total_max));
    AuctionRules { outage_credit: Some(OutageCredit { from, total_max }), ..plain() }
}

fn outage(since: u64) -> Input {
    Input::Outage { since: at(since) }
}

fn credited(actions: &[Action]) -> (u64, u64) {
    let EventKind::Credited { since, closes_at } = appended(actions).kind else {
        panic!("a credit, not {actions:?}")
    };
    (since.as_millis(), closes_at.as_millis())
}

#[test]
fn an_outage_moves_the_close_by_its_length_whether_or_not_time_ran_out_in_it() {
    for now in [CLOSES - 5_000, CLOSES + 50_000] {
        let since = CLOSES - 8_000;
        let mut auction = open(credits(2_000, 600_000));
        let actions = step(&mut auction, outage(since), now);
        assert_eq!(auction.guard(), Guard { not_before: Some(at(now)), not_after: None });
        auction.commit();
        assert_eq!(credited(&actions), (since, CLOSES + now - since));
        let view = auction.view();
        assert_eq!((view.closes_at, view.credited), (at(now + 8_000), Millis::new(now - since)));
        // The eight seconds that were left are left again.
        accepted(stored(&mut auction, bid("ann", "a", 100), now + 7_999));
        stored(&mut auction, Input::Tick, now + 8_000);
        assert_eq!(auction.view().state, AuctionState::Closed);
    }
}

#[test]
fn nothing_is_credited_without_a_policy_or_below_what_it_names() {
    let mut auction = open(plain());
    assert_eq!(step(&mut auction, outage(2_000), 50_000), vec![]);
    let mut auction = open(credits(5_000, 600_000));
    assert_eq!(step(&mut auction, outage(2_000), 6_999), vec![]);
    assert_eq!(credited(&step(&mut auction, outage(2_000), 7_000)), (2_000, CLOSES + 5_000));
}

#[test]
fn all_credits_together_have_a_maximum() {
    let mut auction = open(credits(2_000, 10_000));
    stored(&mut auction, outage(10_000), 17_000);
    let actions = stored(&mut auction, outage(20_000), 40_000);
    assert_eq!(credited(&actions), (20_000, CLOSES + 10_000));
    assert_eq!(step(&mut auction, outage(45_000), 55_000), vec![]);
    assert_eq!(auction.view().credited, Millis::new(10_000));
}

#[test]
fn no_time_is_credited_twice() {
    // A bid in between shows that there was no outage before it.
    let mut auction = open(credits(2_000, 600_000));
    stored(&mut auction, bid("ann", "a", 100), 10_000);
    assert_eq!(credited(&stored(&mut auction, outage(5_000), 20_000)), (10_000, CLOSES + 10_000));
    assert_eq!(step(&mut auction, outage(5_000), 21_999), vec![]);
    assert_eq!(credited(&step(&mut auction, outage(5_000), 22_000)), (20_000, CLOSES + 12_000));

    // A pause is credited when it ends.
    let mut auction = open(credits(2_000, 600_000));
    stored(&mut auction, Input::Pause { reason: "fire".to_owned() }, 10_000);
    assert_eq!(step(&mut auction, outage(12_000), 20_000), vec![]);
    stored(&mut auction, Input::Resume, 30_000);
    assert_eq!(auction.view().closes_at, at(CLOSES + 20_000));
    assert_eq!(step(&mut auction, outage(12_000), 31_999), vec![]);
    assert_eq!(auction.view().credited, Millis::new(0));
}

#[test]
fn closed_stays_closed_and_what_ran_out_before_closes() {
    let mut auction = open(credits(2_000, 600_000));
    assert_eq!(step(&mut auction, outage(CLOSES), CLOSES + 9_000), vec![]);
    stored(&mut auction, Input::Tick, CLOSES + 9_000);
    assert_eq!(step(&mut auction, outage(CLOSES - 1), CLOSES + 99_000), vec![]);
    assert_eq!(auction.view().state, AuctionState::Closed);
}

#[test]
fn a_late_opening_is_credited_from_when_it_was_due() {
    let mut auction = scheduled(credits(2_000, 600_000));
    assert_eq!(step(&mut auction, outage(0), OPENS - 1), vec![], "nothing was lost yet");
    assert_eq!(step(&mut auction, outage(0), OPENS + 1_999), vec![], "the clock opens it");
    let actions = step(&mut auction, outage(0), OPENS + 9_000);
    assert_eq!(
        appended(&actions).kind,
        EventKind::Opened { closes_at: at(CLOSES), soft_close: None }
    );
    assert_eq!(auction.guard(), Guard { not_before: Some(at(OPENS + 9_000)), not_after: None });
    assert_eq!(credited(&actions[1..]), (OPENS, CLOSES + 9_000));
    auction.commit();
    assert_eq!(auction.view().closes_at, at(CLOSES + 9_000));
}

#[test]
fn a_credit_waits_for_what_is_proposed_and_bids_wait_for_it() {
    let mut auction = open(credits(2_000, 600_000));
    accepted(step(&mut auction, bid("ann", "a", 100), 9_000));
    assert_eq!(step(&mut auction, outage(2_000), 9_000), vec![]);
    auction.abandon();
    assert_eq!(credited(&step(&mut auction, outage(2_000), 9_000)), (2_000, CLOSES + 7_000));
    let refusal = rejected(step(&mut auction, bid("ann", "a", 100), 9_000));
    assert_eq!(refusal.reason, RejectReason::Unavailable);
}

#[test]
fn a_new_round_begins_without_credit() {
    let reopen_after = Some(Millis::new(0));
    let mut auction = open(AuctionRules { reopen_after, ..credits(2_000, 5_000) });
    stored(&mut auction, outage(2_000), 7_000);
    stored(&mut auction, Input::Tick, CLOSES + 5_000);
    stored(&mut auction, Input::Tick, CLOSES + 5_000);
    stored(&mut auction, Input::Tick, CLOSES + 5_000);
    let view = auction.view();
    assert_eq!((view.state, view.credited), (AuctionState::Open, Millis::new(0)));
    assert!(!step(&mut auction, outage(CLOSES + 6_000), CLOSES + 9_000).is_empty());
}
