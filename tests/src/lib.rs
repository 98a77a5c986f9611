//! The whole system under test: a [`World`] of one control plane and some nodes
//! in this process, and clients that talk to it as browsers do.

pub mod cable;
pub mod client;
pub mod docs;
pub mod gate;
pub mod http;
pub mod load;
pub mod raw;
pub mod token;
pub mod world;

pub use client::{Client, Protocol};
pub use gavel_testkit::{Failover, PATIENCE, RedisServer, Sentinels, until};
pub use world::{Options, Room, World};
