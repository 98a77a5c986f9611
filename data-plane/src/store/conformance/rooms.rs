//! Claiming, appending, reading.

use std::collections::BTreeSet;
use std::sync::Arc;

use gavel_rules::{Epoch, Generation, Guard, Millis, Seq, Timestamp};
use gavel_runtime::tasks;

use super::fixture::{
    ANY_TIME, Owned, assert_same, assert_stored, bid_id, bidder, claimed, event, events, folded,
    node, room,
};
use crate::store::{
    APPEND_EVENTS_MAX, Appended, Claim, EVENTS_KEPT, Loaded, RoomStore, StoreError,
};

super::on_every_engine! {
    an_unknown_room_is_empty_and_takes_no_events
    a_claim_raises_the_fence
    only_the_claimed_epoch_appends
    only_the_next_seq_is_appended
    the_guard_is_checked_by_the_clock_of_the_store
    a_batch_is_stored_whole_or_not_at_all
    a_retry_after_an_unknown_outcome_finds_its_answer
    of_two_appenders_one_wins_each_seq
    of_many_claims_of_one_epoch_one_wins
    snapshot_and_tail_are_the_fold
    a_useless_snapshot_changes_nothing
    events_far_behind_a_snapshot_are_dropped
    ranges_are_cut_where_asked
    rooms_do_not_mix
    the_clock_does_not_go_back
}

async fn an_unknown_room_is_empty_and_takes_no_events(store: Arc<dyn RoomStore>) {
    let nowhere = Owned { store, room: room("nowhere"), epoch: Epoch::new(0) };
    let loaded = nowhere.load().await;
    assert_eq!(loaded.auction.view().seq, Seq::new(0));
    assert_eq!((loaded.epoch, loaded.owner), (Epoch::new(0), None));
    assert_eq!(loaded.generation, Generation::new(0));
    let fenced = Appended::Fenced { epoch: Epoch::new(0), owner: None };
    assert_eq!(nowhere.append(1, 1).await, Ok(fenced));
    assert_eq!(nowhere.store.range(&nowhere.room, Seq::new(0), 10).await, Ok(Vec::new()));
}

async fn a_claim_raises_the_fence(store: Arc<dyn RoomStore>) {
    let room = room("r");
    let claim =
        async |epoch, owner: &str| store.claim(&room, Epoch::new(epoch), &node(owner)).await;
    let first = claimed(claim(3, "a").await);
    assert_eq!((first.epoch, first.owner), (Epoch::new(3), Some(node("a"))));
    assert!(first.generation > Generation::new(0));
    claimed(claim(3, "a").await);
    for (epoch, owner) in [(3, "b"), (2, "a"), (2, "b")] {
        let outcome = claim(epoch, owner).await;
        let Ok(Claim::Fenced { epoch, owner }) = outcome else { panic!("{outcome:?}") };
        assert_eq!((epoch, owner), (Epoch::new(3), Some(node("a"))));
    }
    // Beyond 9, so that numbers compared as text would be found out.
    let second = claimed(claim(10, "b").await);
    assert_eq!(second.generation, first.generation);
    assert!(matches!(claim(9, "a").await, Ok(Claim::Fenced { .. })));
}

async fn only_the_claimed_epoch_appends(store: Arc<dyn RoomStore>) {
    let old = Owned::claim(&store, "r").await;
    assert_stored(&old.append(1, 2).await);
    claimed(store.claim(&old.room, Epoch::new(2), &node("node-2")).await);
    let fenced = Ok(Appended::Fenced { epoch: Epoch::new(2), owner: Some(node("node-2")) });
    assert_eq!(old.append(3, 3).await, fenced);
    assert_eq!(Owned { epoch: Epoch::new(3), ..old.clone() }.append(3, 3).await, fenced);
    assert_stored(&Owned { epoch: Epoch::new(2), ..old.clone() }.append(3, 3).await);

    let stored = store.range(&old.room, Seq::new(0), 10).await.unwrap();
    let epochs: Vec<_> = stored.iter().map(|stored| stored.epoch.get()).collect();
    assert_eq!(epochs, [1, 1, 2]);
}

