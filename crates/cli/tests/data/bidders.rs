//! Bidders who do not give up: each bids the minimum, over and over, on a new
//! socket whenever the old one is lost, and all write down what they were told.

use futures::{SinkExt as _, StreamExt as _};
use gavel_runtime::tasks;
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};
use tokio_util::sync::CancellationToken;

/// How long a bidder waits for the next word before it takes another socket.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a bidder lets be after an error, for it not to be one of the rate.
const RETRY_AFTER: Duration = Duration::from_millis(60);

/// What a bidder was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ack {
    pub(crate) room: String,
    pub(crate) bid_id: String,
    pub(crate) seq: u64,
    pub(crate) amount: u64,
    pub(crate) durability: String,
}

/// What all bidders were told.
#[derive(Debug, Default)]
struct Told {
    acks: Vec<Ack>,
    /// How often a bid could not be decided.
    unavailable: usize,
}

/// Bidders in several rooms.
pub(crate) struct Bidders {
    told: Arc<Mutex<Told>>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

// === impl Bidders ===

impl Bidders {
    /// This many bidders in each room.
    pub(crate) fn start(url: &str, rooms: &[&str], each: usize) -> Self {
        let (told, stop) = (Arc::<Mutex<Told>>::default(), CancellationToken::new());
        let mut tasks = Vec::new();
        for (room, n) in rooms.iter().flat_map(|room| (0..each).map(move |n| (room, n))) {
            let (url, room, name) = (url.to_owned(), (*room).to_owned(), format!("{room}-{n}"));
            let told = Arc::clone(&told);
            let bidder = async move {
                for life in 0_u32.. {
                    // A socket that is lost or refused is followed by the next.
                    let _lost = bid(&url, &room, &format!("{name}-{life}"), &told).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let stopped = stop.clone();
            tasks.push(tasks::spawn("test.bidder", async move {
                stopped.run_until_cancelled(bidder).await;
            }));
        }
        Self { told, stop, tasks }
    }

    pub(crate) fn acked(&self) -> usize {
        self.told.lock().expect("no panic holds it").acks.len()
    }

    /// How often a bid could not be decided.
    pub(crate) fn unavailable(&self) -> usize {
        self.told.lock().expect("no panic holds it").unavailable
    }

    pub(crate) async fn stop(self) -> Vec<Ack> {
        self.stop.cancel();
        for task in self.tasks {
            task.await.expect("no bidder panics");
        }
        self.told.lock().expect("no panic holds it").acks.clone()
    }
}

/// One accepted bid of a guest.
pub(crate) async fn bid_once(url: &str, room: &str) -> Ack {
    let told = Mutex::<Told>::default();
    for life in 0..100 {
        let name = format!("once-{life}");
        let bidding = bid(url, room, &name, &told);
        // It goes on after its first; that is cut short here.
        let first = async {
            while told.lock().expect("no panic holds it").acks.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = first => break,
            _ = bidding => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    let told = told.into_inner().expect("no panic holds it");
    told.acks.first().expect("the bid is accepted").clone()
}

/// Bids until the socket is lost or silent.
async fn bid(url: &str, room: &str, name: &str, told: &Mutex<Told>) -> Option<()> {
    let mut request = url.into_client_request().expect("a URL");
    let dialect = "gavel.v1.json".parse().expect("a header");
    request.headers_mut().insert("sec-websocket-protocol", dialect);
    let (mut socket, _) = connect_async(request).await.ok()?;
    say(&mut socket, json!({"type": "joinAuction", "auctionId": room})).await?;
    let (mut minimum, mut bids, mut waiting) = (None, 0_u32, false);
    loop {
        let message = hear(&mut socket).await?;
        let inner = message.get("messages").and_then(Value::as_array).cloned();
        for one in inner.unwrap_or_else(|| vec![message]) {
            minimum = one.get("minimumBid").and_then(Value::as_u64).or(minimum);
            match one.get("type").and_then(Value::as_str) {
                Some("bidAccepted") => {
                    told.lock().expect("no panic holds it").acks.push(ack(room, &one));
                    waiting = false;
                }
                Some("bidRejected") => waiting = false,
                Some("error") => {
                    let unavailable = one.get("code").is_some_and(|code| code == "unavailable");
                    told.lock().expect("no panic holds it").unavailable += usize::from(unavailable);
                    waiting = false;
                    tokio::time::sleep(RETRY_AFTER).await;
                }
                _ => {}
            }
        }
        if let Some(amount) = minimum.filter(|_| !waiting) {
            bids += 1;
            let bid_id = format!("{name}-{bids}");
            let bid = json!({"type": "bid", "auctionId": room, "amount": amount, "bidId": bid_id});
            say(&mut socket, bid).await?;
            waiting = true;
        }
    }
}

fn ack(room: &str, message: &Value) -> Ack {
    let text = |key| message.get(key).and_then(Value::as_str).expect("a text").to_owned();
    let number = |key| message.get(key).and_then(Value::as_u64).expect("a number");
    Ack {
        room: room.to_owned(),
        bid_id: text("bidId"),
        seq: number("seq"),
        amount: number("amount"),
        durability: text("durability"),
    }
}

async fn say(socket: &mut Socket, message: Value) -> Option<()> {
    socket.send(Message::text(message.to_string())).await.ok()
}

async fn hear(socket: &mut Socket) -> Option<Value> {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.ok()??.ok()?;
        if let Message::Text(text) = message {
            return Some(serde_json::from_str(&text).expect("the server says JSON"));
        }
    }
}
