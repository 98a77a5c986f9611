//! A browser's end of a socket.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON that lacks a key gives null, which the test then names"
)]

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::{collections::VecDeque, net::SocketAddr};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        self, Message, client::IntoClientRequest as _, http::HeaderValue, protocol::CloseFrame,
    },
};

/// How amounts are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// The seed's: decimal numbers.
    Seed,
    /// `gavel.v1.json`: integers in minor units.
    V1,
}

/// One message as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// What it says.
    pub json: Value,
    /// Whether it came within a `batch`.
    pub batched: bool,
    /// Its text; within a batch written anew.
    pub text: String,
}

/// A browser's end of a socket.
#[derive(Debug)]
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    inbox: VecDeque<Received>,
    closed: Option<Option<CloseFrame>>,
    pings: usize,
    /// The first message.
    pub welcome: Value,
}

// === impl Client ===

impl Client {
    /// Connects as a guest.
    ///
    /// # Panics
    /// If the node does not welcome the socket.
    pub async fn connect(node: SocketAddr, protocol: Protocol) -> Self {
        Self::welcomed(Self::try_connect(node, protocol, None).await).await
    }

    /// Connects with a token.
    ///
    /// # Panics
    /// If the node does not welcome the socket.
    pub async fn with_token(node: SocketAddr, protocol: Protocol, token: &str) -> Self {
        Self::welcomed(Self::try_connect(node, protocol, Some(token)).await).await
    }

    /// Connects as the guest of an earlier socket.
    ///
    /// # Panics
    /// If the node does not welcome the socket.
    pub async fn as_guest(node: SocketAddr, token: &str) -> Self {
        let protocols = ["gavel.v1.json", &format!("guest.{token}")];
        Self::welcomed(Self::try_offering(node, &protocols).await).await
    }

    async fn welcomed(opened: Result<Self, tungstenite::Error>) -> Self {
        let mut client = opened.expect("an upgrade");
        client.welcome = client.expect("welcome", |m| m["type"] == "welcome").await;
        client
    }

    /// Opens a socket and expects nothing of it.
    ///
    /// # Errors
    /// What the handshake came to.
    ///
    /// # Panics
    /// If the token cannot be in a header.
    pub async fn try_connect(
        node: SocketAddr,
        protocol: Protocol,
        token: Option<&str>,
    ) -> Result<Self, tungstenite::Error> {
        let bearer = token.map(|token| format!("bearer.{token}"));
        let dialect = (protocol == Protocol::V1).then_some("gavel.v1.json");
        let protocols: Vec<&str> = dialect.into_iter().chain(bearer.as_deref()).collect();
        Self::try_offering(node, &protocols).await
    }

    /// Opens a socket with these subprotocols and expects nothing of it.
    ///
    /// # Errors
    /// What the handshake came to.
    ///
    /// # Panics
    /// If they cannot be in a header.
    pub async fn try_offering(
        node: SocketAddr,
        protocols: &[&str],
    ) -> Result<Self, tungstenite::Error> {
        Self::try_behind(node, protocols, None).await
    }

    /// The same through a proxy, which says whom it connects for.
    ///
    /// # Errors
    /// What the handshake came to.
    ///
    /// # Panics
    /// If they cannot be in a header.
    pub async fn try_behind(
        node: SocketAddr,
        protocols: &[&str],
        forwarded_for: Option<&str>,
    ) -> Result<Self, tungstenite::Error> {
        let headers = forwarded_for.map(|address| ("x-forwarded-for", address));
        Self::try_with(node, protocols, headers).await
    }

    /// The same with these headers besides.
    ///
    /// # Errors
    /// What the handshake came to.
    ///
    /// # Panics
    /// If they cannot be headers.
    pub async fn try_with(
        node: SocketAddr,
        protocols: &[&str],
        headers: impl IntoIterator<Item = (&'static str, &str)>,
    ) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{node}/ws").into_client_request()?;
        let header = |text: &str| HeaderValue::try_from(text).expect("a header");
        if !protocols.is_empty() {
            request.headers_mut().insert("Sec-WebSocket-Protocol", header(&protocols.join(", ")));
        }
        for (name, value) in headers {
            request.headers_mut().insert(name, header(value));
        }
        let stream = TcpStream::connect(node).await?;
        let stream = MaybeTlsStream::Plain(stream);
        let opened = tokio_tungstenite::client_async(request, stream).await;
        let socket = match opened {
            Ok((socket, _)) => socket,
            Err(error) => return Err(error),
        };
        Ok(Self { socket, inbox: VecDeque::new(), closed: None, pings: 0, welcome: Value::Null })
    }

