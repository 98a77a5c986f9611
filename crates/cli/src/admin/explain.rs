//! `gavel flags explain`.

use super::target::Target;
use crate::{
    failure::Failure,
    output::{self, Table},
};
use gavel_proto::admin::v1::{
    ExplainFlagRequest, ExplainFlagResponse, FlagDraw, flag_service_client::FlagServiceClient,
};
use serde_json::{Map, Value, json};

/// For whom a flag is explained.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// The flag's name.
    flag: String,
    /// The user.
    #[arg(long)]
    user: Option<String>,
    /// The auction.
    #[arg(long)]
    room: Option<String>,
    /// The socket's session.
    #[arg(long)]
    session: Option<String>,
    /// The node.
    #[arg(long)]
    node: Option<String>,
    /// The targeting key, for a flag that is not one of Gavel's.
    #[arg(long)]
    targeting_key: Option<String>,
    /// An attribute of such a flag, as NAME=VALUE; a value that is JSON counts as that.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, Value)>,
}

fn attribute(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("this is not NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.to_owned(), value))
}

// === impl Explain ===

impl Explain {
    pub(super) async fn run(self, target: &Target) -> Result<(), Failure> {
        let mut client = FlagServiceClient::new(target.connect()?);
        let (key, context) = (self.flag.clone(), Value::from(self.context()).to_string());
        let request = ExplainFlagRequest { key: key.clone(), context };
        let told = target.answer(client.explain_flag(request)).await?;
        if target.json {
            return output::json(&in_json(&key, &told));
        }
        output::text(table(&key, &told))
    }

    fn context(self) -> Map<String, Value> {
        let known = [
            ("userId", self.user),
            ("roomId", self.room),
            ("sessionId", self.session),
            ("nodeId", self.node),
            ("targetingKey", self.targeting_key),
        ];
        let known =
            known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
        known.chain(self.attributes).collect()
    }
}

fn in_json(key: &str, told: &ExplainFlagResponse) -> Value {
    let draw = |draw: &FlagDraw| {
        json!({"subject": draw.subject, "bucket": draw.bucket, "total": draw.total,
            "from": draw.from, "to": draw.to})
    };
    json!({
        "key": key,
        "variant": told.variant,
        "value": serde_json::from_str::<Value>(&told.value).unwrap_or_default(),
        "reason": told.reason,
        "fault": told.fault,
        "path": told.path,
        "draws": told.draws.iter().map(draw).collect::<Vec<_>>(),
        "targetingKey": told.targeting_key,
        "version": told.version,
    })
}

fn table(key: &str, told: &ExplainFlagResponse) -> Table {
    let mut table = Table::plain();
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    match &told.variant {
        Some(variant) => row(key, format!("{} (variant {variant:?})", told.value)),
        None => row(key, "no answer: whoever asks goes by its own default".to_owned()),
    }
    row("reason", told.reason.clone());
    if !told.fault.is_empty() {
        row("fault", told.fault.clone());
    }
    row("decided by", told.path.clone());
    for FlagDraw { subject, bucket, total, from, to } in &told.draws {
        let last = to.saturating_sub(1);
        row("drawn", format!("{subject:?} is in bucket {bucket} of {total}, of {from} to {last}"));
    }
    row("targeting key", format!("{:?}", told.targeting_key));
    row("document", format!("version {}", told.version));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_json_or_text() {
        let (name, value) = attribute("version=1.5").unwrap();
        assert_eq!((name.as_str(), value), ("version", json!(1.5)));
        assert_eq!(attribute("plan=gold=1").unwrap().1, json!("gold=1"));
        assert!(attribute("plan").is_err());
    }
}
