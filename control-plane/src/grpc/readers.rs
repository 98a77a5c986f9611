//! Who may look by HTTP, where there are neither changes nor nodes.

use super::{status::CallError, tokens::Tokens};
use http::HeaderValue;
use std::net::IpAddr;

/// Lets in whoever has an operator's token of any role; without tokens, and
/// without certificates at gRPC, whoever is on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    tokens: Tokens,
    mutual: bool,
}

// === impl Readers ===

impl Readers {
    pub(crate) fn new(tokens: Tokens, mutual: bool) -> Self {
        Self { tokens, mutual }
    }

    /// Whether somebody may look.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn admit(
        &self,
        peer: IpAddr,
        authorization: Option<&HeaderValue>,
    ) -> Result<(), CallError> {
        if self.tokens.is_empty() && !self.mutual {
            let near = peer.to_canonical().is_loopback();
            return if near { Ok(()) } else { Err(CallError::Far) };
        }
        let given = authorization.and_then(|given| given.to_str().ok());
        let bearer = given.and_then(|given| given.strip_prefix("Bearer "));
        let known = bearer.and_then(|given| self.tokens.bearer(given));
        known.map(drop).ok_or(CallError::BadToken)
    }
}
