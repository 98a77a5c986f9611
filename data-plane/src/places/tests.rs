//! Places of nodes that share a store, which may be away.

use super::*;
use crate::{
    config::Config,
    node,
    store::{MemoryStore, open},
};
use gavel_rules::id::{Incarnation, NodeId};
use gavel_testkit::{RedisServer, until};

fn places(store: &Arc<dyn RoomStore>, id: &str) -> Places {
    let holder = Holder { node: id.parse().unwrap(), incarnation: Incarnation::new(1) };
    Places::new(Arc::clone(store), Arc::default(), holder, Counter::default())
}

fn user(n: usize) -> Counted {
    Counted::User(format!("u{n}").parse().unwrap())
}

const fn at_most(max: u32) -> Bound {
    Bound { max, dry_run: false }
}

fn got(outcome: Outcome) -> Option<Place> {
    match outcome {
        Outcome::Within(place) => Some(place),
        Outcome::Beyond(place) => place,
    }
}

/// What all nodes together hold by the store.
async fn noted(store: &Arc<dyn RoomStore>, counted: &Counted) -> u32 {
    let holder = Holder { node: "asks".parse().unwrap(), incarnation: Incarnation::new(1) };
    let wanted = Wanted { least: 0, most: 0, max: 0, buries: false };
    store.hold(counted, &holder, wanted).await.unwrap().others
}

