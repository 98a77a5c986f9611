//! The Redis engine. All keys share a hash tag, so a Redis cluster keeps them
//! on one of its nodes and a script may touch several.
//!
//! ```text
//! gavel:cluster:{c}:rooms            hash  <room> -> rules as JSON
//! gavel:cluster:{c}:owners           hash  <room> -> "<epoch> <owner>", owner may be empty
//! gavel:cluster:{c}:document:<name>  hash  version, body
//! gavel:cluster:{c}:lease            text  "<term> <replica> <endpoint>", while one leads
//! gavel:cluster:{c}:term             text  the newest term that there ever was
//! gavel:cluster:{c}:audit            zset  "<number> <entry>" by number
//! gavel:cluster:{c}:audit:newest     text  the newest number that there ever was
//! gavel:cluster:{c}:secret           text  what all who use the store share
//! ```

mod failure;

use self::failure::{FailureLog, class, corrupt};
use super::{
    Assigned, AuditStore, Candidate, ClusterStore, Document, DocumentName, LEASE, Leadership, Put,
    StoreError, StoredRoom,
};
use async_trait::async_trait;
use gavel_rules::{
    auction::AuctionRules,
    id::{NodeId, RoomId},
    order::{Epoch, Term, Version},
};
use gavel_runtime::redis::{FromRedisValue, Redis, RedisError, Script, ToRedisArgs, cmd};
use std::{collections::BTreeMap, ops::RangeInclusive};

const ROOMS: &str = "gavel:cluster:{c}:rooms";
const OWNERS: &str = "gavel:cluster:{c}:owners";
const HOLDER: &str = "gavel:cluster:{c}:lease";
const TERM: &str = "gavel:cluster:{c}:term";
const AUDIT: &str = "gavel:cluster:{c}:audit";
const AUDIT_NEWEST: &str = "gavel:cluster:{c}:audit:newest";
const SECRET: &str = "gavel:cluster:{c}:secret";

/// Rooms read at a time. A page is some 100 KB, far from what Redis would need
/// its whole response timeout for.
const PAGE_ROOMS: usize = 256;

/// A store in one Redis.
#[derive(Debug)]
pub struct RedisStore {
    redis: Redis,
    lead: Script,
    resign: Script,
    create: Script,
    assign: Script,
    page: Script,
    put: Script,
    audit: Script,
    amend: Script,
    failures: FailureLog,
}

// === impl RedisStore ===

impl RedisStore {
    /// A store at `url`. Connects on first use.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the URL is none.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_trusting(url, "")
    }

    /// The same, where the authorities in this file are the ones to believe;
    /// an empty name stands for those of the system.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the URL is none or the file cannot be read.
    pub fn open_trusting(url: &str, ca_file: &str) -> Result<Self, StoreError> {
        Ok(Self {
            redis: Redis::connect_trusting(url, ca_file).map_err(corrupt)?,
            lead: Script::new(include_str!("lead.lua")),
            resign: Script::new(include_str!("resign.lua")),
            create: Script::new(include_str!("create.lua")),
            assign: Script::new(include_str!("assign.lua")),
            page: Script::new(include_str!("page.lua")),
            put: Script::new(include_str!("put.lua")),
            audit: Script::new(include_str!("audit.lua")),
            amend: Script::new(include_str!("amend.lua")),
            failures: FailureLog::default(),
        })
    }

    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        args: impl ToRedisArgs,
    ) -> Result<T, StoreError> {
        self.classed(self.redis.script(script).invoke(keys, args).await)
    }

    /// Runs a script that changes something under a term, and replies with a
    /// word and a number.
    async fn change(
        &self,
        script: &Script,
        keys: &[&str],
        args: impl ToRedisArgs,
    ) -> Result<(String, u64), StoreError> {
        let (word, held): (String, String) = self.run(script, keys, args).await?;
        let held = number(&held)?;
        if word == "fenced" {
            return Err(StoreError::Fenced { by: Term::new(held) });
        }
        Ok((word, held))
    }

    fn classed<T>(&self, outcome: Result<T, RedisError>) -> Result<T, StoreError> {
        self.failures.note(&outcome);
        outcome.map_err(|error| class(&error))
    }
}

