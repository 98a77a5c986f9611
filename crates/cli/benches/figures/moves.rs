//! What rooms that move all the time add to the answers of their bids.

use super::{
    ack::{Acks, LIMITS, Redis, SOCKETS},
    gavel::Gavel,
    report::{Report, Section},
};
use crate::Outcome;
use gavel_proto::admin::v1::{MoveRoomRequest, room_service_client::RoomServiceClient};
use tokio::runtime::Runtime;

const BIDS_PER_SECOND: u32 = 500;
const ROOMS: u32 = 10;
const ADDED_MS_MAX: f64 = 20.0;

/// Measures the same load with and without moves.
pub(crate) fn measure(report: &mut Report, runtime: &Runtime) -> Outcome<()> {
    let redis = Redis::start("no")?;
    let gavel = Gavel::start(2, &["--redis-url", &redis.url], LIMITS)?;
    let still = Acks::under_load(&gavel, SOCKETS, BIDS_PER_SECOND, || Ok(()))?;
    let mut rooms = runtime.block_on(RoomServiceClient::connect(gavel.control()?))?;
    let mut moves = 0;
    let moving = Acks::under_load(&gavel, SOCKETS, BIDS_PER_SECOND, || {
        let id = (moves % ROOMS + 1).to_string();
        moves += 1;
        let request = MoveRoomRequest { id, node_id: String::new() };
        runtime.block_on(rooms.move_room(request))?;
        Ok(())
    })?;
    let title = format!(
        "From bid to answer at {BIDS_PER_SECOND} bids a second in {ROOMS} rooms on Redis, \
         {moves} moves in ten seconds"
    );
    let mut section = Section::new(&title, "ms");
    for (acks, name) in [(still, "rooms stay"), (moving, "rooms move")] {
        section.row(&format!("{name}: p50"), acks.p50, None);
        section.row(&format!("{name}: p99"), acks.p99, None);
    }
    section.row("added by moves: p99", (moving.p99 - still.p99).max(0.0), Some(ADDED_MS_MAX));
    report.add(section);
    Ok(())
}
