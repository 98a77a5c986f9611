//! How a guest stays the same user from one socket to the next.
//!
//! ```text
//! node draws a token -> welcome {guestToken, userId} -> `guest.<token>` -> any node: userId = hash(token)
//! ```
//!
//! The token is a secret of the browser it was drawn for. The id is its hash,
//! so every node knows whose a token is without a key or a store, and the id,
//! which everybody sees, does not tell the token. A client may make a token up;
//! that makes a new guest, as opening a socket without one does.

use super::{Identity, TokenRefused};
use gavel_rules::id::UserId;
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// Proves a guest to be the one of an earlier socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GuestToken([u8; 16]);

// === impl GuestToken ===

impl GuestToken {
    /// A token that nobody can guess.
    #[must_use]
    pub fn draw() -> Self {
        Self(rand::random())
    }

    /// Who has this token.
    #[must_use]
    pub fn identity(self) -> Identity {
        let hash = Sha256::new().chain_update("gavel guest ").chain_update(self.0).finalize();
        let mut user = String::from("guest-");
        hash.iter().take(12).for_each(|byte| push_hex(&mut user, *byte));
        Identity { user: id(&user), pass: None }
    }

    /// The token as its guest sends it.
    #[must_use]
    pub fn secret(self) -> String {
        let mut text = String::with_capacity(32);
        self.0.iter().for_each(|byte| push_hex(&mut text, *byte));
        text
    }
}

impl FromStr for GuestToken {
    type Err = TokenRefused;

    fn from_str(text: &str) -> Result<Self, TokenRefused> {
        // Only as it was drawn: a short one could be guessed.
        let plain = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let bits = u128::from_str_radix(text, 16).ok().filter(|_| plain && text.len() == 32);
        bits.map(|bits| Self(bits.to_be_bytes())).ok_or(TokenRefused)
    }
}

impl fmt::Debug for GuestToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuestToken([redacted])")
    }
}

fn push_hex(text: &mut String, byte: u8) {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    text.push(digit(byte >> 4));
    text.push(digit(byte & 0x0f));
}

fn id(text: &str) -> UserId {
    text.parse().unwrap_or_else(|_| unreachable!("hex digits make an id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_who_it_is_and_its_id_does_not_tell_it() {
        let token: GuestToken = "00112233445566778899aabbccddeeff".parse().unwrap();
        // Fixed for good: a node of another release has to know the guest, too.
        assert_eq!(token.identity().user.as_ref(), "guest-686dee546c39042f6276ca0a");
        assert!(token.identity().is_guest());
        assert_eq!(token.secret().parse(), Ok(token));
        assert_ne!(GuestToken::draw(), GuestToken::draw());
        assert!(!format!("{token:?}").contains("0011"));
    }

    #[test]
    fn only_a_whole_token_is_one() {
        let whole = "00112233445566778899aabbccddeeff";
        for bad in [
            "",
            "0",
            &whole[1..],
            &format!("{whole}0"),
            &whole.to_uppercase(),
            "+0112233445566778899aabbccddeeff",
        ] {
            assert_eq!(bad.parse::<GuestToken>(), Err(TokenRefused), "{bad}");
        }
    }
}
