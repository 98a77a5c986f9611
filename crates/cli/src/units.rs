//! Amounts and durations as people write them.

use gavel_rules::{amount::Amount, auction::Band, time::Millis};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Reads `10`, `10.5` or `10.50` as major units.
pub(crate) fn amount(text: &str) -> Result<Amount, String> {
    let (major, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(major) || !digits(fraction) || fraction.len() > 2 {
        return Err(format!("{text:?} is not an amount such as 10 or 10.50"));
    }
    let minor = format!("{major}{fraction:0<2}");
    let minor = minor.parse().map_err(|_| format!("{text} is too large"))?;
    Amount::new(minor).map_err(|error| error.to_string())
}

/// Writes minor units as major ones.
pub(crate) fn show(minor: u64) -> String {
    format!("{}.{:02}", minor / 100, minor % 100)
}

/// Reads `STEP` (from price 0) or `FROM:STEP`.
pub(crate) fn band(text: &str) -> Result<Band, String> {
    let (from, step) = text.split_once(':').unwrap_or(("0", text));
    Ok(Band { from: amount(from)?, step: amount(step)? })
}

/// Reads `500ms`, `20s`, `5m`, `1h` or sums of them such as `1h30m`.
pub(crate) fn duration(text: &str) -> Result<Millis, String> {
    let wrong = || format!("{text:?} is not a duration such as 500ms, 20s or 5m");
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (count, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let unit: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let count: u64 = count.parse().map_err(|_| wrong())?;
        let part = count.checked_mul(unit).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(Millis::new(total)) }
}

/// Writes milliseconds since the Unix epoch as a date and a time of day, in UTC.
pub(crate) fn timestamp(ms: u64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
    let text = moment.ok().and_then(|moment| moment.format(&Rfc3339).ok());
    text.unwrap_or_else(|| ms.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(1_790_000_000_120), "2026-09-21T14:13:20.12Z");
        assert_eq!(timestamp(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn amounts_are_read_and_written_in_major_units() {
        for (text, minor) in [("10", 1000), ("10.5", 1050), ("0.01", 1), ("10.50", 1050)] {
            assert_eq!(amount(text).map(Amount::minor), Ok(minor), "{text}");
        }
        for text in ["", ".5", "1.", "1.234", "-1", "1e3", "NaN", "184467440737095516150"] {
            assert!(amount(text).is_err(), "{text}");
        }
        assert_eq!(show(123_405), "1234.05");
    }

    #[test]
    fn bands_begin_at_zero_unless_told() {
        let read = |text| band(text).map(|band| (band.from.minor(), band.step.minor()));
        assert_eq!(read("1.00"), Ok((0, 100)));
        assert_eq!(read("100:5"), Ok((10_000, 500)));
        assert!(read("100:").is_err());
    }

    #[test]
    fn durations_are_sums_of_parts() {
        for (text, ms) in [("500ms", 500), ("20s", 20_000), ("1h30m", 5_400_000), ("0s", 0)] {
            assert_eq!(duration(text).map(Millis::get), Ok(ms), "{text}");
        }
        for text in ["", "5", "m", "5x", "-5s", "99999999999999999999s", "1.5h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
