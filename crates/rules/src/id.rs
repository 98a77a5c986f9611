//! Names of things: `[A-Za-z0-9_-]{1,64}`, checked when made, so that an id
//! can stand in a store key, a log line or a URL as it is.

use alloc::{string::String, sync::Arc};
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};

/// The longest id, in characters.
pub const ID_CHARS_MAX: usize = 64;

/// The text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to 64 of A-Z a-z 0-9 _ -")]
pub struct IdError;

fn check(text: &str) -> Result<(), IdError> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain && !text.is_empty() && text.len() <= ID_CHARS_MAX { Ok(()) } else { Err(IdError) }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                check(&text)?;
                Ok(Self(text.into()))
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// A place people join; the unit of placement, ordering and fan-out.
    RoomId
}
id! {
    /// A client's own name for a bid, which makes its retries safe.
    BidId
}
id! {
    /// Who bids or looks.
    UserId
}
id! {
    /// A data-plane process.
    NodeId
}
id! {
    /// The protocol state of one socket.
    SessionId
}

/// One run of a node between restarts; higher is later.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Incarnation(u64);

impl Incarnation {
    /// The run of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn only_plain_text_of_bounded_length_is_an_id() {
        for good in ["a", "1", "A-b_9", &"x".repeat(64)] {
            let id: RoomId = good.parse().expect(good);
            assert_eq!(id.to_string(), good);
        }
        for bad in BAD.iter().copied().chain([&*"x".repeat(65), &"x".repeat(1 << 20)]) {
            assert_eq!(bad.parse::<RoomId>(), Err(IdError), "{bad:?}");
            let json = serde_json::to_string(bad).expect("json");
            assert!(serde_json::from_str::<BidId>(&json).is_err(), "{bad:?}");
        }
    }

    /// What strangers may send as an id: keys of a store, paths, lines, other scripts.
    const BAD: &[&str] = &[
        "",
        // Blanks, in and around what would be one.
        " ",
        "a b",
        " a",
        "a ",
        "a\t",
        "a\n",
        "a\r\n",
        "\u{a0}a",
        "a\u{2003}b",
        // Keys of a store, and patterns over them.
        "a:b",
        "{a}",
        "{a}b",
        "a}{b",
        "*",
        "a*",
        "a?",
        "[a]",
        // Paths and what stands for their parts.
        "a/b",
        "/",
        "..",
        "../a",
        "a.b",
        "a\\b",
        "%2e%2e",
        "a%00",
        // Lines of a protocol, commands and markup.
        "a\r\nDEL b",
        "$5\r\n",
        "a;b",
        "a|b",
        "$(a)",
        "`a`",
        "a&b",
        "a=b",
        "<a>",
        "a\"b",
        "'a'",
        "a,b",
        "a+b",
        "a@b",
        "a#b",
        "~",
        // Signs that no screen shows.
        "\0",
        "a\0b",
        "\u{1b}[31m",
        "\u{7f}",
        "a\u{200b}b",
        "\u{feff}a",
        "\u{202e}a",
        // Letters and digits, but not ours.
        "ä",
        "a\u{308}",
        "größe",
        "аb",
        "ａ",
        "٣",
        "①",
        "–",
        "🔨",
    ];
    const _: () = assert!(BAD.len() >= 50);
}
