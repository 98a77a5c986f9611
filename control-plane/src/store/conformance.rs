//! What every engine must do. Each case runs against memory, against a file,
//! against a real Redis, a primary behind real sentinels and a real Redis cluster.

mod audit;
mod redb_restart;
mod server;

use super::*;
use audit::*;
use gavel_rules::{
    amount::Amount,
    auction::{GuestAccess, IncrementTable},
    time::Timestamp,
};
use gavel_runtime::disk::Disk;
use server::Server;
use std::path::Path;

/// Where many servers work together, the cases share them and come one after
/// the other, each to empty servers.
macro_rules! on_every_engine {
    ($($case:ident)+) => {
        mod memory {
            $(#[tokio::test]
            async fn $case() {
                super::$case(crate::store::open(None).unwrap()).await;
            })+
        }

        mod redb {
            $(#[tokio::test]
            async fn $case() {
                let directory = tempfile::tempdir().unwrap();
                super::$case(super::redb(directory.path())).await;
            })+
        }

        mod redis {
            $(#[tokio::test]
            async fn $case() {
                let server = super::Server::start().await;
                super::$case(server.store()).await;
            })+
        }

        mod redis_sentinel {
            #[tokio::test]
            async fn every_case() {
                let servers = gavel_testkit::Sentinels::start().await;
                $(
                    eprintln!(stringify!($case));
                    servers.flush();
                    super::$case(crate::store::open(Some(&servers.url())).unwrap()).await;
                )+
            }
        }

        mod redis_cluster {
            #[tokio::test]
            async fn every_case() {
                let cluster = gavel_testkit::RedisCluster::start().await;
                $(
                    eprintln!(stringify!($case));
                    cluster.flush();
                    super::$case(crate::store::open(Some(&cluster.url())).unwrap()).await;
                )+
            }
        }
    };
}

on_every_engine! {
    a_room_is_created_once
    rooms_come_by_id_with_their_owners
    an_assignment_compares_the_epoch
    an_assignment_may_be_repeated
    an_epoch_never_falls
    a_large_epoch_keeps_every_digit
    of_many_assignments_one_wins
    a_document_compares_the_version
    of_many_edits_one_wins
    a_leader_keeps_its_term_and_is_told_of_changes
    an_older_term_changes_nothing
    one_room_is_found_as_all_are
    the_audit_log_keeps_the_newest
    of_many_entries_each_has_its_number
    a_secret_is_drawn_once
    the_store_answers
}

