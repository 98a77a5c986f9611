//! The engine in a file of this machine, for a control plane that shares its
//! process with the nodes.
//!
//! ```text
//! cluster.rooms      room -> epoch, owner (may be empty), rules as JSON
//! cluster.documents  name -> version, body
//! cluster.audit      number -> entry
//! cluster.secret     what all who use the store share
//! ```

use super::{
    Assigned, AuditStore, Candidate, ClusterStore, Document, DocumentName, Leadership, Put,
    StoreError, StoredRoom,
    sole::{self, fence},
};
use async_trait::async_trait;
use gavel_rules::{
    auction::AuctionRules,
    id::{NodeId, RoomId},
    order::{Epoch, Term, Version},
};
use gavel_runtime::disk::{
    Disk, DiskError, Fault, ReadableTable as _, TableDefinition, WriteTransaction, table,
};
use std::{fmt::Display, ops::RangeInclusive, sync::Arc};

const ROOMS: TableDefinition<'_, &str, (u64, &str, &[u8])> = TableDefinition::new("cluster.rooms");
const DOCUMENTS: TableDefinition<'_, &str, (u64, &str)> = TableDefinition::new("cluster.documents");
const AUDIT: TableDefinition<'_, u64, &str> = TableDefinition::new("cluster.audit");
const SECRET: TableDefinition<'_, (), &str> = TableDefinition::new("cluster.secret");

/// A store on disk.
#[derive(Debug)]
pub struct RedbStore {
    disk: Arc<Disk>,
}

// === impl RedbStore ===

impl RedbStore {
    /// The cluster on this disk.
    #[must_use]
    pub fn new(disk: Arc<Disk>) -> Self {
        Self { disk }
    }
}

#[async_trait]
impl ClusterStore for RedbStore {
    async fn lead(&self, candidate: &Candidate, _: Option<Term>) -> Result<Leadership, StoreError> {
        let changes = self.disk.read(|transaction| {
            let Some(documents) = table(transaction, DOCUMENTS)? else { return Ok(0) };
            let versions = documents.iter()?.map(|entry| Ok(entry?.1.value().0));
            versions.sum::<Result<u64, Fault>>()
        });
        Ok(sole::lead(candidate, changes.await.map_err(class)?))
    }

    async fn resign(&self, _: &Candidate, _: Term) -> Result<(), StoreError> {
        Ok(())
    }

    async fn create_room(
        &self,
        term: Term,
        room: &RoomId,
        rules: &AuctionRules,
    ) -> Result<bool, StoreError> {
        fence(term)?;
        let rules = serde_json::to_vec(rules).map_err(corrupt)?;
        let room = room.clone();
        let create = move |transaction: &WriteTransaction| {
            let mut rooms = transaction.open_table(ROOMS)?;
            if rooms.get(room.as_ref())?.is_some() {
                return Ok(false);
            }
            rooms.insert(room.as_ref(), (Epoch::default().get(), "", rules.as_slice()))?;
            Ok(true)
        };
        self.disk.write(create).await.map_err(class)
    }

    async fn room(&self, room: &RoomId) -> Result<Option<StoredRoom>, StoreError> {
        let room = room.clone();
        let read = self.disk.read(move |transaction| {
            let Some(rooms) = table(transaction, ROOMS)? else { return Ok(None) };
            let Some(row) = rooms.get(room.as_ref())? else { return Ok(None) };
            let (epoch, owner, rules) = row.value();
            stored_room(room.as_ref(), epoch, owner, rules).map(Some)
        });
        read.await.map_err(class)
    }

    async fn rooms(&self) -> Result<Vec<StoredRoom>, StoreError> {
        let read = self.disk.read(|transaction| {
            let Some(rooms) = table(transaction, ROOMS)? else { return Ok(Vec::new()) };
            let entries = rooms.iter()?.map(|entry| {
                let (room, row) = entry?;
                let (epoch, owner, rules) = row.value();
                stored_room(room.value(), epoch, owner, rules)
            });
            entries.collect()
        });
        read.await.map_err(class)
    }

    async fn assign(
        &self,
        term: Term,
        room: &RoomId,
        expected: Epoch,
        owner: Option<&NodeId>,
        epoch: Epoch,
    ) -> Result<Assigned, StoreError> {
        fence(term)?;
        let (room, owner) = (room.clone(), owner.map(NodeId::to_string).unwrap_or_default());
        let assign = move |transaction: &WriteTransaction| {
            let mut rooms = transaction.open_table(ROOMS)?;
            let Some(row) = rooms.get(room.as_ref())? else { return Ok(Assigned::UnknownRoom) };
            let (held, holder, rules) = row.value();
            if held == epoch.get() && holder == owner {
                return Ok(Assigned::Done);
            }
            if held != expected.get() || epoch.get() <= held {
                return Ok(Assigned::Conflict { epoch: Epoch::new(held) });
            }
            let rules = rules.to_vec();
            drop(row);
            rooms.insert(room.as_ref(), (epoch.get(), owner.as_str(), rules.as_slice()))?;
            Ok(Assigned::Done)
        };
        self.disk.write(assign).await.map_err(class)
    }

