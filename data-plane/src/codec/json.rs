//! The two JSON dialects. They carry the same messages; they differ in how an
//! amount is written.
//!
//! | dialect | amounts |
//! |---|---|
//! | seed | decimal numbers in major units, extra decimals floored |
//! | `gavel.v1.json` | integers or strings in minor units, or decimal strings |
//!
//! A room whose id is a plain number is written as a number in both.
//! A minor unit is a hundredth of a major unit in every currency.

mod amount;
mod code;
mod parse;
mod write;

pub use code::{ErrorCode, meaning_of};
pub use parse::{ClientError, ClientMessage, Conduct, PlaceBid, parse};
pub use write::{
    Level, Standing, accepted, batch, conducted, degraded, error, event, outbid, pong, reconnect,
    rejected, resumed, state, welcome,
};

/// How a socket writes amounts and ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The seed's JSON, for sockets that ask for no subprotocol.
    Seed,
    /// The subprotocol `gavel.v1.json`.
    V1,
}
