//! The Redis engine: one stream, one hash and one snapshot for each room, under one hash tag.
//!
//! ```text
//! gavel:room:{<id>}:meta      hash    generation epoch owner seq now claimed
//! gavel:room:{<id>}:events    stream  <seq>-0 -> e epoch, d event as JSON
//! gavel:room:{<id>}:snapshot  hash    seq, data: snapshot as JSON
//! gavel:node:{<id>}:heartbeat hash    incarnation first last before, with an expiry
//! gavel:limit:bid:{<user>}    sorted set of recent bids by their times, with an expiry
//! gavel:ticket:{<key>}        what a ticket stands for, with an expiry
//! gavel:limit:sockets:{<..>}  hash of runs and the places they hold, with an expiry; see places
//! ```
//!
//! Every call is one Lua script, found by the hash of its text: two releases with different
//! scripts can work on the same Redis.

mod failure;
mod places;
mod replicas;
pub mod reply;
mod syncs;

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use gavel_rules::{
    AuctionSnapshot, BidId, Epoch, Event, Generation, Guard, Incarnation, Millis, NodeId, RoomId,
    Seq, Timestamp, UserId,
};
use gavel_runtime::breaker::BreakerState;
use gavel_runtime::redis::{Cmd, FromRedisValue, Redis, Script, ToRedisArgs, cmd};

use self::failure::{FailureLog, class, corrupt};
use self::replicas::Replicas;
use self::syncs::Syncs;
use super::heartbeats::Heartbeats;
use super::{
    Appended, Claim, Counted, Durability, EVENTS_KEPT, Held, Holder, Loaded, RoomStore, Stamp,
    StoreError, StoredEvent, Take, Wanted, Watermark, check_batch, check_replay,
};

/// Events read at a time; more than lie between two snapshots, so a load reads once.
const PAGE_EVENTS: usize = 1024;

/// A node that was not heard of for so long has left no room whose time could be given back.
const HEARTBEAT_KEPT: Millis = Millis::new(30 * 24 * 3_600_000);

const _: () = assert!(PAGE_EVENTS as u64 > super::SNAPSHOT_INTERVAL_EVENTS);

/// A store in one Redis.
#[derive(Debug)]
pub struct RedisStore {
    redis: Redis,
    scripts: Scripts,
    failures: FailureLog,
    replicas: Replicas,
    syncs: Syncs,
    /// The latest time Redis told us, which the clock does not fall behind.
    now: AtomicU64,
}

#[derive(Debug)]
struct Scripts {
    append: Script,
    claim: Script,
    heartbeat: Script,
    hold: Script,
    load: Script,
    raise: Script,
    range: Script,
    replay: Script,
    snapshot: Script,
    take_bid: Script,
}

/// The keys of a room.
struct Keys {
    meta: String,
    events: String,
    snapshot: String,
}

// === impl RedisStore ===

impl RedisStore {
    /// A store at `url`. Connects on first use.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_trusting(url, "")
    }

    /// The same, where the authorities in this file are the ones to believe; an empty name stands
    /// for those of the system.
    pub fn open_trusting(url: &str, ca_file: &str) -> Result<Self, StoreError> {
        let redis = Redis::connect_trusting(url, ca_file)
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(Self {
            redis,
            scripts: Scripts::new(),
            failures: FailureLog::default(),
            replicas: Replicas::default(),
            syncs: Syncs::default(),
            now: AtomicU64::new(0),
        })
    }

    /// The store, which from now on takes nothing for stored that so many replicas do not have.
    #[must_use]
    pub fn with_replicas(self, replicas_min: u32) -> Self {
        Self { replicas: Replicas::at_least(replicas_min), ..self }
    }

    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        args: impl ToRedisArgs,
    ) -> Result<T, StoreError> {
        let outcome = self.redis.script(script).invoke(keys, args).await;
        self.failures.note(&outcome);
        outcome.map_err(|error| class(&error))
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let outcome = self.redis.cmd(command).await;
        self.failures.note(&outcome);
        outcome.map_err(|error| class(&error))
    }

    /// Notes a time Redis told us and gives the latest of all.
    fn at(&self, ms: u64) -> Timestamp {
        Timestamp::new(self.now.fetch_max(ms, Ordering::Relaxed).max(ms))
    }

    /// Reads the reply of a script that appends up to `seq`.
    fn appended(&self, reply: reply::Append, seq: Seq) -> Result<Appended, StoreError> {
        Ok(match reply::appended(reply, seq)? {
            Appended::Stored { seq, at } => Appended::Stored { seq, at: self.at(at.as_millis()) },
            Appended::TooEarly { now } => Appended::TooEarly { now: self.at(now.as_millis()) },
            Appended::TooLate { now } => Appended::TooLate { now: self.at(now.as_millis()) },
            other @ (Appended::Fenced { .. } | Appended::Conflict { .. }) => other,
        })
    }

    async fn header(&self, keys: &Keys) -> Result<reply::Header, StoreError> {
        let script = &self.scripts.load;
        self.run(script, &[&keys.meta, &keys.snapshot], NO_ARGS).await
    }

    async fn page(
        &self,
        keys: &Keys,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let script = &self.scripts.range;
        let args = (after.next().get(), limit.min(PAGE_EVENTS));
        let entries: reply::Entries = self.run(script, &[&keys.events], args).await?;
        reply::events(&entries)
    }

    async fn heartbeats(&self, node: &NodeId) -> Result<Heartbeats, StoreError> {
        type Held = [Option<u64>; 4];
        let mut command = cmd("HMGET");
        command.arg(heartbeat_key(node)).arg(&["incarnation", "first", "last", "before"]);
        let [incarnation, first, last, before] = self.ask::<Held>(&command).await?;
        let at = |ms: Option<u64>| Timestamp::new(ms.unwrap_or_default());
        Ok(Heartbeats {
            incarnation: Incarnation::new(incarnation.unwrap_or_default()),
            first_at: at(first),
            last_at: at(last),
            before_at: at(before),
        })
    }

    async fn load_room(&self, room: &RoomId) -> Result<Loaded, StoreError> {
        let keys = Keys::of(room);
        let mut loading = reply::Loading::begin(self.header(&keys).await?)?;
        loop {
            let page = self.page(&keys, loading.last(), PAGE_EVENTS).await?;
            loading.page(&page)?;
            if page.len() < PAGE_EVENTS {
                break;
            }
        }
        // Nobody is told of what a failover could take back.
        self.replicas.confirm(&self.redis).await?;
        let loaded = loading.end()?;
        Ok(Loaded { now: self.at(loaded.now.as_millis()), ..loaded })
    }
}

