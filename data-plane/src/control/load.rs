//! How full the node is, and which of its rooms make the most of it.

use crate::node::Shell;
use gavel_proto::fleet::v1 as wire;
use gavel_rules::id::RoomId;
use gavel_runtime::clock;
use std::{
    cmp::Reverse,
    collections::HashMap,
    time::{Duration, Instant},
};

/// What one node is taken to carry where no limit says so. Loads are compared
/// with each other, so that only the proportions matter.
const SOCKETS_MAX: u64 = 50_000;
/// Messages to sockets that one node is taken to send in a second.
const SENT_PER_SECOND_MAX: u64 = 200_000;
/// Bids that one node is taken to decide in a second.
const BIDS_PER_SECOND_MAX: u64 = 10_000;
/// Rooms that are reported one by one.
const BUSIEST_MAX: usize = 64;
const MILLION: u64 = 1_000_000;

/// What was counted at the last look.
#[derive(Debug, Default)]
pub(super) struct Meter {
    at: Option<Instant>,
    all: Counts,
    rooms: HashMap<RoomId, Counts>,
}

/// Counts that only rise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    sent: u64,
    bids: u64,
}

// === impl Meter ===

impl Meter {
    /// The node's load since the last look, and that of its busiest rooms.
    pub(super) fn look(&mut self, shell: &Shell) -> (u32, Vec<wire::RoomLoad>) {
        let now = clock::monotonic();
        let passed = self.at.replace(now).map(|at| now.saturating_duration_since(at));
        let limit = u64::from(shell.live.get().limits.sockets_per_node_max);
        let sockets_max = if limit == 0 { SOCKETS_MAX } else { limit };
        let sockets = shell.admission.sockets();
        let mut all = Counts::default();
        let mut loads = Vec::new();
        let mut rooms = HashMap::new();
        for (room, load) in shell.rooms.loads() {
            let counts = Counts { sent: load.sent(), bids: load.bids() };
            let before = self.rooms.get(&room).copied().unwrap_or(counts);
            let ppm = ppm(load.sockets(), sockets_max, counts.since(before), passed);
            if ppm > 0 {
                loads.push((Reverse(ppm), room.clone(), load.movable_until()));
            }
            all.bids += counts.bids.saturating_sub(before.bids);
            rooms.insert(room, counts);
        }
        self.rooms = rooms;
        let sent = shell.rooms.sent();
        all.sent = sent.saturating_sub(std::mem::replace(&mut self.all.sent, sent));
        loads.sort();
        let busiest =
            loads.into_iter().take(BUSIEST_MAX).map(|(Reverse(load_ppm), room, until)| {
                wire::RoomLoad {
                    room_id: room.to_string(),
                    load_ppm,
                    movable_until: until.as_millis(),
                }
            });
        (ppm(sockets.into(), sockets_max, all, passed), busiest.collect())
    }
}

// === impl Counts ===

impl Counts {
    fn since(self, before: Self) -> Self {
        let sent = self.sent.saturating_sub(before.sent);
        Self { sent, bids: self.bids.saturating_sub(before.bids) }
    }
}

/// The fullest of the resources, in millionths.
fn ppm(sockets: u64, sockets_max: u64, counts: Counts, passed: Option<Duration>) -> u32 {
    let passed_ms =
        passed.map_or(0, |passed| u64::try_from(passed.as_millis()).unwrap_or(u64::MAX));
    let rate = |count: u64, most: u64| {
        let per_second = count.saturating_mul(1_000).checked_div(passed_ms).unwrap_or(0);
        per_second.saturating_mul(MILLION) / most
    };
    let sockets = sockets.saturating_mul(MILLION).checked_div(sockets_max).unwrap_or(0);
    let fullest = sockets
        .max(rate(counts.sent, SENT_PER_SECOND_MAX))
        .max(rate(counts.bids, BIDS_PER_SECOND_MAX));
    u32::try_from(fullest).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_the_fullest_of_the_resources() {
        let second = Some(Duration::from_secs(1));
        let counts = |sent, bids| Counts { sent, bids };
        assert_eq!(ppm(5_000, 50_000, counts(0, 0), second), 100_000);
        assert_eq!(ppm(5_000, 50_000, counts(40_000, 1_500), second), 200_000);
        assert_eq!(
            ppm(5_000, 50_000, counts(40_000, 1_500), Some(Duration::from_millis(500))),
            400_000
        );
        assert_eq!(ppm(0, 50_000, counts(0, 5_000), second), 500_000);
        assert_eq!(ppm(0, 50_000, counts(9, 9), None), 0, "the first look knows no rate");
        assert_eq!(ppm(u64::MAX, 1, counts(0, 0), second), u32::MAX);
    }
}