    /// The user that the node knows this socket by.
    ///
    /// # Panics
    /// If there was no welcome.
    #[must_use]
    pub fn user(&self) -> &str {
        self.welcome["userId"].as_str().expect("a welcome")
    }

    /// Sends one message.
    ///
    /// # Panics
    /// If the socket is closed.
    pub async fn send(&mut self, message: &Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    /// Sends a WebSocket message as it is.
    ///
    /// # Panics
    /// If the socket is closed.
    pub async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.expect("an open socket");
    }

    /// Sends a message to a node that may have closed the socket already.
    pub async fn try_send(&mut self, message: Message) {
        drop(self.socket.send(message).await);
    }

    /// Waits for a ping of the node, and answers it.
    ///
    /// # Panics
    /// If none comes in time.
    pub async fn until_pinged(&mut self) {
        let before = self.pings;
        let pinged = tokio::time::timeout(crate::PATIENCE, async {
            while self.pings == before && self.read().await {}
        });
        pinged.await.expect("a ping in time");
        self.socket.flush().await.expect("the pong leaves");
    }

    /// How many pings have been read.
    #[must_use]
    pub fn pings(&self) -> usize {
        self.pings
    }

    /// Ends the connection with a reset, as a crash would.
    ///
    /// # Panics
    /// Never: the connection is a plain one.
    pub fn reset(self) {
        if let MaybeTlsStream::Plain(stream) = self.socket.get_ref() {
            stream.set_zero_linger().expect("an open socket");
        }
    }

    /// The first message, of those that nobody took, for which `wanted` holds.
    ///
    /// # Panics
    /// If it does not come in time.
    pub async fn expect(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.expect_received(what, wanted).await.json
    }

