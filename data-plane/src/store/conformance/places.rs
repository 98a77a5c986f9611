//! Places that are counted over the whole cluster.

use std::sync::Arc;

use gavel_rules::Incarnation;
use gavel_runtime::tasks;

use super::fixture::node;
use super::server::until;
use crate::store::{Counted, HOLDER_SILENT_MAX, Held, Holder, PLACES_KEPT, RoomStore, Wanted};

super::on_every_engine! {
    parallel_takers_never_exceed_the_max
    what_is_given_away_is_noted_whatever_the_max
    what_is_noted_twice_counts_once
    what_is_given_back_is_free
    nothing_else_shares_the_places
    a_node_that_falls_silent_holds_nothing
    a_node_that_is_heard_of_keeps_what_it_holds
    the_next_run_of_a_node_holds_nothing_of_the_last
    a_node_that_was_away_notes_what_it_holds
}

fn holder(id: &str, incarnation: u64) -> Holder {
    Holder { node: node(id), incarnation: Incarnation::new(incarnation) }
}

fn user(id: &str) -> Counted {
    Counted::User(id.parse().unwrap())
}

/// Who waits for nothing buries nobody, or a slow machine would be a reason.
const WANTED: Wanted = Wanted { least: 0, most: 0, max: 0, buries: false };

async fn hold(store: &Arc<dyn RoomStore>, by: &Holder, least: u32, most: u32, max: u32) -> Held {
    let wanted = Wanted { least, most, max, ..WANTED };
    store.hold(&user("u"), by, wanted).await.unwrap()
}

/// All of `max` that are free.
async fn hold_burying(store: &Arc<dyn RoomStore>, by: &Holder, max: u32) -> Held {
    let wanted = Wanted { most: max, max, buries: true, ..WANTED };
    store.hold(&user("u"), by, wanted).await.unwrap()
}

async fn beat(store: &Arc<dyn RoomStore>, by: &Holder) {
    store.heartbeat(&by.node, by.incarnation).await.unwrap();
}

async fn parallel_takers_never_exceed_the_max(store: Arc<dyn RoomStore>) {
    for max in [1, 5, 40] {
        let takers: Vec<_> = (0..5)
            .map(|n| {
                let store = Arc::clone(&store);
                tasks::spawn("test.taker", async move {
                    let by = holder(&format!("n-{max}-{n}"), 1);
                    let counted = user(&format!("u-{max}"));
                    let mut mine = 0;
                    for _ in 0..20 {
                        let wanted = Wanted { least: mine, most: mine + 1, max, ..WANTED };
                        let held = store.hold(&counted, &by, wanted).await.unwrap();
                        assert!(held.mine + held.others <= max, "{held:?} of {max}");
                        mine = held.mine;
                        tokio::task::yield_now().await;
                    }
                    mine
                })
            })
            .collect();
        let mut all = 0;
        for taker in takers {
            all += taker.await.unwrap();
        }
        assert_eq!(all, max);
    }
}

async fn what_is_given_away_is_noted_whatever_the_max(store: Arc<dyn RoomStore>) {
    let (a, b) = (holder("a", 1), holder("b", 1));
    assert_eq!(hold(&store, &a, 0, 9, 5).await, Held { mine: 5, others: 0 });
    assert_eq!(hold(&store, &a, 7, 9, 5).await, Held { mine: 7, others: 0 });
    assert_eq!(hold(&store, &b, 0, 1, 5).await, Held { mine: 0, others: 7 });
    assert_eq!(hold(&store, &b, 2, 3, 5).await, Held { mine: 2, others: 7 });
    // The limit may change at any time.
    assert_eq!(hold(&store, &b, 2, 3, 10).await, Held { mine: 3, others: 7 });
    assert_eq!(hold(&store, &b, 3, 4, u32::MAX).await, Held { mine: 4, others: 7 });
}

async fn what_is_noted_twice_counts_once(store: Arc<dyn RoomStore>) {
    let (a, b) = (holder("a", 1), holder("b", 1));
    for _ in 0..3 {
        assert_eq!(hold(&store, &a, 2, 2, 3).await, Held { mine: 2, others: 0 });
    }
    assert_eq!(hold(&store, &b, 0, 5, 3).await, Held { mine: 1, others: 2 });
}