fn room(name: &str) -> RoomId {
    name.parse().unwrap()
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

/// The term of a leader where nobody else ever led.
const TERM: Term = Term::new(1);

fn epoch(number: u64) -> Epoch {
    Epoch::new(number)
}

fn rules(title: &str) -> AuctionRules {
    AuctionRules {
        title: title.to_owned(),
        currency: "EUR".to_owned(),
        opening_price: Amount::new(100).unwrap(),
        increments: IncrementTable::flat(Amount::new(10).unwrap()).unwrap(),
        reserve: None,
        opens_at: Timestamp::new(1_000),
        closes_at: Timestamp::new(61_000),
        extension: None,
        guests: GuestAccess::View,
        seller: None,
        reopen_after: None,
        outage_credit: None,
    }
}

/// The store in a directory.
fn redb(directory: &Path) -> Arc<dyn ClusterStore> {
    Arc::new(RedbStore::new(Arc::new(Disk::open(directory).unwrap())))
}

async fn only(store: &dyn ClusterStore) -> StoredRoom {
    let [stored] = <[StoredRoom; 1]>::try_from(store.rooms().await.unwrap()).unwrap();
    stored
}

async fn a_room_is_created_once(store: Arc<dyn ClusterStore>) {
    assert_eq!(store.rooms().await, Ok(vec![]));
    let lamp = rules("A lamp: \"x\" {c} \u{1f4a1}\n");
    assert_eq!(store.create_room(TERM, &room("1"), &lamp).await, Ok(true));
    assert_eq!(store.create_room(TERM, &room("1"), &rules("A chair")).await, Ok(false));
    let stored = StoredRoom { room: room("1"), rules: lamp, owner: None, epoch: epoch(0) };
    assert_eq!(only(&*store).await, stored);
}

async fn rooms_come_by_id_with_their_owners(store: Arc<dyn ClusterStore>) {
    let names: Vec<_> = (0..1_000).map(|n| format!("room-{n:03}")).collect();
    for name in names.iter().rev() {
        assert_eq!(store.create_room(TERM, &room(name), &rules(name)).await, Ok(true));
    }
    let owner = node("node-1");
    let owned = room("room-500");
    assert_eq!(
        store.assign(TERM, &owned, epoch(0), Some(&owner), epoch(1)).await,
        Ok(Assigned::Done)
    );
    let rooms = store.rooms().await.unwrap();
    let found: Vec<_> = rooms.iter().map(|stored| stored.room.to_string()).collect();
    assert_eq!(found, names);
    for stored in rooms {
        assert_eq!(stored.rules.title, stored.room.to_string());
        let expected =
            if stored.room == owned { (Some(&owner), epoch(1)) } else { (None, epoch(0)) };
        assert_eq!((stored.owner.as_ref(), stored.epoch), expected);
    }
}

async fn an_assignment_compares_the_epoch(store: Arc<dyn ClusterStore>) {
    let (one, a, b) = (room("1"), node("a"), node("b"));
    let unknown = store.assign(TERM, &one, epoch(0), Some(&a), epoch(1)).await;
    assert_eq!(unknown, Ok(Assigned::UnknownRoom));
    assert_eq!(store.rooms().await, Ok(vec![]), "it creates nothing");
    store.create_room(TERM, &one, &rules("1")).await.unwrap();
    assert_eq!(store.assign(TERM, &one, epoch(0), Some(&a), epoch(7)).await, Ok(Assigned::Done));
    let late = store.assign(TERM, &one, epoch(0), Some(&b), epoch(8)).await;
    assert_eq!(late, Ok(Assigned::Conflict { epoch: epoch(7) }));
    let stored = only(&*store).await;
    assert_eq!((stored.owner, stored.epoch), (Some(a), epoch(7)));
    assert_eq!(store.assign(TERM, &one, epoch(7), None, epoch(8)).await, Ok(Assigned::Done));
    let stored = only(&*store).await;
    assert_eq!((stored.owner, stored.epoch), (None, epoch(8)));
}

async fn an_assignment_may_be_repeated(store: Arc<dyn ClusterStore>) {
    let (one, a, b) = (room("1"), node("a"), node("b"));
    store.create_room(TERM, &one, &rules("1")).await.unwrap();
    for _ in 0..2 {
        assert_eq!(
            store.assign(TERM, &one, epoch(0), Some(&a), epoch(1)).await,
            Ok(Assigned::Done)
        );
    }
    let other = store.assign(TERM, &one, epoch(0), Some(&b), epoch(1)).await;
    assert_eq!(other, Ok(Assigned::Conflict { epoch: epoch(1) }), "the same epoch, another owner");
}

async fn an_epoch_never_falls(store: Arc<dyn ClusterStore>) {
    let (one, a, b) = (room("1"), node("a"), node("b"));
    store.create_room(TERM, &one, &rules("1")).await.unwrap();
    store.assign(TERM, &one, epoch(0), Some(&a), epoch(10)).await.unwrap();
    for lower in [9, 10] {
        let outcome = store.assign(TERM, &one, epoch(10), Some(&b), epoch(lower)).await;
        assert_eq!(outcome, Ok(Assigned::Conflict { epoch: epoch(10) }));
    }
    assert_eq!(only(&*store).await.owner, Some(a));
}

async fn a_large_epoch_keeps_every_digit(store: Arc<dyn ClusterStore>) {
    let (one, a) = (room("1"), node("a"));
    store.create_room(TERM, &one, &rules("1")).await.unwrap();
    let large = epoch(u64::MAX - 1);
    assert_eq!(store.assign(TERM, &one, epoch(0), Some(&a), large).await, Ok(Assigned::Done));
    assert_eq!(only(&*store).await.epoch, large);
    let late = store.assign(TERM, &one, epoch(u64::MAX), Some(&a), epoch(1)).await;
    assert_eq!(late, Ok(Assigned::Conflict { epoch: large }));
}

async fn of_many_assignments_one_wins(store: Arc<dyn ClusterStore>) {
    let one = room("1");
    store.create_room(TERM, &one, &rules("1")).await.unwrap();
    let nodes: Vec<_> = (0..20).map(|n| node(&format!("node-{n}"))).collect();
    let tries = nodes.iter().map(|owner| store.assign(TERM, &one, epoch(0), Some(owner), epoch(1)));
    let outcomes = futures::future::try_join_all(tries).await.unwrap();
    let mut winners = nodes.iter().zip(&outcomes).filter(|(_, done)| **done == Assigned::Done);
    let (winner, _) = winners.next().unwrap();
    assert!(winners.next().is_none(), "{outcomes:?}");
    assert_eq!(only(&*store).await.owner.as_ref(), Some(winner));
}

async fn a_document_compares_the_version(store: Arc<dyn ClusterStore>) {
    use DocumentName::{Denials, Flags, Limits};
    let version = Version::new;
    let put = |name, expected: Option<u64>, body| {
        let store = Arc::clone(&store);
        async move { store.put_document(TERM, name, expected.map(version), body).await.unwrap() }
    };
    assert_eq!(store.document(Limits).await, Ok(None));
    assert_eq!(put(Limits, Some(1), "x").await, Put::Conflict(version(0)));
    assert_eq!(put(Limits, Some(0), "{\"a\": 1}").await, Put::Done(version(1)));
    assert_eq!(put(Limits, Some(0), "x").await, Put::Conflict(version(1)));
    assert_eq!(put(Limits, Some(1), "").await, Put::Done(version(2)));
    assert_eq!(put(Limits, None, "b").await, Put::Done(version(3)));
    let stored = Document { version: version(3), body: "b".to_owned() };
    assert_eq!(store.document(Limits).await, Ok(Some(stored)));
    assert_eq!(store.document(Flags).await, Ok(None), "another document");
    assert_eq!(put(Flags, None, "c").await, Put::Done(version(1)));
    assert_eq!(put(Denials, None, "d").await, Put::Done(version(1)));
    let mut bodies = Vec::new();
    for name in DocumentName::ALL {
        bodies.push(store.document(name).await.unwrap().unwrap().body);
    }
    assert_eq!(bodies, ["b", "c", "d"]);
}

async fn of_many_edits_one_wins(store: Arc<dyn ClusterStore>) {
    let bodies: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    let none = Some(Version::default());
    let tries = bodies.iter().map(|body| store.put_document(TERM, DocumentName::Flags, none, body));
    let outcomes = futures::future::try_join_all(tries).await.unwrap();
    let done = Put::Done(Version::new(1));
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == done).count(), 1, "{outcomes:?}");
}

