//! Rules of auctions.

use gavel_rules::{
    amount::Amount,
    auction::{AuctionRules, GuestAccess, IncrementTable},
    time::{Millis, Timestamp},
};
use gavel_runtime::clock;

/// Rules that stand in no test's way: open for an hour, from 1.00, steps of
/// 1.00, guests may bid.
///
/// # Panics
/// Never: the amounts are in range.
#[must_use]
pub fn rules() -> AuctionRules {
    let now_ms = clock::now_ms();
    AuctionRules {
        title: "A chair".to_owned(),
        currency: "EUR".to_owned(),
        opening_price: minor(100),
        increments: IncrementTable::flat(minor(100)).expect("a step"),
        reserve: None,
        opens_at: Timestamp::new(now_ms.saturating_sub(1_000)),
        closes_at: Timestamp::new(now_ms).saturating_add(Millis::new(3_600_000)),
        extension: None,
        guests: GuestAccess::Bid,
        seller: None,
        reopen_after: None,
        outage_credit: None,
    }
}

/// An amount in minor units.
///
/// # Panics
/// If it is above what amounts hold.
#[must_use]
pub fn minor(units: u64) -> Amount {
    Amount::new(units).expect("an amount")
}
