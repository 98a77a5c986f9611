//! Sets of public keys as issuers publish them (RFC 7517).
//!
//! A key that is for something else, or for an algorithm that is not ours, is passed over: sets
//! are made for many. One that must not be there makes the whole set bad, so that somebody is
//! told: a private key that was published, or one that can be broken.

use super::{
    json,
    key::{Algorithm, Key},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use std::sync::Arc;

/// The largest set that is read.
pub const KEY_SET_BYTES_MAX: usize = 256 * 1024;
/// Keys that a set may hold.
pub const KEYS_MAX: usize = 64;
/// The longest id of a key.
const KEY_ID_BYTES_MAX: usize = 256;
/// Bits of the modulus of an RSA key. A shorter one is within reach of who wants to break it, and
/// a longer one costs every check too much.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=4_096;
/// Bytes of a coordinate, of P-256 and of Ed25519.
const COORDINATE_BYTES: usize = 32;

/// Public keys of who signs tokens.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Arc<[Arc<Key>]>,
}

/// Why a set of keys is not used; the keys are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetRefused {
    /// Its size.
    #[error("the set is larger than 256 KiB or has more than 64 keys")]
    TooLarge,
    /// Its form.
    #[error("no set of keys in JSON (line {0}, column {1})")]
    Unreadable(usize, usize),
    /// A key that signs.
    #[error("key {0} is private or a secret: whoever can read it can sign tokens")]
    Private(usize),
    /// A key that can be broken.
    #[error("key {0} is weak")]
    Weak(usize),
    /// A key that is none.
    #[error("key {0} cannot be read")]
    Broken(usize),
    /// Two keys of one name, or two without any.
    #[error("key {0} has the `kid` of an earlier one, or like an earlier one none")]
    Ambiguous(usize),
    /// No key.
    #[error("no key for RS256, ES256 or EdDSA")]
    Empty,
}

#[derive(Deserialize)]
struct Jwks<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    /// What only who signs may have: of RSA, of curves, of secrets.
    d: Option<IgnoredAny>,
    p: Option<IgnoredAny>,
    q: Option<IgnoredAny>,
    k: Option<IgnoredAny>,
}

/// What is wrong with one key.
enum Wrong {
    Private,
    Weak,
    Broken,
}

// === impl KeySet ===

impl KeySet {
    /// Reads a set.
    ///
    /// # Errors
    /// [`KeySetRefused`] if it is too large or unreadable, or holds a key that must not be there,
    /// or none that is of use.
    pub fn read(set: &[u8]) -> Result<Self, KeySetRefused> {
        if set.len() > KEY_SET_BYTES_MAX {
            return Err(KeySetRefused::TooLarge);
        }
        let Jwks { keys: all } = json::object(set)
            .map_err(|error| KeySetRefused::Unreadable(error.line(), error.column()))?;
        if all.len() > KEYS_MAX {
            return Err(KeySetRefused::TooLarge);
        }
        let mut keys = Vec::<Arc<Key>>::new();
        for (number, jwk) in (1..).zip(all) {
            let key = Jwk::read(jwk).and_then(Jwk::key);
            let Some(key) = key.map_err(|wrong| wrong.of(number))? else { continue };
            if keys.iter().any(|earlier| earlier.id == key.id) {
                return Err(KeySetRefused::Ambiguous(number));
            }
            keys.push(Arc::new(key));
        }
        if keys.is_empty() { Err(KeySetRefused::Empty) } else { Ok(Self { keys: keys.into() }) }
    }

    /// How many keys it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether it has none, as before one was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.iter()
    }
}

// === impl Jwk ===

impl Jwk {
    fn read(jwk: &RawValue) -> Result<Self, Wrong> {
        json::object(jwk.get().as_bytes()).map_err(|_| Wrong::Broken)
    }

