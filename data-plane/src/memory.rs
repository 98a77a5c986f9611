//! What a node refuses before its process has no memory left.
//!
//! ```text
//! 90 %  no more sockets: 503 with Retry-After, and not ready
//! 95 %  no more connections: they wait in the kernel, where they cost no memory of ours
//! ```
//!
//! Who is in goes on: their bids, updates and rooms need little that is new.

use crate::{metrics::Shed, node::Shell};
use gavel_runtime::memory;
use std::{sync::Arc, time::Duration};

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The part of the maximum from which on no socket is opened.
const SHED_PERCENT: u64 = 90;
/// The part from which on no connection is taken.
const CLOSE_PERCENT: u64 = 95;

/// How near the end of the memory is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Watermark {
    #[default]
    Below,
    Shed,
    Close,
}

/// Looks again and again how much memory is left, if there is a maximum.
pub(crate) async fn watch(shell: Arc<Shell>) {
    let Some(max) = max_bytes(&shell) else { return };
    let metrics = &shell.metrics;
    metrics.memory_max_bytes.set(i64::try_from(max).unwrap_or(i64::MAX));
    let mut tick = tokio::time::interval(LOOK_EVERY);
    let mut before = Watermark::default();
    while shell.stop.run_until_cancelled(tick.tick()).await.is_some() {
        let Some(used) = memory::resident_bytes() else { continue };
        metrics.memory_resident_bytes.set(i64::try_from(used).unwrap_or(i64::MAX));
        let now = Watermark::of(used, max);
        if now != before {
            tracing::warn!(used_bytes = used, max_bytes = max, "memory: {}", now.words());
            shell.at_watermark(before, now);
            before = now;
        }
    }
}

/// What this process may hold; a simulated one knows of no machine.
fn max_bytes(shell: &Shell) -> Option<u64> {
    match shell.config.node.memory_max_bytes {
        0 if cfg!(gavel_sim) => None,
        0 => memory::cgroup_max_bytes(),
        max => Some(max),
    }
}

// === impl Watermark ===

impl Watermark {
    fn of(used: u64, max: u64) -> Self {
        let over = |percent| u128::from(used) * 100 >= u128::from(max) * u128::from(percent);
        match () {
            () if over(CLOSE_PERCENT) => Self::Close,
            () if over(SHED_PERCENT) => Self::Shed,
            () => Self::Below,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Below => "enough is free again",
            Self::Shed => "no more sockets are opened",
            Self::Close => "no more connections are taken",
        }
    }
}

// === impl Shell ===

impl Shell {
    fn at_watermark(&self, before: Watermark, now: Watermark) {
        match (before >= Watermark::Shed, now >= Watermark::Shed) {
            (false, true) => self.metrics.shedding.inc(Shed::Sockets),
            (true, false) => self.metrics.shedding.dec(Shed::Sockets),
            (true, true) | (false, false) => {}
        }
        self.closed.send_replace(now == Watermark::Close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watermarks_are_at_their_parts_of_the_maximum() {
        for (used, max, expected) in [
            (0, 1_000, Watermark::Below),
            (899, 1_000, Watermark::Below),
            (900, 1_000, Watermark::Shed),
            (949, 1_000, Watermark::Shed),
            (950, 1_000, Watermark::Close),
            (2_000, 1_000, Watermark::Close),
            (u64::MAX, u64::MAX, Watermark::Close),
            (1, u64::MAX, Watermark::Below),
        ] {
            assert_eq!(Watermark::of(used, max), expected, "{used} of {max}");
        }
    }
}