async fn until_noted(store: &Arc<dyn RoomStore>, counted: &Counted, count: u32) {
    until("another note", async || (noted(store, counted).await == count).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_sockets_of_two_nodes_never_exceed_the_max() {
    let server = RedisServer::start().await;
    let stores: [Arc<dyn RoomStore>; 2] = [(); 2].map(|()| open(Some(&server.url())).unwrap());
    let nodes = [places(&stores[0], "a"), places(&stores[1], "b")];
    for max in [1, 5, 30] {
        let counted = user(usize::try_from(max).unwrap());
        let takers: Vec<_> = (0..60)
            .map(|n| {
                let (places, counted) = (nodes[n % 2].clone(), counted.clone());
                tasks::spawn(
                    "test.taker",
                    async move { got(places.take(counted, at_most(max)).await) },
                )
            })
            .collect();
        let mut held = Vec::new();
        for taker in takers {
            held.extend(taker.await.unwrap());
        }
        assert_eq!(held.len(), usize::try_from(max).unwrap());
        assert_eq!(noted(&stores[0], &counted).await, max);
        // One that leaves makes room for one, wherever that is.
        held.pop();
        until_noted(&stores[0], &counted, max - 1).await;
        let again = got(nodes[1].take(counted.clone(), at_most(max)).await);
        assert!(again.is_some());
        assert!(got(nodes[0].take(counted.clone(), at_most(max)).await).is_none());
        drop((held, again));
        until_noted(&stores[0], &counted, 0).await;
    }
    for node in nodes {
        until("nothing to remember", async || node.shared.slots.lock().is_empty().then_some(()))
            .await;
    }
}

#[tokio::test]
async fn a_limit_that_is_only_tried_keeps_nobody_out_and_tells_who_would_be() {
    let store: Arc<dyn RoomStore> = Arc::new(MemoryStore::new());
    let (a, b) = (places(&store, "a"), places(&store, "b"));
    let tried = Bound { max: 2, dry_run: true };
    let mut held = Vec::new();
    for (places, within) in [(&a, true), (&b, true), (&a, false), (&b, false)] {
        let outcome = places.take(user(1), tried).await;
        assert_eq!(matches!(outcome, Outcome::Within(_)), within);
        held.push(got(outcome).expect("a place"));
    }
    assert!(got(a.take(user(1), at_most(4)).await).is_none());
    assert!(got(a.take(user(1), at_most(5)).await).is_some());
}

#[tokio::test]
async fn without_the_store_a_node_counts_by_itself_and_tells_it_afterwards() {
    let mut server = RedisServer::start().await;
    let store = open(Some(&server.url())).unwrap();
    let (a, b) = (places(&store, "a"), places(&store, "b"));
    let one = got(a.take(user(1), at_most(2)).await).expect("a place");
    server.kill();
    let two = got(a.take(user(1), at_most(2)).await).expect("the store is no reason");
    assert!(a.shared.alone.get() > 0);
    assert!(got(a.take(user(1), at_most(2)).await).is_none(), "it knows its own");
    let other = got(b.take(user(1), at_most(2)).await).expect("it knows nobody else's");
    let gone = got(a.take(user(2), at_most(2)).await).expect("a place");
    drop(gone);
    server.restart().await;
    until("the store", async || store.now().await.ok()).await;
    for node in [&a, &b] {
        node.renew();
    }
    until_noted(&store, &user(1), 3).await;
    until_noted(&store, &user(2), 0).await;
    drop((one, two, other));
    until_noted(&store, &user(1), 0).await;
    for node in [a, b] {
        until("nothing to remember", async || node.shared.slots.lock().is_empty().then_some(()))
            .await;
    }
}

#[tokio::test]
async fn what_has_no_limit_is_told_when_it_gets_one() {
    let store: Arc<dyn RoomStore> = Arc::new(MemoryStore::new());
    let a = places(&store, "a");
    let held = [a.take_any(user(1)), a.take_any(user(1))];
    a.renew();
    assert_eq!(noted(&store, &user(1)).await, 0);
    let unlimited = Limits::default();
    a.limits_changed(&Limits { sockets_per_user_max: 5, ..unlimited.clone() });
    a.renew();
    until_noted(&store, &user(1), 2).await;
    let third = got(a.take(user(1), at_most(5)).await).expect("a place");
    until_noted(&store, &user(1), 3).await;
    a.limits_changed(&unlimited);
    a.renew();
    until_noted(&store, &user(1), 0).await;
    drop((held, third));
    assert!(a.shared.slots.lock().is_empty());
}

#[tokio::test]
async fn what_was_noted_is_noted_again_before_it_is_void() {
    let store: Arc<dyn RoomStore> = Arc::new(MemoryStore::new());
    let a = places(&store, "a");
    let _held = got(a.take(user(1), at_most(1)).await).expect("a place");
    let began = store.now().await.unwrap();
    until("a second life", async || {
        a.renew();
        assert_eq!(noted(&store, &user(1)).await, 1);
        let age = store.now().await.unwrap().since(began);
        (age.get() > crate::store::PLACES_KEPT.get() + 500).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_million_addresses_leave_nothing_behind() {
    let store: Arc<dyn RoomStore> = Arc::new(MemoryStore::new());
    let a = places(&store, "a");
    for n in 0..1_000_000_u32 {
        let counted = Counted::Address(std::net::IpAddr::V4(n.into()));
        // One in a thousand is counted, as all are where there is a limit.
        let place = match n % 1_000 {
            0 => got(a.take(counted, at_most(1)).await).expect("a place"),
            _ => a.take_any(counted),
        };
        drop(place);
    }
    until("nothing to remember", async || a.shared.slots.lock().is_empty().then_some(())).await;
    assert_eq!(a.addresses(), 0);
}

#[tokio::test]
async fn who_does_not_wait_for_the_answer_takes_nothing() {
    let server = RedisServer::start().await;
    let store = open(Some(&server.url())).unwrap();
    let a = places(&store, "a");
    let first = got(a.take(user(1), at_most(3)).await).expect("a place");
    for _ in 0..20 {
        let taken = a.take(user(1), at_most(3));
        // Polled once, so that it waits, and then given up.
        assert!(futures::FutureExt::now_or_never(taken).is_none());
    }
    drop(first);
    until_noted(&store, &user(1), 0).await;
    until("nothing to remember", async || a.shared.slots.lock().is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_node_of_its_own_is_told_to_the_store_as_this_run() {
    let store: Arc<dyn RoomStore> = Arc::new(MemoryStore::new());
    let mut config = Config::default();
    "n".clone_into(&mut config.node.id);
    let run = Incarnation::new(7);
    let shell = node::shell(config, Arc::clone(&store), run).expect("a node");
    let id: NodeId = "n".parse().unwrap();
    assert_eq!(shell.places.shared.holder, Holder { node: id, incarnation: run });
}
