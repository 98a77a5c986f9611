//! Where a request or a connection says that it comes from.

use super::choice_and_text;
use gavel_data_plane::{
    address::Origins,
    config::{ForwardedHeader, HttpConfig},
};
use gavel_runtime::http::proxy;
use http::{HeaderMap, HeaderValue};
use std::net::IpAddr;

const PROXY: &str = "10.0.0.1";
const SEEN: &str = "192.0.2.77";

/// Lines of one of the two headers. A stranger is never believed; what a proxy adds at the right
/// end counts, or, where the line cannot be read, the proxy itself.
pub(crate) fn forwarded(bytes: &[u8]) -> bool {
    let Some((choice, text)) = choice_and_text(bytes) else { return false };
    let (forwarded_header, name, added) = if choice.is_multiple_of(2) {
        (ForwardedHeader::XForwardedFor, "x-forwarded-for", format!(", {SEEN}"))
    } else {
        (ForwardedHeader::Forwarded, "forwarded", format!(", for={SEEN}"))
    };
    let trusted_proxies = "10.0.0.0/8".to_owned();
    let origins =
        Origins::new(&HttpConfig { trusted_proxies, forwarded_header, ..HttpConfig::default() });
    let client = |peer: &str, text: &str| {
        let mut headers = HeaderMap::new();
        for line in text.split('\n') {
            headers.append(name, HeaderValue::from_str(line).ok()?);
        }
        Some(origins.client(address(peer), &headers))
    };
    let Some(found) = client(PROXY, text) else { return false };
    assert_eq!(client(SEEN, text), Some(address(SEEN)), "a stranger is believed");
    let behind = client(PROXY, &format!("{text}{added}"));
    let unread = forwarded_header == ForwardedHeader::Forwarded && behind == Some(address(PROXY));
    assert!(behind == Some(address(SEEN)) || unread, "{text:?}: {behind:?}");
    found != address(PROXY)
}

/// What stands in front of a connection: whoever is named stands there in full.
pub(crate) fn proxies(bytes: &[u8]) -> bool {
    let Ok(source) = proxy::source(bytes) else { return false };
    let shorter = bytes.split_last().map(|(_, shorter)| shorter);
    assert!(proxy::source(shorter.unwrap_or_default()).is_err(), "a header that is cut off");
    assert!(proxy::source(&[bytes, b"G"].concat()).is_err(), "a header and what follows it");
    let named = match source {
        Some(IpAddr::V4(ip)) => ip.octets().to_vec(),
        Some(IpAddr::V6(ip)) => ip.octets().to_vec(),
        None => return false,
    };
    let stands = bytes.get(16..).unwrap_or_default().windows(named.len()).any(|at| at == named);
    assert!(stands, "{source:?}");
    true
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
