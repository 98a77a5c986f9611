//! Keys of a test that sign tokens of users.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto, jwk::Jwk};
use serde_json::{Value, json};

/// Making one takes long; it signs nothing outside of tests.
const RSA_OF_TESTS: &[u8] = include_bytes!("token_key/rsa-of-tests.der");
/// What stands in front of a private key of Ed25519, as PKCS #8.
const ED25519_PREFIX: [u8; 16] =
    *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// A key that signs tokens.
#[derive(Debug, Clone)]
pub struct TokenKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: EncodingKey,
}

// === impl TokenKey ===

impl TokenKey {
    /// The secret of HS256, which has no id.
    #[must_use]
    pub fn hs256(secret: &[u8]) -> Self {
        Self { id: None, algorithm: Algorithm::HS256, key: EncodingKey::from_secret(secret) }
    }

    /// A key for RS256 of this id; all have the same key.
    #[must_use]
    pub fn rs256(id: &str) -> Self {
        Self::named(id, Algorithm::RS256, EncodingKey::from_rsa_der(RSA_OF_TESTS))
    }

    /// A new key for ES256 of this id.
    ///
    /// # Panics
    /// If the system has no randomness.
    #[must_use]
    pub fn es256(id: &str) -> Self {
        let pair = rcgen::KeyPair::generate().expect("a key");
        Self::named(id, Algorithm::ES256, EncodingKey::from_ec_der(&pair.serialize_der()))
    }

    /// A key for EdDSA of this id, of at most 32 bytes, which it is made from.
    ///
    /// # Panics
    /// If the id is longer.
    #[must_use]
    pub fn eddsa(id: &str) -> Self {
        let mut seed = [0; 32];
        seed.get_mut(..id.len()).expect("a short id").copy_from_slice(id.as_bytes());
        let der = [ED25519_PREFIX.as_slice(), &seed].concat();
        Self::named(id, Algorithm::EdDSA, EncodingKey::from_ed_der(&der))
    }

    fn named(id: &str, algorithm: Algorithm, key: EncodingKey) -> Self {
        Self { id: Some(id.to_owned()), algorithm, key }
    }

    /// What a header calls its algorithm.
    #[must_use]
    pub fn algorithm(&self) -> String {
        format!("{:?}", self.algorithm)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What others check its tokens with, as a member of a set.
    ///
    /// # Panics
    /// Never: its keys are good.
    #[must_use]
    pub fn public(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.key, self.algorithm).expect("a good key");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        let members = jwk.as_object_mut().expect("a key is an object");
        members.insert("kid".to_owned(), json!(self.id));
        members.insert("use".to_owned(), json!("sig"));
        jwk
    }

    /// The header of its tokens.
    #[must_use]
    pub fn header(&self) -> Value {
        match &self.id {
            Some(id) => json!({"typ": "JWT", "alg": self.algorithm(), "kid": id}),
            None => json!({"typ": "JWT", "alg": self.algorithm()}),
        }
    }

    /// A token that says this.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_text(&self.header().to_string(), claims.to_string().as_bytes())
    }

    /// A token of any header and any claims, JSON or not.
    ///
    /// # Panics
    /// Never: its keys are good.
    #[must_use]
    pub fn sign_text(&self, header: &str, claims: &[u8]) -> String {
        let parts = [header.as_bytes(), claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        let signed = parts.join(".");
        let signature =
            crypto::sign(signed.as_bytes(), &self.key, self.algorithm).expect("a good key");
        format!("{signed}.{signature}")
    }
}

/// A set of the keys that check the tokens of these, as their issuer would publish it.
#[must_use]
pub fn key_set(keys: &[&TokenKey]) -> String {
    let keys: Vec<_> = keys.iter().map(|key| key.public()).collect();
    json!({ "keys": keys }).to_string()
}
