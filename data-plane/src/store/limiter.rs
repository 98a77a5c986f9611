//! The bid limit of the engines in this process: each user's recent bids by their exact times.

use std::collections::{HashMap, HashSet, VecDeque};

use gavel_rules::{BidId, Millis, RoomId, Timestamp, UserId};

use crate::store::Take;

/// Users below which nobody looks for expired ones.
const SWEEP_USERS_MIN: usize = 1024;

/// Sliding logs by user, swept whenever their number has doubled since the last sweep.
pub(super) struct Limiter {
    taken_by_user: HashMap<UserId, Log>,
    sweep_at: usize,
}

/// What was taken, oldest first; the bids among it by their ids.
#[derive(Default)]
struct Log {
    taken: VecDeque<(u64, Option<Name>)>,
    known: HashSet<Name>,
    expires_ms: u64,
}

type Name = (RoomId, BidId);

impl Default for Limiter {
    fn default() -> Self {
        Self { taken_by_user: HashMap::new(), sweep_at: SWEEP_USERS_MIN }
    }
}

impl Limiter {
    /// Takes one, at most `max` in any `window` and no `bid` twice.
    pub(super) fn take(
        &mut self,
        user: &UserId,
        bid: Option<(&RoomId, &BidId)>,
        max: u32,
        window: Millis,
        now: Timestamp,
    ) -> Take {
        let (now, window) = (now.as_millis(), window.get());
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        if max == 0 {
            return refused(window);
        }
        self.sweep(now);
        let log = self.taken_by_user.entry(user.clone()).or_default();
        let expired = log.taken.partition_point(|(at, _)| at.saturating_add(window) <= now);
        for name in log.taken.drain(..expired).filter_map(|(_, name)| name) {
            log.known.remove(&name);
        }
        let name = bid.map(|(room, bid_id)| (room.clone(), bid_id.clone()));
        if name.as_ref().is_some_and(|name| log.known.contains(name)) {
            return Take::Known;
        }
        let blocking = log.taken.len().checked_sub(max);
        if let Some((oldest, _)) = blocking.and_then(|index| log.taken.get(index)) {
            return refused(oldest.saturating_add(window).saturating_sub(now));
        }
        log.known.extend(name.clone());
        log.taken.push_back((now, name));
        log.expires_ms = now.saturating_add(window);
        Take::Taken
    }

    fn sweep(&mut self, now: u64) {
        if self.taken_by_user.len() >= self.sweep_at {
            self.taken_by_user.retain(|_, log| log.expires_ms > now);
            self.sweep_at = SWEEP_USERS_MIN.max(self.taken_by_user.len().saturating_mul(2));
        }
    }
}

const fn refused(ms: u64) -> Take {
    Take::Refused { retry_after: Millis::new(ms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_users_are_forgotten() {
        let mut limiter = Limiter::default();
        for n in 0..10 * SWEEP_USERS_MIN {
            let user: UserId = format!("user-{n}").parse().unwrap();
            let now = Timestamp::new(u64::try_from(n).unwrap());
            assert_eq!(limiter.take(&user, None, 1, Millis::new(100), now), Take::Taken);
        }
        assert!(limiter.taken_by_user.len() <= 2 * SWEEP_USERS_MIN);
    }
}
