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
use gavel_runtime::{
    clock,
    net::{self, Stream},
    tls::Tls,
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, ClientRequestBuilder, http::Uri, protocol::WebSocketConfig},
};
use tokio_util::sync::CancellationToken;

/// How long connecting and joining may take.
const JOIN_TIMEOUT: Duration = Duration::from_secs(15);
/// Small, as a run holds thousands of them.
const READ_BUFFER_BYTES: usize = 4096;

/// Which socket of the run this is, and in which of its rooms.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    /// The socket's number.
    pub(crate) index: usize,
    /// The room's number.
    pub(crate) room: usize,
    /// How many sockets were lost in its place before; each is another viewer.
    pub(crate) lost: u64,
    /// The last seq that was shown on those.
    pub(crate) seq: u64,
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
    /// Nobody's certificates are good.
    #[error("wss:// needs --ca")]
    NoTrust,
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
    stream: WebSocketStream<Stream>,
    room_id: RoomId,
    place: Place,
    user: Option<UserId>,
    guest_token: Option<String>,
    track: Track,
    asked_by_bid: BTreeMap<String, Asked>,
    bids: u64,
    shared: Arc<Shared>,
}

/// What a bidder has left of a lost socket.
#[derive(Debug)]
pub(crate) struct Lost {
    /// Where it was, and where the next one will be.
    pub(crate) place: Place,
    /// What makes the next one the same guest.
    pub(crate) guest_token: Option<String>,
    user: Option<UserId>,
    asked_by_bid: BTreeMap<String, Asked>,
    bids: u64,
}

/// A bid that waits for its answer.
#[derive(Debug)]
struct Asked {
    intended: Instant,
    sent_us: u64,
    amount: u64,
}

/// Connects and enters a room, as a guest that was here before if it has a token.
pub(crate) async fn join(
    url: &str,
    room_id: &RoomId,
    place: Place,
    guest_token: Option<&str>,
    shared: &Arc<Shared>,
) -> Result<Socket, JoinError> {
    let joining = async {
        let started = clock::monotonic();
        let uri: Uri = url.parse().map_err(|_| JoinError::Url)?;
        let stream = reach(&uri, &shared.tls).await?;
        let mut request = ClientRequestBuilder::new(uri).with_sub_protocol(SUBPROTOCOL);
        if let Some(token) = guest_token {
            request = request.with_sub_protocol(format!("guest.{token}"));
        }
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
        let (stream, _) = client_async_with_config(request, stream, Some(config)).await?;
        let mut socket = Socket {
            stream,
            room_id: room_id.clone(),
            place,
            user: None,
            guest_token: guest_token.map(str::to_owned),
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

/// A connection to the node of a URL.
pub(crate) async fn reach(uri: &Uri, tls: &Tls) -> Result<Stream, JoinError> {
    let host = uri.host().ok_or(JoinError::Url)?;
    let secure = uri.scheme_str() == Some("wss");
    if secure && !tls.can_call() {
        return Err(JoinError::NoTrust);
    }
    let reached = net::reach_web(host, uri.port_u16(), secure, tls).await;
    reached.map_err(|error| JoinError::Handshake(error.into()))
}

// === impl Socket ===

impl Socket {
    /// What the socket knows of its room.
    pub(crate) fn track(&self) -> &Track {
        &self.track
    }

    /// Bids as ordered and takes what comes, until told to stop or lost.
    pub(crate) async fn live(
        &mut self,
        orders: &mut mpsc::Receiver<Order>,
        stop: &CancellationToken,
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

    /// Records what is unanswered, and keeps it for another socket.
    pub(crate) fn lose(self) -> Lost {
        self.record_unanswered();
        let Place { lost, seq, .. } = self.place;
        Lost {
            place: Place { lost: lost + 1, seq: seq.max(self.track.seq), ..self.place },
            guest_token: self.guest_token,
            user: self.user,
            asked_by_bid: self.asked_by_bid,
            bids: self.bids,
        }
    }

    /// Sends again, under its id, each bid that was unanswered on a lost socket.
    pub(crate) async fn take_over(&mut self, lost: Lost) -> Result<(), tungstenite::Error> {
        if self.user != lost.user {
            let (room, user) = (&self.room_id, &self.user);
            self.shared.fault(Fault::BadMessage, || {
                format!("{:?} came back to room {room} as {user:?}", lost.user)
            });
        }
        (self.asked_by_bid, self.bids) = (lost.asked_by_bid, lost.bids);
        let sent_us = clock::machine_us();
        let mut again = Vec::new();
        for (bid_id, asked) in &mut self.asked_by_bid {
            asked.sent_us = sent_us;
            again.push(message::bid(self.room_id.as_ref(), asked.amount, bid_id));
        }
        for bid in again {
            self.say(bid).await?;
        }
        Ok(())
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
        let before = if self.track.joined { self.track.seq } else { self.place.seq };
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
            Message::AuctionState { .. } => {
                if before > 0 {
                    self.shared.ledger.skip(room, before + 1..=self.track.seq);
                }
                self.caught_up();
            }
            Message::AuctionClosed { .. } => self.caught_up(),
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
            Message::Welcome { user_id, guest_token } => {
                self.user = Some(user_id);
                self.guest_token = guest_token.or(self.guest_token.take());
            }
            Message::Other => {}
        }
    }

    fn caught_up(&self) {
        let (Place { index, room, .. }, track) = (self.place, &self.track);
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

    /// Whether these were stored is not known.
    pub(crate) fn record_unanswered(&self) {
        for (bid_id, asked) in &self.asked_by_bid {
            self.record_bid(bid_id, asked, None);
        }
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

    /// Another for each socket of the run, also of one place.
    fn number(&self) -> u64 {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        number(self.place.index) + self.place.lost * number(self.shared.sockets())
    }
}
