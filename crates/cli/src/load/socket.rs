//! One socket of a run.

use super::{
    message::{self, Message, SUBPROTOCOL},
    schedule::Order,
    shared::Shared,
    stats::Fault,
    track::Track,
};
use futures::{SinkExt as _, StreamExt as _};
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
    room_id: String,
    place: Place,
    track: Track,
    intended_by_bid: BTreeMap<String, Instant>,
    bids: u64,
    shared: Arc<Shared>,
}

/// Connects and enters a room.
pub(crate) async fn join(
    url: &str,
    room_id: &str,
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
            room_id: room_id.to_owned(),
            place,
            track: Track::default(),
            intended_by_bid: BTreeMap::new(),
            bids: 0,
            shared: Arc::clone(shared),
        };
        socket.wait_for(|message| matches!(message, Message::Welcome)).await?;
        let welcomed = clock::monotonic();
        shared.connect.record(welcomed.saturating_duration_since(started));
        socket.say(message::join(room_id)).await?;
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
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Order>, stop: CancellationToken) {
        loop {
            tokio::select! {
                frame = self.stream.next() => {
                    if let Err(why) = self.frame(frame) {
                        self.shared.fault(Fault::Disconnected, || why);
                        return;
                    }
                }
                Some(order) = orders.recv() => {
                    if let Err(error) = self.bid(order).await {
                        self.shared.fault(Fault::Disconnected, || error.to_string());
                        return;
                    }
                }
                () = stop.cancelled() => return self.leave().await,
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
        let bid = message::bid(&self.room_id, self.shared.ledger.minimum(self.place.room), &bid_id);
        self.intended_by_bid.insert(bid_id, order.intended);
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
            Message::BidAccepted { bid_id, seq, amount, minimum_bid } => {
                self.shared.ledger.learn(room, seq, minimum_bid);
                if let Some(intended) = self.answered(&bid_id) {
                    self.shared.accept(room, seq, amount, intended, at);
                }
            }
            Message::BidRejected { bid_id, reason, seq, minimum_bid } => {
                self.shared.ledger.learn(room, seq, minimum_bid);
                if let Some(intended) = self.answered(&bid_id) {
                    self.shared.reject(&reason, intended, at);
                }
            }
            Message::Error { code, bid_id: Some(bid_id) } => {
                if let Some(intended) = self.answered(&bid_id) {
                    self.shared.reject(&code, intended, at);
                }
            }
            Message::Error { code, bid_id: None } => {
                self.shared.fault(Fault::BadMessage, || format!("error {code}"));
            }
            Message::Welcome | Message::Other => {}
        }
    }

    fn caught_up(&self) {
        let (Place { index, room }, track) = (self.place, &self.track);
        self.shared.moved_to(index, room, track.seq);
        self.shared.ledger.learn(room, track.seq, track.minimum);
    }

    fn answered(&mut self, bid_id: &str) -> Option<Instant> {
        let intended = self.intended_by_bid.remove(bid_id);
        if intended.is_none() {
            self.shared.fault(Fault::UnexpectedAck, || format!("an answer to {bid_id}"));
        }
        intended
    }
}
