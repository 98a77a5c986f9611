//! The tables of the engine on disk, and what is read and written in one step.

use super::super::heartbeats::Heartbeats;
use gavel_rules::{Incarnation, NodeId, RoomId, Timestamp};
use gavel_runtime::disk::{
    Fault, ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction, table,
};

/// Generation, epoch, owner, the last event's seq, and the latest time.
type StateRow = (u64, u64, &'static str, u64, u64);
/// Incarnation, its first and last heartbeat, and the last of the run before.
type HeartbeatsRow = (u64, u64, u64, u64);
/// A number and JSON: of events their epoch, of snapshots their seq.
type JsonRow = (u64, &'static [u8]);

pub(super) const STATE: TableDefinition<'_, &str, StateRow> = TableDefinition::new("rooms.state");
pub(super) const EVENTS: TableDefinition<'_, (&str, u64), JsonRow> =
    TableDefinition::new("rooms.events");
/// When the owner claimed the room. Apart from the state, whose rows older files have, too.
const CLAIMS: TableDefinition<'_, &str, u64> = TableDefinition::new("rooms.claims");
const HEARTBEATS: TableDefinition<'_, &str, HeartbeatsRow> =
    TableDefinition::new("nodes.heartbeats");
const SNAPSHOTS: TableDefinition<'_, &str, JsonRow> = TableDefinition::new("rooms.snapshots");

/// A room apart from its events.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) generation: u64,
    pub(super) epoch: u64,
    pub(super) owner: String,
    pub(super) seq: u64,
    pub(super) now: u64,
}

/// Events as stored: seq, epoch, JSON.
pub(super) type Page = Vec<(u64, u64, Vec<u8>)>;

pub(super) fn state(transaction: &ReadTransaction, room: &RoomId) -> Result<Option<State>, Fault> {
    match table(transaction, STATE)? {
        Some(states) => read_state(&states, room),
        None => Ok(None),
    }
}

pub(super) fn read_state(
    states: &impl ReadableTable<&'static str, StateRow>,
    room: &RoomId,
) -> Result<Option<State>, Fault> {
    let row = states.get(room.as_ref())?;
    Ok(row.map(|row| {
        let (generation, epoch, owner, seq, now) = row.value();
        State { generation, epoch, owner: owner.to_owned(), seq, now }
    }))
}

pub(super) fn write_state(
    states: &mut Table<'_, &'static str, StateRow>,
    room: &RoomId,
    state: &State,
) -> Result<(), Fault> {
    let State { generation, epoch, owner, seq, now } = state;
    states.insert(room.as_ref(), (*generation, *epoch, owner.as_str(), *seq, *now))?;
    Ok(())
}

/// Takes in a heartbeat.
pub(super) fn beat(
    transaction: &WriteTransaction,
    node: &NodeId,
    incarnation: Incarnation,
    now: Timestamp,
) -> Result<(), Fault> {
    let mut table = transaction.open_table(HEARTBEATS)?;
    let held = read_heartbeats(&table, node.as_ref())?.beat(incarnation, now);
    let Heartbeats { incarnation, first_at, last_at, before_at } = held;
    let [first_at, last_at, before_at] = [first_at, last_at, before_at].map(Timestamp::as_millis);
    table.insert(node.as_ref(), (incarnation.get(), first_at, last_at, before_at))?;
    Ok(())
}

/// Notes a claim at `now`; tells when the owner before was last heard of.
pub(super) fn put_claim(
    transaction: &WriteTransaction,
    room: &RoomId,
    before: Option<&State>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Fault> {
    let mut claims = transaction.open_table(CLAIMS)?;
    let claimed_at = claims.get(room.as_ref())?.map_or(0, |row| row.value());
    claims.insert(room.as_ref(), now.as_millis())?;
    let Some(before) = before else { return Ok(None) };
    let heartbeats = read_heartbeats(&transaction.open_table(HEARTBEATS)?, &before.owner)?;
    let heard_at = heartbeats.heard_at(Timestamp::new(claimed_at));
    Ok(heard_at.map(|at| at.max(Timestamp::new(before.now))))
}

/// The heartbeats of a node.
pub(super) fn heartbeats(
    transaction: &ReadTransaction,
    node: &NodeId,
) -> Result<Heartbeats, Fault> {
    let held = table(transaction, HEARTBEATS)?;
    held.map_or_else(|| Ok(Heartbeats::default()), |held| read_heartbeats(&held, node.as_ref()))
}

fn read_heartbeats(
    table: &impl ReadableTable<&'static str, HeartbeatsRow>,
    node: &str,
) -> Result<Heartbeats, Fault> {
    let row = table.get(node)?;
    Ok(row.map_or_else(Heartbeats::default, |row| {
        let (incarnation, first_at, last_at, before_at) = row.value();
        Heartbeats {
            incarnation: Incarnation::new(incarnation),
            first_at: Timestamp::new(first_at),
            last_at: Timestamp::new(last_at),
            before_at: Timestamp::new(before_at),
        }
    }))
}

/// At most `limit` events that follow `after`.
pub(super) fn page(
    transaction: &ReadTransaction,
    room: &RoomId,
    after: u64,
    limit: usize,
) -> Result<Page, Fault> {
    let Some(events) = table(transaction, EVENTS)? else { return Ok(Page::new()) };
    let room = room.as_ref();
    let found = events.range((room, after.saturating_add(1))..=(room, u64::MAX))?;
    let entries = found.take(limit).map(|entry| {
        let (key, value) = entry?;
        let (epoch, json) = value.value();
        Ok((key.value().1, epoch, json.to_vec()))
    });
    entries.collect()
}

/// The seq of a room's snapshot, and its JSON.
pub(super) fn snapshot(
    transaction: &ReadTransaction,
    room: &RoomId,
) -> Result<Option<(u64, Vec<u8>)>, Fault> {
    let Some(snapshots) = table(transaction, SNAPSHOTS)? else { return Ok(None) };
    let row = snapshots.get(room.as_ref())?;
    Ok(row.map(|row| {
        let (seq, json) = row.value();
        (seq, json.to_vec())
    }))
}

/// Keeps a snapshot if it is newer than the one that is kept.
pub(super) fn put_snapshot(
    transaction: &WriteTransaction,
    room: &RoomId,
    seq: u64,
    json: &[u8],
) -> Result<bool, Fault> {
    let mut snapshots = transaction.open_table(SNAPSHOTS)?;
    let held = snapshots.get(room.as_ref())?.map(|row| row.value().0);
    if held.is_some_and(|held| held >= seq) {
        return Ok(false);
    }
    snapshots.insert(room.as_ref(), (seq, json))?;
    Ok(true)
}

/// Drops a room's events up to `last`, which is included.
pub(super) fn drop_events(
    transaction: &WriteTransaction,
    room: &RoomId,
    last: u64,
) -> Result<(), Fault> {
    let room = room.as_ref();
    transaction.open_table(EVENTS)?.retain_in((room, 0)..=(room, last), |_, _| false)?;
    Ok(())
}
