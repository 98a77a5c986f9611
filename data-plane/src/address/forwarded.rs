//! A line of `Forwarded` (RFC 7239): elements of `name=value` pairs, of which
//! `for` names who was seen.
//!
//! A line is read as a whole or not at all. A client writes the left end of it,
//! and could leave a quote open there to hide what a proxy adds behind it; such
//! a line is against the grammar and counts as unreadable.

use super::{HOPS_MAX, Hop, hop};

/// Bytes of a line; a longer one counts as unreadable, too.
const LINE_BYTES_MAX: usize = 4096;

/// The elements of a line, the last first; one unreadable entry stands for a
/// line that is against the grammar.
pub(super) fn hops(line: &[u8]) -> Vec<Hop> {
    let line = line.get(..line.len().min(LINE_BYTES_MAX + 1)).unwrap_or_default();
    let line = str::from_utf8(line).ok().filter(|line| line.len() <= LINE_BYTES_MAX);
    let hops = line.and_then(|line| Reader { rest: line }.elements());
    let Some(mut hops) = hops else { return vec![None] };
    hops.reverse();
    hops.truncate(HOPS_MAX);
    hops
}

/// What is left of a line.
struct Reader<'a> {
    rest: &'a str,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn elements(mut self) -> Option<Vec<Hop>> {
        let mut hops = vec![self.element()?];
        while self.take(',') {
            hops.push(self.element()?);
        }
        self.rest.is_empty().then_some(hops)
    }

    /// One element; whoever names nobody, or two, is not readable.
    fn element(&mut self) -> Option<Hop> {
        let mut named: Option<Hop> = None;
        loop {
            self.skip_spaces();
            let name = self.token()?;
            if !self.take('=') {
                return None;
            }
            let value = self.value()?;
            if name.eq_ignore_ascii_case("for") {
                named = Some(if named.is_none() { hop(value) } else { None });
            }
            self.skip_spaces();
            if !self.take(';') {
                return Some(named.flatten());
            }
        }
    }

    fn value(&mut self) -> Option<&'a str> {
        if self.take('"') {
            // No address needs a backslash, so one that has it will not be read.
            let end = self.rest.char_indices().scan(false, |escaped, (at, char)| {
                let is_end = char == '"' && !*escaped;
                *escaped = char == '\\' && !*escaped;
                Some((at, is_end))
            });
            let end = end.into_iter().find(|(_, is_end)| *is_end)?.0;
            let (value, rest) = self.rest.split_at_checked(end)?;
            self.rest = rest.strip_prefix('"')?;
            return Some(value);
        }
        self.token()
    }

    /// A token; some proxies leave the quotes away that brackets and colons need.
    fn token(&mut self) -> Option<&'a str> {
        let is_end = |char: char| !char.is_ascii_graphic() || "\"(),/;<=>?@\\{}".contains(char);
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    fn take(&mut self, char: char) -> bool {
        let rest = self.rest.strip_prefix(char);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }
}