fn candidate(n: u8) -> Candidate {
    Candidate { replica: format!("replica-{n}"), endpoint: format!("http://10.0.0.{n}:7001") }
}

async fn a_leader_keeps_its_term_and_is_told_of_changes(store: Arc<dyn ClusterStore>) {
    let one = candidate(1);
    let first = store.lead(&one, None).await.unwrap();
    assert_eq!((&first.leader, first.changes), (&one, 0));
    assert!(first.term >= TERM);
    for (n, name) in (1..).zip([
        DocumentName::Limits,
        DocumentName::Flags,
        DocumentName::Flags,
        DocumentName::Denials,
    ]) {
        store.put_document(first.term, name, None, "x").await.unwrap();
        let again = store.lead(&one, Some(first.term)).await.unwrap();
        assert_eq!(again, Leadership { changes: n, ..first.clone() });
    }
    for _ in 0..2 {
        assert_eq!(store.resign(&one, first.term).await, Ok(()));
    }
}

async fn an_older_term_changes_nothing(store: Arc<dyn ClusterStore>) {
    let newest = store.lead(&candidate(1), None).await.unwrap().term;
    let older = Term::new(newest.get() - 1);
    let (one, a) = (room("1"), node("a"));
    assert_eq!(store.create_room(newest, &one, &rules("1")).await, Ok(true));
    let before = store.rooms().await.unwrap();

    let fenced = StoreError::Fenced { by: newest };
    let other = store.create_room(older, &room("2"), &rules("2")).await;
    assert_eq!(other, Err(fenced.clone()));
    let assigned = store.assign(older, &one, epoch(0), Some(&a), epoch(1)).await;
    assert_eq!(assigned, Err(fenced.clone()));
    let put = store.put_document(older, DocumentName::Flags, None, "x").await;
    assert_eq!(put, Err(fenced));
    assert_eq!(store.rooms().await.unwrap(), before);
    assert_eq!(store.document(DocumentName::Flags).await, Ok(None));
}