    /// The key, if it is one that signs tokens here.
    fn key(self) -> Result<Option<Key>, Wrong> {
        let private = [&self.d, &self.p, &self.q, &self.k].into_iter().any(Option::is_some);
        if private || self.kty == "oct" {
            return Err(Wrong::Private);
        }
        let Some(algorithm) = self.algorithm() else { return Ok(None) };
        if self.kid.as_ref().is_some_and(|id| id.len() > KEY_ID_BYTES_MAX) {
            return Err(Wrong::Broken);
        }
        let key = match algorithm {
            Algorithm::Rs256 => self.rsa(),
            Algorithm::Es256 => self.p256(),
            Algorithm::EdDsa => self.ed25519(),
            Algorithm::Hs256 => Err(Wrong::Private),
        }?;
        Key::public(self.kid, algorithm, key).map(Some).ok_or(Wrong::Broken)
    }

    /// What it is for; `None` if that is nothing of ours.
    fn algorithm(&self) -> Option<Algorithm> {
        let signs = self.r#use.as_ref().is_none_or(|r#use| r#use == "sig");
        let verifies =
            self.key_ops.as_ref().is_none_or(|all| all.iter().any(|one| one == "verify"));
        let algorithm = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Algorithm::Rs256,
            ("EC", Some("P-256")) => Algorithm::Es256,
            ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
            _ => return None,
        };
        let said = self.alg.as_ref().is_none_or(|alg| alg == algorithm.name());
        (signs && verifies && said).then_some(algorithm)
    }

    fn rsa(&self) -> Result<DecodingKey, Wrong> {
        let (modulus, exponent) = (number(self.n.as_deref())?, number(self.e.as_deref())?);
        let [first, ..] = modulus.as_slice() else { return Err(Wrong::Broken) };
        let bits = modulus.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or(0);
        if bits < *RSA_BITS.start() {
            return Err(Wrong::Weak);
        }
        let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
        // To the power of 1 every text would be its own signature.
        if exponent.as_slice() == [1] {
            return Err(Wrong::Weak);
        }
        let fine = bits <= *RSA_BITS.end() && is_odd(&modulus);
        if !fine || exponent.len() > 4 || !is_odd(&exponent) {
            return Err(Wrong::Broken);
        }
        Ok(DecodingKey::from_rsa_raw_components(&modulus, &exponent))
    }

    fn p256(&self) -> Result<DecodingKey, Wrong> {
        let (x, y) = (self.x.as_deref(), self.y.as_deref());
        let (Some(x), Some(y)) = (x, y) else { return Err(Wrong::Broken) };
        coordinate(x)?;
        coordinate(y)?;
        DecodingKey::from_ec_components(x, y).map_err(|_| Wrong::Broken)
    }

    fn ed25519(&self) -> Result<DecodingKey, Wrong> {
        let x = self.x.as_deref().ok_or(Wrong::Broken)?;
        let point = ed25519_dalek::VerifyingKey::from_bytes(&coordinate(x)?);
        // Of such a point every text has a signature that needs no key.
        if point.map_err(|_| Wrong::Broken)?.is_weak() {
            return Err(Wrong::Weak);
        }
        DecodingKey::from_ed_components(x).map_err(|_| Wrong::Broken)
    }
}

/// A number as keys write it, without zeros in front.
fn number(text: Option<&str>) -> Result<Vec<u8>, Wrong> {
    let mut bytes = decoded(text.ok_or(Wrong::Broken)?)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Ok(bytes.split_off(zeros))
}

fn coordinate(text: &str) -> Result<[u8; COORDINATE_BYTES], Wrong> {
    decoded(text)?.try_into().map_err(|_| Wrong::Broken)
}

fn decoded(text: &str) -> Result<Vec<u8>, Wrong> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Wrong::Broken)
}

// === impl Wrong ===

impl Wrong {
    fn of(self, number: usize) -> KeySetRefused {
        match self {
            Self::Private => KeySetRefused::Private(number),
            Self::Weak => KeySetRefused::Weak(number),
            Self::Broken => KeySetRefused::Broken(number),
        }
    }
}
