//! What a room costs the node that owns it, counted where it happens and read
//! with each heartbeat.

use gavel_rules::{
    auction::{AuctionRules, AuctionState, View},
    time::{Millis, Timestamp},
};
use std::sync::atomic::{AtomicU64, Ordering};

/// A room this near its close is not moved: the last bids are the ones that
/// matter most.
const CLOSE_NEAR: Millis = Millis::new(30_000);

/// The counts of one room.
#[derive(Debug, Default)]
pub(crate) struct RoomLoad {
    sockets: AtomicU64,
    sent: AtomicU64,
    bids: AtomicU64,
    movable_until: AtomicU64,
}

// === impl RoomLoad ===

impl RoomLoad {
    /// Sockets in the room on this node.
    pub(crate) fn sockets(&self) -> u64 {
        self.sockets.load(Ordering::Relaxed)
    }

    /// Updates sent to them so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bids that were decided here so far.
    pub(crate) fn bids(&self) -> u64 {
        self.bids.load(Ordering::Relaxed)
    }

    /// Until when a move disturbs no close.
    pub(crate) fn movable_until(&self) -> Timestamp {
        Timestamp::new(self.movable_until.load(Ordering::Relaxed))
    }

    pub(super) fn seats(&self, sockets: usize) {
        self.sockets.store(count(sockets), Ordering::Relaxed);
    }

    pub(super) fn sends(&self, recipients: usize) {
        self.sent.fetch_add(count(recipients), Ordering::Relaxed);
    }

    pub(super) fn decides(&self) {
        self.bids.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how the auction stands.
    pub(super) fn stands(&self, view: &View, rules: Option<&AuctionRules>) {
        let until = movable_until(view, rules).as_millis();
        self.movable_until.store(until, Ordering::Relaxed);
    }
}

/// Before soft close begins and before the last half minute. An auction whose
/// clock stands still may move at any time.
fn movable_until(view: &View, rules: Option<&AuctionRules>) -> Timestamp {
    match view.state {
        AuctionState::Paused | AuctionState::Closed => Timestamp::new(u64::MAX),
        AuctionState::Scheduled | AuctionState::Open => {
            let window = rules.and_then(|rules| rules.extension.as_ref());
            let window = window.map_or(CLOSE_NEAR, |extension| extension.window.max(CLOSE_NEAR));
            Timestamp::new(view.closes_at.as_millis().saturating_sub(window.get()))
        }
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_rules::{
        amount::Amount,
        auction::{Auction, Extension, ExtensionMode, GuestAccess, IncrementTable},
    };

    fn until(state: AuctionState, window: Option<u64>) -> u64 {
        let extension = window.map(|window| Extension {
            mode: ExtensionMode::Add,
            window: Millis::new(window),
            by: Millis::new(1_000),
            extensions_max: 3,
        });
        let rules = AuctionRules {
            title: "A lamp".to_owned(),
            currency: "EUR".to_owned(),
            opening_price: Amount::new(100).expect("an amount"),
            increments: IncrementTable::flat(Amount::new(10).expect("one")).expect("a table"),
            reserve: None,
            opens_at: Timestamp::new(0),
            closes_at: Timestamp::new(500_000),
            extension,
            guests: GuestAccess::Bid,
            seller: None,
            reopen_after: None,
            outage_credit: None,
        };
        let closes_at = rules.closes_at;
        let view = View { state, closes_at, ..Auction::empty().view() };
        let load = RoomLoad::default();
        load.stands(&view, Some(&rules));
        load.movable_until().as_millis()
    }

    #[test]
    fn a_room_moves_neither_in_soft_close_nor_in_its_last_half_minute() {
        assert_eq!(until(AuctionState::Open, None), 470_000);
        assert_eq!(until(AuctionState::Open, Some(20_000)), 470_000);
        assert_eq!(until(AuctionState::Open, Some(120_000)), 380_000);
        assert_eq!(until(AuctionState::Scheduled, None), 470_000);
        assert_eq!(until(AuctionState::Paused, None), u64::MAX);
        assert_eq!(until(AuctionState::Closed, Some(120_000)), u64::MAX);
    }
}
