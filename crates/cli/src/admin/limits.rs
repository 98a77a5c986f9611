//! `gavel limits`.

use super::target::{Target, present};
use crate::{
    failure::Failure,
    output::{self, Table},
};
use gavel_proto::{
    admin::v1::{GetLimitsRequest, UpdateLimitsRequest, limit_service_client::LimitServiceClient},
    config::v1 as config,
};
use serde_json::{Map, Value, json};

/// Look at and change the limits in force.
#[derive(Debug, clap::Args)]
pub(crate) struct Limits {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: LimitsVerb,
}

#[derive(Debug, clap::Subcommand)]
enum LimitsVerb {
    /// The limits in force on every node.
    Get,
    /// Change some of them and leave the others.
    Set {
        /// Such as `bids_per_user_max=10`; 0 means no limit where a maximum is meant.
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = setting)]
        settings: Vec<(String, u64)>,
    },
}

// === impl Limits ===

impl Limits {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self { target, verb } = self;
        let mut client = LimitServiceClient::new(target.connect()?);
        let now = target.answer(client.get_limits(GetLimitsRequest {})).await?;
        let mut limits = present("limits", now.limits)?;
        let LimitsVerb::Set { settings } = verb else {
            return show(&limits, now.version, target.json);
        };
        for (key, value) in settings {
            set(&mut limits, &key, value).map_err(Failure::Usage)?;
        }
        // The version read guards against an edit in between.
        let request = UpdateLimitsRequest { limits: Some(limits), version: now.version };
        let stored = target.answer(client.update_limits(request)).await?;
        show(&present("limits", stored.limits)?, stored.version, target.json)
    }
}

fn setting(text: &str) -> Result<(String, u64), String> {
    let (key, value) = text.split_once('=').ok_or("write it as key=value")?;
    let value = value.parse().map_err(|_| format!("{value:?} is not a whole number"))?;
    // Checks the key before anything is asked of the network.
    set(&mut config::Limits::default(), key, value)?;
    Ok((key.to_owned(), value))
}

fn show(limits: &config::Limits, version: u64, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let limits: Map<String, Value> = entries(limits)
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect();
        return output::json(&json!({"version": version, "limits": limits}));
    }
    let mut table = Table::new(["LIMIT", "VALUE"]);
    for (key, value) in entries(limits) {
        table.row([key.to_owned(), value.to_string()]);
    }
    output::text(format_args!("{table}\nversion {version}\n"))
}

fn entries(limits: &config::Limits) -> [(&'static str, u64); 12] {
    [
        ("sockets_per_ip_max", limits.sockets_per_ip_max.into()),
        ("sockets_per_node_max", limits.sockets_per_node_max.into()),
        ("bids_per_user_max", limits.bids_per_user_max.into()),
        ("bids_window_ms", limits.bids_window_ms),
        ("messages_per_session_rate", limits.messages_per_session_rate.into()),
        ("messages_per_session_burst", limits.messages_per_session_burst.into()),
        ("message_bytes_max", limits.message_bytes_max.into()),
        ("rooms_per_session_max", limits.rooms_per_session_max.into()),
        ("heartbeat_interval_ms", limits.heartbeat_interval_ms),
        ("pong_deadline_ms", limits.pong_deadline_ms),
        ("batch_messages_max", limits.batch_messages_max.into()),
        ("batch_window_ms", limits.batch_window_ms),
    ]
}

fn set(limits: &mut config::Limits, key: &str, value: u64) -> Result<(), String> {
    let narrow = || u32::try_from(value).map_err(|_| format!("{key}: {value} is too large"));
    match key {
        "sockets_per_ip_max" => limits.sockets_per_ip_max = narrow()?,
        "sockets_per_node_max" => limits.sockets_per_node_max = narrow()?,
        "bids_per_user_max" => limits.bids_per_user_max = narrow()?,
        "bids_window_ms" => limits.bids_window_ms = value,
        "messages_per_session_rate" => limits.messages_per_session_rate = narrow()?,
        "messages_per_session_burst" => limits.messages_per_session_burst = narrow()?,
        "message_bytes_max" => limits.message_bytes_max = narrow()?,
        "rooms_per_session_max" => limits.rooms_per_session_max = narrow()?,
        "heartbeat_interval_ms" => limits.heartbeat_interval_ms = value,
        "pong_deadline_ms" => limits.pong_deadline_ms = value,
        "batch_messages_max" => limits.batch_messages_max = narrow()?,
        "batch_window_ms" => limits.batch_window_ms = value,
        _ => {
            let known = entries(limits).map(|(key, _)| key).join(", ");
            return Err(format!("there is no limit {key:?}; there are {known}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_that_is_shown_can_be_set() {
        let mut limits = config::Limits::default();
        for (n, (key, _)) in (1..).zip(entries(&limits)) {
            set(&mut limits, key, n).unwrap();
        }
        let values = entries(&limits).map(|(_, value)| value);
        assert_eq!(values, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    }

    #[test]
    fn a_wrong_setting_is_named() {
        assert!(setting("sockets=1").unwrap_err().contains("there is no limit \"sockets\""));
        assert!(setting("bids_per_user_max=4294967296").unwrap_err().contains("too large"));
        assert!(setting("bids_per_user_max=-1").is_err());
        assert!(setting("bids_per_user_max").is_err());
    }
}
