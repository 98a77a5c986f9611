//! The whole system under test: a [`World`] of one control plane and some nodes
//! in this process, and clients that talk to it as browsers do.

pub mod client;
pub mod docs;
pub mod http;
pub mod raw;
pub mod redis;
pub mod token;
pub mod world;

pub use client::{Client, Protocol};
pub use world::{Options, Room, World};

use std::time::Duration;

/// How long anything may take before it is said not to happen.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Polls until `ready` gives something.
///
/// # Panics
/// If it does not within [`PATIENCE`].
pub async fn until<T>(what: &str, mut ready: impl AsyncFnMut() -> Option<T>) -> T {
    let polled = tokio::time::timeout(PATIENCE, async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        loop {
            tick.tick().await;
            if let Some(found) = ready().await {
                return found;
            }
        }
    });
    polled.await.unwrap_or_else(|_| panic!("{what} did not happen"))
}
