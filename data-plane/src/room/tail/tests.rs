//! What is kept, and what a look at the stream tells.

use super::*;
use gavel_rules::{auction::EventKind, order::Generation, time::Timestamp};
use gavel_runtime::clock;
use std::time::Duration;

fn event(seq: u64, reason: &str) -> Event {
    let kind = EventKind::Paused { reason: reason.to_owned() };
    Event { seq: Seq::new(seq), at: Timestamp::new(seq), kind }
}

fn stored(seqs: impl IntoIterator<Item = u64>) -> Vec<StoredEvent> {
    let stored = |seq| StoredEvent { epoch: Epoch::new(1), event: event(seq, "a") };
    seqs.into_iter().map(stored).collect()
}

fn at(generation: u64, seq: u64) -> Position {
    Position { generation: Generation::new(generation), seq: Seq::new(seq) }
}

/// A mark of a server with replicas that have nothing yet.
fn nothing_covered() -> Watermark {
    Watermark { has_replicas: true, server: 1, ..Watermark::default() }
}

/// A tail of these, pushed one by one.
fn tail(seqs: impl IntoIterator<Item = u64>) -> Tail {
    let mut tail = Tail::default();
    for seq in seqs {
        let events = [event(seq, "a")];
        tail.push(Epoch::new(1), &events, Stamp::default(), &nothing_covered());
    }
    tail
}

#[test]
fn a_stream_that_holds_what_was_told_is_whole() {
    let tail = tail(5..=9);
    assert_eq!(tail.after(), Some(Seq::new(4)));
    assert_eq!(tail.compare(at(1, 9), at(1, 9), &stored(5..=9)), Compared::Whole);
    assert_eq!(
        tail.compare(at(1, 9), at(1, 11), &stored(5..=11)),
        Compared::Whole,
        "others went on"
    );
    let nothing = Tail::default();
    assert_eq!(nothing.compare(Position::default(), at(1, 7), &[]), Compared::Whole);
    assert_eq!(nothing.compare(at(1, 7), at(1, 7), &[]), Compared::Whole);
}

#[test]
fn the_end_of_a_stream_that_is_its_beginning_is_put_back() {
    let tail = tail(5..=9);
    for kept in 4..=8 {
        let found = tail.compare(at(1, 9), at(1, kept), &stored(5..=kept));
        assert_eq!(found, Compared::Lacks(stored(kept + 1..=9)));
    }
    let differs = Compared::Differs { told: Seq::new(9), common: Seq::new(3) };
    assert_eq!(tail.compare(at(1, 9), at(1, 3), &[]), differs, "4 was let go");
    let differs = Compared::Differs { told: Seq::new(10), common: Seq::new(8) };
    assert_eq!(tail.compare(at(1, 10), at(1, 8), &stored(5..=8)), differs, "10 is another's");
    let differs = Compared::Differs { told: Seq::new(9), common: Seq::new(8) };
    assert_eq!(Tail::default().compare(at(1, 9), at(1, 8), &[]), differs, "nothing was kept");
}

#[test]
fn a_stream_in_which_somebody_else_wrote_differs() {
    let tail = tail(5..=9);
    for length in [7, 9, 12] {
        for wrong in 5..=7_u64 {
            let mut found = stored(5..=length);
            let index = usize::try_from(wrong - 5).unwrap();
            found[index].event = event(wrong, "another");
            let differs = Compared::Differs { told: Seq::new(9), common: Seq::new(wrong - 1) };
            assert_eq!(tail.compare(at(1, 9), at(1, length), &found), differs);
            found[index] = StoredEvent { epoch: Epoch::new(2), event: event(wrong, "a") };
            assert_eq!(tail.compare(at(1, 9), at(1, length), &found), differs, "another epoch");
        }
    }
}

#[test]
fn another_history_is_taken_as_it_is_unless_it_is_empty_and_all_of_ours_is_here() {
    assert_eq!(tail(5..=9).compare(at(1, 9), at(2, 9), &stored(5..=9)), Compared::Another);
    assert_eq!(tail(5..=9).compare(at(1, 9), at(2, 0), &[]), Compared::Another);
    assert_eq!(tail(1..=3).compare(at(1, 3), at(2, 1), &stored(1..=1)), Compared::Another);
    assert_eq!(tail(1..=3).compare(at(1, 3), at(2, 0), &[]), Compared::Lacks(stored(1..=3)));
}

#[test]
fn what_every_replica_has_is_let_go_and_nothing_else() {
    let (answered, mut kept) = (Stamp::default().answered(), tail([]));
    kept.push(Epoch::new(1), &[event(5, "a"), event(6, "a")], answered, &nothing_covered());
    let until = clock::monotonic() + Duration::from_secs(1);
    let mark = Watermark { covers_until: Some(until), ..nothing_covered() };
    kept.push(Epoch::new(1), &[event(7, "a")], Stamp::default(), &mark);
    assert_eq!(kept.after(), Some(Seq::new(6)));
    kept.push(Epoch::new(1), &[event(8, "a")], answered, &mark);
    assert_eq!(kept.after(), Some(Seq::new(6)), "7 has no answer yet");
    kept.push(Epoch::new(1), &[event(11, "a")], answered, &nothing_covered());
    assert_eq!(kept.after(), Some(Seq::new(10)), "after a gap it begins anew");
    let alone = Watermark { has_replicas: false, ..nothing_covered() };
    kept.push(Epoch::new(1), &[event(12, "a")], answered, &alone);
    assert_eq!(kept.after(), None, "nobody could lose it");
}

#[test]
fn the_oldest_go_at_the_bound_and_it_is_said_once() {
    let (mut kept, most) = (tail([]), u64::try_from(EVENTS_MAX).unwrap());
    let said: Vec<_> = (1..=most + 3)
        .filter(|seq| {
            let events = [event(*seq, "a")];
            kept.push(Epoch::new(1), &events, Stamp::default(), &nothing_covered())
        })
        .collect();
    assert_eq!(said, [most + 1]);
    assert_eq!(kept.after(), Some(Seq::new(3)));
    kept.hold(stored(1..=most + 9), Stamp::default());
    assert_eq!(kept.after(), Some(Seq::new(9)));
}
