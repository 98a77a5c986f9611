//! One socket of a run.

use super::{
    message::{self, Message, SUBPROTOCOL},
    record,
    schedule::Order,
    shared::Shared,
    stats::Fault,
    track::Track,
};
use futures::{SinkExt as _, StreamExt as _};
use gavel_rules::{
    amount::Amount,
    audit::{Answer, RecordedBid},
    id::{BidId, RoomId, UserId},
    order::Generation,
};
use gavel_runtime::clock;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, sync::mpsc};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{self, ClientRequestBuilder, protocol::WebSocketConfig},
};
use tokio_util::sync::CancellationToken;

/// How long connecting and joining may take.
const JOIN_TIMEOUT: Duration = Duration::from_secs(15);
/// Small, as a run holds thousands of them.
const READ_BUFFER_BYTES: usize = 4096;

/// Which socket of the run this is, and in which of its rooms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The socket's number.
    pub(crate) index: usize,
    /// The room's number.
    pub(crate) room: usize,
}

/// Why a socket did not join.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    /// The URL cannot be used, or the handshake failed.
    #[error("{0}")]
    Handshake(#[from] tungstenite::Error),
    /// The URL is none.
    #[error("not a URL")]
    Url,
    /// The server said no.
    #[error("refused with {0}")]
    Refused(String),
    /// The server closed the socket.
    #[error("closed before the room's state came")]
    Closed,
    /// Too slow.
    #[error("no state within {} s", JOIN_TIMEOUT.as_secs())]
    Timeout,
}

/// A socket that has joined its room.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    room_id: RoomId,
    place: Place,
    user: Option<UserId>,
    track: Track,
    asked_by_bid: BTreeMap<String, Asked>,
    bids: u64,
    shared: Arc<Shared>,
}

/// A bid that waits for its answer.
#[derive(Debug)]
struct Asked {
    intended: Instant,
    sent_us: u64,
    amount: u64,
}

/// Connects and enters a room.
pub(crate) async fn join(
    url: &str,
    room_id: &RoomId,
    place: Place,
    shared: &Arc<Shared>,
) -> Result<Socket, JoinError> {
    let joining = async {
        let started = clock::monotonic();
        let uri = url.parse().map_err(|_| JoinError::Url)?;
        let request = ClientRequestBuilder::new(uri).with_sub_protocol(SUBPROTOCOL);
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
        let (stream, _) = connect_async_with_config(request, Some(config), true).await?;
        let mut socket = Socket {
            stream,
            room_id: room_id.clone(),
            place,
            user: None,
            track: Track::default(),
            asked_by_bid: BTreeMap::new(),
            bids: 0,
            shared: Arc::clone(shared),
        };
        socket.wait_for(|message| matches!(message, Message::Welcome { .. })).await?;
        let welcomed = clock::monotonic();
        shared.connect.record(welcomed.saturating_duration_since(started));
        socket.say(message::join(room_id.as_ref())).await?;
        socket.wait_for(|message| matches!(message, Message::AuctionState { .. })).await?;
        shared.join.record(clock::monotonic().saturating_duration_since(welcomed));
        Ok(socket)
    };
    tokio::time::timeout(JOIN_TIMEOUT, joining).await.map_err(|_| JoinError::Timeout)?
}

// === impl Socket ===

impl Socket {
    /// What the socket knows of its room.
    pub(crate) fn track(&self) -> &Track {
        &self.track
    }

    /// Bids as ordered and takes what comes, until told to stop.
    pub(crate) async fn run(mut self, orders: mpsc::Receiver<Order>, stop: CancellationToken) {
        let lived = self.live(orders, stop).await;
        for (bid_id, asked) in std::mem::take(&mut self.asked_by_bid) {
            self.record_bid(&bid_id, &asked, None);
        }
        match lived {
            Ok(()) => self.leave().await,
            Err(why) => self.shared.fault(Fault::Disconnected, || why),
        }
    }

