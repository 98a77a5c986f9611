//! The messages of `gavel.v1.json`, as far as the load tool reads them.

use gavel_rules::id::UserId;
use serde::{Deserialize, Deserializer};

/// The subprotocol spoken.
pub(crate) const SUBPROTOCOL: &str = "gavel.v1.json";

/// From the server. Amounts are minor units.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Message {
    /// The socket is a session.
    Welcome {
        /// For whom.
        user_id: UserId,
        /// What makes a later socket the same guest.
        guest_token: Option<String>,
    },
    /// The whole state of the room.
    AuctionState {
        /// The price.
        current_bid: u64,
        /// Who holds it.
        current_bidder_id: Option<UserId>,
        /// The least that the next bid must offer.
        minimum_bid: u64,
        /// The last event folded in.
        seq: u64,
        /// The history that seq counts in.
        generation: u64,
    },
    /// What one event changed.
    AuctionUpdate {
        /// The price, if it changed.
        current_bid: Option<u64>,
        /// Who holds it now, if that changed.
        #[serde(default, deserialize_with = "some")]
        current_bidder_id: Option<Option<UserId>>,
        /// The next minimum, if it changed.
        minimum_bid: Option<u64>,
        /// The event.
        seq: u64,
    },
    /// A bid is stored.
    BidAccepted {
        /// Which.
        bid_id: String,
        /// The event that holds it.
        seq: u64,
        /// How much.
        amount: u64,
        /// The least that the next bid must offer.
        minimum_bid: u64,
        /// When it was decided.
        server_time: u64,
    },
    /// A bid was refused.
    BidRejected {
        /// Which.
        bid_id: String,
        /// Why.
        reason: String,
        /// The last event known then.
        seq: u64,
        /// The price then.
        current_bid: u64,
        /// The least that the next bid must offer.
        minimum_bid: u64,
        /// When it was decided.
        server_time: u64,
    },
    /// The auction closed.
    AuctionClosed {
        /// The event.
        seq: u64,
        /// Who won, if anybody.
        winner: Option<UserId>,
        /// At what price.
        amount: Option<u64>,
    },
    /// Something was refused.
    Error {
        /// Out of a closed list.
        code: String,
        /// The bid it is about, if any.
        bid_id: Option<String>,
    },
    /// Several messages together.
    Batch {
        /// In order.
        messages: Vec<Self>,
    },
    /// Whatever else there is or will be.
    #[serde(other)]
    Other,
}

/// Tells a null from a field that is not there.
fn some<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Option<UserId>>, D::Error> {
    Option::deserialize(value).map(Some)
}

/// Asks to enter a room.
pub(crate) fn join(room: &str) -> String {
    serde_json::json!({"type": "joinAuction", "auctionId": room}).to_string()
}

/// Bids `amount` in a room.
pub(crate) fn bid(room: &str, amount: u64, bid_id: &str) -> String {
    serde_json::json!({"type": "bid", "auctionId": room, "amount": amount, "bidId": bid_id})
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_whatever_else_they_hold() {
        let read = |json: &str| serde_json::from_str::<Message>(json).unwrap();
        let welcome = Message::Welcome { user_id: "u".parse().unwrap(), guest_token: None };
        assert_eq!(read(r#"{"type":"welcome","userId":"u","limits":{}}"#), welcome);
        assert_eq!(read(r#"{"type":"degraded","level":"slow"}"#), Message::Other);
        let update = |bidder| Message::AuctionUpdate {
            current_bid: Some(5),
            current_bidder_id: bidder,
            minimum_bid: None,
            seq: 2,
        };
        let json = r#"{"type":"auctionUpdate","seq":2,"currentBid":5,"currentBidderId":null}"#;
        assert_eq!(read(json), update(Some(None)));
        let json = r#"{"type":"auctionUpdate","auctionId":"1","seq":2,"currentBid":5}"#;
        assert_eq!(read(json), update(None));
        let batch = format!(r#"{{"type":"batch","messages":[{json}]}}"#);
        assert_eq!(read(&batch), Message::Batch { messages: vec![update(None)] });
    }
}
