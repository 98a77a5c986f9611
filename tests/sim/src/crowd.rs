//! Bidders: each bids in one room over a socket, changes nodes now and then,
//! and settles every bid under its id, as docs/protocol.md asks of a client.

mod socket;
mod view;

use crate::{
    check::{Book, Viewer},
    hosts::{NODES, SECRET},
    machine,
};
use gavel_rules::{
    amount::Amount,
    audit::{Answer, RecordedBid, Said},
    id::{BidId, RoomId, UserId},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng, seq::IndexedRandom as _};
use serde_json::{Value, json};
use socket::Socket;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use view::View;

/// How long an answer is waited for on one socket.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// Silence after which a socket is given up.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// How far bids of one bidder may lie apart.
const PACES_MS: [u64; 3] = [50, 200, 600];
/// Bids that wait for answers at once.
const ASKED_MAX: usize = 2;

/// Somebody who bids in a room.
#[derive(Debug)]
pub(crate) struct Bidder {
    user: UserId,
    room: RoomId,
    token: String,
    book: Arc<Book>,
    chance: SmallRng,
    view: View,
    /// Between two bids, at most.
    pace_ms: u64,
    asked: BTreeMap<BidId, Asked>,
    bids: u64,
}

/// A bid that is not settled.
#[derive(Debug, Clone)]
struct Asked {
    amount: Amount,
    /// When it was sent on this socket; none if it was not, or was answered
    /// without being settled.
    sent: Option<Duration>,
    sent_us: u64,
}

/// Why a socket ended.
#[derive(Debug)]
struct Lost;

// === impl Bidder ===

impl Bidder {
    pub(crate) fn new(user: &str, room: &RoomId, book: &Arc<Book>, seed: u64) -> Self {
        let mut chance = SmallRng::seed_from_u64(seed);
        Self {
            user: user.parse().expect("an id"),
            room: room.clone(),
            token: token(user),
            book: Arc::clone(book),
            pace_ms: *PACES_MS.choose(&mut chance).unwrap_or(&400),
            chance,
            view: View::default(),
            asked: BTreeMap::new(),
            bids: 0,
        }
    }

    /// Bids until the world ends.
    pub(crate) async fn live(mut self) {
        loop {
            let node = NODES.choose(&mut self.chance).copied().unwrap_or_default();
            let opened = tokio::time::timeout(ANSWER_WAIT, Socket::open(node, &self.token)).await;
            if let Ok(Ok(mut socket)) = opened {
                tracing::trace!(user = %self.user, node, "opened");
                let Lost = self.visit(&mut socket).await;
                self.leave();
            }
            self.pause(50..500).await;
        }
    }

    /// Stays on a node until the socket is lost or given up.
    async fn visit(&mut self, socket: &mut Socket) -> Lost {
        let number = self.book.socket();
        let (mut heard_at, mut joined_at) = (machine::elapsed(), None);
        let (mut act, mut stay) = (self.draw(10..self.pace_ms), self.draw(2_000..20_000));
        if socket.say(&self.view.join(&self.room)).await.is_err() {
            return Lost;
        }
        self.view.sit(number);
        loop {
            tokio::select! {
                told = socket.next() => match told {
                    Some(message) => {
                        tracing::trace!(user = %self.user, %message, "told");
                        heard_at = machine::elapsed();
                        if self.take(&message).is_err() {
                            return Lost;
                        }
                        let (room, seq) = (self.room.clone(), self.view.seq());
                        if self.view.joined() {
                            let joined_at = *joined_at.get_or_insert(heard_at);
                            self.book.stands(&self.user, Some(Viewer { room, joined_at, seq }));
                        }
                    }
                    None => return Lost,
                },
                () = tokio::time::sleep_until(act) => {
                    act = self.draw(10..self.pace_ms);
                    if self.act(socket).await.is_err() {
                        return Lost;
                    }
                }
                () = tokio::time::sleep_until(stay) => return Lost,
            }
            let now = machine::elapsed();
            let overdue = |it: &Asked| it.sent.is_some_and(|at| now - at > ANSWER_WAIT);
            if now - heard_at > SILENCE_MAX || self.asked.values().any(overdue) {
                stay = tokio::time::Instant::now();
            }
        }
    }

    /// Sends what is to be settled, or a new bid, or a ping.
    async fn act(&mut self, socket: &mut Socket) -> Result<(), Lost> {
        if !self.view.joined() {
            return socket.say(&json!({"type": "ping"})).await;
        }
        let unsent = self.asked.iter().find(|(_, it)| it.sent.is_none());
        let (id, amount) = match unsent.map(|(id, it)| (id.clone(), it.amount)) {
            Some(unsent) => unsent,
            None if self.asked.len() >= ASKED_MAX || self.holds_it() => {
                return socket.say(&json!({"type": "ping"})).await;
            }
            None => {
                self.bids += 1;
                let id = format!("{}-{}", self.user, self.bids);
                (id.parse().expect("an id"), self.amount())
            }
        };
        let (now, sent_us) = (machine::elapsed(), now_us());
        let asked = Asked { amount, sent: Some(now), sent_us };
        self.book.asks(&self.room, self.recorded(&id, &asked, None));
        self.asked.insert(id.clone(), asked);
        let room = self.room.as_ref();
        let bid = json!({"type": "bid", "auctionId": room, "amount": amount.minor(), "bidId": id});
        socket.say(&bid).await?;
        if self.chance.random_bool(0.03) {
            // As a client that is not sure whether it sent it.
            socket.say(&bid).await?;
        }
        Ok(())
    }

