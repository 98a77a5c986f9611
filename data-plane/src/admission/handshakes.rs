//! How often each address may ask for a socket, on one node.

use crate::settings::Limits;
use gavel_rules::{
    limits::Gcra,
    time::{Millis, Timestamp},
};
use std::{collections::HashMap, mem, net::IpAddr};

/// Addresses remembered in each half; some 4 MiB in all.
const HALF_MAX: usize = 32_768;

/// The rate of each address that asked of late. When the newer half is full it
/// becomes the older one, and who has not asked since then is forgotten: what is
/// kept is bounded whoever asks, and costs no search.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    rate: u32,
    burst: u32,
    newer: HashMap<IpAddr, Gcra>,
    older: HashMap<IpAddr, Gcra>,
}

// === impl Handshakes ===

impl Handshakes {
    /// Takes one handshake of an address.
    ///
    /// # Errors
    /// The time after which it may ask again.
    pub(super) fn take(
        &mut self,
        address: IpAddr,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<(), Millis> {
        let (rate, burst) = (limits.handshakes_per_ip_rate, limits.handshakes_per_ip_burst);
        if (rate, burst) != (self.rate, self.burst) {
            *self = Self { rate, burst, ..Self::default() };
        }
        if rate == 0 {
            return Ok(());
        }
        if self.newer.len() >= HALF_MAX {
            self.older = mem::take(&mut self.newer);
        }
        let older = &mut self.older;
        let known = self
            .newer
            .entry(address)
            .or_insert_with(|| older.remove(&address).unwrap_or_else(|| Gcra::new(rate, burst)));
        known.try_take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    fn limits(rate: u32, burst: u32) -> Limits {
        Limits { handshakes_per_ip_rate: rate, handshakes_per_ip_burst: burst, ..Limits::default() }
    }

    #[test]
    fn each_address_has_its_own_rate() {
        let mut handshakes = Handshakes::default();
        let (limits, at) = (limits(10, 2), Timestamp::new);
        for n in [1, 2] {
            assert!(handshakes.take(address(n), &limits, at(1_000)).is_ok());
            assert!(handshakes.take(address(n), &limits, at(1_000)).is_ok());
            let refused = handshakes.take(address(n), &limits, at(1_000));
            assert_eq!(refused, Err(Millis::new(100)));
        }
        assert!(handshakes.take(address(1), &limits, at(1_100)).is_ok());
        assert!(handshakes.take(address(1), &limits, at(1_100)).is_err());
    }

    #[test]
    fn a_change_is_in_force_at_once() {
        let mut handshakes = Handshakes::default();
        let now = Timestamp::new(1_000);
        assert!(handshakes.take(address(1), &limits(1, 1), now).is_ok());
        assert!(handshakes.take(address(1), &limits(1, 1), now).is_err());
        assert!(handshakes.take(address(1), &limits(0, 1), now).is_ok());
        assert!(handshakes.take(address(1), &limits(1, 2), now).is_ok());
        assert!(handshakes.take(address(1), &limits(1, 2), now).is_ok());
        assert!(handshakes.take(address(1), &limits(1, 2), now).is_err());
    }

    #[test]
    fn a_million_addresses_are_not_all_remembered_but_who_goes_on_is() {
        let mut handshakes = Handshakes::default();
        let (limits, now) = (limits(1, 1), Timestamp::new(1_000));
        let flood = address(0);
        assert!(handshakes.take(flood, &limits, now).is_ok());
        for n in 1..=1_000_000 {
            assert!(handshakes.take(address(n), &limits, now).is_ok());
            if n.is_multiple_of(10_000) {
                assert!(handshakes.take(flood, &limits, now).is_err(), "{n}");
            }
        }
        assert!(handshakes.newer.len() + handshakes.older.len() <= 2 * HALF_MAX);
    }
}