async fn only_the_next_seq_is_appended(store: Arc<dyn RoomStore>) {
    let owned = Owned::claim(&store, "r").await;
    assert_eq!(owned.append(2, 2).await, Ok(Appended::Conflict { seq: Seq::new(0) }));
    owned.fill(1, 12).await;
    for from in [1, 9, 12, 14, 100] {
        assert_eq!(owned.append(from, from).await, Ok(Appended::Conflict { seq: Seq::new(12) }));
    }
    let outcome = owned.append(13, 13).await;
    let Ok(Appended::Stored { seq, at }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(seq, Seq::new(13));
    assert!(at <= store.now().await.unwrap());
    owned.assert_holds(13).await;
}

async fn the_guard_is_checked_by_the_clock_of_the_store(store: Arc<dyn RoomStore>) {
    let owned = Owned::claim(&store, "r").await;
    let now = store.now().await.unwrap();
    let later = now.saturating_add(Millis::new(3_600_000));
    let guard = |not_before: Option<Timestamp>, not_after| Guard { not_before, not_after };

    let early = owned.append_guarded(1, 2, guard(Some(later), None)).await;
    assert!(matches!(early, Ok(Appended::TooEarly { now: at }) if at >= now && at < later));
    // The clock reads the bound or later, and the bound itself is outside.
    let late = owned.append_guarded(1, 2, guard(None, Some(now))).await;
    assert!(matches!(late, Ok(Appended::TooLate { now: at }) if at >= now));
    owned.assert_holds(0).await;

    assert_stored(&owned.append_guarded(1, 2, guard(Some(now), Some(later))).await);
    owned.assert_holds(2).await;
    // A fence and a conflict are told before a bad time: the caller has more to learn from them.
    let conflict = owned.append_guarded(1, 2, guard(Some(later), None)).await;
    assert_eq!(conflict, Ok(Appended::Conflict { seq: Seq::new(2) }));
}

async fn a_batch_is_stored_whole_or_not_at_all(store: Arc<dyn RoomStore>) {
    let owned = Owned::claim(&store, "r").await;
    let most = u64::try_from(APPEND_EVENTS_MAX).unwrap();
    for bad in [vec![], vec![event(1), event(3)], vec![event(2)], events(1, most + 1)] {
        let outcome = store.append(&owned.room, owned.epoch, Seq::new(0), ANY_TIME, &bad).await;
        assert!(matches!(outcome, Err(StoreError::Corrupt(_))), "{outcome:?}");
    }
    owned.assert_holds(0).await;
    assert_stored(&owned.append(1, most).await);
    owned.assert_holds(most).await;
}

async fn a_retry_after_an_unknown_outcome_finds_its_answer(store: Arc<dyn RoomStore>) {
    let owned = Owned::claim(&store, "r").await;
    owned.fill(1, 4).await;
    // The caller never heard of this one, and sends it again.
    assert_stored(&owned.append(5, 5).await);
    assert_eq!(owned.append(5, 5).await, Ok(Appended::Conflict { seq: Seq::new(5) }));
    let auction = owned.load().await.auction;
    let answer = auction.answer_for(&bidder(5), &bid_id(5)).unwrap();
    assert_eq!((answer.seq, answer.at), (Seq::new(5), event(5).at));
    assert!(auction.answer_for(&bidder(6), &bid_id(6)).is_none());
    owned.assert_holds(5).await;
}

async fn of_two_appenders_one_wins_each_seq(store: Arc<dyn RoomStore>) {
    const EVENTS: u64 = 200;
    let owned = Owned::claim(&store, "r").await;
    let appenders: Vec<_> = (0..2)
        .map(|_| {
            let owned = owned.clone();
            tasks::spawn("test.appender", async move {
                let mut won = Vec::new();
                let mut next = 1;
                while next <= EVENTS {
                    match owned.append(next, next).await.unwrap() {
                        Appended::Stored { seq, .. } => {
                            won.push(seq.get());
                            next = seq.get() + 1;
                        }
                        Appended::Conflict { seq } => next = seq.get() + 1,
                        other @ (Appended::Fenced { .. }
                        | Appended::TooEarly { .. }
                        | Appended::TooLate { .. }) => panic!("{other:?}"),
                    }
                    tokio::task::yield_now().await;
                }
                won
            })
        })
        .collect();
    let mut won = Vec::new();
    for appender in appenders {
        won.extend(appender.await.unwrap());
    }
    assert_eq!(won.len(), won.iter().collect::<BTreeSet<_>>().len());
    won.sort_unstable();
    assert!(won.into_iter().eq(1..=EVENTS));
    owned.assert_holds(EVENTS).await;
}

async fn of_many_claims_of_one_epoch_one_wins(store: Arc<dyn RoomStore>) {
    let claims: Vec<_> = (0..8)
        .map(|n| {
            let store = Arc::clone(&store);
            tasks::spawn("test.claimer", async move {
                let owner = node(&format!("node-{n}"));
                store.claim(&room("r"), Epoch::new(1), &owner).await.unwrap()
            })
        })
        .collect();
    let mut winners = 0;
    for claim in claims {
        winners += u32::from(matches!(claim.await.unwrap(), Claim::Claimed(_)));
    }
    assert_eq!(winners, 1);
}

async fn snapshot_and_tail_are_the_fold(store: Arc<dyn RoomStore>) {
    let owned = Owned::claim(&store, "r").await;
    owned.fill(1, 600).await;
    for at in [2, 512, 600] {
        let snapshot = folded(at).to_snapshot();
        store.snapshot(&owned.room, owned.epoch, &snapshot).await.unwrap();
        owned.assert_holds(600).await;
    }
    let seqs =
        |loaded: &Loaded| -> Vec<u64> { loaded.before.iter().map(|view| view.seq.get()).collect() };
    assert_eq!(seqs(&owned.load().await), Vec::<u64>::new(), "the snapshot is the last");
    owned.fill(601, 650).await;
    let before = owned.load().await;
    assert_eq!(seqs(&before), (600..650).collect::<Vec<_>>());
    assert_eq!(before.before.last(), Some(&folded(649).view()));
    owned.fill(651, 2700).await;
    owned.assert_holds(2700).await;
    assert_eq!(seqs(&owned.load().await), (2189..2700).collect::<Vec<_>>(), "the last ones");
    let next = claimed(store.claim(&owned.room, Epoch::new(2), &node("node-2")).await);
    assert_same(&next.auction, &folded(2700));
}

async fn a_useless_snapshot_changes_nothing(store: Arc<dyn RoomStore>) {
    let owned = Owned::claim(&store, "r").await;
    owned.fill(1, 50).await;
    let keep = async |epoch, to| {
        let snapshot = folded(to).to_snapshot();
        store.snapshot(&owned.room, Epoch::new(epoch), &snapshot).await.unwrap();
        owned.assert_holds(50).await;
    };
    keep(1, 40).await;
    // Older, beyond the end, of another epoch, of no room.
    keep(1, 30).await;
    keep(1, 60).await;
    keep(9, 45).await;
    let snapshot = folded(5).to_snapshot();
    store.snapshot(&room("nowhere"), Epoch::new(0), &snapshot).await.unwrap();
    assert_eq!(store.load(&room("nowhere")).await.unwrap().auction.view().seq, Seq::new(0));
}

async fn events_far_behind_a_snapshot_are_dropped(store: Arc<dyn RoomStore>) {
    let owned = Owned::claim(&store, "r").await;
    let last = EVENTS_KEPT + 1000;
    owned.fill(1, last).await;
    let snapshot = folded(last).to_snapshot();
    store.snapshot(&owned.room, owned.epoch, &snapshot).await.unwrap();
    let all = usize::try_from(last).unwrap();
    let kept = store.range(&owned.room, Seq::new(0), all).await.unwrap();
    // Redis drops whole nodes of its stream only, so it keeps some more.
    let first = kept.first().unwrap().event.seq.get();
    assert!(first > 1 && first <= last - EVENTS_KEPT + 1, "{first}");
    assert!(kept.iter().map(|stored| stored.event.seq.get()).eq(first..=last));

    assert_same(&owned.load().await.auction, &folded(last));
    assert_stored(&owned.append(last + 1, last + 1).await);
    assert_same(&owned.load().await.auction, &folded(last + 1));
}

async fn ranges_are_cut_where_asked(store: Arc<dyn RoomStore>) {
    let owned = Owned::claim(&store, "r").await;
    owned.fill(1, 2500).await;
    for (after, limit, from, to) in [
        (0, 1, 1, 1),
        (0, 1024, 1, 1024),
        (9, 1025, 10, 1034),
        (1000, 5000, 1001, 2500),
        (2499, 10, 2500, 2500),
        (2500, 10, 1, 0),
        (9999, 10, 1, 0),
        (10, 0, 1, 0),
    ] {
        let found = store.range(&owned.room, Seq::new(after), limit).await.unwrap();
        let found: Vec<_> = found.into_iter().map(|stored| stored.event).collect();
        assert_eq!(found, events(from, to), "after {after}, limit {limit}");
    }
}

async fn rooms_do_not_mix(store: Arc<dyn RoomStore>) {
    let longest = "x".repeat(64);
    let ids = ["a", "a_", "-a", "A", "1", &longest];
    for (n, id) in (1..).zip(ids) {
        Owned::claim(&store, id).await.fill(1, n).await;
    }
    for (n, id) in (1..).zip(ids) {
        let owned = Owned { store: Arc::clone(&store), room: room(id), epoch: Epoch::new(1) };
        owned.assert_holds(n).await;
    }
}

async fn the_clock_does_not_go_back(store: Arc<dyn RoomStore>) {
    let owned = Owned::claim(&store, "r").await;
    let mut last = store.now().await.unwrap();
    for n in 1..=50 {
        let Ok(Appended::Stored { at, .. }) = owned.append(n, n).await else { panic!() };
        let loaded = owned.load().await.now;
        let now = store.now().await.unwrap();
        assert!(last <= at && at <= loaded && loaded <= now);
        last = now;
    }
}