async fn one_room_is_found_as_all_are(store: Arc<dyn ClusterStore>) {
    let (one, a) = (room("1"), node("a"));
    assert_eq!(store.room(&one).await, Ok(None));
    store.create_room(TERM, &one, &rules("1")).await.unwrap();
    assert_eq!(store.room(&one).await.unwrap(), Some(only(&*store).await));
    store.assign(TERM, &one, epoch(0), Some(&a), epoch(1)).await.unwrap();
    assert_eq!(store.room(&one).await.unwrap(), Some(only(&*store).await));
}

async fn the_store_answers(store: Arc<dyn ClusterStore>) {
    assert_eq!(store.ping().await, Ok(()));
}

#[tokio::test]
async fn of_two_candidates_one_leads_until_it_resigns_or_its_lease_ends() {
    let server = Server::start().await;
    let store = server.store();
    let (one, two) = (candidate(1), candidate(2));
    let first = store.lead(&one, None).await.unwrap();
    assert_eq!(store.lead(&two, None).await.unwrap(), first, "told who leads");
    assert_eq!(store.resign(&two, first.term).await, Ok(()));
    assert_eq!(store.lead(&two, None).await.unwrap(), first, "another's lease stays");
    store.resign(&one, first.term).await.unwrap();
    let second = store.lead(&two, None).await.unwrap();
    assert_eq!(second.leader, two);
    assert!(second.term > first.term);
    assert_eq!(store.lead(&one, Some(first.term)).await.unwrap(), second, "it has a successor");

    // As if the lease had run out.
    server.send(&["DEL", "gavel:cluster:{c}:lease"]).await;
    assert_eq!(store.lead(&two, Some(second.term)).await.unwrap(), second, "nobody led meanwhile");
    server.send(&["DEL", "gavel:cluster:{c}:lease"]).await;
    let third = store.lead(&one, Some(first.term)).await.unwrap();
    assert!(third.leader == one && third.term > second.term, "{third:?}");
    assert_eq!(store.lead(&two, Some(second.term)).await.unwrap(), third);
    // A process that starts anew under the same name has a term of its own.
    let fourth = store.lead(&one, None).await.unwrap();
    assert!(fourth.term > third.term);
}

#[tokio::test]
async fn a_lease_ends_by_itself_and_terms_follow_the_clock_of_redis() {
    let server = Server::start().await;
    let store = server.store();
    let leads = store.lead(&candidate(1), None).await.unwrap();
    assert!(leads.term.get() > 1_700_000_000_000, "milliseconds, so that a lost term is no harm");
    let redis = gavel_runtime::redis::Redis::connect(&server.url()).unwrap();
    let mut left = gavel_runtime::redis::cmd("PTTL");
    let left: i64 = redis.cmd(left.arg("gavel:cluster:{c}:lease")).await.unwrap();
    assert!((1..=3_000).contains(&left), "{left}");
}

#[tokio::test]
async fn without_redis_every_call_is_unavailable_and_ends() {
    let mut server = Server::start().await;
    let store = server.store();
    assert_eq!(store.ping().await, Ok(()));
    server.kill();
    let one = room("1");
    let gone = StoreError::Unavailable;
    assert_eq!(store.ping().await, Err(gone.clone()));
    assert_eq!(store.rooms().await, Err(gone.clone()));
    assert_eq!(store.create_room(TERM, &one, &rules("1")).await, Err(gone.clone()));
    assert_eq!(store.assign(TERM, &one, epoch(0), None, epoch(1)).await, Err(gone.clone()));
    assert_eq!(store.document(DocumentName::Flags).await, Err(gone));
}

#[tokio::test]
async fn what_cannot_be_understood_is_corrupt_and_names_the_room() {
    let server = Server::start().await;
    server.send(&["HSET", "gavel:cluster:{c}:rooms", "broken", "{"]).await;
    let error = server.store().rooms().await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("room broken")), "{error}");
}

#[test]
fn a_url_that_is_none_is_refused() {
    assert!(matches!(open(Some("nonsense")), Err(StoreError::Corrupt(_))));
}
