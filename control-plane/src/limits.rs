//! The stored form of the limits document.
//!
//! Nodes check the same bounds; here they are checked so that an operator
//! learns of a fault at once and by its name.

use gavel_proto::{
    config::v1 as wire,
    limits::{self, LimitsError},
};

/// The stored form of limits: a JSON object of numbers and words.
#[must_use]
pub(crate) fn to_json(limits: &wire::Limits) -> String {
    let values = limits::values(limits);
    serde_json::to_string(&values).expect("a map of numbers and words is always JSON")
}

/// Reads limits from their stored form.
///
/// # Errors
/// [`LimitsError`] if the text is not such a document or a value is out of
/// range.
pub(crate) fn from_json(text: &str) -> Result<wire::Limits, LimitsError> {
    let values = serde_json::from_str(text)
        .map_err(|error| LimitsError { field: "limits", message: error.to_string() })?;
    limits::from_values(&values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_proto::limits::defaults;

    #[test]
    fn the_stored_form_reads_back_and_fills_what_it_lacks() {
        let dry_run = wire::LimitAction::DryRun.into();
        let limits = wire::Limits { sockets_per_ip_action: dry_run, ..defaults() };
        assert!(to_json(&limits).contains(r#""sockets_per_ip_action":"dry_run""#));
        assert_eq!(from_json(&to_json(&limits)), Ok(limits));
        let limits = wire::Limits { bids_per_user_max: 9, batch_window_ms: 0, ..defaults() };
        assert_eq!(from_json(&to_json(&limits)), Ok(limits));
        let part = from_json(r#"{"bids_per_user_max": 9, "batch_window_ms": 0}"#);
        assert_eq!(part, Ok(limits));
    }

    #[test]
    fn what_is_not_a_limit_is_refused() {
        for (text, field) in [
            ("", "limits"),
            ("7", "limits"),
            (r#"{"bids": 1}"#, "limits"),
            (r#"{"bids_per_user_max": -1}"#, "limits"),
            (r#"{"bids_per_user_max": 4294967296}"#, "bids_per_user_max"),
            (r#"{"batch_messages_max": 0}"#, "batch_messages_max"),
            (r#"{"batch_messages_max": "many"}"#, "batch_messages_max"),
            (r#"{"bids_per_user_action": "drop"}"#, "bids_per_user_action"),
            (r#"{"bids_per_user_action": null}"#, "limits"),
        ] {
            assert_eq!(from_json(text).unwrap_err().field, field, "{text}");
        }
    }
}
