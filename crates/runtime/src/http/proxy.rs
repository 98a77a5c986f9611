//! The header of the PROXY protocol, version 2: some bytes in front of a
//! connection with which a proxy tells where the connection comes from.
//!
//! ```text
//! 12 signature | version, command | family, protocol | length (2) | addresses | extensions
//! ```

use crate::net::TcpStream;
use ppp::v2::{Addresses, Command, Header, ParseError, Protocol};
use std::{io, net::IpAddr};
use tokio::io::AsyncReadExt as _;

/// What comes before the addresses; its last two bytes are the length of the rest.
const FIXED_BYTES: usize = 16;
/// Addresses and extensions of one header. A proxy may add who a certificate
/// was issued to; whole certificates nobody needs here.
const REST_BYTES_MAX: usize = 4096;

/// Reads the header in front of a connection, and not a byte more. None means
/// that the proxy speaks for itself, as in a health check.
pub(super) async fn read(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut header = vec![0; FIXED_BYTES];
    stream.read_exact(&mut header).await?;
    let rest = match header.last_chunk::<2>() {
        Some(length) => usize::from(u16::from_be_bytes(*length)),
        None => 0,
    };
    // Whoever does not speak the protocol must not make us wait for its length.
    if !header.starts_with(ppp::v2::PROTOCOL_PREFIX) || rest > REST_BYTES_MAX {
        return Err(invalid("no header of the PROXY protocol, or one that is too long"));
    }
    header.resize(FIXED_BYTES + rest, 0);
    stream.read_exact(header.get_mut(FIXED_BYTES..).unwrap_or_default()).await?;
    source(&header).map_err(invalid)
}

/// The source that a whole header names.
///
/// # Errors
/// If it is none, or names something that no connection can come from.
pub fn source(header: &[u8]) -> Result<Option<IpAddr>, ParseError> {
    let parsed = Header::try_from(header)?;
    if parsed.len() != header.len() {
        return Err(ParseError::Leftovers(header.len().saturating_sub(parsed.len())));
    }
    // Nobody here needs the extensions; that they can be read tells a header from rubbish.
    if let Some(Err(error)) = parsed.tlvs().find(Result::is_err) {
        return Err(error);
    }
    Ok(match (parsed.command, parsed.protocol, parsed.addresses) {
        (Command::Proxy, Protocol::Stream, Addresses::IPv4(ip)) => Some(ip.source_address.into()),
        (Command::Proxy, Protocol::Stream, Addresses::IPv6(ip)) => {
            Some(IpAddr::from(ip.source_address).to_canonical())
        }
        (Command::Proxy, Protocol::Datagram, _) => return Err(ParseError::Protocol(2)),
        // A local one, or one whose source has no address.
        _ => None,
    })
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
