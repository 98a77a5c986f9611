//! A user on one socket, who bids and looks.

use crate::{
    failure::Failure,
    load::{Message, SUBPROTOCOL, join_text, reach},
};
use futures::{SinkExt as _, StreamExt as _};
use gavel_rules::id::{RoomId, UserId};
use gavel_runtime::{net::Stream, tls::Tls};
use serde_json::json;
use std::collections::VecDeque;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, ClientRequestBuilder, http::Uri},
};

/// A socket in the room.
pub(super) struct Bidder {
    stream: WebSocketStream<Stream>,
    room: RoomId,
    user: UserId,
    /// The last one told, of what was looked at.
    price: u64,
    /// What came and nobody looked at.
    inbox: VecDeque<Message>,
}

// === impl Bidder ===

impl Bidder {
    /// Opens a socket, as a guest where there is no token, and joins.
    pub(super) async fn join(
        url: &str,
        room: &RoomId,
        token: Option<&str>,
        tls: &Tls,
    ) -> Result<Self, Failure> {
        let away = |error: &dyn std::fmt::Display| Failure::Unavailable(format!("{url}: {error}"));
        let uri: Uri = url.parse().map_err(|error| away(&error))?;
        let stream = reach(&uri, tls).await.map_err(|error| away(&error))?;
        let mut request = ClientRequestBuilder::new(uri).with_sub_protocol(SUBPROTOCOL);
        if let Some(token) = token {
            request = request.with_sub_protocol(format!("bearer.{token}"));
        }
        let opened = client_async(request, stream).await;
        let (stream, _) = opened.map_err(|error| away(&error))?;
        let nobody = "nobody".parse().map_err(|error| away(&error))?;
        let inbox = VecDeque::new();
        let mut bidder = Self { stream, room: room.clone(), user: nobody, price: 0, inbox };
        let welcomed = bidder.until(|message| {
            let Message::Welcome { user_id, .. } = message else { return None };
            Some(user_id.clone())
        });
        bidder.user = welcomed.await?;
        bidder.say(join_text(room.as_ref())).await?;
        bidder
            .until(|message| matches!(message, Message::AuctionState { .. }).then_some(()))
            .await?;
        Ok(bidder)
    }

    /// For whom the socket is.
    pub(super) fn user(&self) -> &UserId {
        &self.user
    }

    /// Bids within a trace; gives the seq of the event that holds the bid.
    pub(super) async fn bid(&mut self, amount: u64, trace_id: &str) -> Result<u64, Failure> {
        let bid_id = format!("smoke-{:016x}", rand::random::<u64>());
        let traceparent = format!("00-{trace_id}-{:016x}-01", rand::random::<u64>() | 1);
        let bid = json!({"type": "bid", "auctionId": self.room.to_string(), "amount": amount,
            "bidId": bid_id, "tp": traceparent});
        self.say(bid.to_string()).await?;
        let answer = self
            .until(|message| {
                if let Message::BidAccepted { bid_id: of, seq, .. } = message {
                    return (*of == bid_id).then_some(Ok(*seq));
                }
                if let Message::BidRejected { bid_id: of, reason: why, .. }
                | Message::Error { bid_id: Some(of), code: why } = message
                {
                    return (*of == bid_id).then(|| Err(why.clone()));
                }
                None
            })
            .await?;
        answer.map_err(|reason| Failure::Refused(format!("refused as {reason}")))
    }

    /// Waits until the room is known to be at this seq, then with this price.
    pub(super) async fn see(&mut self, seq: u64, amount: u64) -> Result<(), Failure> {
        self.until(|message| {
            // What was missed while the room moved may come as a whole.
            let (Message::AuctionUpdate { seq: at, .. } | Message::AuctionState { seq: at, .. }) =
                message
            else {
                return None;
            };
            (*at >= seq).then_some(())
        })
        .await?;
        if self.price == amount {
            return Ok(());
        }
        Err(Failure::Refused(format!("the price is {}, not {amount}", self.price)))
    }

    /// Waits for the close, which must name this winner and price.
    pub(super) async fn see_close(&mut self, by: &UserId, at: u64) -> Result<(), Failure> {
        let told = self
            .until(|message| {
                let Message::AuctionClosed { winner, amount, .. } = message else { return None };
                Some((winner.clone(), *amount))
            })
            .await?;
        if told == (Some(by.clone()), Some(at)) {
            return Ok(());
        }
        Err(Failure::Refused(format!("it went to {told:?}, not to {by} at {at}")))
    }

    async fn say(&mut self, json: String) -> Result<(), Failure> {
        let sent = self.stream.send(tungstenite::Message::text(json)).await;
        sent.map_err(|error| Failure::Refused(error.to_string()))
    }

    /// The first of what came, or comes, that something is made of.
    async fn until<T>(&mut self, wanted: impl Fn(&Message) -> Option<T>) -> Result<T, Failure> {
        loop {
            while let Some(message) = self.inbox.pop_front() {
                if let Message::AuctionState { current_bid: price, .. }
                | Message::AuctionUpdate { current_bid: Some(price), .. } = &message
                {
                    self.price = *price;
                }
                if let Some(found) = wanted(&message) {
                    return Ok(found);
                }
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), Failure> {
        match self.stream.next().await {
            Some(Ok(tungstenite::Message::Text(text))) => {
                let message = serde_json::from_str(&text)
                    .map_err(|error| Failure::Refused(format!("{error} in {text}")))?;
                if let Message::Error { code, bid_id: None } = &message {
                    return Err(Failure::Refused(format!("the node says {code}")));
                }
                if let Message::Batch { messages } = message {
                    self.inbox.extend(messages);
                } else {
                    self.inbox.push_back(message);
                }
                Ok(())
            }
            Some(Ok(tungstenite::Message::Close(frame))) => {
                let code = frame.map_or(1005, |frame| frame.code.into());
                Err(Failure::Refused(format!("the node closed the socket with {code}")))
            }
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(Failure::Refused(error.to_string())),
            None => Err(Failure::Refused("the socket was lost".to_owned())),
        }
    }
}