#[async_trait]
impl RoomStore for RedisStore {
    async fn claim(
        &self,
        room: &RoomId,
        epoch: Epoch,
        owner: &NodeId,
    ) -> Result<Claim, StoreError> {
        let keys = Keys::of(room);
        let script = &self.scripts.claim;
        let args = (epoch.get(), owner.as_ref());
        let (word, held, holder, claimed_at, last_at): (String, u64, String, u64, u64) =
            self.run(script, &[&keys.meta], args).await?;
        let holder = reply::parse_owner(&holder)?;
        if word == "fenced" {
            return Ok(Claim::Fenced { epoch: Epoch::new(held), owner: holder });
        }
        let heard_at = match &holder {
            Some(before) => self.heartbeats(before).await?.heard_at(Timestamp::new(claimed_at)),
            None => None,
        };
        let heard_at = heard_at.map(|at| at.max(Timestamp::new(last_at)));
        let loaded = self.load_room(room).await?;
        if loaded.epoch == epoch && loaded.owner.as_ref() == Some(owner) {
            return Ok(Claim::Claimed(Box::new(Loaded { heard_at, ..loaded })));
        }
        // Somebody claimed a later epoch between the two calls.
        Ok(Claim::Fenced { epoch: loaded.epoch, owner: loaded.owner })
    }

    async fn load(&self, room: &RoomId) -> Result<Loaded, StoreError> {
        self.load_room(room).await
    }

    async fn append(
        &self,
        room: &RoomId,
        epoch: Epoch,
        expected: Seq,
        guard: Guard,
        events: &[Event],
    ) -> Result<Appended, StoreError> {
        let seq = check_batch(expected, events.iter())?;
        let bound = |at: Option<Timestamp>| at.map(|at| at.as_millis().to_string());
        let mut args = vec![
            epoch.to_string(),
            expected.to_string(),
            bound(guard.not_before).unwrap_or_default(),
            bound(guard.not_after).unwrap_or_default(),
        ];
        for event in events {
            args.push(serde_json::to_string(event).map_err(corrupt)?);
        }
        let keys = Keys::of(room);
        let call = self.redis.script(&self.scripts.append);
        let outcome = self.replicas.store(call, &[&keys.meta, &keys.events], args).await;
        self.failures.note(&outcome);
        self.appended(outcome.map_err(|error| class(&error))?, seq)
    }

    async fn replay(
        &self,
        room: &RoomId,
        epoch: Epoch,
        generation: Generation,
        events: &[StoredEvent],
    ) -> Result<Appended, StoreError> {
        let expected = check_replay(epoch, events)?;
        let mut args = vec![epoch.to_string(), generation.to_string(), expected.to_string()];
        for stored in events {
            args.push(stored.epoch.to_string());
            args.push(serde_json::to_string(&stored.event).map_err(corrupt)?);
        }
        let keys = Keys::of(room);
        let script = &self.scripts.replay;
        let reply = self.run(script, &[&keys.meta, &keys.events], args).await?;
        let seq = events.last().map_or(expected, |stored| stored.event.seq);
        self.appended(reply, seq)
    }

    async fn raise_generation(
        &self,
        room: &RoomId,
        epoch: Epoch,
        from: Generation,
    ) -> Result<Generation, StoreError> {
        let args = (epoch.get(), from.get());
        let now = self.run(&self.scripts.raise, &[&Keys::of(room).meta], args).await?;
        Ok(Generation::new(now))
    }