async fn what_is_given_back_is_free(store: Arc<dyn RoomStore>) {
    let (a, b) = (holder("a", 1), holder("b", 1));
    hold(&store, &a, 0, 3, 3).await;
    assert_eq!(hold(&store, &b, 0, 1, 3).await, Held { mine: 0, others: 3 });
    assert_eq!(hold(&store, &a, 1, 1, 3).await, Held { mine: 1, others: 0 });
    assert_eq!(hold(&store, &b, 0, 9, 3).await, Held { mine: 2, others: 1 });
    for _ in 0..2 {
        assert_eq!(hold(&store, &a, 0, 0, 3).await, Held { mine: 0, others: 2 });
    }
    assert_eq!(hold(&store, &b, 2, 9, 3).await, Held { mine: 3, others: 0 });
}

async fn nothing_else_shares_the_places(store: Arc<dyn RoomStore>) {
    let wanted = Wanted { most: 1, max: 1, ..WANTED };
    let counted = [
        user("1"),
        user("a"),
        user("A"),
        Counted::Room("1".parse().unwrap()),
        Counted::Room("a".parse().unwrap()),
        Counted::Address("0.0.0.1".parse().unwrap()),
        Counted::Address("::1".parse().unwrap()),
    ];
    for counted in counted {
        let first = store.hold(&counted, &holder("a", 1), wanted).await.unwrap();
        let second = store.hold(&counted, &holder("b", 1), wanted).await.unwrap();
        assert_eq!((first.mine, second.mine), (1, 0), "{counted}");
    }
}

async fn a_node_that_falls_silent_holds_nothing(store: Arc<dyn RoomStore>) {
    let (a, b) = (holder("a", 1), holder("b", 1));
    let began = store.now().await.unwrap();
    beat(&store, &a).await;
    hold(&store, &a, 0, 2, 2).await;
    let all = until("the end of the silent node", async || {
        let held = hold_burying(&store, &b, 2).await;
        (held.mine > 0).then_some(held)
    })
    .await;
    assert_eq!(all, Held { mine: 2, others: 0 });
    let silent = store.now().await.unwrap().since(began);
    assert!(silent >= HOLDER_SILENT_MAX, "{silent:?}");
    assert!(silent < PLACES_KEPT, "{silent:?}: its note is void anyway");
}

async fn a_node_that_is_heard_of_keeps_what_it_holds(store: Arc<dyn RoomStore>) {
    let [a, b, c] = ["a", "b", "c"].map(|id| holder(id, 1));
    hold(&store, &a, 0, 2, 4).await;
    hold(&store, &c, 0, 2, 4).await;
    let began = store.now().await.unwrap();
    until("the end of the silent node alone", async || {
        beat(&store, &a).await;
        let held = hold_burying(&store, &b, 4).await;
        let silent = store.now().await.unwrap().since(began);
        assert!(held.others >= 2 && (held.mine == 0 || silent >= HOLDER_SILENT_MAX), "{held:?}");
        (held == Held { mine: 2, others: 2 }).then_some(())
    })
    .await;
    // After the store was away nobody was heard of, which says nothing of them.
    let began = store.now().await.unwrap();
    until("a silence", async || {
        let silent = store.now().await.unwrap().since(began);
        assert_eq!(hold(&store, &c, 0, 1, 4).await, Held { mine: 0, others: 4 });
        (silent >= HOLDER_SILENT_MAX).then_some(())
    })
    .await;
}

async fn the_next_run_of_a_node_holds_nothing_of_the_last(store: Arc<dyn RoomStore>) {
    let (first, second, other) = (holder("a", 1), holder("a", 2), holder("b", 1));
    beat(&store, &first).await;
    hold(&store, &first, 0, 2, 2).await;
    assert_eq!(hold(&store, &other, 0, 2, 2).await, Held { mine: 0, others: 2 });
    beat(&store, &second).await;
    assert_eq!(hold(&store, &second, 0, 1, 2).await, Held { mine: 1, others: 0 });
}

async fn a_node_that_was_away_notes_what_it_holds(store: Arc<dyn RoomStore>) {
    let (a, b) = (holder("a", 1), holder("b", 1));
    hold(&store, &a, 0, 2, 3).await;
    until("the end of the silent node", async || {
        (hold_burying(&store, &b, 3).await.mine == 3).then_some(())
    })
    .await;
    // Both are there now: more than may be, and none of them is forgotten.
    assert_eq!(hold(&store, &a, 2, 2, 3).await, Held { mine: 2, others: 3 });
    assert_eq!(hold(&store, &b, 3, 4, 3).await, Held { mine: 3, others: 2 });
    assert_eq!(hold(&store, &b, 1, 2, 3).await, Held { mine: 1, others: 2 });
}
