//! The cluster's state in Redis.
//!
//! ```text
//! gavel:cluster:{c}:rules      hash  room -> rules as JSON
//! gavel:cluster:{c}:owners     hash  room -> "<epoch> <owner>", the owner may be empty
//! gavel:cluster:{c}:documents  hash  <name>:version, <name>:body
//! ```

use super::{Assigned, ClusterStore, Document, DocumentName, Put, StoreError, StoredRoom};
use async_trait::async_trait;
use gavel_rules::{
    auction::AuctionRules,
    id::{NodeId, RoomId},
    order::{Epoch, Version},
};
use gavel_runtime::redis::{Redis, RedisError, Script, cmd};
use std::collections::HashMap;

const RULES: &str = "gavel:cluster:{c}:rules";
const OWNERS: &str = "gavel:cluster:{c}:owners";
const DOCUMENTS: &str = "gavel:cluster:{c}:documents";

/// A store in one Redis.
#[derive(Debug)]
pub struct RedisStore {
    redis: Redis,
    assign: Script,
    put_document: Script,
}

// === impl RedisStore ===

impl RedisStore {
    /// A store at a URL; it connects with the first call.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the URL is none.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Ok(Self {
            redis: Redis::connect(url).map_err(corrupt)?,
            assign: Script::new(include_str!("assign.lua")),
            put_document: Script::new(include_str!("put_document.lua")),
        })
    }

    async fn hash(&self, key: &str) -> Result<HashMap<String, String>, StoreError> {
        self.redis.cmd(cmd("HGETALL").arg(key)).await.map_err(class)
    }
}

#[async_trait]
impl ClusterStore for RedisStore {
    async fn create_room(&self, room: &RoomId, rules: &AuctionRules) -> Result<bool, StoreError> {
        let rules = serde_json::to_string(rules).map_err(corrupt)?;
        let mut create = cmd("HSETNX");
        create.arg(RULES).arg(room.as_ref()).arg(rules);
        let created: u8 = self.redis.cmd(&create).await.map_err(class)?;
        Ok(created == 1)
    }

    async fn rooms(&self) -> Result<Vec<StoredRoom>, StoreError> {
        let mut owners = self.hash(OWNERS).await?;
        let rules = self.hash(RULES).await?;
        let mut rooms = Vec::with_capacity(rules.len());
        for (room, rules) in rules {
            let (epoch, owner) = match owners.remove(&room) {
                Some(assigned) => assignment(&assigned)?,
                None => (Epoch::default(), None),
            };
            let rules = serde_json::from_str(&rules).map_err(corrupt)?;
            let room = room.parse().map_err(corrupt)?;
            rooms.push(StoredRoom { room, rules, owner, epoch });
        }
        rooms.sort_by(|a, b| a.room.cmp(&b.room));
        Ok(rooms)
    }

    async fn assign(
        &self,
        room: &RoomId,
        expected: Epoch,
        owner: Option<&NodeId>,
        epoch: Epoch,
    ) -> Result<Assigned, StoreError> {
        let owner = owner.map(AsRef::as_ref).unwrap_or_default();
        let args = (room.as_ref(), expected.get(), epoch.get(), owner);
        let (outcome, held): (String, u64) =
            self.redis.script(&self.assign).invoke(&[RULES, OWNERS], args).await.map_err(class)?;
        match outcome.as_str() {
            "done" => Ok(Assigned::Done),
            "conflict" => Ok(Assigned::Conflict { epoch: Epoch::new(held) }),
            _ => Ok(Assigned::UnknownRoom),
        }
    }

    async fn document(&self, name: DocumentName) -> Result<Option<Document>, StoreError> {
        let [version, body] = fields(name);
        let mut get = cmd("HMGET");
        get.arg(DOCUMENTS).arg(version).arg(body);
        let found: (Option<u64>, Option<String>) = self.redis.cmd(&get).await.map_err(class)?;
        let (Some(version), Some(body)) = found else { return Ok(None) };
        Ok(Some(Document { version: Version::new(version), body }))
    }

    async fn put_document(
        &self,
        name: DocumentName,
        expected: Option<Version>,
        body: &str,
    ) -> Result<Put, StoreError> {
        let [version_field, body_field] = fields(name);
        let expected = expected.map(|version| version.to_string()).unwrap_or_default();
        let (done, version): (u8, u64) = self
            .redis
            .script(&self.put_document)
            .invoke(&[DOCUMENTS], (version_field, body_field, expected, body))
            .await
            .map_err(class)?;
        let version = Version::new(version);
        Ok(if done == 1 { Put::Done(version) } else { Put::Conflict(version) })
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.redis.ping().await.map_err(class)
    }
}

fn fields(name: DocumentName) -> [String; 2] {
    ["version", "body"].map(|field| format!("{}:{field}", name.as_str()))
}

fn assignment(stored: &str) -> Result<(Epoch, Option<NodeId>), StoreError> {
    let (epoch, owner) = stored.split_once(' ').unwrap_or((stored, ""));
    let owner = Some(owner).filter(|owner| !owner.is_empty());
    let epoch = Epoch::new(epoch.parse().map_err(corrupt)?);
    Ok((epoch, owner.map(str::parse).transpose().map_err(corrupt)?))
}

fn corrupt(error: impl ToString) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

fn class(error: RedisError) -> StoreError {
    match error {
        RedisError::Unavailable(_) | RedisError::Unknown(_) => StoreError::Unavailable,
        RedisError::Refused(text) => StoreError::Corrupt(text),
    }
}
