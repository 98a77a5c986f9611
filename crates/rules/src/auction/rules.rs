//! How an auction runs, fixed when it is made.

use super::{Extension, IncrementTable, OUTAGE_MIN, OutageCredit};
use crate::{
    amount::Amount,
    id::UserId,
    time::{Millis, Timestamp},
};
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// The longest title, in bytes.
const TITLE_BYTES_MAX: usize = 256;
/// The longest time that any length in the rules may name: 30 days.
const LENGTH_MAX: Millis = Millis::new(30 * 24 * 3_600_000);

/// How an auction runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuctionRules {
    /// What is sold, for people; 1 to 256 bytes.
    pub title: String,
    /// ISO 4217 code.
    pub currency: String,
    /// The least that the first bid must offer.
    pub opening_price: Amount,
    /// The least by which a bid must exceed the price.
    pub increments: IncrementTable,
    /// Hidden price below which the lot is not sold.
    pub reserve: Option<Amount>,
    /// When bidding opens.
    pub opens_at: Timestamp,
    /// When it closes, before any extension.
    pub closes_at: Timestamp,
    /// Soft close; none means a hard close.
    pub extension: Option<Extension>,
    /// What sockets without a token may do.
    pub guests: GuestAccess,
    /// Who may not bid.
    pub seller: Option<UserId>,
    /// A demo auction opens again this long after it closed, for as long as
    /// it was open the first time.
    pub reopen_after: Option<Millis>,
    /// What is given back of the time that outages take; none means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage_credit: Option<OutageCredit>,
}

/// What a guest may do in a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestAccess {
    /// Nothing.
    None,
    /// Look.
    #[default]
    View,
    /// Look and bid.
    Bid,
}

/// A rule that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct RulesError {
    /// Which one.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: &'static str,
}

// === impl AuctionRules ===

impl AuctionRules {
    /// Refuses rules that cannot be.
    ///
    /// # Errors
    /// [`RulesError`] for the first of them.
    pub fn check(&self) -> Result<(), RulesError> {
        let refuse = |field, message| Err(RulesError { field, message });
        if self.title.is_empty() || self.title.len() > TITLE_BYTES_MAX {
            return refuse("title", "must be 1 to 256 bytes");
        }
        if self.title.chars().any(char::is_control) {
            return refuse("title", "must hold no control characters");
        }
        let code = self.currency.as_bytes();
        if code.len() != 3 || !code.iter().all(u8::is_ascii_uppercase) {
            return refuse("currency", "must be three capital letters");
        }
        if self.opening_price == Amount::ZERO {
            return refuse("opening_price", "must be above zero");
        }
        if self.closes_at <= self.opens_at {
            return refuse("closes_at", "must come after opens_at");
        }
        if let Some(extension) = &self.extension {
            if extension.by == Millis::new(0) || extension.by > LENGTH_MAX {
                return refuse("extension.by", "must be above zero and at most 30 days");
            }
            if extension.window > LENGTH_MAX {
                return refuse("extension.window", "must be at most 30 days");
            }
        }
        if self.reopen_after.is_some_and(|after| after > LENGTH_MAX) {
            return refuse("reopen_after", "must be at most 30 days");
        }
        if let Some(credit) = &self.outage_credit {
            if credit.from < OUTAGE_MIN {
                return refuse("outage_credit.from", "must be at least 2 seconds");
            }
            if credit.total_max < credit.from || credit.total_max > LENGTH_MAX {
                return refuse("outage_credit.total_max", "must be at least from, at most 30 days");
            }
        }
        Ok(())
    }

    /// The least that the bid after one of `price` must offer; none where no
    /// amount is that high.
    #[must_use]
    pub fn minimum_after(&self, price: Amount) -> Option<Amount> {
        price.checked_add(self.increments.step_at(price))
    }
}
