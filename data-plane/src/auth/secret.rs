//! Sixteen bytes that nobody can guess: what guests' tokens and tickets are made of.

use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// As many as `u128` has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Secret([u8; 16]);

/// A text that is not a secret as it was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotDrawn;

// === impl Secret ===

impl Secret {
    pub(super) fn draw() -> Self {
        Self(rand::random())
    }

    /// The secret as its client sends it.
    pub(super) fn text(self) -> String {
        hex(&self.0)
    }

    /// The first bytes of its hash, which do not tell it; what it is for makes another hash.
    pub(super) fn hash(self, purpose: &str, bytes: usize) -> String {
        let hash = Sha256::new().chain_update(purpose).chain_update(self.0).finalize();
        hex(hash.get(..bytes).unwrap_or(&hash))
    }
}

impl FromStr for Secret {
    type Err = NotDrawn;

    fn from_str(text: &str) -> Result<Self, NotDrawn> {
        // Only as it was drawn: a short one could be guessed.
        let plain = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let bits = u128::from_str_radix(text, 16).ok().filter(|_| plain && text.len() == 32);
        bits.map(|bits| Self(bits.to_be_bytes())).ok_or(NotDrawn)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_secret_is_one() {
        let whole = "00112233445566778899aabbccddeeff";
        assert_eq!(whole.parse::<Secret>().unwrap().text(), whole);
        for bad in [
            "",
            "0",
            &whole[1..],
            &format!("{whole}0"),
            &whole.to_uppercase(),
            "+0112233445566778899aabbccddeeff",
        ] {
            assert_eq!(bad.parse::<Secret>(), Err(NotDrawn), "{bad}");
        }
        assert_ne!(Secret::draw(), Secret::draw());
    }

    #[test]
    fn a_hash_tells_neither_the_secret_nor_what_is_made_of_it_elsewhere() {
        let secret: Secret = "00112233445566778899aabbccddeeff".parse().unwrap();
        assert!(!format!("{secret:?}").contains("0011"));
        assert_ne!(secret.hash("a", 32), secret.hash("b", 32));
        assert_eq!(secret.hash("a", 32).len(), 64);
        assert!(secret.hash("a", 32).starts_with(&secret.hash("a", 12)));
    }
}
