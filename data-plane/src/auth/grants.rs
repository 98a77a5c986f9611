//! What a token lets its user do.

use gavel_rules::id::RoomId;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Rooms by what the user may do there; the room `*` stands for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Grants(BTreeMap<String, Vec<Grant>>);

/// What a user may do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// Look.
    View,
    /// Bid; includes looking.
    Bid,
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

    fn of(&self, room: &RoomId) -> impl Iterator<Item = Grant> {
        let named = self.0.get(room.as_ref()).into_iter().flatten();
        named.chain(self.0.get("*").into_iter().flatten()).copied()
    }
}
