//! `gavel limits`.

use super::target::{Target, present};
use crate::{
    failure::Failure,
    output::{self, Table},
};
use gavel_proto::{
    admin::v1::{GetLimitsRequest, UpdateLimitsRequest, limit_service_client::LimitServiceClient},
    config::v1 as config,
    limits::{LIMITS, Limit},
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
        let limits: Map<String, Value> =
            entries(limits).map(|(key, value)| (key.to_owned(), value.into())).collect();
        return output::json(&json!({"version": version, "limits": limits}));
    }
    let mut table = Table::new(["LIMIT", "VALUE"]);
    for (key, value) in entries(limits) {
        table.row([key.to_owned(), value.to_string()]);
    }
    output::text(format_args!("{table}\nversion {version}\n"))
}

fn entries(limits: &config::Limits) -> impl Iterator<Item = (&'static str, u64)> {
    LIMITS.iter().map(|limit| (limit.name, limit.get(limits)))
}

fn set(limits: &mut config::Limits, key: &str, value: u64) -> Result<(), String> {
    let limit = Limit::named(key).ok_or_else(|| {
        let known: Vec<_> = LIMITS.iter().map(|limit| limit.name).collect();
        format!("there is no limit {key:?}; there are {}", known.join(", "))
    })?;
    let fits = limit.set(limits, value);
    fits.then_some(()).ok_or_else(|| format!("{key}: {value} is too large"))
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
    }
}