    async fn range(
        &self,
        room: &RoomId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let keys = Keys::of(room);
        let mut events: Vec<StoredEvent> = Vec::new();
        while events.len() < limit {
            let last = events.last().map_or(after, |stored| stored.event.seq);
            let wanted = PAGE_EVENTS.min(limit - events.len());
            let page = self.page(&keys, last, wanted).await?;
            let found = page.len();
            events.extend(page);
            if found < wanted {
                break;
            }
        }
        Ok(events)
    }

    async fn snapshot(
        &self,
        room: &RoomId,
        epoch: Epoch,
        snapshot: &AuctionSnapshot,
    ) -> Result<(), StoreError> {
        let keys = Keys::of(room);
        let seq = snapshot.seq().get();
        let json = serde_json::to_string(snapshot).map_err(corrupt)?;
        let keep_from = seq.saturating_sub(EVENTS_KEPT).saturating_add(1);
        let script = &self.scripts.snapshot;
        let keys = [&*keys.meta, &*keys.snapshot, &*keys.events];
        let args = (epoch.get(), seq, json, keep_from);
        self.run::<u64>(script, &keys, args).await?;
        Ok(())
    }

    async fn take_bid(
        &self,
        user: &UserId,
        bid: Option<(&RoomId, &BidId)>,
        max: u32,
        window: Millis,
    ) -> Result<Take, StoreError> {
        let key = format!("gavel:limit:bid:{{{user}}}");
        // No id holds a slash, so no two bids have one name.
        let name = bid.map(|(room, bid_id)| format!("{room}/{bid_id}")).unwrap_or_default();
        let script = &self.scripts.take_bid;
        let reply: i64 = self.run(script, &[&key], (max, window.get(), name)).await?;
        Ok(match u64::try_from(reply) {
            Ok(ms) => Take::Refused { retry_after: Millis::new(ms) },
            Err(_) if reply == -2 => Take::Known,
            Err(_) => Take::Taken,
        })
    }

    async fn hold(
        &self,
        counted: &Counted,
        holder: &Holder,
        wanted: Wanted,
    ) -> Result<Held, StoreError> {
        self.hold_places(counted, holder, wanted).await
    }

    async fn keep_ticket(&self, key: &str, pass: &str, kept: Millis) -> Result<(), StoreError> {
        let mut command = cmd("SET");
        command.arg(ticket_key(key)).arg(pass).arg("PX").arg(kept.get());
        self.ask(&command).await
    }

    async fn take_ticket(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.ask(cmd("GETDEL").arg(ticket_key(key))).await
    }

    async fn heartbeat(
        &self,
        node: &NodeId,
        incarnation: Incarnation,
    ) -> Result<Timestamp, StoreError> {
        let script = &self.scripts.heartbeat;
        let args = (incarnation.get(), HEARTBEAT_KEPT.get());
        Ok(self.at(self.run(script, &[&heartbeat_key(node)], args).await?))
    }

    async fn last_heard(&self, node: &NodeId) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.heartbeats(node).await?.last())
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        let (seconds, micros): (u64, u64) = self.ask(&cmd("TIME")).await?;
        Ok(self.at(seconds.saturating_mul(1000).saturating_add(micros / 1000)))
    }

    fn durability(&self) -> Durability {
        let level = self.replicas.durability();
        let is_synced = level == Durability::Primary && self.syncs.each(&self.redis);
        if is_synced { Durability::Durable } else { level }
    }

    async fn ask_durability(&self) -> Result<(), StoreError> {
        let mut outcome = self.replicas.ask(&self.redis).await;
        if outcome.is_ok() {
            outcome = self.syncs.ask(&self.redis).await;
        }
        self.failures.note(&outcome);
        outcome.map_err(|error| class(&error))
    }

    fn watermark(&self) -> Watermark {
        self.replicas.watermark()
    }

    fn breakers(&self) -> Vec<BreakerState> {
        self.redis.breakers()
    }

    fn stamp(&self) -> Stamp {
        Stamp::sent_over(self.redis.connections().unwrap_or_default())
    }
}

// === impl Scripts ===

impl Scripts {
    fn new() -> Self {
        Self {
            append: Script::new(include_str!("append.lua")),
            claim: Script::new(include_str!("claim.lua")),
            heartbeat: Script::new(include_str!("heartbeat.lua")),
            hold: Script::new(include_str!("hold.lua")),
            load: Script::new(include_str!("load.lua")),
            raise: Script::new(include_str!("raise.lua")),
            range: Script::new(include_str!("range.lua")),
            replay: Script::new(include_str!("replay.lua")),
            snapshot: Script::new(include_str!("snapshot.lua")),
            take_bid: Script::new(include_str!("take_bid.lua")),
        }
    }
}

// === impl Keys ===

impl Keys {
    fn of(room: &RoomId) -> Self {
        Self {
            meta: format!("gavel:room:{{{room}}}:meta"),
            events: format!("gavel:room:{{{room}}}:events"),
            snapshot: format!("gavel:room:{{{room}}}:snapshot"),
        }
    }
}

const NO_ARGS: &[&str] = &[];

fn ticket_key(key: &str) -> String {
    format!("gavel:ticket:{{{key}}}")
}

fn heartbeat_key(node: &NodeId) -> String {
    format!("gavel:node:{{{node}}}:heartbeat")
}
