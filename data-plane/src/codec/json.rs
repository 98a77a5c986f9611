//! The two JSON dialects. They carry the same messages; they differ in how an
//! amount is written.
//!
//! | dialect | amounts | room ids |
//! |---|---|---|
//! | seed | decimal numbers in major units, extra decimals floored | a number where the id is one |
//! | `gavel.v1.json` | integers or strings in minor units, or decimal strings | strings |
//!
//! A minor unit is a hundredth of a major unit in every currency.

mod amount;
mod parse;
mod write;

pub use parse::{ClientError, ClientMessage, PlaceBid, parse};
pub use write::{
    Standing, accepted, batch, closed, error, outbid, pong, rejected, state, update, welcome,
};

/// How a socket writes amounts and ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The seed's JSON, for sockets that ask for no subprotocol.
    Seed,
    /// The subprotocol `gavel.v1.json`.
    V1,
}