    /// The same as [`Self::expect`] with how it came.
    ///
    /// # Panics
    /// If it does not come in time.
    pub async fn expect_received(
        &mut self,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Received {
        let mut looked_at = 0;
        let found = tokio::time::timeout(crate::PATIENCE, async {
            loop {
                while let Some(received) = self.inbox.get(looked_at) {
                    if wanted(&received.json) {
                        return self.inbox.remove(looked_at);
                    }
                    looked_at += 1;
                }
                if !self.read().await {
                    return None;
                }
            }
        })
        .await;
        found.ok().flatten().unwrap_or_else(|| {
            let texts: Vec<_> = self.inbox.iter().map(|received| &received.text).collect();
            panic!("no {what}; closed: {:?}; received: {texts:#?}", self.closed)
        })
    }

    /// All that came so far and nobody took, after a round trip to the node.
    pub async fn drain(&mut self) -> Vec<Received> {
        self.send(&json!({"type": "ping", "t": "drain"})).await;
        self.expect("pong", |m| m["type"] == "pong" && m["t"] == "drain").await;
        self.inbox.drain(..).collect()
    }

    /// The next message, in order.
    ///
    /// # Panics
    /// If none comes in time.
    pub async fn next(&mut self) -> Received {
        self.expect_received("message", |_| true).await
    }

    /// The next message, however long it takes; nothing at the end.
    pub async fn next_or_end(&mut self) -> Option<Received> {
        loop {
            if let Some(received) = self.inbox.pop_front() {
                return Some(received);
            }
            if !self.read().await {
                return None;
            }
        }
    }

    /// Waits for the close of the socket: its code and reason.
    ///
    /// # Panics
    /// If it stays open, or breaks without a close frame.
    pub async fn close_code(&mut self) -> (u16, String) {
        let ended = tokio::time::timeout(crate::PATIENCE, async { while self.read().await {} });
        ended.await.expect("a close in time");
        let frame = self.closed.clone().flatten().expect("a close frame");
        (frame.code.into(), frame.reason.to_string())
    }

    /// Closes the socket and waits for the node's close.
    pub async fn close(mut self) {
        // The node may be the first.
        drop(self.socket.close(None).await);
        self.close_code().await;
    }

    /// Enters a room; gives its state.
    ///
    /// # Panics
    /// If no state comes.
    pub async fn join(&mut self, room: &str) -> Value {
        self.send(&json!({"type": "joinAuction", "auctionId": room})).await;
        let room = room.to_owned();
        self.expect("auctionState", move |m| m["type"] == "auctionState" && is(m, &room)).await
    }

    /// Enters a room as one that knows it up to `seq`; gives the first answer,
    /// which says what follows.
    ///
    /// # Panics
    /// If none comes.
    pub async fn resume(&mut self, room: &str, generation: &Value, seq: u64) -> Value {
        let join = json!({"type": "joinAuction", "auctionId": room, "generation": generation,
            "seq": seq});
        self.send(&join).await;
        let room = room.to_owned();
        let first = |m: &Value| m["type"] == "auctionResumed" || m["type"] == "auctionState";
        self.expect("answer to a position", move |m| first(m) && is(m, &room)).await
    }

    /// Bids and waits for the answer, of whatever kind.
    ///
    /// # Panics
    /// If none comes.
    pub async fn bid(&mut self, room: &str, amount: impl Into<Value>, bid_id: &str) -> Value {
        self.bid_received(room, amount, bid_id).await.json
    }

    /// The same as [`Self::bid`] with how the answer came.
    ///
    /// # Panics
    /// If none comes.
    pub async fn bid_received(
        &mut self,
        room: &str,
        amount: impl Into<Value>,
        bid_id: &str,
    ) -> Received {
        let bid = json!({"type": "bid", "auctionId": room, "amount": amount.into(),
            "bidId": bid_id});
        self.send(&bid).await;
        let bid_id = bid_id.to_owned();
        self.expect_received("answer to a bid", move |m| m["bidId"] == *bid_id).await
    }

    /// Bids and expects the bid to be accepted.
    ///
    /// # Panics
    /// If it is not.
    pub async fn accepted(&mut self, room: &str, amount: impl Into<Value>, bid_id: &str) -> Value {
        let answer = self.bid(room, amount, bid_id).await;
        assert_eq!(answer["type"], "bidAccepted", "{answer}");
        answer
    }

    /// Bids and expects the bid to be rejected; gives the reason.
    ///
    /// # Panics
    /// If it is not.
    pub async fn rejected(&mut self, room: &str, amount: impl Into<Value>, bid_id: &str) -> String {
        let answer = self.bid(room, amount, bid_id).await;
        assert_eq!(answer["type"], "bidRejected", "{answer}");
        answer["reason"].as_str().expect("a reason").to_owned()
    }

    /// The update of this seq.
    ///
    /// # Panics
    /// If it does not come.
    pub async fn update(&mut self, seq: u64) -> Value {
        self.expect("auctionUpdate", |m| m["type"] == "auctionUpdate" && m["seq"] == seq).await
    }

    /// Sends something and expects an error; gives its code.
    ///
    /// # Panics
    /// If none comes.
    pub async fn error_of(&mut self, message: Message) -> String {
        self.send_raw(message).await;
        let error = self.expect("error", |m| m["type"] == "error").await;
        error["code"].as_str().expect("a code").to_owned()
    }

    /// Takes one WebSocket message in; false at the end.
    async fn read(&mut self) -> bool {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => self.take(text.as_str()),
            Some(Ok(Message::Close(frame))) => self.closed = Some(frame),
            Some(Ok(Message::Ping(_))) => self.pings += 1,
            Some(Ok(_)) => {}
            Some(Err(_)) | None => {
                self.closed.get_or_insert(None);
                return false;
            }
        }
        true
    }

    fn take(&mut self, text: &str) {
        let json: Value = serde_json::from_str(text).expect("a node sends JSON");
        if json["type"] == "batch" {
            let messages = json["messages"].as_array().expect("messages");
            self.inbox.extend(messages.iter().map(|json| Received {
                json: json.clone(),
                batched: true,
                text: json.to_string(),
            }));
        } else {
            self.inbox.push_back(Received { json, batched: false, text: text.to_owned() });
        }
    }
}

/// Whether a message is about the room, however its id is written.
fn is(message: &Value, room: &str) -> bool {
    let id = &message["auctionId"];
    *id == *room || id.as_u64().is_some_and(|id| room.parse() == Ok(id))
}
