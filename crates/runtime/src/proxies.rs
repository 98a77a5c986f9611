//! The proxies in front of a process: peers whose word counts for who is behind
//! them. Nobody else is asked.

use ipnet::{IpNet, Ipv4Net};
use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

/// Networks that only proxies of ours are in. Clones share the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Arc<[IpNet]>);

/// A text that names no networks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a network like 10.0.0.0/8 nor an IP address")]
pub struct NoNetwork(String);

/// Bits in front of the IPv4 address that an IPv6 address may hold.
const MAPPED_BITS: u8 = 96;

// === impl Proxies ===

impl Proxies {
    /// Whether somebody at this address is believed.
    #[must_use]
    pub fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for Proxies {
    type Err = NoNetwork;

    /// Reads networks and addresses with commas between them; an empty text has none.
    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',').map(|one| network(one.trim())).collect::<Result<_, _>>().map(Self)
    }
}

fn network(text: &str) -> Result<IpNet, NoNetwork> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    match network.map_err(|_| NoNetwork(text.to_owned()))? {
        IpNet::V6(mapped) => {
            Ok(within_ipv4(mapped.addr(), mapped.prefix_len()).map_or(IpNet::V6(mapped), IpNet::V4))
        }
        plain @ IpNet::V4(_) => Ok(plain),
    }
}

/// Peers are compared in their plain form, so networks must have it as well.
fn within_ipv4(address: Ipv6Addr, prefix: u8) -> Option<Ipv4Net> {
    Ipv4Net::new(address.to_ipv4_mapped()?, prefix.checked_sub(MAPPED_BITS)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_in_a_named_network_is_trusted_and_nobody_else() {
        let proxies: Proxies =
            "10.0.0.0/8, 192.0.2.7,2001:db8::/32 , ::ffff:172.16.0.0/108".parse().unwrap();
        for (address, trusted) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::ffff:10.0.0.1", true),
            ("::ffff:11.0.0.1", false),
            ("2001:db8:ffff::1", true),
            ("2001:db9::1", false),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("::10.0.0.1", false),
        ] {
            assert_eq!(proxies.trust(address.parse().unwrap()), trusted, "{address}");
        }
        let nobody: Proxies = " ".parse().unwrap();
        assert!(!nobody.trust("127.0.0.1".parse().unwrap()));
        let everybody: Proxies = "0.0.0.0/0,::/0".parse().unwrap();
        assert!(everybody.trust("1.2.3.4".parse().unwrap()));
        assert!(everybody.trust("::1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_named() {
        for text in ["10.0.0.0/33", "10.0.0", "10.0.0.0/8,", "proxy", "::/129", "10.0.0.0/8;::1"] {
            let error = text.parse::<Proxies>().unwrap_err();
            assert!(text.ends_with(&error.0), "{error}");
        }
    }
}
