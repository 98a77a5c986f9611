//! What a token lets its user do.

use gavel_rules::id::RoomId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Rooms by what the user may do there; the room `*` stands for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants(BTreeMap<String, Vec<Grant>>);

/// What a user may do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// Look.
    View,
    /// Bid; includes looking.
    Bid,
    /// Pause, resume and close; includes looking.
    Auctioneer,
}

// === impl Grants ===

impl Grants {
    /// Whether the user may look at the room.
    #[must_use]
    pub fn may_view(&self, room: &RoomId) -> bool {
        self.of(room).next().is_some()
    }

    /// Whether the user may bid in the room.
    #[must_use]
    pub fn may_bid(&self, room: &RoomId) -> bool {
        self.of(room).any(|grant| grant == Grant::Bid)
    }

    /// Whether the user may pause, resume and close the room's auction.
    #[must_use]
    pub fn may_conduct(&self, room: &RoomId) -> bool {
        self.of(room).any(|grant| grant == Grant::Auctioneer)
    }

    fn of(&self, room: &RoomId) -> impl Iterator<Item = Grant> {
        let named = self.0.get(room.as_ref()).into_iter().flatten();
        named.chain(self.0.get("*").into_iter().flatten()).copied()
    }
}
