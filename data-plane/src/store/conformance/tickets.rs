//! Tickets are good once, and not for long.

use std::sync::Arc;

use gavel_rules::Millis;
use gavel_runtime::tasks;

use super::server::until;
use crate::store::RoomStore;

super::on_every_engine! {
    a_ticket_is_taken_once
    of_many_who_try_one_takes_it
    a_ticket_grows_old
}

const MINUTE: Millis = Millis::new(60_000);

async fn a_ticket_is_taken_once(store: Arc<dyn RoomStore>) {
    store.keep_ticket("a", "anna", MINUTE).await.unwrap();
    store.keep_ticket("b", "bob", MINUTE).await.unwrap();
    assert_eq!(store.take_ticket("c").await, Ok(None));
    assert_eq!(store.take_ticket("a").await, Ok(Some("anna".to_owned())));
    assert_eq!(store.take_ticket("a").await, Ok(None));
    assert_eq!(store.take_ticket("b").await, Ok(Some("bob".to_owned())));
}

async fn of_many_who_try_one_takes_it(store: Arc<dyn RoomStore>) {
    for round in 0..20 {
        let key = format!("t-{round}");
        store.keep_ticket(&key, "anna", MINUTE).await.unwrap();
        let tries: Vec<_> = (0..8)
            .map(|_| {
                let (store, key) = (Arc::clone(&store), key.clone());
                tasks::spawn("test.taker", async move { store.take_ticket(&key).await.unwrap() })
            })
            .collect();
        let mut taken = 0;
        for one in tries {
            taken += usize::from(one.await.unwrap().is_some());
        }
        assert_eq!(taken, 1);
    }
}

async fn a_ticket_grows_old(store: Arc<dyn RoomStore>) {
    let kept = Millis::new(40);
    let began = store.now().await.unwrap();
    store.keep_ticket("a", "anna", kept).await.unwrap();
    until("the end of the ticket", async || {
        (store.now().await.unwrap().since(began) > Millis::new(80)).then_some(())
    })
    .await;
    assert_eq!(store.take_ticket("a").await, Ok(None));
}
