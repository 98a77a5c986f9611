//! `gavel limits`.

use super::target::{Target, present};
use crate::{
    failure::Failure,
    output::{self, Table},
};
use gavel_proto::{
    admin::v1::{GetLimitsRequest, UpdateLimitsRequest, limit_service_client::LimitServiceClient},
    config::v1 as config,
    limits::{self, ACTIONS, LIMITS, Value},
};
use serde_json::{Map, json};

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
        /// Such as `bids_per_user_max=10`, where 0 means no limit; or `bids_per_user_action=dry_run`,
        /// to find out first whom it would hit.
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = setting)]
        settings: Vec<(String, Value)>,
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
            set(&mut limits, &key, &value).map_err(Failure::Usage)?;
        }
        // The version read guards against an edit in between.
        let request = UpdateLimitsRequest { limits: Some(limits), version: now.version };
        let stored = target.answer(client.update_limits(request)).await?;
        show(&present("limits", stored.limits)?, stored.version, target.json)
    }
}

fn setting(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("write it as key=value")?;
    let value = value.parse().map_or_else(|_| Value::Word(value.to_owned()), Value::Number);
    // Checks the key before anything is asked of the network.
    set(&mut config::Limits::default(), key, &value)?;
    Ok((key.to_owned(), value))
}

fn show(limits: &config::Limits, version: u64, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let limits: Map<String, serde_json::Value> =
            limits::entries(limits).map(|(key, value)| (key.to_owned(), json!(value))).collect();
        return output::json(&json!({"version": version, "limits": limits}));
    }
    let mut table = Table::new(["LIMIT", "VALUE"]);
    for (key, value) in limits::entries(limits) {
        let value = match value {
            Value::Number(number) => number.to_string(),
            Value::Word(word) => word,
        };
        table.row([key.to_owned(), value]);
    }
    output::text(format_args!("{table}\nversion {version}\n"))
}

fn set(limits: &mut config::Limits, key: &str, value: &Value) -> Result<(), String> {
    limits::set(limits, key, value).map_err(|error| {
        if error.field != "limits" {
            return error.to_string();
        }
        let limits = LIMITS.iter().map(|limit| limit.name);
        let known: Vec<_> = limits.chain(ACTIONS.iter().map(|action| action.name)).collect();
        format!("there is no limit {key:?}; there are {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_setting_is_named() {
        assert!(setting("sockets=1").unwrap_err().contains("there is no limit \"sockets\""));
        assert!(setting("bids_per_user_max=4294967296").unwrap_err().contains("too large"));
        assert!(setting("bids_per_user_max=-1").is_err());
        assert!(setting("bids_per_user_max").is_err());
        assert!(setting("bids_per_user_action=drop").unwrap_err().contains("refuse, close, shed"));
        assert!(setting("bids_per_user_action=dry_run").is_ok());
    }
}
