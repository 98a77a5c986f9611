//! Putting back what was lost, and naming a history anew.

use std::sync::Arc;

use gavel_rules::{Epoch, Generation, Seq};

use super::fixture::{
    Owned, assert_same, assert_stored, claimed, event, events, folded, node, room,
};
use crate::store::{Appended, RoomStore, StoreError, StoredEvent};

super::on_every_engine! {
    lost_events_are_put_back_as_they_were
    a_replay_has_to_fit
    a_room_without_events_takes_the_generation_of_a_replay
    a_generation_is_raised_once
}

/// Events from `from` on, one under each of these epochs.
fn under(from: u64, epochs: &[u64]) -> Vec<StoredEvent> {
    let stored =
        |(seq, epoch): (u64, &u64)| StoredEvent { epoch: Epoch::new(*epoch), event: event(seq) };
    (from..).zip(epochs).map(stored).collect()
}

async fn lost_events_are_put_back_as_they_were(store: Arc<dyn RoomStore>) {
    let owned = Owned::claim(&store, "r").await;
    owned.fill(1, 3).await;
    let third = claimed(store.claim(&owned.room, Epoch::new(3), &node("c")).await);
    let lost = under(4, &[1, 2, 3]);
    let replay = store.replay(&owned.room, third.epoch, third.generation, &lost).await;
    let Ok(Appended::Stored { seq, .. }) = replay else { panic!("{replay:?}") };
    assert_eq!(seq, Seq::new(6));
    let found = store.range(&owned.room, Seq::new(3), 10).await;
    assert_eq!(found, Ok(lost));
    let loaded = owned.load().await;
    assert_same(&loaded.auction, &folded(6));
    assert_eq!((loaded.generation, loaded.epoch), (third.generation, third.epoch));
    let next = Owned { epoch: third.epoch, ..owned };
    assert_stored(&next.append(7, 7).await);
}

async fn a_replay_has_to_fit(store: Arc<dyn RoomStore>) {
    let owned = Owned::claim(&store, "r").await;
    owned.fill(1, 3).await;
    let (room, generation) = (&owned.room, owned.load().await.generation);
    let epoch = Epoch::new(2);
    claimed(store.claim(room, epoch, &node("b")).await);
    let lost = under(4, &[1, 1]);
    let replay = async |epoch, generation, events: &[StoredEvent]| {
        let outcome = store.replay(room, epoch, generation, events).await;
        owned.assert_holds(3).await;
        outcome
    };
    let fenced = Ok(Appended::Fenced { epoch, owner: Some(node("b")) });
    assert_eq!(replay(owned.epoch, generation, &lost).await, fenced);
    let conflict = Ok(Appended::Conflict { seq: Seq::new(3) });
    assert_eq!(replay(epoch, generation.next(), &lost).await, conflict, "another history");
    for wrong in [under(3, &[1, 1]), under(5, &[1])] {
        assert_eq!(replay(epoch, generation, &wrong).await, conflict, "not the next");
    }
    let gap = [under(4, &[1]), under(6, &[1])].concat();
    for bad in [vec![], gap, under(4, &[2, 1]), under(4, &[1, 3])] {
        let outcome = replay(epoch, generation, &bad).await;
        assert!(matches!(outcome, Err(StoreError::Corrupt(_))), "{outcome:?}");
    }
    let nowhere = store.replay(&self::room("nowhere"), epoch, generation, &lost).await;
    assert_eq!(nowhere, Ok(Appended::Fenced { epoch: Epoch::new(0), owner: None }));
}

async fn a_room_without_events_takes_the_generation_of_a_replay(store: Arc<dyn RoomStore>) {
    let owned = Owned::claim(&store, "r").await;
    let before = Generation::new(owned.load().await.generation.get() - 1_000);
    let replay = store.replay(&owned.room, owned.epoch, before, &under(1, &[1, 1])).await;
    assert_stored(&replay);
    assert_eq!(owned.load().await.generation, before);
    owned.assert_holds(2).await;
}

async fn a_generation_is_raised_once(store: Arc<dyn RoomStore>) {
    let owned = Owned::claim(&store, "r").await;
    owned.fill(1, 3).await;
    let first = owned.load().await.generation;
    let raise = async |epoch, from| {
        let raised = store.raise_generation(&owned.room, Epoch::new(epoch), from).await.unwrap();
        assert_eq!(raised, owned.load().await.generation);
        raised
    };
    assert_eq!(raise(2, first).await, first, "under another epoch");
    assert_eq!(raise(1, first).await, first.next());
    assert_eq!(raise(1, first).await, first.next(), "it has another name by now");
    owned.assert_holds(3).await;
    assert_stored(&owned.append(4, 4).await);
    let found: Vec<_> = store.range(&owned.room, Seq::new(0), 9).await.unwrap();
    assert!(found.into_iter().map(|stored| stored.event).eq(events(1, 4)));
    let nowhere = store.raise_generation(&room("nowhere"), Epoch::new(0), first).await;
    assert_eq!(nowhere, Ok(Generation::new(0)));
}
