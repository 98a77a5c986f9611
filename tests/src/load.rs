//! Bids that flow while something is switched, and viewers who note how their
//! updates come.

use crate::{Client, Protocol, Room, token};
use gavel_runtime::tasks;
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinHandle;

/// How one update came.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// Its place in the room's order.
    pub seq: u64,
    /// It held only what changed.
    pub changed_only: bool,
    /// It came within a `batch`.
    pub batched: bool,
}

/// A viewer that notes how its updates come; an error is one of the test.
#[derive(Debug)]
pub struct Watcher {
    /// Who it is.
    pub user: String,
    forms: Arc<Mutex<Vec<Form>>>,
}

/// Two users who outbid each other from both nodes; each bid must be accepted.
#[derive(Debug)]
pub struct Bidding {
    stop: Arc<AtomicBool>,
    bids: JoinHandle<()>,
}

// === impl Watcher ===

impl Watcher {
    /// Joins a room at a node.
    ///
    /// # Panics
    /// If it cannot.
    pub async fn start(node: SocketAddr, room: &str, user: String) -> Self {
        let mut client = Client::with_token(node, Protocol::V1, &token::bidder(&user)).await;
        client.join(room).await;
        let forms = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&forms);
        drop(tasks::spawn("watcher", async move {
            while let Some(received) = client.next_or_end().await {
                let kind = received.json.get("type").and_then(Value::as_str);
                assert_ne!(kind, Some("error"), "{}", received.text);
                if kind == Some("auctionUpdate") {
                    let seq = received.json.get("seq").and_then(Value::as_u64).expect("a seq");
                    let changed_only = received.json.get("opensAt").is_none();
                    locked(&notes).push(Form { seq, changed_only, batched: received.batched });
                }
            }
        }));
        Self { user, forms }
    }

    /// How many updates have come.
    #[must_use]
    pub fn count(&self) -> usize {
        locked(&self.forms).len()
    }

    /// What came from the n-th update on.
    #[must_use]
    pub fn since(&self, n: usize) -> Vec<Form> {
        locked(&self.forms).iter().skip(n).copied().collect()
    }

    /// Checks that each update came once and in order.
    ///
    /// # Panics
    /// If not.
    pub fn missed_nothing(&self) {
        let forms = self.since(0);
        assert!(!forms.is_empty(), "{}: nothing came", self.user);
        for (form, seq) in forms.iter().zip(forms.first().expect("one").seq..) {
            assert_eq!(form.seq, seq, "{}: a switch loses and repeats nothing", self.user);
        }
    }
}

// === impl Bidding ===

impl Bidding {
    /// Bids on until it is stopped.
    #[must_use]
    pub fn start(room: Room) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let bids = tasks::spawn("bidding", bid_on(room, Arc::clone(&stop)));
        Self { stop, bids }
    }

    /// Stops after the bid that is under way.
    ///
    /// # Panics
    /// If a bid was not accepted.
    pub async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.bids.await.expect("every bid is accepted");
    }
}

async fn bid_on(room: Room, stop: Arc<AtomicBool>) {
    let mut bidders = [
        Client::with_token(room.owner, Protocol::V1, &token::bidder("left")).await,
        Client::with_token(room.edge, Protocol::V1, &token::bidder("right")).await,
    ];
    for bidder in &mut bidders {
        bidder.join(&room.id).await;
    }
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let mut amount = 100_u64;
    while !stop.load(Ordering::Relaxed) {
        for bidder in &mut bidders {
            pace.tick().await;
            bidder.accepted(&room.id, amount, &format!("b{amount}")).await;
            amount += 100;
        }
    }
}

fn locked(forms: &Mutex<Vec<Form>>) -> MutexGuard<'_, Vec<Form>> {
    forms.lock().unwrap_or_else(PoisonError::into_inner)
}
