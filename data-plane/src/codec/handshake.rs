//! The opening handshake of RFC 6455, server side: checked, never performed here.

#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, Method, StatusCode, Version};
use thiserror::Error;

/// The one WebSocket version there is; also the answer to a client that asks for another.
pub const VERSION: &str = "13";

/// The JSON dialect of Gavel, as named in `Sec-WebSocket-Protocol`.
pub const PROTOCOL_JSON: &str = "gavel.v1.json";

/// Subprotocols a client may offer; one more is refused.
pub const PROTOCOLS_MAX: usize = 16;

const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const BEARER: &str = "bearer.";
const GUEST: &str = "guest.";
const TICKET: &str = "ticket.";
const KEY_BYTES: usize = 16;

/// A client may leave rubbish in the four bits the last character of a key does not need.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// A request that may become a WebSocket.
#[derive(Clone, PartialEq, Eq)]
pub struct Upgrade {
    /// `Sec-WebSocket-Key`, for [`accept_key`].
    pub key: String,
    /// The subprotocols offered, in the client's order; one of them may hold a token.
    pub protocols: Vec<String>,
}

/// What the subprotocols of a request say.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Selection<'a> {
    /// The protocol to echo; `None` means the seed's dialect and no echo.
    pub protocol: Option<&'static str>,
    /// The token of the first `bearer.*` entry; it is a secret and never echoed.
    pub bearer: Option<&'a str>,
    /// The token of the first `guest.*` entry; as secret as the other.
    pub guest: Option<&'a str>,
    /// The secret of the first `ticket.*` entry; the same.
    pub ticket: Option<&'a str>,
}

/// Why a request cannot become a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// Only GET can be upgraded.
    #[error("method is not GET")]
    Method,
    /// Only HTTP/1.1 can be upgraded.
    #[error("HTTP version is not 1.1")]
    HttpVersion,
    /// `Upgrade` does not name websocket: an ordinary request that went astray.
    #[error("Upgrade does not name websocket")]
    Upgrade,
    /// `Connection` does not name upgrade.
    #[error("Connection does not name upgrade")]
    Connection,
    /// `Sec-WebSocket-Version` is missing or not 13; answer with `Sec-WebSocket-Version: 13`.
    #[error("Sec-WebSocket-Version is not 13")]
    Version,
    /// `Sec-WebSocket-Key` is missing, doubled, or not 16 bytes of base64.
    #[error("Sec-WebSocket-Key is not 16 bytes of base64")]
    Key,
    /// `Sec-WebSocket-Protocol` is not a list of at most 16 distinct tokens.
    #[error("Sec-WebSocket-Protocol is malformed")]
    Protocol,
    /// Subprotocols are offered and none of them is spoken here. RFC 6455 lets a server choose
    /// none; browsers then fail the socket without a word on why.
    #[error("Sec-WebSocket-Protocol must offer gavel.v1.json, or be absent for the seed's dialect")]
    NoDialect,
    /// URLs end up in logs and histories.
    #[error("a token has no place in the URL: see docs/protocol.md")]
    SecretInUrl,
}

// === impl Upgrade ===

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A protocol may be a token: only their number is safe to show.
        f.debug_struct("Upgrade").field("protocols", &self.protocols.len()).finish_non_exhaustive()
    }
}

// === impl Selection ===

impl fmt::Debug for Selection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection")
            .field("protocol", &self.protocol)
            .field("bearer", &self.bearer.map(|_| "[redacted]"))
            .field("guest", &self.guest.map(|_| "[redacted]"))
            .field("ticket", &self.ticket.map(|_| "[redacted]"))
            .finish()
    }
}

// === impl HandshakeError ===

impl HandshakeError {
    /// The status to refuse the request with.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Upgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::HttpVersion
            | Self::Connection
            | Self::Key
            | Self::Protocol
            | Self::NoDialect
            | Self::SecretInUrl => StatusCode::BAD_REQUEST,
        }
    }
}

/// Whether the request is a well-formed opening handshake.
///
/// # Errors
///
/// The first header that stands against it.
pub fn check(
    headers: &HeaderMap,
    method: &Method,
    version: Version,
) -> Result<Upgrade, HandshakeError> {
    if method != Method::GET {
        return Err(HandshakeError::Method);
    }
    if version != Version::HTTP_11 {
        return Err(HandshakeError::HttpVersion);
    }
    if !lists(headers, &UPGRADE, "websocket") {
        return Err(HandshakeError::Upgrade);
    }
    if !lists(headers, &CONNECTION, "upgrade") {
        return Err(HandshakeError::Connection);
    }
    if single(headers, &SEC_WEBSOCKET_VERSION) != Some(VERSION) {
        return Err(HandshakeError::Version);
    }
    let key = single(headers, &SEC_WEBSOCKET_KEY)
        .filter(|key| KEY_BASE64.decode(key).is_ok_and(|bytes| bytes.len() == KEY_BYTES))
        .ok_or(HandshakeError::Key)?;
    Ok(Upgrade { key: key.to_owned(), protocols: protocols(headers)? })
}

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`.
#[must_use]
pub fn accept_key(key: &str) -> String {
    let mut sha1 = sha1_smol::Sha1::new();
    sha1.update(key.as_bytes());
    sha1.update(GUID.as_bytes());
    STANDARD.encode(sha1.digest().bytes())
}

/// Picks the dialect and the tokens out of the offered subprotocols; all others are ignored.
///
/// # Errors
///
/// [`HandshakeError::NoDialect`] if there are some and none is a dialect.
pub fn select_protocol<S: AsRef<str>>(offered: &[S]) -> Result<Selection<'_>, HandshakeError> {
    let mut selection = Selection::default();
    for protocol in offered {
        let protocol = protocol.as_ref();
        if let Some(token) = protocol.strip_prefix(BEARER) {
            selection.bearer = selection.bearer.or(Some(token));
        } else if let Some(token) = protocol.strip_prefix(GUEST) {
            selection.guest = selection.guest.or(Some(token));
        } else if let Some(ticket) = protocol.strip_prefix(TICKET) {
            selection.ticket = selection.ticket.or(Some(ticket));
        } else if protocol == PROTOCOL_JSON {
            selection.protocol = Some(PROTOCOL_JSON);
        }
    }
    if selection.protocol.is_none() && !offered.is_empty() {
        return Err(HandshakeError::NoDialect);
    }
    Ok(selection)
}

fn protocols(headers: &HeaderMap) -> Result<Vec<String>, HandshakeError> {
    let mut found: Vec<String> = Vec::new();
    for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        let value = value.to_str().map_err(|_| HandshakeError::Protocol)?;
        for token in value.split(',').map(|token| token.trim_matches([' ', '\t'])) {
            let twice = found.iter().any(|known| known == token);
            if !is_token(token) || twice || found.len() == PROTOCOLS_MAX {
                return Err(HandshakeError::Protocol);
            }
            found.push(token.to_owned());
        }
    }
    Ok(found)
}

/// Whether a header, over all its lines, lists `token` in any case.
fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|item| item.trim_matches([' ', '\t']).eq_ignore_ascii_case(token))
}

/// The value of a header that stands exactly once.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Whether `text` is a token of RFC 9110.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
