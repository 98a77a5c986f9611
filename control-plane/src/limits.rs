//! The limits document: its defaults, its bounds and its stored form.
//!
//! Nodes check the same bounds; here they are checked so that an operator
//! learns of a fault at once and by its name.

use gavel_proto::config::v1 as wire;
use serde::{Deserialize, Serialize};

/// A limit that is out of range, or a document that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct LimitsError {
    /// The field at fault; `limits` where it is the whole document.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// The stored form. A document of an earlier release lacks the newer limits,
/// which then have their defaults.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Stored {
    sockets_per_ip_max: u32,
    sockets_per_node_max: u32,
    bids_per_user_max: u32,
    bids_window_ms: u64,
    messages_per_session_rate: u32,
    messages_per_session_burst: u32,
    message_bytes_max: u32,
    rooms_per_session_max: u32,
    heartbeat_interval_ms: u64,
    pong_deadline_ms: u64,
    batch_messages_max: u32,
    batch_window_ms: u64,
}

/// The limits of a new cluster, which equal those of a node without a control
/// plane.
#[must_use]
pub fn defaults() -> wire::Limits {
    wire::Limits {
        sockets_per_ip_max: 5,
        sockets_per_node_max: 50_000,
        bids_per_user_max: 5,
        bids_window_ms: 60_000,
        messages_per_session_rate: 20,
        messages_per_session_burst: 40,
        message_bytes_max: 16_384,
        rooms_per_session_max: 64,
        heartbeat_interval_ms: 30_000,
        pong_deadline_ms: 10_000,
        batch_messages_max: 10,
        batch_window_ms: 100,
    }
}

/// Refuses limits out of range, by the name of the field.
///
/// # Errors
/// [`LimitsError`] for the first field that is out of range.
pub fn check(limits: &wire::Limits) -> Result<(), LimitsError> {
    within("bids_window_ms", limits.bids_window_ms, 1_000, 86_400_000)?;
    within("message_bytes_max", limits.message_bytes_max.into(), 256, 1_048_576)?;
    within("heartbeat_interval_ms", limits.heartbeat_interval_ms, 1_000, 300_000)?;
    within("pong_deadline_ms", limits.pong_deadline_ms, 500, 60_000)?;
    within("batch_messages_max", limits.batch_messages_max.into(), 1, 256)?;
    within("batch_window_ms", limits.batch_window_ms, 0, 1_000)
}

/// The stored form of limits.
#[must_use]
pub fn to_json(limits: &wire::Limits) -> String {
    serde_json::to_string(&Stored::from(*limits)).expect("a struct of numbers is always JSON")
}

/// Reads limits from their stored form.
///
/// # Errors
/// [`LimitsError`] if the text is not such a document or a value is out of
/// range.
pub fn from_json(text: &str) -> Result<wire::Limits, LimitsError> {
    let stored: Stored = serde_json::from_str(text)
        .map_err(|error| LimitsError { field: "limits", message: error.to_string() })?;
    let limits = stored.into();
    check(&limits)?;
    Ok(limits)
}

fn within(field: &'static str, value: u64, least: u64, most: u64) -> Result<(), LimitsError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(LimitsError { field, message: format!("{value} is not within {least} to {most}") })
}

// === impl Stored ===

impl Default for Stored {
    fn default() -> Self {
        defaults().into()
    }
}

// Both name every field, so a limit added to the proto and forgotten here does
// not compile.
macro_rules! same_fields {
    ($($field:ident)+) => {
        impl From<wire::Limits> for Stored {
            fn from(wire::Limits { $($field),+ }: wire::Limits) -> Self {
                Self { $($field),+ }
            }
        }

        impl From<Stored> for wire::Limits {
            fn from(Stored { $($field),+ }: Stored) -> Self {
                Self { $($field),+ }
            }
        }
    };
}

same_fields! {
    sockets_per_ip_max sockets_per_node_max bids_per_user_max bids_window_ms
    messages_per_session_rate messages_per_session_burst message_bytes_max rooms_per_session_max
    heartbeat_interval_ms pong_deadline_ms batch_messages_max batch_window_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_form_reads_back_and_fills_what_it_lacks() {
        let limits = wire::Limits { bids_per_user_max: 9, batch_window_ms: 0, ..defaults() };
        assert_eq!(from_json(&to_json(&limits)), Ok(limits));
        let part = from_json(r#"{"bids_per_user_max": 9, "batch_window_ms": 0}"#);
        assert_eq!(part, Ok(limits));
    }

    #[test]
    fn what_is_not_a_limit_is_refused() {
        for text in ["", "7", r#"{"bids": 1}"#, r#"{"bids_per_user_max": -1}"#] {
            assert_eq!(from_json(text).unwrap_err().field, "limits", "{text}");
        }
        let error = from_json(r#"{"batch_messages_max": 0}"#).unwrap_err();
        assert_eq!(error.to_string(), "batch_messages_max: 0 is not within 1 to 256");
    }

    #[test]
    fn each_bound_is_held_by_its_name() {
        type Set = fn(&mut wire::Limits, u32);
        let fields: [(&str, u32, u32, Set); 6] = [
            ("bids_window_ms", 1_000, 86_400_000, |l, v| l.bids_window_ms = v.into()),
            ("message_bytes_max", 256, 1_048_576, |l, v| l.message_bytes_max = v),
            ("heartbeat_interval_ms", 1_000, 300_000, |l, v| l.heartbeat_interval_ms = v.into()),
            ("pong_deadline_ms", 500, 60_000, |l, v| l.pong_deadline_ms = v.into()),
            ("batch_messages_max", 1, 256, |l, v| l.batch_messages_max = v),
            ("batch_window_ms", 0, 1_000, |l, v| l.batch_window_ms = v.into()),
        ];
        assert_eq!(check(&defaults()), Ok(()));
        for (field, least, most, set) in fields {
            let refused = |value| {
                let mut limits = defaults();
                set(&mut limits, value);
                check(&limits).err().map(|error| error.field)
            };
            assert_eq!((refused(least), refused(most)), (None, None), "{field}");
            assert_eq!(refused(most + 1), Some(field));
            if least > 0 {
                assert_eq!(refused(least - 1), Some(field));
            }
        }
    }
}
