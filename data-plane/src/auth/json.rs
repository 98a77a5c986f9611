//! JSON from strangers.

use serde::{Deserialize, de::Error as _};

/// Reads an object, in UTF-8 also where nobody looks. Lists are refused: serde takes one for a
/// struct, its members by their places, which no specification of tokens or keys knows of.
pub(super) fn object<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, serde_json::Error> {
    let text = str::from_utf8(json).map_err(serde_json::Error::custom)?;
    if text.trim_ascii_start().starts_with('[') {
        return Err(serde_json::Error::custom("a list and no object"));
    }
    serde_json::from_str(text)
}
