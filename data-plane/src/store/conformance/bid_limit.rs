//! The sliding log of bids.

use std::collections::VecDeque;
use std::sync::Arc;

use gavel_rules::{Millis, UserId};
use gavel_runtime::tasks;

use super::server::until;
use crate::store::{RoomStore, Take};

super::on_every_engine! {
    parallel_callers_take_exactly_the_limit
    no_window_holds_more_than_the_limit
    a_refusal_says_when_and_costs_nothing
    users_do_not_share_a_limit
    a_limit_can_be_changed_at_any_time
    a_bid_counts_once_in_a_window
    what_has_no_name_counts_each_time
}

const MINUTE: Millis = Millis::new(60_000);

fn user(id: &str) -> UserId {
    id.parse().unwrap()
}

async fn take(store: &Arc<dyn RoomStore>, id: &str, max: u32, window: Millis) -> Take {
    store.take_bid(&user(id), None, max, window).await.unwrap()
}

async fn parallel_callers_take_exactly_the_limit(store: Arc<dyn RoomStore>) {
    for max in [1, 5, 50] {
        let callers: Vec<_> = (0..8)
            .map(|_| {
                let store = Arc::clone(&store);
                tasks::spawn("test.caller", async move {
                    let mut taken = 0;
                    for _ in 0..20 {
                        let one = take(&store, &format!("u-{max}"), max, MINUTE).await;
                        taken += u32::from(one == Take::Taken);
                        tokio::task::yield_now().await;
                    }
                    taken
                })
            })
            .collect();
        let mut taken = 0;
        for caller in callers {
            taken += caller.await.unwrap();
        }
        assert_eq!(taken, max);
    }
}

async fn no_window_holds_more_than_the_limit(store: Arc<dyn RoomStore>) {
    const MAX: usize = 4;
    let window = Millis::new(120);
    let mut recent: VecDeque<u64> = VecDeque::new();
    for _ in 0..5 * MAX {
        let (before, after) = until("the next bid", async || {
            let before = store.now().await.unwrap();
            match take(&store, "u", 4, window).await {
                Take::Taken => Some((before, store.now().await.unwrap())),
                Take::Refused { .. } => None,
                Take::Known => unreachable!("it has no name"),
            }
        })
        .await;
        if recent.len() == MAX {
            let first = recent.pop_front().unwrap();
            assert!(after.as_millis() - first >= window.get());
        }
        recent.push_back(before.as_millis());
    }
}

async fn a_refusal_says_when_and_costs_nothing(store: Arc<dyn RoomStore>) {
    let window = Millis::new(300);
    let first = store.now().await.unwrap().as_millis();
    assert_eq!(take(&store, "u", 1, window).await, Take::Taken);
    until("the next bid", async || match take(&store, "u", 1, window).await {
        Take::Taken => Some(()),
        Take::Refused { retry_after } => {
            let now = store.now().await.unwrap().as_millis();
            assert!(retry_after > Millis::new(0) && retry_after <= window);
            assert!(now + retry_after.get() >= first + window.get());
            None
        }
        Take::Known => unreachable!("it has no name"),
    })
    .await;
}

async fn users_do_not_share_a_limit(store: Arc<dyn RoomStore>) {
    for id in ["a", "b", "A", "a-", "a_"] {
        assert_eq!(take(&store, id, 1, MINUTE).await, Take::Taken);
        assert!(matches!(take(&store, id, 1, MINUTE).await, Take::Refused { .. }));
    }
}

async fn a_limit_can_be_changed_at_any_time(store: Arc<dyn RoomStore>) {
    assert_eq!(take(&store, "u", 0, MINUTE).await, Take::Refused { retry_after: MINUTE });
    for _ in 0..5 {
        assert_eq!(take(&store, "u", 5, MINUTE).await, Take::Taken);
    }
    for max in [5, 3, 1, 0] {
        assert!(matches!(take(&store, "u", max, MINUTE).await, Take::Refused { .. }), "{max}");
    }
    assert_eq!(take(&store, "u", 6, MINUTE).await, Take::Taken);
    assert!(matches!(take(&store, "u", 6, MINUTE).await, Take::Refused { .. }));
}

async fn take_bid(store: &Arc<dyn RoomStore>, bid: (&str, &str), max: u32, window: Millis) -> Take {
    let (room, bid_id) = (bid.0.parse().unwrap(), bid.1.parse().unwrap());
    store.take_bid(&user("u"), Some((&room, &bid_id)), max, window).await.unwrap()
}

async fn a_bid_counts_once_in_a_window(store: Arc<dyn RoomStore>) {
    let window = Millis::new(300);
    assert_eq!(take_bid(&store, ("r", "b"), 3, window).await, Take::Taken);
    assert_eq!(take_bid(&store, ("r", "b"), 3, window).await, Take::Known);
    // The same id in another room is another bid, and so is another id in the same room.
    assert_eq!(take_bid(&store, ("q", "b"), 3, window).await, Take::Taken);
    assert_eq!(take_bid(&store, ("r", "c"), 3, window).await, Take::Taken);
    let over = take_bid(&store, ("r", "d"), 3, window).await;
    // Whoever is over the limit is still told what counted, and what was refused did not.
    assert_eq!(take_bid(&store, ("r", "b"), 3, window).await, Take::Known);
    assert_ne!(take_bid(&store, ("r", "d"), 3, window).await, Take::Known);
    assert!(matches!(over, Take::Refused { .. }), "{over:?}");
    // Another user's bid of that id is not this one.
    let (room, bid_id) = ("r".parse().unwrap(), "b".parse().unwrap());
    let other = store.take_bid(&user("v"), Some((&room, &bid_id)), 3, window).await;
    assert_eq!(other, Ok(Take::Taken));
    until("the end of the window", async || {
        let taken = take_bid(&store, ("r", "b"), 3, window).await;
        (taken == Take::Taken).then_some(())
    })
    .await;
    assert_eq!(take_bid(&store, ("r", "b"), 3, window).await, Take::Known);
}

async fn what_has_no_name_counts_each_time(store: Arc<dyn RoomStore>) {
    assert_eq!(take_bid(&store, ("r", "b"), 40, MINUTE).await, Take::Taken);
    for _ in 1..40 {
        assert_eq!(take(&store, "u", 40, MINUTE).await, Take::Taken);
    }
    assert!(matches!(take(&store, "u", 40, MINUTE).await, Take::Refused { .. }));
    assert_eq!(take_bid(&store, ("r", "b"), 40, MINUTE).await, Take::Known);
}
