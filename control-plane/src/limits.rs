//! The limits document: its defaults, its bounds, and the form it is stored in.

use gavel_proto::config::v1::Limits;
use serde::{Deserialize, Serialize};

/// A limit that is out of range, or a document that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct LimitsError {
    /// Which limit.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// The document as it is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

/// What is in force before an operator says otherwise; the seed's values
/// where the seed has one.
#[must_use]
pub fn defaults() -> Limits {
    Limits {
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

/// Refuses limits that the nodes would refuse.
///
/// # Errors
/// [`LimitsError`] for the first limit out of range.
pub fn check(limits: &Limits) -> Result<(), LimitsError> {
    within("bids_window_ms", limits.bids_window_ms, 1_000, 86_400_000)?;
    within("message_bytes_max", limits.message_bytes_max.into(), 256, 1_048_576)?;
    within("heartbeat_interval_ms", limits.heartbeat_interval_ms, 1_000, 300_000)?;
    within("pong_deadline_ms", limits.pong_deadline_ms, 500, 60_000)?;
    within("batch_messages_max", limits.batch_messages_max.into(), 1, 256)?;
    within("batch_window_ms", limits.batch_window_ms, 0, 1_000)
}

fn within(field: &'static str, value: u64, least: u64, most: u64) -> Result<(), LimitsError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(LimitsError { field, message: format!("{value} is not within {least} to {most}") })
}

/// The form that is stored.
#[must_use]
pub fn to_json(limits: &Limits) -> String {
    let stored = Stored {
        sockets_per_ip_max: limits.sockets_per_ip_max,
        sockets_per_node_max: limits.sockets_per_node_max,
        bids_per_user_max: limits.bids_per_user_max,
        bids_window_ms: limits.bids_window_ms,
        messages_per_session_rate: limits.messages_per_session_rate,
        messages_per_session_burst: limits.messages_per_session_burst,
        message_bytes_max: limits.message_bytes_max,
        rooms_per_session_max: limits.rooms_per_session_max,
        heartbeat_interval_ms: limits.heartbeat_interval_ms,
        pong_deadline_ms: limits.pong_deadline_ms,
        batch_messages_max: limits.batch_messages_max,
        batch_window_ms: limits.batch_window_ms,
    };
    serde_json::to_string(&stored).unwrap_or_else(|_| unreachable!("numbers are JSON"))
}

/// Reads the stored form.
///
/// # Errors
/// [`LimitsError`] if it is not such a document, or a limit is out of range.
pub fn from_json(json: &str) -> Result<Limits, LimitsError> {
    let unreadable =
        |error: serde_json::Error| LimitsError { field: "limits", message: error.to_string() };
    let stored: Stored = serde_json::from_str(json).map_err(unreadable)?;
    let limits = Limits {
        sockets_per_ip_max: stored.sockets_per_ip_max,
        sockets_per_node_max: stored.sockets_per_node_max,
        bids_per_user_max: stored.bids_per_user_max,
        bids_window_ms: stored.bids_window_ms,
        messages_per_session_rate: stored.messages_per_session_rate,
        messages_per_session_burst: stored.messages_per_session_burst,
        message_bytes_max: stored.message_bytes_max,
        rooms_per_session_max: stored.rooms_per_session_max,
        heartbeat_interval_ms: stored.heartbeat_interval_ms,
        pong_deadline_ms: stored.pong_deadline_ms,
        batch_messages_max: stored.batch_messages_max,
        batch_window_ms: stored.batch_window_ms,
    };
    check(&limits)?;
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range_and_survive_the_store() {
        assert_eq!(from_json(&to_json(&defaults())), Ok(defaults()));
    }

    #[test]
    fn a_limit_out_of_range_is_named() {
        for (limits, field) in [
            (Limits { bids_window_ms: 999, ..defaults() }, "bids_window_ms"),
            (Limits { message_bytes_max: 1 << 21, ..defaults() }, "message_bytes_max"),
            (Limits { heartbeat_interval_ms: 0, ..defaults() }, "heartbeat_interval_ms"),
            (Limits { pong_deadline_ms: 1, ..defaults() }, "pong_deadline_ms"),
            (Limits { batch_messages_max: 0, ..defaults() }, "batch_messages_max"),
            (Limits { batch_window_ms: 1_001, ..defaults() }, "batch_window_ms"),
        ] {
            assert_eq!(check(&limits).expect_err(field).field, field);
        }
    }
}
