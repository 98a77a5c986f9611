//! The load tool against a server that is right, and against servers that are
//! each wrong in one way: a checker that finds nothing proves nothing.

use super::{LoadArgs, Shared, execute, message::SUBPROTOCOL, stats::Fault};
use clap::Parser;
use futures::{SinkExt as _, StreamExt as _};
use gavel_runtime::{shutdown::Shutdown, tasks};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::broadcast,
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::HeaderValue,
    },
};

/// How the server is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nowhere,
    SendsTwice,
    SkipsOne,
    KeepsOneAck,
    TellsAnotherPrice,
    AcksTwice,
    ForgetsAfterwards,
    ClosesSockets,
    LosesOneAck,
}

#[derive(Debug)]
struct Fake {
    wrong: Wrong,
    // The last seq and the price.
    room: Mutex<(u64, u64)>,
    acks: Mutex<BTreeMap<String, Value>>,
    updates: broadcast::Sender<(u64, u64)>,
}

/// What is told to a socket once it has joined: seq and price.
type Updates = Option<broadcast::Receiver<(u64, u64)>>;

#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    load: LoadArgs,
}

async fn run(wrong: Wrong, options: &str) -> Arc<Shared> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let (updates, _) = broadcast::channel(1024);
    let fake =
        Arc::new(Fake { wrong, room: Mutex::new((1, 100)), acks: Mutex::default(), updates });
    let server = tasks::spawn("test.server", async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(tasks::spawn("test.socket", serve(stream, Arc::clone(&fake))));
        }
    });
    let line = format!(
        "load --url {url} --sockets 4 --room-ids r --bids-per-second 100 --duration 200ms \
         --settle 300ms {options}"
    );
    let args = Args::try_parse_from(line.split_whitespace()).unwrap();
    let (shared, _) = execute(&args.load, &Shutdown::new()).await.unwrap();
    server.abort();
    shared
}

#[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
fn choose(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let protocol = HeaderValue::from_static(SUBPROTOCOL);
    response.headers_mut().insert("sec-websocket-protocol", protocol);
    Ok(response)
}

async fn serve(stream: TcpStream, fake: Arc<Fake>) {
    stream.set_nodelay(true).unwrap();
    let Ok(mut socket) = accept_hdr_async(stream, choose).await else { return };
    let mut updates: Updates = None;
    drop(socket.send(Message::text(r#"{"type":"welcome","userId":"u"}"#)).await);
    loop {
        let replies = tokio::select! {
            (seq, price) = next(&mut updates) => fake.update(seq, price),
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    fake.answer(&serde_json::from_str(&text).unwrap(), &mut updates)
                }
                Some(Ok(_)) => Vec::new(),
                _ => return,
            },
        };
        for reply in replies {
            if reply == Value::Null {
                return drop(socket.close(None).await);
            }
            drop(socket.send(Message::text(reply.to_string())).await);
        }
    }
}

/// The next update for whoever has joined.
async fn next(updates: &mut Updates) -> (u64, u64) {
    match updates {
        Some(updates) => updates.recv().await.unwrap(),
        None => std::future::pending().await,
    }
}

// === impl Fake ===

impl Fake {
    fn update(&self, seq: u64, price: u64) -> Vec<Value> {
        let price = if self.wrong == Wrong::TellsAnotherPrice { price + 1 } else { price };
        let update = json!({
            "type": "auctionUpdate", "auctionId": "r", "seq": seq,
            "currentBid": price, "minimumBid": price + 10,
        });
        if self.wrong == Wrong::SendsTwice {
            vec![json!({"type": "batch", "messages": [update, update]})]
        } else if self.wrong == Wrong::SkipsOne && seq == 5 {
            Vec::new()
        } else if self.wrong == Wrong::ClosesSockets && seq == 5 {
            vec![Value::Null]
        } else {
            vec![update]
        }
    }

    fn answer(&self, message: &Value, updates: &mut Updates) -> Vec<Value> {
        let mut room = self.room.lock();
        if message["type"] == "joinAuction" {
            // Whoever joins is sent what follows its state, and nothing before it.
            *updates = Some(self.updates.subscribe());
            let fresh = self.wrong == Wrong::ForgetsAfterwards;
            let (seq, price) = if fresh { (1, 100) } else { *room };
            return vec![json!({
                "type": "auctionState", "auctionId": "r", "seq": seq, "generation": 1,
                "currentBid": price, "minimumBid": price + 10,
            })];
        }
        let (amount, bid_id) = (message["amount"].as_u64().unwrap(), &message["bidId"]);
        let key = bid_id.to_string();
        if let Some(ack) = self.acks.lock().get(&key) {
            return vec![ack.clone()];
        }
        if amount < room.1 + 10 {
            return vec![json!({
                "type": "bidRejected", "bidId": bid_id, "reason": "too_low",
                "seq": room.0, "currentBid": room.1, "minimumBid": room.1 + 10, "serverTime": 1,
            })];
        }
        *room = (room.0 + 1, amount);
        self.updates.send(*room).unwrap();
        let ack = json!({"type": "bidAccepted", "bidId": bid_id, "seq": room.0, "amount": amount,
            "minimumBid": amount + 10, "serverTime": 1});
        self.acks.lock().insert(key, ack.clone());
        if self.wrong == Wrong::LosesOneAck && room.0 == 5 {
            return vec![Value::Null];
        }
        let acks = if self.wrong == Wrong::KeepsOneAck && room.0 == 5 {
            0
        } else {
            1 + usize::from(self.wrong == Wrong::AcksTwice)
        };
        vec![ack; acks]
    }
}

#[tokio::test]
async fn a_right_server_has_no_faults() {
    let shared = run(Wrong::Nowhere, "").await;
    assert_eq!(shared.first_trouble(), None);
    assert_eq!(shared.joined(), 4);
    assert_eq!(shared.sent_total(), 20);
    let rejected: u64 = shared.rejected().values().sum();
    assert_eq!(shared.accepted_total() + rejected, 20);
    assert!(shared.accepted_total() > 0);
    assert_eq!(shared.ack.count(), 20);
    assert_eq!(shared.delivery.count(), shared.accepted_total() * 4);
}

#[tokio::test]
async fn each_wrong_server_is_caught() {
    for (wrong, fault) in [
        (Wrong::SendsTwice, Fault::DuplicateSeq),
        (Wrong::SkipsOne, Fault::Gap),
        (Wrong::KeepsOneAck, Fault::LostAck),
        (Wrong::TellsAnotherPrice, Fault::PriceConflict),
        (Wrong::AcksTwice, Fault::UnexpectedAck),
        (Wrong::ForgetsAfterwards, Fault::Snapshot),
        (Wrong::ClosesSockets, Fault::Disconnected),
        (Wrong::LosesOneAck, Fault::LostAck),
    ] {
        let shared = run(wrong, "").await;
        assert!(shared.fault_count(fault) > 0, "{wrong:?}: {:?}", shared.first_trouble());
    }
}

#[tokio::test]
async fn a_lost_socket_is_replaced_and_its_bid_settled_under_the_same_id() {
    for (wrong, lost) in [(Wrong::ClosesSockets, 4), (Wrong::LosesOneAck, 1)] {
        let shared = run(wrong, "--reconnect").await;
        assert_eq!(shared.first_trouble(), None, "{wrong:?}");
        assert_eq!(shared.reconnects.load(Relaxed), lost, "{wrong:?}");
        let rejected: u64 = shared.rejected().values().sum();
        assert_eq!(shared.accepted_total() + rejected, 20, "{wrong:?}");
    }
}