    async fn document(&self, name: DocumentName) -> Result<Option<Document>, StoreError> {
        let read = self.disk.read(move |transaction| {
            let Some(documents) = table(transaction, DOCUMENTS)? else { return Ok(None) };
            let row = documents.get(name.as_str())?;
            Ok(row.map(|row| {
                let (version, body) = row.value();
                Document { version: Version::new(version), body: body.to_owned() }
            }))
        });
        read.await.map_err(class)
    }

    async fn put_document(
        &self,
        term: Term,
        name: DocumentName,
        expected: Option<Version>,
        body: &str,
    ) -> Result<Put, StoreError> {
        fence(term)?;
        let body = body.to_owned();
        let put = move |transaction: &WriteTransaction| {
            let mut documents = transaction.open_table(DOCUMENTS)?;
            let held = documents.get(name.as_str())?.map_or(0, |row| row.value().0);
            let held = Version::new(held);
            if expected.is_some_and(|expected| expected != held) {
                return Ok(Put::Conflict(held));
            }
            let version = held.next();
            documents.insert(name.as_str(), (version.get(), body.as_str()))?;
            Ok(Put::Done(version))
        };
        self.disk.write(put).await.map_err(class)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.disk.read(|_| Ok(())).await.map_err(class)
    }
}

#[async_trait]
impl AuditStore for RedbStore {
    async fn append_audit(&self, body: &str, keep: u64) -> Result<u64, StoreError> {
        let body = body.to_owned();
        let append = move |transaction: &WriteTransaction| {
            let mut audit = transaction.open_table(AUDIT)?;
            let id = audit.last()?.map_or(0, |(id, _)| id.value()) + 1;
            audit.insert(id, body.as_str())?;
            audit.retain_in(..(id + 1).saturating_sub(keep), |_, _| false)?;
            Ok(id)
        };
        self.disk.write(append).await.map_err(class)
    }

    async fn amend_audit(&self, id: u64, body: &str) -> Result<(), StoreError> {
        let body = body.to_owned();
        let amend = move |transaction: &WriteTransaction| {
            let mut audit = transaction.open_table(AUDIT)?;
            let kept = audit.get(id)?.is_some();
            if kept {
                audit.insert(id, body.as_str())?;
            }
            Ok(())
        };
        self.disk.write(amend).await.map_err(class)
    }

    async fn audit(&self, ids: RangeInclusive<u64>) -> Result<Vec<(u64, String)>, StoreError> {
        let read = self.disk.read(move |transaction| {
            let Some(audit) = table(transaction, AUDIT)? else { return Ok(Vec::new()) };
            let entries = audit.range(ids)?.map(|entry| {
                let (id, body) = entry?;
                Ok((id.value(), body.value().to_owned()))
            });
            entries.collect()
        });
        read.await.map_err(class)
    }

    async fn newest_audit(&self) -> Result<u64, StoreError> {
        let read = self.disk.read(|transaction| {
            let Some(audit) = table(transaction, AUDIT)? else { return Ok(0) };
            let newest = audit.last()?.map_or(0, |(id, _)| id.value());
            Ok(newest)
        });
        read.await.map_err(class)
    }

    async fn shared_secret(&self, drawn: &str) -> Result<String, StoreError> {
        let drawn = drawn.to_owned();
        let keep = move |transaction: &WriteTransaction| {
            let mut secret = transaction.open_table(SECRET)?;
            let kept = secret.get(())?.map(|kept| kept.value().to_owned());
            if let Some(kept) = kept {
                return Ok(kept);
            }
            secret.insert((), drawn.as_str())?;
            Ok(drawn.clone())
        };
        self.disk.write(keep).await.map_err(class)
    }
}

fn stored_room(room: &str, epoch: u64, owner: &str, rules: &[u8]) -> Result<StoredRoom, Fault> {
    let at_fault = |error: &dyn Display| Fault::Corrupted(format!("room {room}: {error}"));
    Ok(StoredRoom {
        room: room.parse().map_err(|error| at_fault(&error))?,
        rules: serde_json::from_slice(rules).map_err(|error| at_fault(&error))?,
        owner: match owner {
            "" => None,
            id => Some(id.parse().map_err(|error| at_fault(&error))?),
        },
        epoch: Epoch::new(epoch),
    })
}

/// Every call is safe to repeat, so a lost answer is no class of its own.
fn class(error: DiskError) -> StoreError {
    match error {
        DiskError::Unavailable(_) | DiskError::Unknown(_) => StoreError::Unavailable,
        DiskError::Corrupt(why) => StoreError::Corrupt(why),
    }
}

fn corrupt(error: impl Display) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

/// Puts a room there whose rules are none.
#[cfg(test)]
pub(super) async fn spoil(disk: &Disk, room: &'static str) {
    let spoil = move |transaction: &WriteTransaction| {
        let nonsense: &[u8] = b"{";
        transaction.open_table(ROOMS)?.insert(room, (0, "", nonsense))?;
        Ok(())
    };
    disk.write(spoil).await.unwrap();
}
