//! A whole cluster in one thread: the planes as they are, on a network, a
//! clock, a store and a chance that a seed decides.
//!
//! ```text
//! plan (seed) --faults--> run --steps--> hosts: node-1..3, control-1..2   real code of both planes
//!                          |             hosts: crowd-1..3                bidders over WebSocket
//!                          |             store: one truth, links that fail
//!                          +--checks--> after each step, after healing, and at the end
//! ```
//!
//! The network and the hosts are turmoil's, in whose runtimes time is paused
//! and steps; this crate answers what they ask of the machine (`machine`). The
//! same seed gives the same run, byte for byte, in a process of its own.
//! Empty unless built with `--cfg gavel_sim`, see `make sim`.
#![cfg(gavel_sim)]

mod check;
mod crowd;
mod hosts;
mod machine;
mod operator;
mod plan;
mod plant;
mod run;
mod store;
pub mod sweep;

pub use plant::Plant;
pub use run::{Outcome, STEPS, run};
