//! How fast connections come in.

use futures::FutureExt as _;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};

/// What comes within a second is spread over steps of this.
const TICK: Duration = Duration::from_millis(10);
const TICKS_PER_SECOND: u32 = 100;

/// Lets connections in one by one, and no more than so many a second. Each of them costs a
/// handshake, and those who are in would pay for a crowd at the door.
#[derive(Debug)]
pub struct Pace {
    per_tick: u32,
    /// How many came since the last tick.
    came: u32,
    tick: Interval,
    /// For how many ticks some have had to wait.
    late: u32,
}

// === impl Pace ===

impl Pace {
    /// So many a second, in steps of 100; at least one step.
    #[must_use]
    pub fn per_second(connections: u32) -> Self {
        let mut tick = tokio::time::interval(TICK);
        // What was not used up is lost.
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let per_tick = (connections / TICKS_PER_SECOND).max(1);
        Self { per_tick, came: 0, tick, late: 0 }
    }

    /// Waits until the next may come.
    pub async fn next(&mut self) {
        if self.came < self.per_tick {
            self.came += 1;
            // However many there are, those who are in have their turns between two of them.
            return tokio::task::yield_now().await;
        }
        let in_time = self.tick.tick().now_or_never().is_some();
        self.late = if in_time { 0 } else { self.late.saturating_add(1) };
        if self.late == TICKS_PER_SECOND {
            let per_second = self.per_tick * TICKS_PER_SECOND;
            tracing::warn!(per_second, "connections come faster than they are let in");
        }
        if !in_time {
            self.tick.tick().await;
        }
        self.came = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// How long so many take.
    async fn time_of(connections: u32, pace: &mut Pace) -> Duration {
        let began = clock::monotonic();
        for _ in 0..connections {
            pace.next().await;
        }
        began.elapsed()
    }

    #[tokio::test]
    async fn no_more_come_than_may_however_many_there_are() {
        let mut pace = Pace::per_second(1_000);
        // The first two steps are there at once; each further one is a tick later.
        let least = TICK * 6 - Duration::from_millis(1);
        let took = time_of(80, &mut pace).await;
        assert!(took >= least, "{took:?}");
    }

    #[tokio::test]
    async fn a_silence_saves_nothing_up() {
        let mut pace = Pace::per_second(1_000);
        tokio::time::sleep(TICK * 20).await;
        let took = time_of(80, &mut pace).await;
        assert!(took >= TICK * 6 - Duration::from_millis(1), "{took:?}");
    }

    #[tokio::test]
    async fn the_slowest_pace_lets_some_in() {
        let mut pace = Pace::per_second(0);
        assert!(time_of(5, &mut pace).await >= TICK * 3 - Duration::from_millis(1));
    }
}
