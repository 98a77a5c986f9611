//! What the engine on disk keeps over a restart: everything.

use super::*;

#[tokio::test]
async fn rooms_owners_epochs_and_documents_survive() {
    let directory = tempfile::tempdir().unwrap();
    let store = redb(directory.path());
    let (one, a) = (room("1"), node("a"));
    store.create_room(TERM, &one, &rules("A lamp")).await.unwrap();
    store.create_room(TERM, &room("2"), &rules("A chair")).await.unwrap();
    store.assign(TERM, &one, epoch(0), Some(&a), epoch(7)).await.unwrap();
    for body in ["x", "y"] {
        store.put_document(TERM, DocumentName::Limits, None, body).await.unwrap();
    }
    let before = store.rooms().await.unwrap();
    drop(store);

    let store = redb(directory.path());
    assert_eq!(store.rooms().await, Ok(before));
    let kept = Document { version: Version::new(2), body: "y".to_owned() };
    assert_eq!(store.document(DocumentName::Limits).await, Ok(Some(kept)));
    assert_eq!(store.document(DocumentName::Flags).await, Ok(None));
    assert_eq!(store.create_room(TERM, &one, &rules("A lamp again")).await, Ok(false));
    // The next epoch follows the stored one.
    let late = store.assign(TERM, &one, epoch(0), Some(&a), epoch(1)).await;
    assert_eq!(late, Ok(Assigned::Conflict { epoch: epoch(7) }));
    assert_eq!(store.assign(TERM, &one, epoch(7), None, epoch(8)).await, Ok(Assigned::Done));
}

#[tokio::test]
async fn what_cannot_be_understood_is_corrupt_and_names_the_room() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::open(directory.path()).unwrap());
    let store = RedbStore::new(Arc::clone(&disk));
    store.create_room(TERM, &room("fine"), &rules("A lamp")).await.unwrap();
    crate::store::redb::spoil(&disk, "broken").await;
    let error = store.rooms().await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt(text) if text.contains("room broken")), "{error}");
}
