//! A token as it comes: three parts in base64, of which two are JSON.

use super::{Refusal, json};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::IgnoredAny};

/// The longest token looked at.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A token whose header has been read, and nothing else of it: who signed it is not known.
#[derive(Debug)]
pub(super) struct Token<'a> {
    header: Header,
    /// What is signed, the header and the claims.
    pub(super) signed: &'a str,
    claims: &'a str,
    pub(super) signature: &'a str,
}

/// What a header may ask for. Keys in it, or addresses of keys, are not looked at: whoever makes a
/// token would choose what it is checked with.
#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that must be understood; none is.
    crit: Option<IgnoredAny>,
}

// === impl Token ===

impl<'a> Token<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        let header: Header = json::object(&decoded(header)?).map_err(|_| Refusal::Malformed)?;
        if header.crit.is_some() {
            return Err(Refusal::Malformed);
        }
        Ok(Self { header, signed, claims, signature })
    }

    /// The algorithm that it says it was signed with.
    pub(super) fn algorithm(&self) -> &str {
        &self.header.alg
    }

    /// The key that it says it was signed with.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// What it says, as JSON.
    pub(super) fn claims(&self) -> Result<Vec<u8>, Refusal> {
        decoded(self.claims)
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}