    async fn live(
        &mut self,
        mut orders: mpsc::Receiver<Order>,
        stop: CancellationToken,
    ) -> Result<(), String> {
        loop {
            tokio::select! {
                frame = self.stream.next() => self.frame(frame)?,
                Some(order) = orders.recv() => {
                    self.bid(order).await.map_err(|error| error.to_string())?;
                }
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    /// Closes the socket in an orderly way; a peer that is gone already is fine.
    pub(crate) async fn leave(mut self) {
        drop(self.stream.close(None).await);
    }

    async fn wait_for(&mut self, wanted: impl Fn(&Message) -> bool) -> Result<(), JoinError> {
        loop {
            match self.stream.next().await.ok_or(JoinError::Closed)?? {
                tungstenite::Message::Text(text) => {
                    let Ok(message) = serde_json::from_str(&text) else {
                        return Err(JoinError::Refused(format!("a bad message: {text}")));
                    };
                    if let Message::Error { code, .. } = &message {
                        return Err(JoinError::Refused(code.clone()));
                    }
                    let found = wanted(&message);
                    self.take(message, clock::monotonic());
                    if found {
                        return Ok(());
                    }
                }
                tungstenite::Message::Close(frame) => {
                    let why = frame.map(|frame| format!("close {}", frame.code));
                    return Err(why.map_or(JoinError::Closed, JoinError::Refused));
                }
                tungstenite::Message::Binary(_)
                | tungstenite::Message::Ping(_)
                | tungstenite::Message::Pong(_)
                | tungstenite::Message::Frame(_) => {}
            }
        }
    }

    fn frame(
        &mut self,
        frame: Option<Result<tungstenite::Message, tungstenite::Error>>,
    ) -> Result<(), String> {
        let at = clock::monotonic();
        match frame {
            None => Err("the connection was lost".to_owned()),
            Some(Err(error)) => Err(error.to_string()),
            Some(Ok(tungstenite::Message::Close(frame))) => Err(frame.map_or_else(
                || "closed without a code".to_owned(),
                |frame| format!("closed with {} {}", frame.code, frame.reason),
            )),
            Some(Ok(tungstenite::Message::Text(text))) => {
                match serde_json::from_str(&text) {
                    Ok(message) => self.take(message, at),
                    Err(error) => {
                        self.shared.fault(Fault::BadMessage, || format!("{error} in {text}"));
                    }
                }
                Ok(())
            }
            Some(Ok(_)) => Ok(()),
        }
    }

    async fn bid(&mut self, order: Order) -> Result<(), tungstenite::Error> {
        self.bids += 1;
        let bid_id = format!("load-{}-{}-{}", order.run, self.place.index, self.bids);
        let amount = self.shared.ledger.minimum(self.place.room);
        let bid = message::bid(self.room_id.as_ref(), amount, &bid_id);
        let sent_us = clock::machine_us();
        self.asked_by_bid.insert(bid_id, Asked { intended: order.intended, sent_us, amount });
        self.say(bid).await
    }

    async fn say(&mut self, json: String) -> Result<(), tungstenite::Error> {
        self.stream.send(tungstenite::Message::text(json)).await
    }

    fn take(&mut self, message: Message, at: Instant) {
        let room = self.place.room;
        if let Some(fault) = self.track.take(&message) {
            let seq = self.track.seq;
            self.shared.fault(fault, || format!("room {} at seq {seq}: {message:?}", self.room_id));
        }
        if let Some(recorder) = &self.shared.recorder {
            recorder.sight(&self.room_id, self.number(), &message, &self.track);
        }
        let answer = record::answer(&message);
        match message {
            Message::Batch { messages } => {
                for message in messages {
                    self.take(message, at);
                }
            }
            Message::AuctionUpdate { seq, .. } => {
                self.shared.see(room, seq, self.track.price, at);
                self.caught_up();
            }
            Message::AuctionState { .. } | Message::AuctionClosed { .. } => {
                self.caught_up();
            }
            Message::BidAccepted { bid_id, seq, amount, minimum_bid, .. } => {
                self.shared.ledger.learn(room, seq, minimum_bid);
                if let Some(intended) = self.answered(&bid_id, answer) {
                    self.shared.accept(room, seq, amount, intended, at);
                }
            }
            Message::BidRejected { bid_id, reason, seq, minimum_bid, .. } => {
                self.shared.ledger.learn(room, seq, minimum_bid);
                if let Some(intended) = self.answered(&bid_id, answer) {
                    self.shared.reject(&reason, intended, at);
                }
            }
            Message::Error { code, bid_id: Some(bid_id) } => {
                if let Some(intended) = self.answered(&bid_id, answer) {
                    self.shared.reject(&code, intended, at);
                }
            }
            Message::Error { code, bid_id: None } => {
                self.shared.fault(Fault::BadMessage, || format!("error {code}"));
            }
            Message::Welcome { user_id } => self.user = Some(user_id),
            Message::Other => {}
        }
    }

    fn caught_up(&self) {
        let (Place { index, room }, track) = (self.place, &self.track);
        self.shared.moved_to(index, room, track.seq);
        self.shared.ledger.learn(room, track.seq, track.minimum);
    }

    fn answered(&mut self, bid_id: &str, answer: Option<Answer>) -> Option<Instant> {
        let Some(asked) = self.asked_by_bid.remove(bid_id) else {
            self.shared.fault(Fault::UnexpectedAck, || format!("an answer to {bid_id}"));
            return None;
        };
        self.record_bid(bid_id, &asked, answer);
        Some(asked.intended)
    }

    fn record_bid(&self, bid_id: &str, asked: &Asked, answer: Option<Answer>) {
        let Some(recorder) = &self.shared.recorder else { return };
        let ids = self.user.clone().zip(bid_id.parse::<BidId>().ok());
        let (Some((bidder, bid_id)), Ok(amount)) = (ids, Amount::new(asked.amount)) else { return };
        let bid = RecordedBid {
            socket: self.number(),
            generation: Generation::new(self.track.generation),
            bidder,
            bid_id,
            amount,
            sent_us: asked.sent_us,
            answer,
        };
        recorder.bid(&self.room_id, bid);
    }

    fn number(&self) -> u64 {
        u64::try_from(self.place.index).unwrap_or(u64::MAX)
    }
}