#[async_trait]
impl ClusterStore for RedisStore {
    async fn lead(
        &self,
        candidate: &Candidate,
        term: Option<Term>,
    ) -> Result<Leadership, StoreError> {
        let Candidate { replica, endpoint } = candidate;
        let documents = DocumentName::ALL.map(document_key);
        let mut keys = vec![HOLDER, TERM];
        keys.extend(documents.iter().map(String::as_str));
        let args = (replica, endpoint, term.unwrap_or_default().get(), LEASE.get());
        let (term, replica, endpoint, changes): (String, String, String, String) =
            self.run(&self.lead, &keys, args).await?;
        Ok(Leadership {
            leader: Candidate { replica, endpoint },
            term: Term::new(number(&term)?),
            changes: number(&changes)?,
        })
    }

    async fn resign(&self, candidate: &Candidate, term: Term) -> Result<(), StoreError> {
        let args = (&candidate.replica, term.get());
        let _was_ours: u64 = self.run(&self.resign, &[HOLDER], args).await?;
        Ok(())
    }

    async fn create_room(
        &self,
        term: Term,
        room: &RoomId,
        rules: &AuctionRules,
    ) -> Result<bool, StoreError> {
        let rules = serde_json::to_string(rules).map_err(corrupt)?;
        let args = (room.as_ref(), rules, term.get());
        let (word, _) = self.change(&self.create, &[ROOMS, TERM], args).await?;
        Ok(word == "done")
    }

    async fn room(&self, room: &RoomId) -> Result<Option<StoredRoom>, StoreError> {
        let get = |key: &str| {
            let mut get = cmd("HGET");
            get.arg(key).arg(room.as_ref());
            get
        };
        // An owner that is read after its room is never older than it.
        let rules: Option<String> = self.classed(self.redis.cmd(&get(ROOMS)).await)?;
        let Some(rules) = rules else { return Ok(None) };
        let owner: Option<String> = self.classed(self.redis.cmd(&get(OWNERS)).await)?;
        let owner = owner.unwrap_or_else(|| "0 ".to_owned());
        stored_room(&[room.to_string(), rules, owner]).map(Some)
    }

    async fn rooms(&self) -> Result<Vec<StoredRoom>, StoreError> {
        let mut rooms = BTreeMap::new();
        let mut cursor = "0".to_owned();
        loop {
            let args = (&cursor, PAGE_ROOMS);
            let flat: Vec<String> = self.run(&self.page, &[ROOMS, OWNERS], args).await?;
            let Some((next, entries)) = flat.split_first() else {
                return Err(corrupt("a page of rooms without a cursor"));
            };
            for entry in entries.chunks(3) {
                let stored = stored_room(entry)?;
                rooms.insert(stored.room.clone(), stored);
            }
            if next == "0" {
                return Ok(rooms.into_values().collect());
            }
            cursor.clone_from(next);
        }
    }

    async fn assign(
        &self,
        term: Term,
        room: &RoomId,
        expected: Epoch,
        owner: Option<&NodeId>,
        epoch: Epoch,
    ) -> Result<Assigned, StoreError> {
        let owner = owner.map_or("", AsRef::as_ref);
        let args = (room.as_ref(), expected.get(), owner, epoch.get(), term.get());
        let (word, held) = self.change(&self.assign, &[ROOMS, OWNERS, TERM], args).await?;
        match word.as_str() {
            "done" => Ok(Assigned::Done),
            "conflict" => Ok(Assigned::Conflict { epoch: Epoch::new(held) }),
            "unknown" => Ok(Assigned::UnknownRoom),
            other => Err(corrupt(format!("assign.lua says {other}"))),
        }
    }

