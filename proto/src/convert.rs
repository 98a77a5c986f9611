//! The only conversions between the wire and the domain: `TryFrom` inwards,
//! because whatever comes from a socket may be wrong, and `From` outwards.
//!
//! ```text
//!   wire::X --TryFrom--> rules::X     a ConvertError names the field at fault
//!   rules::X ---From---> wire::X      always fits
//! ```

mod auction;
mod denials;
mod fleet;
mod relay;
#[cfg(test)]
mod tests;
mod verdict;
mod view;

pub use denials::{room_or_all, until};
pub use fleet::{AssignedRoom, HeldRoom, MovedRoom, PreparedRoom};
pub use relay::{ChangedOwner, RelayedAnswer, RelayedBid, RoomSnapshot, RoomUpdate};

use gavel_rules::{amount::Amount, auction::RulesError};
use std::fmt::Display;

/// A message that does not say what it must.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct ConvertError {
    /// The field at fault, dotted from the message that was converted.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

// === impl ConvertError ===

impl ConvertError {
    /// A fault in `field`.
    pub fn new(field: impl Into<String>, message: impl Display) -> Self {
        Self { field: field.into(), message: message.to_string() }
    }

    /// The same fault, seen from the message that holds this one in `outer`.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        Self { field: format!("{outer}.{}", self.field), message: self.message }
    }
}

impl From<RulesError> for ConvertError {
    fn from(error: RulesError) -> Self {
        Self::new(error.field, error.message)
    }
}

/// Parses one text field, such as an id.
///
/// # Errors
/// [`ConvertError`] with the field's name.
pub fn parse<T>(field: &str, text: &str) -> Result<T, ConvertError>
where
    T: std::str::FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error| ConvertError::new(field, error))
}

/// Reads an amount of minor units.
///
/// # Errors
/// [`ConvertError`] with the field's name, if it is over the largest amount.
pub fn amount(field: &str, minor: u64) -> Result<Amount, ConvertError> {
    Amount::new(minor).map_err(|error| ConvertError::new(field, error))
}

/// Insists on a message field being there.
fn required<T>(field: &str, value: Option<T>) -> Result<T, ConvertError> {
    value.ok_or_else(|| ConvertError::new(field, "is missing"))
}

/// Reads an enum, of which prost keeps any number.
fn known<T: TryFrom<i32>>(field: &str, value: i32) -> Result<T, ConvertError> {
    T::try_from(value).map_err(|_| unknown(field, value))
}

fn unknown(field: &str, value: i32) -> ConvertError {
    ConvertError::new(field, format_args!("{value} is not a known value"))
}
