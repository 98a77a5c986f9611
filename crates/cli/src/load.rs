//! `gavel load`: open-loop load on a cluster, and a check of what comes back.
//!
//! ```text
//!   schedule --Order--> socket --bid--> node          intended send times, fixed beforehand
//!                       socket <--ack, updates-- node
//!                          |
//!                       ledger    what each room's sockets agree on, by seq
//!                       record    all of it in a file, for `gavel verify`
//! ```
//!
//! With `--reconnect` a bidder (`seat`) whose socket is lost takes another one
//! and asks there again, under the same ids, what was not answered.
//!
//! Latency counts from the time a bid was meant to be sent, so that a stalled
//! server cannot hide by slowing its own load down.

mod ledger;
mod message;
mod record;
mod report;
mod schedule;
mod seat;
mod shared;
mod socket;
mod stats;
#[cfg(test)]
mod tests;
mod track;
mod verify;

use crate::{failure::Failure, files, output, serve, trust::Trust, units};
use futures::StreamExt as _;
use gavel_rules::{id::RoomId, time::Millis};
use gavel_runtime::{clock, shutdown::Shutdown, tasks};
pub(crate) use message::{Message, SUBPROTOCOL, join as join_text};
use record::Recorder;
use report::Report;
use seat::Bidder;
use shared::Shared;
pub(crate) use socket::reach;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Sockets that connect at the same time.
const CONNECTS_MAX: usize = 64;
/// How often the end of a run looks whether everything has arrived.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Put load on a cluster and check what comes back.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LoadArgs {
    /// Where nodes take WebSockets; sockets are spread over them.
    #[arg(long, value_delimiter = ',', default_value = "ws://127.0.0.1:3000/ws")]
    url: Vec<String>,
    /// Sockets to open, each in one room.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    sockets: u32,
    /// Rooms to use, with the ids 1 to this.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rooms: u32,
    /// Rooms to use, by id.
    #[arg(long, value_delimiter = ',', conflicts_with = "rooms")]
    room_ids: Vec<RoomId>,
    /// Bids a second over all rooms; 0 only looks.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    bids_per_second: u32,
    /// How long to bid.
    #[arg(long, default_value = "20s", value_parser = units::duration)]
    duration: Millis,
    /// How long the last answers and updates may take.
    #[arg(long, default_value = "5s", value_parser = units::duration)]
    settle: Millis,
    /// Connect a lost socket to the next URL, and send its unanswered bids again under their ids.
    #[arg(long)]
    reconnect: bool,
    /// Keep every bid, answer and update in this file, for `gavel verify`.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
    /// Print JSON for machines instead of tables for people.
    #[arg(long)]
    json: bool,
}

/// One socket's task and the way to its bids.
#[derive(Debug)]
struct Seat {
    room: usize,
    orders: mpsc::Sender<schedule::Order>,
    task: JoinHandle<()>,
}

/// Runs the load; any fault found is a failure.
pub(crate) async fn run(mut args: LoadArgs) -> Result<(), Failure> {
    let shutdown = serve::signals()?;
    files::raise_limit();
    if args.room_ids.is_empty() {
        args.room_ids = (1..=args.rooms).filter_map(|id| id.to_string().parse().ok()).collect();
    }
    let (shared, took) = execute(&args, &shutdown).await?;
    let report = Report::new(&shared, took);
    if args.json {
        output::json(&report.to_json())?;
    } else {
        output::text(&report)?;
    }
    match report.faults_total() {
        0 => Ok(()),
        faults => Err(Failure::Refused(format!("{faults} faults, first: {}", report.trouble()))),
    }
}

/// The run itself: connect, bid, wait for the rest, look again.
async fn execute(args: &LoadArgs, shutdown: &Shutdown) -> Result<(Arc<Shared>, Duration), Failure> {
    let sockets = usize::try_from(args.sockets).unwrap_or(usize::MAX);
    let mut shared = Shared::new(args.room_ids.len(), sockets);
    shared.tls = args.trust.open()?;
    shared.recorder = args.record.as_deref().map(Recorder::create).transpose()?;
    let shared = Arc::new(shared);
    let stop = CancellationToken::new();
    let seats = connect(args, &shared, &stop, shutdown).await;
    if seats.is_empty() {
        let why = shared.first_trouble().unwrap_or_else(|| "stopped before any".to_owned());
        return Err(Failure::Unavailable(format!("no socket could join: {why}")));
    }

    let started = clock::monotonic();
    let orders = seats.iter().map(|seat| (seat.room, seat.orders.clone())).collect();
    schedule::run(args, orders, &shared, shutdown).await?;
    let took = started.elapsed();
    settle(&shared, Duration::from_millis(args.settle.get())).await;
    stop.cancel();
    for seat in seats {
        // A panic in the task is counted and logged where it happened.
        drop(seat.task.await);
    }
    if let Some(recorder) = &shared.recorder {
        recorder.finish()?;
    }
    verify::run(args, &shared).await;
    Ok((shared, took))
}

async fn connect(
    args: &LoadArgs,
    shared: &Arc<Shared>,
    stop: &CancellationToken,
    shutdown: &Shutdown,
) -> Vec<Seat> {
    let progress = schedule::bar("connecting", u64::from(args.sockets));
    let joins = (0..shared.sockets()).filter_map(|index| {
        let url = args.url.get(index % args.url.len().max(1))?;
        // By rounds of URLs, so that each room has sockets on each node.
        let room = (index / args.url.len()) % args.room_ids.len();
        let id = args.room_ids.get(room)?;
        let place = socket::Place { index, room, ..Default::default() };
        Some(seat(place, url, id, args, shared, stop))
    });
    let mut joins = std::pin::pin!(futures::stream::iter(joins).buffer_unordered(CONNECTS_MAX));
    let mut seats = Vec::new();
    while let Some(Some(joined)) = shutdown.token().run_until_cancelled(joins.next()).await {
        progress.inc(1);
        seats.extend(joined);
    }
    progress.finish_and_clear();
    seats
}

async fn seat(
    place: socket::Place,
    url: &str,
    id: &RoomId,
    args: &LoadArgs,
    shared: &Arc<Shared>,
    stop: &CancellationToken,
) -> Option<Seat> {
    match socket::join(url, id, place, None, shared).await {
        Ok(socket) => {
            let (orders, inbox) = mpsc::channel(schedule::ORDERS_MAX);
            // The URLs after the first, then all of them again.
            let turn = place.index + 1;
            let urls = if args.reconnect { args.url.clone() } else { Vec::new() };
            let bidder =
                Bidder { urls, turn, room_id: id.clone(), inbox, shared: Arc::clone(shared) };
            let task = tasks::spawn("load.socket", bidder.run(socket, stop.clone()));
            Some(Seat { room: place.room, orders, task })
        }
        Err(error) => {
            shared.fault(stats::Fault::ConnectFailed, || format!("{url}: {error}"));
            None
        }
    }
}

/// Waits until every bid is answered and every socket has seen the last ack.
async fn settle(shared: &Shared, within: Duration) {
    let arrived = async {
        while !shared.is_settled() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    if tokio::time::timeout(within, arrived).await.is_err() {
        shared.count_losses();
    }
    shared.audit();
}
