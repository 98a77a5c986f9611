//! Text that arrives in pieces, proved to be UTF-8 piece by piece.

use super::error::DecodeError;

/// A string under construction and up to three bytes of a character cut by a piece's end.
#[derive(Debug, Default)]
pub(super) struct Utf8Buffer {
    text: String,
    cut: [u8; 4],
    cut_length: usize,
}

impl Utf8Buffer {
    /// Adds a piece; fails at the first byte no valid text could have at its place.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        let piece = self.mend(piece)?;
        let mut rest = piece;
        for chunk in piece.utf8_chunks() {
            self.text.push_str(chunk.valid());
            rest = rest.get(chunk.valid().len()..).unwrap_or_default();
            let invalid = chunk.invalid();
            if invalid.is_empty() {
                continue;
            }
            let cut_at_end = invalid.len() == rest.len() && is_prefix(invalid);
            let Some(slot) = self.cut.get_mut(..invalid.len()).filter(|_| cut_at_end) else {
                return Err(DecodeError::InvalidUtf8);
            };
            slot.copy_from_slice(invalid);
            self.cut_length = invalid.len();
        }
        Ok(())
    }

    /// Whether the text could end here.
    pub(super) const fn is_whole(&self) -> bool {
        self.cut_length == 0
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Bytes pushed so far.
    pub(super) fn len(&self) -> usize {
        self.text.len() + self.cut_length
    }

    pub(super) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    pub(super) fn reserve_exact(&mut self, additional: usize) {
        self.text.reserve_exact(additional);
    }

    /// Completes a cut character from the front of `piece` and returns the rest.
    fn mend<'p>(&mut self, piece: &'p [u8]) -> Result<&'p [u8], DecodeError> {
        let mut rest = piece;
        while self.cut_length > 0 {
            let [next, after @ ..] = rest else { break };
            let Some(slot) = self.cut.get_mut(self.cut_length) else {
                return Err(DecodeError::InvalidUtf8);
            };
            *slot = *next;
            rest = after;
            let character = self.cut.get(..=self.cut_length).unwrap_or_default();
            match str::from_utf8(character) {
                Ok(character) => {
                    self.text.push_str(character);
                    self.cut_length = 0;
                }
                Err(error) if error.error_len().is_none() => self.cut_length += 1,
                Err(_) => return Err(DecodeError::InvalidUtf8),
            }
        }
        Ok(rest)
    }
}

/// Whether `bytes` is the valid beginning of one character.
fn is_prefix(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
