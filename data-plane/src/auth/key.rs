//! A key, and the one algorithm that it is for.

use super::{Refusal, token::Token};
use jsonwebtoken::{DecodingKey, crypto};

/// What tokens may be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Hs256,
    Rs256,
    Es256,
    EdDsa,
}

/// A key that tokens are checked with. Its algorithm comes from where the key does and never from
/// a token: a public key would otherwise do as the secret of another algorithm.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

// === impl Algorithm ===

impl Algorithm {
    /// What headers of tokens and keys call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    fn provided(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

// === impl Key ===

impl Key {
    /// The key that who signs and who checks share; it has no id.
    pub(super) fn secret(secret: &[u8]) -> Self {
        let key = DecodingKey::from_secret(secret);
        Self { id: None, algorithm: Algorithm::Hs256, key }
    }

    /// A public key; `None` if it is none.
    pub(super) fn public(
        id: Option<String>,
        algorithm: Algorithm,
        key: DecodingKey,
    ) -> Option<Self> {
        let usable = crypto::verify("", b"", &key, algorithm.provided()).is_ok();
        usable.then_some(Self { id, algorithm, key })
    }

    /// Whether the token was signed with it.
    pub(super) fn check(&self, token: &Token<'_>) -> Result<(), Refusal> {
        if token.algorithm() != self.algorithm.name() {
            return Err(Refusal::Algorithm);
        }
        let (signed, algorithm) = (token.signed.as_bytes(), self.algorithm.provided());
        let verified = crypto::verify(token.signature, signed, &self.key, algorithm);
        if verified.is_ok_and(|good| good) { Ok(()) } else { Err(Refusal::Signature) }
    }
}
