//! Who was last heard of when: what a claim tells of the owner before.

use std::sync::Arc;

use gavel_rules::{Epoch, Incarnation, Timestamp};

use super::fixture::{Owned, assert_stored, claimed, node, room};
use super::server::until;
use crate::store::{Loaded, RoomStore};

super::on_every_engine! {
    a_claim_tells_when_the_owner_before_was_last_heard_of
    an_owner_that_is_back_is_told_of_its_run_before
    an_append_is_a_sign_of_life
    nothing_is_told_of_who_never_was_heard_of
    an_earlier_run_is_not_heard
    anybody_may_ask_when_a_node_was_last_heard_of
}

/// A heartbeat, and time that passes after it.
async fn beat(store: &Arc<dyn RoomStore>, id: &str, incarnation: u64) -> Timestamp {
    let at = store.heartbeat(&node(id), Incarnation::new(incarnation)).await.unwrap();
    later(store, at).await;
    at
}

async fn later(store: &Arc<dyn RoomStore>, at: Timestamp) {
    until("the next millisecond", async || (store.now().await.unwrap() > at).then_some(())).await;
}

async fn claim(store: &Arc<dyn RoomStore>, epoch: u64, owner: &str) -> Loaded {
    let loaded = claimed(store.claim(&room("r"), Epoch::new(epoch), &node(owner)).await);
    later(store, store.now().await.unwrap()).await;
    loaded
}

async fn a_claim_tells_when_the_owner_before_was_last_heard_of(store: Arc<dyn RoomStore>) {
    beat(&store, "a", 1).await;
    assert_eq!(claim(&store, 1, "a").await.heard_at, None, "it is the first");
    beat(&store, "b", 1).await;
    let last = beat(&store, "a", 1).await;
    let next = claim(&store, 2, "b").await;
    assert_eq!(next.heard_at, Some(last));
    assert!(next.now > last);
    // Of an owner that is there, whether or not it claims again, there is no silence.
    let alive = beat(&store, "b", 1).await;
    assert_eq!(claim(&store, 2, "b").await.heard_at, Some(alive));
    let alive = beat(&store, "b", 1).await;
    assert_eq!(claim(&store, 3, "a").await.heard_at, Some(alive));
    assert_eq!(store.load(&room("r")).await.unwrap().heard_at, None, "a load tells nothing");
}

async fn an_owner_that_is_back_is_told_of_its_run_before(store: Arc<dyn RoomStore>) {
    beat(&store, "a", 1).await;
    claim(&store, 1, "a").await;
    let last = beat(&store, "a", 1).await;
    // The next run sends heartbeats before it claims, under the same epoch or another.
    beat(&store, "a", 2).await;
    let alive = beat(&store, "a", 2).await;
    assert_eq!(claim(&store, 1, "a").await.heard_at, Some(last));
    assert!(claim(&store, 1, "a").await.heard_at >= Some(alive));
    let alive = beat(&store, "a", 2).await;
    beat(&store, "a", 3).await;
    assert_eq!(claim(&store, 2, "b").await.heard_at, Some(alive));
}

async fn an_append_is_a_sign_of_life(store: Arc<dyn RoomStore>) {
    let last = beat(&store, "node-1", 1).await;
    let owned = Owned::claim(&store, "r").await;
    later(&store, store.now().await.unwrap()).await;
    let before = store.now().await.unwrap();
    assert_stored(&owned.append(1, 2).await);
    let heard_at = claim(&store, 2, "b").await.heard_at.unwrap();
    assert!(heard_at >= before && before > last);
}

async fn nothing_is_told_of_who_never_was_heard_of(store: Arc<dyn RoomStore>) {
    assert_stored(&Owned::claim(&store, "r").await.append(1, 2).await);
    assert_eq!(claim(&store, 2, "b").await.heard_at, None);
    beat(&store, "b", 7).await;
    assert_eq!(claim(&store, 3, "a").await.heard_at, None, "b was not heard of when it claimed");
}

async fn an_earlier_run_is_not_heard(store: Arc<dyn RoomStore>) {
    beat(&store, "a", 2).await;
    claim(&store, 1, "a").await;
    let last = beat(&store, "a", 2).await;
    beat(&store, "a", 1).await;
    assert_eq!(claim(&store, 2, "b").await.heard_at, Some(last));
}

async fn anybody_may_ask_when_a_node_was_last_heard_of(store: Arc<dyn RoomStore>) {
    assert_eq!(store.last_heard(&node("a")).await, Ok(None));
    let first = beat(&store, "a", 1).await;
    beat(&store, "b", 1).await;
    assert_eq!(store.last_heard(&node("a")).await, Ok(Some(first)));
    let last = beat(&store, "a", 2).await;
    assert!(last > first);
    assert_eq!(store.last_heard(&node("a")).await, Ok(Some(last)), "of whichever run");
    assert_eq!(store.last_heard(&node("c")).await, Ok(None));
}
