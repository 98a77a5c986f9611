//! Versions as flagd compares them: by semver.org, but a leading `v` and
//! missing parts are forgiven.

use std::cmp::Ordering;

/// A version, without its build metadata, which does not order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version<'a> {
    core: [u64; 3],
    prerelease: Option<&'a str>,
}

// === impl Version ===

impl<'a> Version<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let text = text.split_once('+').map_or(text, |(version, _)| version);
        let (numbers, prerelease) = match text.split_once('-') {
            Some((numbers, prerelease)) => (numbers, Some(prerelease)),
            None => (text, None),
        };
        let mut core = [0; 3];
        let mut parts = numbers.split('.');
        for (index, place) in core.iter_mut().enumerate() {
            match parts.next() {
                Some(part) => *place = number(part)?,
                None if index == 0 => return None,
                None => break,
            }
        }
        let rest_is_fine = parts.next().is_none() && prerelease.is_none_or(identifiers_are_fine);
        rest_is_fine.then_some(Self { core, prerelease })
    }

    /// Whether `operator`, one of flagd's eight, holds between the two.
    pub(crate) fn holds(&self, operator: &str, other: &Self) -> Option<bool> {
        let order = self.order(other);
        let [major, minor, _] = self.core;
        let [other_major, other_minor, _] = other.core;
        Some(match operator {
            "=" => order.is_eq(),
            "!=" => order.is_ne(),
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            ">=" => order.is_ge(),
            "^" => major == other_major,
            "~" => major == other_major && minor == other_minor,
            _ => return None,
        })
    }

    fn order(&self, other: &Self) -> Ordering {
        let prerelease = match (self.prerelease, other.prerelease) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => by_identifiers(a, b),
        };
        self.core.cmp(&other.core).then(prerelease)
    }
}

fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    let padded = text.len() > 1 && text.starts_with('0');
    (plain && !padded).then(|| text.parse().ok()).flatten()
}

fn identifiers_are_fine(text: &str) -> bool {
    text.split('.').all(|part| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

fn by_identifiers(a: &str, b: &str) -> Ordering {
    let mut others = b.split('.');
    for part in a.split('.') {
        let Some(other) = others.next() else {
            return Ordering::Greater;
        };
        let order = match (number(part), number(other)) {
            (Some(part), Some(other)) => part.cmp(&other),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => part.cmp(other),
        };
        if order.is_ne() {
            return order;
        }
    }
    match others.next() {
        Some(_) => Ordering::Less,
        None => Ordering::Equal,
    }
}
