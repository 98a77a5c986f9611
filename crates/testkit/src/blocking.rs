//! Waiting without a runtime, for tests of processes.

use std::{net::TcpListener, thread, time::Duration};

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

/// A port that nobody listens on, for a process that has to be told one.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