    async fn document(&self, name: DocumentName) -> Result<Option<Document>, StoreError> {
        let mut get = cmd("HMGET");
        get.arg(document_key(name)).arg("version").arg("body");
        match self.classed(self.redis.cmd(&get).await)? {
            (Some(version), Some(body)) => {
                let version: String = version;
                Ok(Some(Document { version: Version::new(number(&version)?), body }))
            }
            (None, None) => Ok(None),
            (Some(_), None) | (None, Some(_)) => {
                Err(corrupt(format!("half of the document {} is gone", name.as_str())))
            }
        }
    }

    async fn put_document(
        &self,
        term: Term,
        name: DocumentName,
        expected: Option<Version>,
        body: &str,
    ) -> Result<Put, StoreError> {
        let expected = expected.map(|expected| expected.to_string()).unwrap_or_default();
        let args = (expected, body, term.get());
        let (word, held) = self.change(&self.put, &[&document_key(name), TERM], args).await?;
        let version = Version::new(held);
        Ok(if word == "done" { Put::Done(version) } else { Put::Conflict(version) })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.classed(self.redis.ping().await)
    }
}

#[async_trait]
impl AuditStore for RedisStore {
    async fn append_audit(&self, body: &str, keep: u64) -> Result<u64, StoreError> {
        let id: String = self.run(&self.audit, &[AUDIT, AUDIT_NEWEST], (body, keep)).await?;
        number(&id)
    }

    async fn amend_audit(&self, id: u64, body: &str) -> Result<(), StoreError> {
        let _replaced: u64 = self.run(&self.amend, &[AUDIT], (id, body)).await?;
        Ok(())
    }

    async fn audit(&self, ids: RangeInclusive<u64>) -> Result<Vec<(u64, String)>, StoreError> {
        let mut range = cmd("ZRANGEBYSCORE");
        range.arg(AUDIT).arg(ids.start()).arg(ids.end());
        let entries: Vec<String> = self.classed(self.redis.cmd(&range).await)?;
        let entry = |text: String| {
            let (id, body) = text.split_once(' ').ok_or_else(|| corrupt("half an entry"))?;
            Ok((number(id)?, body.to_owned()))
        };
        entries.into_iter().map(entry).collect()
    }

    async fn newest_audit(&self) -> Result<u64, StoreError> {
        let mut get = cmd("GET");
        get.arg(AUDIT_NEWEST);
        let newest: Option<String> = self.classed(self.redis.cmd(&get).await)?;
        newest.map_or(Ok(0), |newest| number(&newest))
    }

    async fn shared_secret(&self, drawn: &str) -> Result<String, StoreError> {
        let mut keep = cmd("SET");
        keep.arg(SECRET).arg(drawn).arg("NX");
        let _was_none: Option<String> = self.classed(self.redis.cmd(&keep).await)?;
        let mut get = cmd("GET");
        get.arg(SECRET);
        self.classed(self.redis.cmd(&get).await)
    }
}

fn document_key(name: DocumentName) -> String {
    format!("gavel:cluster:{{c}}:document:{}", name.as_str())
}

/// One room as `page.lua` flattens it.
fn stored_room(entry: &[String]) -> Result<StoredRoom, StoreError> {
    let [room, rules, owner] = entry else {
        return Err(corrupt("a room without rules or owner"));
    };
    let at_fault = |error: &dyn std::fmt::Display| corrupt(format!("room {room}: {error}"));
    let (epoch, owner) = owner.split_once(' ').ok_or_else(|| at_fault(&"half an owner"))?;
    Ok(StoredRoom {
        room: room.parse().map_err(|error| at_fault(&error))?,
        rules: serde_json::from_str(rules).map_err(|error| at_fault(&error))?,
        owner: match owner {
            "" => None,
            id => Some(id.parse().map_err(|error| at_fault(&error))?),
        },
        epoch: Epoch::new(number(epoch)?),
    })
}

fn number(text: &str) -> Result<u64, StoreError> {
    text.parse().map_err(|error| corrupt(format!("{text:?}: {error}")))
}
