//! Who may open a socket: counts by address and for the node. A count is held
//! by a guard, so that it falls by whatever path a socket ends.

use crate::{address::customer, close::CloseCode, settings::Limits};
use parking_lot::Mutex;
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// The counts of one node.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    sockets: u32,
    by_address: HashMap<IpAddr, u32>,
}

/// One admitted socket; dropping it gives its place back.
#[derive(Debug)]
pub struct Place {
    counts: Arc<Mutex<Counts>>,
    address: IpAddr,
}

// === impl Admission ===

impl Admission {
    /// Takes a place for a socket from `address`.
    ///
    /// # Errors
    /// The code to close the socket with, if a limit is reached.
    pub fn admit(&self, address: IpAddr, limits: &Limits) -> Result<Place, CloseCode> {
        self.admit_up_to(limits.sockets_per_ip_max, address, limits)
    }

    /// Takes a place for a user with a token: many of them may share an
    /// address, so only the node's own limit holds.
    ///
    /// # Errors
    /// The code to close the socket with, if the node is full.
    pub fn admit_signed_in(&self, address: IpAddr, limits: &Limits) -> Result<Place, CloseCode> {
        self.admit_up_to(0, address, limits)
    }

    fn admit_up_to(
        &self,
        of_address_max: u32,
        address: IpAddr,
        limits: &Limits,
    ) -> Result<Place, CloseCode> {
        let address = customer(address);
        let mut counts = self.counts.lock();
        if limits.sockets_per_node_max > 0 && counts.sockets >= limits.sockets_per_node_max {
            return Err(CloseCode::Overloaded);
        }
        let of_address = counts.by_address.get(&address).copied().unwrap_or(0);
        if of_address_max > 0 && of_address >= of_address_max {
            return Err(CloseCode::ConnectionLimit);
        }
        counts.by_address.insert(address, of_address + 1);
        counts.sockets += 1;
        Ok(Place { counts: Arc::clone(&self.counts), address })
    }

    /// Open sockets, and the addresses that they come from.
    #[must_use]
    pub fn counts(&self) -> (u32, usize) {
        let counts = self.counts.lock();
        (counts.sockets, counts.by_address.len())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        counts.sockets = counts.sockets.saturating_sub(1);
        if let Some(count) = counts.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_when_dropped() {
        let admission = Admission::default();
        let limits = Limits { sockets_per_ip_max: 2, ..Limits::default() };
        let [one, mapped]: [IpAddr; 2] =
            ["10.0.0.1", "::ffff:10.0.0.1"].map(|a| a.parse().expect("address"));
        let first = admission.admit(one, &limits).expect("first");
        let _second = admission.admit(mapped, &limits).expect("second");
        assert_eq!(admission.admit(one, &limits).err(), Some(CloseCode::ConnectionLimit));
        drop(first);
        assert!(admission.admit(one, &limits).is_ok());
        drop(_second);
        assert_eq!(admission.counts(), (0, 0));
    }

    #[test]
    fn one_customer_of_ipv6_counts_once_and_the_node_has_a_limit() {
        let admission = Admission::default();
        let limits = Limits { sockets_per_ip_max: 1, sockets_per_node_max: 2, ..Limits::default() };
        let [a, same, b, c]: [IpAddr; 4] =
            ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1", "2001:db8:0:2::1"]
                .map(|a| a.parse().expect("address"));
        let _a = admission.admit(a, &limits).expect("a");
        assert_eq!(admission.admit(same, &limits).err(), Some(CloseCode::ConnectionLimit));
        let _b = admission.admit(b, &limits).expect("b");
        assert_eq!(admission.admit(c, &limits).err(), Some(CloseCode::Overloaded));
    }
}
