//! The audit log, and the secret of all who use the store.

use super::*;

fn numbers(entries: &[(u64, String)]) -> Vec<u64> {
    entries.iter().map(|(id, _)| *id).collect()
}

pub(super) async fn the_audit_log_keeps_the_newest(store: Arc<dyn ClusterStore>) {
    assert_eq!(store.newest_audit().await, Ok(0));
    assert_eq!(store.audit(1..=u64::from(u32::MAX)).await, Ok(vec![]));
    for n in 1..=5 {
        // Entries may be the same, and hold anything that a text may.
        assert_eq!(store.append_audit("{\"a b\": \"\u{1f4a1}\\n\"}", 100).await, Ok(n));
    }
    store.amend_audit(2, "two").await.unwrap();
    let some = store.audit(2..=3).await.unwrap();
    assert_eq!(some, [(2, "two".to_owned()), (3, "{\"a b\": \"\u{1f4a1}\\n\"}".to_owned())]);
    assert_eq!(store.append_audit("six", 3).await, Ok(6));
    assert_eq!(numbers(&store.audit(0..=9).await.unwrap()), [4, 5, 6]);
    store.amend_audit(2, "again").await.unwrap();
    assert_eq!(numbers(&store.audit(0..=9).await.unwrap()), [4, 5, 6], "gone is gone");
    assert_eq!(store.append_audit("seven", 1).await, Ok(7));
    assert_eq!(store.audit(0..=9).await, Ok(vec![(7, "seven".to_owned())]));
    assert_eq!(store.newest_audit().await, Ok(7));
}

pub(super) async fn of_many_entries_each_has_its_number(store: Arc<dyn ClusterStore>) {
    let bodies: Vec<_> = (0..50).map(|n| format!("entry {n}")).collect();
    let appends = bodies.iter().map(|body| store.append_audit(body, 1_000));
    let mut ids = futures::future::try_join_all(appends).await.unwrap();
    for (id, body) in ids.iter().zip(&bodies) {
        assert_eq!(store.audit(*id..=*id).await, Ok(vec![(*id, body.clone())]));
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=50).collect::<Vec<_>>());
}

pub(super) async fn a_secret_is_drawn_once(store: Arc<dyn ClusterStore>) {
    for drawn in ["first", "second"] {
        assert_eq!(store.shared_secret(drawn).await.as_deref(), Ok("first"));
    }
}
