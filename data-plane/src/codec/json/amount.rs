//! Amounts between JSON text and minor units, without a float in between.

use super::Dialect;
use gavel_rules::amount::Amount;

/// Decimals of a major unit.
const DECIMALS: usize = 2;

/// Reads an amount from the JSON text of a value.
///
/// `None` for whatever is not a plain, non-negative amount of at most 2^53-1
/// minor units: exponents, signs, and (outside the seed's dialect) more than
/// two decimals.
pub(super) fn read(json: &str, dialect: Dialect) -> Option<Amount> {
    let quoted = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let text = quoted.unwrap_or(json);
    let decimal = match dialect {
        Dialect::Seed => true,
        // A number is in minor units, and so is a string without a point.
        Dialect::V1 => quoted.is_some() && text.contains('.'),
    };
    if decimal { from_decimal(text, dialect) } else { from_digits(text) }
}

fn from_digits(text: &str) -> Option<Amount> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().and_then(|minor| Amount::new(minor).ok())
}

fn from_decimal(text: &str, dialect: Dialect) -> Option<Amount> {
    let (major, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if major.is_empty() || fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if fraction.len() > DECIMALS && dialect == Dialect::V1 {
        return None;
    }
    let kept: String = fraction.chars().chain(['0', '0']).take(DECIMALS).collect();
    from_digits(&format!("{major}{kept}"))
}

/// Writes an amount as JSON.
pub(super) fn write(out: &mut String, amount: Amount, dialect: Dialect) {
    use std::fmt::Write as _;
    let minor = amount.minor();
    let (major, rest) = (minor / 100, minor % 100);
    let written = match (dialect, rest) {
        (Dialect::V1, _) => write!(out, "{minor}"),
        (Dialect::Seed, 0) => write!(out, "{major}"),
        (Dialect::Seed, _) => write!(out, "{major}.{rest:02}"),
    };
    debug_assert!(written.is_ok(), "a String takes whatever is written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_without_floats() {
        let minor = |json, dialect| read(json, dialect).map(Amount::minor);
        for (json, seed, v1) in [
            ("10", Some(1000), Some(10)),
            ("12.34", Some(1234), None),
            ("0.1", Some(10), None),
            ("512.7391823471", Some(51_273), None),
            ("\"12.34\"", Some(1234), Some(1234)),
            ("\"12.3\"", Some(1230), Some(1230)),
            ("\"1234\"", Some(123_400), Some(1234)),
            ("\"1.234\"", Some(123), None),
            ("90071992547409.91", Some((1 << 53) - 1), None),
            ("9007199254740991", None, Some((1 << 53) - 1)),
            ("9007199254740992", None, None),
            ("18446744073709551616", None, None),
            ("-1", None, None),
            ("-0", None, None),
            ("1e3", None, None),
            ("1E3", None, None),
            ("1e308", None, None),
            ("1.", None, None),
            ("\".5\"", None, None),
            ("\"\"", None, None),
            ("\"NaN\"", None, None),
            ("null", None, None),
            ("true", None, None),
            ("[1]", None, None),
            ("{}", None, None),
            ("\" 1\"", None, None),
            ("\"1.-5\"", None, None),
            ("\"٣\"", None, None),
            ("-0.0", None, None),
            ("\"-1\"", None, None),
            ("\"+1\"", None, None),
            ("1e-2", None, None),
            ("1.5e3", None, None),
            ("\"1e3\"", None, None),
            ("\"Infinity\"", None, None),
            ("\"0x10\"", None, None),
            ("\"1_000\"", None, None),
            ("\"1,000\"", None, None),
            ("\"1.2.3\"", None, None),
            ("\".\"", None, None),
            ("\"1.\"", None, None),
            ("\"1 \"", None, None),
            ("\"1\\u0000\"", None, None),
            ("\"1\\n\"", None, None),
            ("\"１\"", None, None),
            ("\"½\"", None, None),
            ("\"€1\"", None, None),
            ("false", None, None),
            ("[]", None, None),
            ("\"9007199254740992\"", None, None),
            ("\"18446744073709551616\"", None, None),
            ("92233720368547758.08", None, None),
            // Sums that a float would get wrong.
            ("0.07", Some(7), None),
            ("1.15", Some(115), None),
            ("\"0.29\"", Some(29), Some(29)),
            ("\"1.10\"", Some(110), Some(110)),
        ] {
            assert_eq!(minor(json, Dialect::Seed), seed, "seed {json}");
            assert_eq!(minor(json, Dialect::V1), v1, "v1 {json}");
        }
    }

    #[test]
    fn amounts_are_written_as_they_are_read() {
        for minor in [0, 1, 99, 100, 101, 123_456, (1 << 53) - 1] {
            let amount = Amount::new(minor).expect("in range");
            for dialect in [Dialect::Seed, Dialect::V1] {
                let mut json = String::new();
                write(&mut json, amount, dialect);
                assert_eq!(read(&json, dialect), Some(amount), "{json}");
            }
        }
    }
}
