//! `gavel flags`.

use super::{explain::Explain, rollout::RolloutVerb, target::Target};
use crate::{
    failure::Failure,
    output::{self, Table},
};
use gavel_flags::Subject;
use gavel_proto::admin::v1::{
    GetFlagsRequest, UpdateFlagsRequest, flag_service_client::FlagServiceClient,
};
use serde_json::{Value, json};
use std::io::Read as _;

/// Look at and change the feature flags in force.
#[derive(Debug, clap::Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    verb: FlagsVerb,
}

#[derive(Debug, clap::Subcommand)]
enum FlagsVerb {
    /// The flag document in force.
    Get,
    /// Replace the document, or with --percent set the share of one flag of it.
    Set {
        /// A file with a flagd document, `-` for standard input; with --percent a flag's name.
        #[arg(value_name = "FILE|NAME")]
        what: String,
        /// The share of subjects that get `true`.
        #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100))]
        percent: Option<u8>,
        /// What counts as a subject: user, room, session or node.
        #[arg(long, requires = "percent", default_value = "user")]
        by: Subject,
    },
    /// Give a variant of a flag to more and more subjects, and take it back
    /// where it does harm.
    Rollout {
        #[command(subcommand)]
        verb: RolloutVerb,
    },
    /// Why somebody gets what a flag answers.
    Explain(Explain),
}

// === impl Flags ===

impl Flags {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            FlagsVerb::Get => get(&self.target).await,
            FlagsVerb::Set { what, percent: Some(percent), by } => {
                share(&self.target, &what, percent, by).await
            }
            FlagsVerb::Set { what, percent: None, .. } => replace(&self.target, &what).await,
            FlagsVerb::Rollout { verb } => verb.run(&self.target).await,
            FlagsVerb::Explain(explain) => explain.run(&self.target).await,
        }
    }
}

async fn get(target: &Target) -> Result<(), Failure> {
    let (document, version) = fetch(target).await?;
    if target.json {
        return output::json(&json!({"version": version, "document": document}));
    }
    output::text(format_args!("{document:#}\n"))
}

async fn replace(target: &Target, file: &str) -> Result<(), Failure> {
    let mut document = String::new();
    if file == "-" {
        std::io::stdin()
            .read_to_string(&mut document)
            .map_err(|error| Failure::internal("cannot read standard input", error))?;
    } else {
        document = std::fs::read_to_string(file)
            .map_err(|error| Failure::Usage(format!("cannot read {file}: {error}")))?;
    }
    let version = update(target, document, 0).await?;
    done(target, version, &format!("flags replaced, version {version}"))
}

async fn share(target: &Target, flag: &str, percent: u8, by: Subject) -> Result<(), Failure> {
    let (mut document, version) = fetch(target).await?;
    let shared = by.share(&mut document, flag, percent);
    shared.map_err(|error| Failure::Refused(error.to_string()))?;
    // The version read guards against an edit in between.
    let version = update(target, document.to_string(), version).await?;
    done(target, version, &format!("{flag} is on for {percent} % by {by}, version {version}"))
}

async fn fetch(target: &Target) -> Result<(Value, u64), Failure> {
    let mut client = FlagServiceClient::new(target.connect()?);
    let flags = target.answer(client.get_flags(GetFlagsRequest {})).await?;
    let document = serde_json::from_str(&flags.document)
        .map_err(|error| Failure::internal("the control plane sent a bad document", error))?;
    Ok((document, flags.version))
}

async fn update(target: &Target, document: String, version: u64) -> Result<u64, Failure> {
    let mut client = FlagServiceClient::new(target.connect()?);
    let request = UpdateFlagsRequest { document, version };
    Ok(target.answer(client.update_flags(request)).await?.version)
}

fn done(target: &Target, version: u64, line: &str) -> Result<(), Failure> {
    if target.json {
        return output::json(&json!({"version": version}));
    }
    let mut table = Table::plain();
    table.row([line.to_owned()]);
    output::text(table)
}
