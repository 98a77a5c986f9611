//! Money: whole minor units, checked.

use core::fmt;
use serde::{Deserialize, Serialize};

/// An amount of money in minor units, at most 2^53-1, so that every JSON
/// reader holds it exactly.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Amount(u64);

/// The amount is over 2^53-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an amount is at most 9007199254740991 minor units")]
pub struct AmountError;

// === impl Amount ===

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most there can be.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// An amount of so many minor units.
    ///
    /// # Errors
    /// [`AmountError`] over [`Self::MAX`].
    pub const fn new(minor: u64) -> Result<Self, AmountError> {
        if minor <= Self::MAX.0 { Ok(Self(minor)) } else { Err(AmountError) }
    }

    /// The number of minor units.
    #[must_use]
    pub const fn minor(self) -> u64 {
        self.0
    }

    /// The sum, if it is an amount.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Self::new(self.0.checked_add(other.0)?).ok()
    }
}

impl TryFrom<u64> for Amount {
    type Error = AmountError;
    fn try_from(minor: u64) -> Result<Self, AmountError> {
        Self::new(minor)
    }
}

impl From<Amount> for u64 {
    fn from(amount: Amount) -> Self {
        amount.0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}c", self.0)
    }
}
