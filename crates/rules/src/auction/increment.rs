//! The least by which a bid must exceed the price, by price band.

use super::RulesError;
use crate::amount::Amount;
use alloc::{vec, vec::Vec};
use serde::{Deserialize, Serialize};

/// Bands of one table.
const BANDS_MAX: usize = 64;

/// The minimum increment by price: bands from zero upward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Band>", into = "Vec<Band>")]
pub struct IncrementTable(Vec<Band>);

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Band {
    /// The band begins at this price.
    pub from: Amount,
    /// The least increment within it.
    pub step: Amount,
}

// === impl IncrementTable ===

impl IncrementTable {
    /// A table of these bands.
    ///
    /// # Errors
    /// [`RulesError`] unless they begin at zero, ascend, and have steps.
    pub fn new(bands: Vec<Band>) -> Result<Self, RulesError> {
        let refuse = |message| Err(RulesError { field: "increments", message });
        if bands.len() > BANDS_MAX {
            return refuse("hold at most 64 bands");
        }
        if bands.first().is_none_or(|band| band.from != Amount::ZERO) {
            return refuse("must begin at zero");
        }
        if !bands.is_sorted_by(|a, b| a.from < b.from) {
            return refuse("must ascend");
        }
        if bands.iter().any(|band| band.step == Amount::ZERO) {
            return refuse("must have steps above zero");
        }
        Ok(Self(bands))
    }

    /// The same step at every price.
    ///
    /// # Errors
    /// [`RulesError`] for a step of zero.
    pub fn flat(step: Amount) -> Result<Self, RulesError> {
        Self::new(vec![Band { from: Amount::ZERO, step }])
    }

    /// The least increment at a price.
    #[must_use]
    pub fn step_at(&self, price: Amount) -> Amount {
        let bands = self.0.iter().take_while(|band| band.from <= price);
        bands.last().map_or(Amount::ZERO, |band| band.step)
    }

    /// The bands, from zero upward.
    #[must_use]
    pub fn bands(&self) -> &[Band] {
        &self.0
    }
}

impl TryFrom<Vec<Band>> for IncrementTable {
    type Error = RulesError;
    fn try_from(bands: Vec<Band>) -> Result<Self, RulesError> {
        Self::new(bands)
    }
}

impl From<IncrementTable> for Vec<Band> {
    fn from(table: IncrementTable) -> Self {
        table.0
    }
}
