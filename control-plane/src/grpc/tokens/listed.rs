//! Tokens as they are written down. Of each only its digest is kept.

use gavel_runtime::{
    config::{ConfigError, Form},
    tls::Role,
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// How a digest is written in the place of its token.
const DIGEST: &str = "sha256:";

/// Some tokens.
#[derive(Default)]
pub(super) struct Listed(Vec<Token>);

struct Token {
    name: String,
    role: Role,
    digest: [u8; 32],
}

// === impl Listed ===

impl Listed {
    /// Those of a text: a line, or what stands between two commas, is a name, a
    /// role and a token or its digest.
    pub(super) fn read(key: &str, text: &str) -> Result<Self, ConfigError> {
        let lines = text.lines().map(|line| line.split_once('#').map_or(line, |(line, _)| line));
        let entries = lines.flat_map(|line| line.split(',')).map(str::trim);
        let entries = (1..).zip(entries.filter(|entry| !entry.is_empty()));
        let read = entries.map(|(n, entry)| {
            // Neither the text nor the token may get into a log.
            Token::read(entry).ok_or_else(|| {
                let form =
                    "must be a name, then viewer, operator or admin, then a token or sha256:";
                ConfigError::invalid(key, format!("entry {n} {form} and its digest in hex"))
            })
        });
        read.collect::<Result<_, _>>().map(Self)
    }

    /// Adds one to them.
    pub(super) fn add(&mut self, name: &str, role: Role, token: &str) {
        let digest = Sha256::digest(token).into();
        self.0.push(Token { name: name.to_owned(), role, digest });
    }

    /// Adds others to them.
    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whose token this is. It takes as long whichever it is.
    pub(super) fn bearer(&self, given: &str) -> Option<(&str, Role)> {
        let digest: [u8; 32] = Sha256::digest(given).into();
        let mut found = None;
        for token in &self.0 {
            if bool::from(token.digest.ct_eq(&digest)) {
                found = Some((token.name.as_str(), token.role));
            }
        }
        found
    }
}

// === impl Token ===

impl Token {
    fn read(entry: &str) -> Option<Self> {
        let mut words = entry.split_whitespace();
        let (name, role, token) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
        if words.next().is_some() || !Form::Id.fits(name) {
            return None;
        }
        let digest = match token.strip_prefix(DIGEST) {
            Some(hex) => from_hex(hex)?,
            None => Sha256::digest(token).into(),
        };
        Some(Self { name: name.to_owned(), role, digest })
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let bytes = (0..text.len()).step_by(2).map(|at| {
        let pair = text.get(at..at + 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    bytes.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(text: &str) -> Result<Listed, ConfigError> {
        Listed::read("admin.tokens", text)
    }

    #[test]
    fn a_token_is_found_by_itself_or_its_digest() {
        let hash = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
        let text = format!("# who\nann admin one, bob operator two\n\n  eve viewer {hash} # foo\n");
        let tokens = listed(&text).unwrap();
        assert_eq!(tokens.bearer("one"), Some(("ann", Role::Admin)));
        assert_eq!(tokens.bearer("two"), Some(("bob", Role::Operator)));
        assert_eq!(tokens.bearer("foo"), Some(("eve", Role::Viewer)));
        for wrong in ["", "One", "on", "one ", hash] {
            assert_eq!(tokens.bearer(wrong), None, "{wrong:?}");
        }
        assert_eq!(listed("").unwrap().len(), 0);
    }

    #[test]
    fn what_is_no_entry_is_refused_without_being_repeated() {
        for wrong in [
            "ann",
            "ann admin",
            "ann root hunter2",
            "ann admin hunter2 more",
            "a/b admin hunter2",
            "ann admin sha256:hunter2",
            "ann admin one, bob hunter2",
        ] {
            let error = listed(wrong).err().unwrap();
            assert_eq!(error.key, "admin.tokens");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
