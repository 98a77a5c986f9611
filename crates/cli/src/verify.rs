//! `gavel verify`: what is stored of rooms, and what clients recorded of
//! them, against the invariants of docs/verify.md.
//!
//! ```text
//! node | Redis | data | file --source--> Stream  -+
//! files of `gavel load --record` ------> History -+-> rules::audit -> report
//! ```

mod kept;
mod node;
mod report;
mod source;

use crate::{
    admin::{self, Target},
    failure::Failure,
    output,
};
use gavel_rules::{
    audit::{History, audit},
    id::RoomId,
};
use gavel_runtime::tls::Tls;
use kept::StreamFile;
use report::Verdict;
use source::Source;
use std::{collections::BTreeMap, path::PathBuf};

/// Check what is stored and what clients recorded.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// Rooms to check; without any, those of --data or --stream, or else of the histories.
    #[arg(value_name = "ROOM")]
    rooms: Vec<RoomId>,
    /// Check every room that the control plane knows.
    #[arg(long, conflicts_with_all = ["rooms", "data", "stream"])]
    all: bool,
    /// Read the streams from this node.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000")]
    node: String,
    /// Read the streams from this Redis or Valkey instead of a node.
    #[arg(long, value_name = "URL", conflicts_with_all = ["node", "data", "stream"])]
    redis_url: Option<String>,
    /// Read the streams from this directory of a `gavel serve` or `gavel dev` that has stopped,
    /// instead of a node.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["node", "stream"])]
    data: Option<PathBuf>,
    /// Read the streams from this file instead of a node.
    #[arg(long, value_name = "FILE", conflicts_with = "node")]
    stream: Option<PathBuf>,
    /// Keep the streams that were read in this file, for --stream.
    #[arg(long, value_name = "FILE", conflicts_with = "stream")]
    save: Option<PathBuf>,
    /// Histories of clients, as `gavel load --record` keeps them.
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    history: Vec<PathBuf>,
    /// The histories hold every bid that was ever sent to the rooms: any other
    /// accepted bid is a phantom.
    #[arg(long, requires = "history")]
    complete: bool,
    #[command(flatten)]
    target: Target,
}

/// Checks the rooms; any violation is a refusal.
pub(crate) async fn run(args: VerifyArgs) -> Result<(), Failure> {
    let mut histories: BTreeMap<RoomId, Vec<History>> = BTreeMap::new();
    for path in &args.history {
        kept::read_history(path, &mut histories)?;
    }
    let mut source = open(&args).await?;
    let rooms = rooms(&args, &source, &histories).await?;
    let mut save = args.save.as_deref().map(StreamFile::create).transpose()?;
    let mut verdicts = Vec::new();
    for room in rooms {
        let stream = source.stream(&room).await?;
        if let Some(file) = &mut save {
            file.keep(&stream)?;
        }
        let recorded = histories.remove(&room).unwrap_or_default();
        verdicts.push(Verdict { found: audit(&stream, &recorded, args.complete), room });
    }
    if let Some(file) = save {
        file.finish()?;
    }
    if args.target.json {
        output::json(&report::to_json(&verdicts))?;
    } else {
        output::text(report::Text(&verdicts))?;
    }
    let (broken, all) = (verdicts.iter().filter(|one| one.found.is_err()).count(), verdicts.len());
    match broken {
        0 => Ok(()),
        _ => Err(Failure::Refused(format!("{broken} of {all} rooms violate an invariant"))),
    }
}

/// Reads one room from a node and checks it; tells how many events it has.
pub(crate) async fn audited(
    node: &str,
    room: &RoomId,
    token: Option<&str>,
    tls: &Tls,
) -> Result<u64, Failure> {
    let stream = Source::node(node, token, tls).await?.stream(room).await?;
    let report = audit(&stream, &[], false);
    let report = report.map_err(|violation| Failure::Refused(violation.to_string()))?;
    Ok(u64::try_from(report.events).unwrap_or(u64::MAX))
}

/// Where the streams come from.
async fn open(args: &VerifyArgs) -> Result<Source, Failure> {
    match (&args.stream, &args.data, &args.redis_url) {
        (Some(path), _, _) => Ok(Source::File(kept::read_streams(path)?)),
        (None, Some(directory), _) => Source::data(directory),
        (None, None, Some(url)) => Source::redis(url),
        (None, None, None) => {
            Source::node(&args.node, args.target.token(), &args.target.tls()?).await
        }
    }
}

async fn rooms(
    args: &VerifyArgs,
    source: &Source,
    histories: &BTreeMap<RoomId, Vec<History>>,
) -> Result<Vec<RoomId>, Failure> {
    if args.all {
        return admin::room_ids(&args.target).await;
    }
    if !args.rooms.is_empty() {
        return Ok(args.rooms.clone());
    }
    let known = source.rooms().await?;
    let rooms: Vec<RoomId> = known.unwrap_or_else(|| histories.keys().cloned().collect());
    if rooms.is_empty() {
        let way = "name a room, or give --all or a --history that holds some";
        return Err(Failure::Usage(way.to_owned()));
    }
    Ok(rooms)
}
