//! Where a request comes from: the peer, or whom trusted proxies name. Pure.
//!
//! ```text
//! client -> proxy 1 -> proxy 2 -> node         X-Forwarded-For: <client>, <proxy 1>
//!                                              read from the right, as each wrote whom it saw
//! ```
//! Each proxy adds its peer at the right end. So the list is believed from the
//! right for as long as it names proxies of ours; the first other address is the
//! client, whatever it claims to the left of that. An entry that cannot be read
//! ends the way too: who wrote it is then taken for the client.

use crate::config::{ForwardedHeader, HttpConfig};
use gavel_runtime::proxies::Proxies;
use http::{HeaderMap, HeaderName, header};
use std::net::{IpAddr, Ipv6Addr};

mod forwarded;

/// Proxies that may stand one behind the other; what lies beyond is not looked at.
const HOPS_MAX: usize = 16;
/// The longest entry that names somebody: an IPv6 address with a zone and a port.
const HOP_BYTES_MAX: usize = 80;
/// The longest name of a zone.
const ZONE_BYTES_MAX: usize = 16;
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who is believed about where a request comes from.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    proxies: Proxies,
    header: ForwardedHeader,
}

// === impl Origins ===

impl Origins {
    /// The proxies of these settings.
    #[must_use]
    pub fn new(config: &HttpConfig) -> Self {
        Self { proxies: config.proxies(), header: config.forwarded_header }
    }

    /// The address that a request of `peer` comes from.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        let lines = match self.header {
            ForwardedHeader::XForwardedFor => headers.get_all(X_FORWARDED_FOR),
            ForwardedHeader::Forwarded => headers.get_all(header::FORWARDED),
        };
        // Later lines continue earlier ones.
        let hops = lines.iter().rev().flat_map(|line| match self.header {
            ForwardedHeader::XForwardedFor => listed(line.as_bytes()),
            ForwardedHeader::Forwarded => forwarded::hops(line.as_bytes()),
        });
        self.walk(peer, hops.take(HOPS_MAX))
    }

    /// Follows the hops from the last for as long as each is a proxy of ours.
    fn walk(&self, peer: IpAddr, hops: impl Iterator<Item = Hop>) -> IpAddr {
        let mut client = peer;
        for hop in hops {
            if !self.proxies.trust(client) {
                break;
            }
            let Some(before) = hop else { break };
            client = before;
        }
        client
    }
}

/// What an address counts as: an IPv4 address as itself, also where it comes
/// mapped into IPv6; an IPv6 address as its /64, which one customer holds whole.
#[must_use]
pub fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
    }
}

/// Whom an entry names, if it can be read.
type Hop = Option<IpAddr>;

/// The last entries of a line of `X-Forwarded-For`, the very last first. What
/// stands further left, a client may have written, and is not even looked at.
fn listed(line: &[u8]) -> Vec<Hop> {
    let entries = line.rsplit(|byte| *byte == b',').take(HOPS_MAX);
    entries.map(|entry| hop(str::from_utf8(entry.trim_ascii()).ok()?)).collect()
}

/// Reads an address, which may have brackets, a zone and a port.
fn hop(text: &str) -> Hop {
    if text.len() > HOP_BYTES_MAX {
        return None;
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let is_port = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        return ipv6(address).filter(|_| is_port);
    }
    match text.split_once(':') {
        None => text.parse().map(IpAddr::V4).ok(),
        Some((address, port)) if address.contains('.') && is_port(port) => {
            address.parse().map(IpAddr::V4).ok()
        }
        Some(_) => ipv6(text),
    }
}

/// An IPv6 address; its zone says only which of the proxy's own networks it is in.
fn ipv6(text: &str) -> Hop {
    let address = match text.split_once('%') {
        Some((address, zone)) if is_zone(zone) => address,
        Some(_) => return None,
        None => text,
    };
    address.parse().ok().map(|address: Ipv6Addr| IpAddr::V6(address).to_canonical())
}

fn is_zone(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    (1..=ZONE_BYTES_MAX).contains(&text.len()) && text.bytes().all(fine)
}

/// A port, or a word in its place (RFC 7239, 6.2).
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(word) => is_zone(word),
        None => text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}

#[cfg(test)]
mod tests;
