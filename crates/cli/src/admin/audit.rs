//! `gavel audit`.

use super::target::{Target, present};
use crate::{
    failure::Failure,
    output::{self, Table},
    units,
};
use gavel_proto::admin::v1::{
    AuditEntry, ListAuditEntriesRequest, WatchAuditEntriesRequest,
    audit_service_client::AuditServiceClient,
};
use serde_json::{Value, json};

/// Entries of one page.
const PAGE_SIZE: u32 = 500;

/// See who changed what.
#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    #[command(flatten)]
    target: Target,
    /// Only this resource, such as rooms/1, or all of a kind, such as rooms.
    #[arg(long, global = true, value_name = "RESOURCE", default_value = "")]
    resource: String,
    /// Only by the operator of this name.
    #[arg(long, global = true, value_name = "NAME", default_value = "")]
    by: String,
    #[command(subcommand)]
    verb: AuditVerb,
}

#[derive(Debug, clap::Subcommand)]
enum AuditVerb {
    /// The newest changes, the newest first.
    List {
        /// How many at most.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// Changes as they come, until interrupted.
    Watch {
        /// Begin behind the entry of this number instead of now.
        #[arg(long, value_name = "NUMBER")]
        after: Option<u64>,
    },
}

// === impl Audit ===

impl Audit {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            AuditVerb::List { limit } => self.list(limit).await,
            AuditVerb::Watch { after } => self.watch(after).await,
        }
    }

    async fn list(self, limit: u32) -> Result<(), Failure> {
        let mut client = AuditServiceClient::new(self.target.connect()?);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut entries, mut page_token) = (Vec::new(), String::new());
        while entries.len() < limit {
            let request = ListAuditEntriesRequest {
                page_size: PAGE_SIZE,
                page_token,
                resource: self.resource.clone(),
                name: self.by.clone(),
            };
            let page = self.target.answer(client.list_audit_entries(request)).await?;
            entries.extend(page.entries);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        entries.truncate(limit);
        if self.target.json {
            let entries: Vec<Value> = entries.iter().map(as_json).collect();
            return output::json(&Value::from(entries));
        }
        let mut table = Table::new(["#", "AT", "WHO", "FROM", "WHAT", "RESOURCE", "OUTCOME"]);
        for entry in &entries {
            table.row(cells(entry));
        }
        output::text(table)
    }

    async fn watch(self, after: Option<u64>) -> Result<(), Failure> {
        let mut client = AuditServiceClient::new(self.target.connect()?);
        let (resource, name) = (self.resource.clone(), self.by.clone());
        let request = WatchAuditEntriesRequest { after, resource, name };
        let mut stream = self.target.answer(client.watch_audit_entries(request)).await?;
        loop {
            let Some(next) = self.target.next(stream.message().await)? else { return Ok(()) };
            let entry = present("entry", next.entry)?;
            if self.target.json {
                output::json(&as_json(&entry))?;
                continue;
            }
            let mut row = Table::plain();
            row.row(cells(&entry));
            output::text(row)?;
            for (word, value) in [("from", &entry.old), ("to", &entry.new), ("why", &entry.message)]
            {
                if !value.is_empty() {
                    output::text(format_args!("    {word} {value}\n"))?;
                }
            }
        }
    }
}

fn cells(entry: &AuditEntry) -> [String; 7] {
    let (_, what) = entry.rpc.rsplit_once('/').unwrap_or(("", &entry.rpc));
    let unknown = || "under way, or unknown".to_owned();
    let outcome = Some(entry.outcome.clone()).filter(|outcome| !outcome.is_empty());
    [
        entry.id.to_string(),
        units::timestamp(entry.at),
        format!("{} ({})", entry.name, entry.role),
        entry.peer.clone(),
        what.to_owned(),
        entry.resource.clone(),
        outcome.unwrap_or_else(unknown),
    ]
}

fn as_json(entry: &AuditEntry) -> Value {
    // They are JSON, or nothing.
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    json!({
        "id": entry.id,
        "at": entry.at,
        "name": entry.name,
        "role": entry.role,
        "peer": entry.peer,
        "rpc": entry.rpc,
        "resource": entry.resource,
        "old": value(&entry.old),
        "new": value(&entry.new),
        "requestId": entry.request_id,
        "traceId": entry.trace_id,
        "outcome": entry.outcome,
        "message": entry.message,
    })
}
