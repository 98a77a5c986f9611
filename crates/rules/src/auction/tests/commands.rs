//! What administrators may do.

use super::*;

fn pause() -> Input {
    Input::Pause { reason: "fire".to_owned() }
}

#[test]
fn a_pause_is_credited() {
    let mut auction = open(plain());
    let actions = step(&mut auction, pause(), 10_000);
    assert_eq!(appended(&actions).kind, EventKind::Paused { reason: "fire".to_owned() });
    assert_eq!(auction.guard(), Guard { not_before: None, not_after: Some(at(CLOSES)) });
    auction.commit();
    assert_eq!(auction.view().state, AuctionState::Paused);

    // The clock stands still, however long it takes.
    let woken = auction.step(Input::Tick, at(CLOSES * 2), &mut Vec::new());
    assert_eq!((woken, auction.draft_is_empty()), (None, true));

    let actions = step(&mut auction, Input::Resume, CLOSES * 2);
    let closes_at = at(CLOSES + CLOSES * 2 - 10_000);
    assert_eq!(appended(&actions).kind, EventKind::Resumed { closes_at });
    assert_eq!(auction.guard(), Guard::default());
    auction.commit();
    assert_eq!((auction.view().state, auction.view().closes_at), (AuctionState::Open, closes_at));
    accepted(stored(&mut auction, bid("ann", "a", 100), CLOSES * 2 + 1));
}

#[test]
fn a_clock_that_went_back_takes_no_time_away() {
    let mut auction = open(plain());
    stored(&mut auction, pause(), 10_000);
    stored(&mut auction, Input::Resume, 9_000);
    assert_eq!(auction.view().closes_at, at(CLOSES));
}

#[test]
fn an_administrator_closes_an_auction_in_any_state_but_closed() {
    let paused = {
        let mut auction = open(plain());
        stored(&mut auction, pause(), 2_000);
        auction
    };
    for mut auction in [scheduled(plain()), open(plain()), paused] {
        let actions = step(&mut auction, Input::Close, 3_000);
        assert_eq!(appended(&actions).kind, EventKind::Closed { outcome: Outcome::NoBids });
        assert_eq!(auction.guard(), Guard::default());
        auction.commit();
        assert_eq!(refused(step(&mut auction, Input::Close, 3_001)), CommandError::AlreadyClosed);
    }
}

#[test]
fn a_command_that_does_not_fit_is_refused() {
    let mut auction = scheduled(plain());
    assert_eq!(refused(step(&mut auction, pause(), 0)), CommandError::NotOpen);
    assert_eq!(refused(step(&mut auction, Input::Resume, 0)), CommandError::NotPaused);
    let mut auction = open(plain());
    assert_eq!(refused(step(&mut auction, Input::Resume, 2_000)), CommandError::NotPaused);
    // Its time is over, though nobody wrote so yet.
    assert_eq!(refused(step(&mut auction, pause(), CLOSES)), CommandError::NotOpen);
    stored(&mut auction, pause(), 2_000);
    assert_eq!(refused(step(&mut auction, pause(), 2_000)), CommandError::NotOpen);
    assert_eq!(refused(step(&mut Auction::empty(), Input::Close, 0)), CommandError::AlreadyClosed);
}

#[test]
fn commands_wait_for_the_draft() {
    let mut auction = open(plain());
    step(&mut auction, bid("ann", "a", 100), 2_000);
    for command in [pause(), Input::Resume, Input::Close] {
        assert_eq!(refused(step(&mut auction, command, 2_000)), CommandError::Busy);
    }
}
