//! What a bidder knows of the room, from one socket to the next.

use crate::machine;
use gavel_rules::{
    amount::Amount,
    audit::{Believed, Shown, Sight},
    id::{RoomId, UserId},
    order::{Generation, Seq},
};
use serde_json::{Value, json};

#[derive(Debug, Default)]
pub(crate) struct View {
    socket: u64,
    /// Whether the room has answered on this socket.
    joined: bool,
    generation: Generation,
    seq: Seq,
    price: Amount,
    minimum: Amount,
    high_bidder: Option<UserId>,
}

// === impl View ===

impl View {
    /// What asks for the room, from where this view stands.
    pub(crate) fn join(&self, room: &RoomId) -> Value {
        let mut join = json!({"type": "joinAuction", "auctionId": room.as_ref()});
        if self.seq > Seq::default() {
            join["generation"] = self.generation.get().into();
            join["seq"] = self.seq.get().into();
        }
        join
    }

    /// Another socket, which has shown nothing yet.
    pub(crate) fn sit(&mut self, socket: u64) {
        (self.socket, self.joined) = (socket, false);
    }

    pub(crate) fn socket(&self) -> u64 {
        self.socket
    }

    pub(crate) fn joined(&self) -> bool {
        self.joined
    }

    pub(crate) fn seq(&self) -> Seq {
        self.seq
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    /// The least that the next bid has to offer, in minor units.
    pub(crate) fn minimum(&self) -> u64 {
        self.minimum.minor()
    }

    pub(crate) fn high_bidder(&self) -> Option<&UserId> {
        self.high_bidder.as_ref()
    }

    /// Takes a message of the room: what it shows, or what is wrong with it.
    pub(crate) fn take(&mut self, message: &Value) -> Result<Option<Sight>, String> {
        let seq = Seq::new(message["seq"].as_u64().unwrap_or(0));
        match message["type"].as_str().unwrap_or_default() {
            "auctionState" => {
                self.joined = true;
                self.generation = Generation::new(message["generation"].as_u64().unwrap_or(0));
                self.seq = seq;
                self.learn(message);
                Ok(Some(self.sight(Shown::State(self.believed()))))
            }
            "auctionResumed" => {
                self.joined = true;
                let from = Seq::new(message["from"].as_u64().unwrap_or(0));
                let generation = Generation::new(message["generation"].as_u64().unwrap_or(0));
                if (generation, from) == (self.generation, self.seq) {
                    Ok(None)
                } else {
                    Err(format!("it goes on from elsewhere than {}", self.seq))
                }
            }
            "auctionUpdate" if self.is_next(seq)? => {
                self.learn(message);
                Ok(Some(self.sight(Shown::Update(self.believed()))))
            }
            "auctionClosed" if self.is_next(seq)? => {
                let winner = message["winner"].as_str().and_then(|user| user.parse().ok());
                let amount = message["amount"].as_u64().and_then(|units| Amount::new(units).ok());
                Ok(Some(self.sight(Shown::Closed { winner, amount })))
            }
            _ => Ok(None),
        }
    }

    /// Moves on to the next event; one that is known already says nothing, one
    /// that leaves a gap is wrong.
    fn is_next(&mut self, seq: Seq) -> Result<bool, String> {
        if !self.joined {
            return Err("it comes before any state".to_owned());
        }
        if seq <= self.seq {
            return Ok(false);
        }
        if seq != self.seq.next() {
            return Err(format!("a gap behind {}", self.seq));
        }
        self.seq = seq;
        Ok(true)
    }

    fn learn(&mut self, message: &Value) {
        let amount = |key: &str| message[key].as_u64().and_then(|units| Amount::new(units).ok());
        self.price = amount("currentBid").unwrap_or(self.price);
        self.minimum = amount("minimumBid").unwrap_or(self.minimum);
        if let Some(bidder) = message.get("currentBidderId") {
            self.high_bidder = bidder.as_str().and_then(|user| user.parse().ok());
        }
    }

    fn believed(&self) -> Believed {
        Believed { price: self.price, high_bidder: self.high_bidder.clone() }
    }

    fn sight(&self, shown: Shown) -> Sight {
        let at_us = u64::try_from(machine::elapsed().as_micros()).unwrap_or(u64::MAX);
        let Self { socket, generation, seq, .. } = *self;
        Sight { socket, at_us, generation, seq, shown }
    }
}