    /// Mostly what is asked for, at times less.
    fn amount(&mut self) -> Amount {
        let minimum = self.view.minimum();
        let more = if self.chance.random_bool(0.1) { 0 } else { self.chance.random_range(0..500) };
        let less = if self.chance.random_bool(0.1) { 100 } else { 0 };
        Amount::new((minimum + more).saturating_sub(less).max(1)).expect("a small amount")
    }

    /// Whoever holds the high bid seldom bids against himself.
    fn holds_it(&mut self) -> bool {
        self.view.high_bidder() == Some(&self.user) && !self.chance.random_bool(0.05)
    }

    fn take(&mut self, message: &Value) -> Result<(), Lost> {
        match message["type"].as_str().unwrap_or_default() {
            "batch" => {
                for message in message["messages"].as_array().into_iter().flatten() {
                    self.take(message)?;
                }
                Ok(())
            }
            "bidAccepted" | "bidRejected" => {
                self.settle(message, true);
                Ok(())
            }
            "error" if message["bidId"].is_string() => {
                self.settle(message, false);
                Ok(())
            }
            // The room is not there yet, or not just now.
            "error" | "reconnect" => Err(Lost),
            _ => {
                let seen = self.view.take(message);
                match seen {
                    Ok(Some(sight)) => self.book.sight(&self.room, sight),
                    Ok(None) => {}
                    Err(what) => self.book.wrong(format!("{}: {what}: {message}", self.user)),
                }
                Ok(())
            }
        }
    }

    /// A bid is answered; `finally` unless it may be sent again.
    fn settle(&mut self, message: &Value, finally: bool) {
        let id: Option<BidId> = message["bidId"].as_str().and_then(|id| id.parse().ok());
        let Some((id, asked)) = id.and_then(|id| Some((id.clone(), self.asked.get(&id)?.clone())))
        else {
            // The second answer to a bid that was sent twice.
            return;
        };
        let answer = said(message).map(|said| Answer { at_us: now_us(), said });
        self.record(&id, &asked, answer);
        if finally || self.chance.random_bool(0.3) {
            self.asked.remove(&id);
        } else {
            self.asked.insert(id, Asked { sent: None, ..asked });
        }
    }

    /// What is unanswered on a lost socket is sent again on the next.
    fn leave(&mut self) {
        self.book.stands(&self.user, None);
        let unanswered: Vec<(BidId, Asked)> =
            self.asked.iter().filter(|(_, it)| it.sent.is_some()).map(pair).collect();
        for (id, asked) in unanswered {
            self.record(&id, &asked, None);
            self.asked.insert(id, Asked { sent: None, ..asked });
        }
    }

    fn record(&self, id: &BidId, asked: &Asked, answer: Option<Answer>) {
        self.book.bid(&self.room, self.recorded(id, asked, answer));
    }

    fn recorded(&self, id: &BidId, asked: &Asked, answer: Option<Answer>) -> RecordedBid {
        RecordedBid {
            socket: self.view.socket(),
            generation: self.view.generation(),
            bidder: self.user.clone(),
            bid_id: id.clone(),
            amount: asked.amount,
            sent_us: asked.sent_us,
            answer,
        }
    }

    fn draw(&mut self, ms: std::ops::Range<u64>) -> tokio::time::Instant {
        let after = Duration::from_millis(self.chance.random_range(ms));
        tokio::time::Instant::now() + after
    }

    async fn pause(&mut self, ms: std::ops::Range<u64>) {
        let until = self.draw(ms);
        tokio::time::sleep_until(until).await;
    }
}

fn pair((id, asked): (&BidId, &Asked)) -> (BidId, Asked) {
    (id.clone(), asked.clone())
}

/// Microseconds since the simulation began.
fn now_us() -> u64 {
    u64::try_from(machine::elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// What an answer says.
fn said(message: &Value) -> Option<Said> {
    let number = |key: &str| message[key].as_u64();
    let amount = |key: &str| number(key).and_then(|units| Amount::new(units).ok());
    Some(match message["type"].as_str()? {
        "bidAccepted" => Said::Accepted {
            seq: gavel_rules::Seq::new(number("seq")?),
            amount: amount("amount")?,
            minimum: amount("minimumBid")?,
            at: gavel_rules::Timestamp::new(number("serverTime")?),
        },
        "bidRejected" => {
            let word = message["reason"].as_str()?;
            let all = gavel_rules::RejectReason::ALL;
            Said::Rejected {
                reason: all.into_iter().find(|reason| reason.as_str() == word)?,
                price: amount("currentBid")?,
                minimum: amount("minimumBid")?,
                seq: gavel_rules::Seq::new(number("seq")?),
                at: gavel_rules::Timestamp::new(number("serverTime")?),
            }
        }
        _ => Said::Error { code: message["code"].as_str()?.to_owned() },
    })
}

/// Proves who bids, in every room, for as long as any run lasts.
fn token(user: &str) -> String {
    let exp = machine::BEGIN_MS / 1_000 + 1_000_000;
    let claims = json!({"sub": user, "exp": exp, "grants": {"*": ["bid"]}});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key).expect("claims are JSON")
}
