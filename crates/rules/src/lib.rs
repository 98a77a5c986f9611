//! What may happen in an auction: ids, time, money, order, the auction's own
//! rules, placement of rooms, and limiter values; and the audit of what did.
//!
//! Nothing here reads a clock, draws randomness, logs, or waits: time and
//! chance are arguments, and `no_std` lets the compiler hold that line.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod amount;
pub mod auction;
pub mod audit;
pub mod hash;
pub mod id;
pub mod limits;
pub mod order;
pub mod placement;
pub mod time;

pub use amount::{Amount, AmountError};
pub use auction::*;
pub use id::{BidId, IdError, Incarnation, NodeId, RoomId, SessionId, UserId};
pub use order::{Epoch, Generation, Position, Seq, Version};
pub use time::{Millis, Timestamp};
