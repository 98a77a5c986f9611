//! Waiting without a runtime, for tests of processes.

use std::{
    net::TcpListener,
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

/// How often to look at something that takes a moment, and how many times:
/// processes that start on a busy machine need more than [`crate::PATIENCE`].
const POLL: (Duration, u32) = (Duration::from_millis(20), 1_500);

/// Polls until there is something.
///
/// # Panics
/// If it does not come within half a minute.
pub fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    for _ in 0..POLL.1 {
        if let Some(found) = ready() {
            return found;
        }
        thread::sleep(POLL.0);
    }
    panic!("{what} did not come");
}

/// Ports below those that systems give to whoever connects: one of those may
/// have become somebody's between our look at it and a process that listens.
const PORTS: (u16, u16) = (10_000, 32_000);
/// How far apart the processes with the ids n and n + 1 begin to look, a prime.
const STRIDE: u32 = 7_919;

/// A port that nobody listens on and that no other call has returned, for a
/// process that has to be told one.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let (first, count) = (PORTS.0, u32::from(PORTS.1 - PORTS.0));
    let begin = process::id().wrapping_mul(STRIDE);
    let next = || begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % count;
    let mut ports = (0..count).map(|_| first + u16::try_from(next()).expect("below the last"));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}
