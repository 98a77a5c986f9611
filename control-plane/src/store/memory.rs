//! The engine of a single process, which forgets everything when it stops.

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
use parking_lot::Mutex;
use std::{collections::BTreeMap, ops::RangeInclusive};

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rooms: BTreeMap<RoomId, StoredRoom>,
    documents: BTreeMap<DocumentName, Document>,
    audit: BTreeMap<u64, String>,
    secret: Option<String>,
}

// === impl MemoryStore ===

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl ClusterStore for MemoryStore {
    async fn lead(&self, candidate: &Candidate, _: Option<Term>) -> Result<Leadership, StoreError> {
        let versions = self.state.lock().documents.values().map(|held| held.version.get()).sum();
        Ok(sole::lead(candidate, versions))
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
        let mut state = self.state.lock();
        if state.rooms.contains_key(room) {
            return Ok(false);
        }
        let (owner, epoch) = (None, Epoch::default());
        let stored = StoredRoom { room: room.clone(), rules: rules.clone(), owner, epoch };
        state.rooms.insert(room.clone(), stored);
        Ok(true)
    }

    async fn room(&self, room: &RoomId) -> Result<Option<StoredRoom>, StoreError> {
        Ok(self.state.lock().rooms.get(room).cloned())
    }

    async fn rooms(&self) -> Result<Vec<StoredRoom>, StoreError> {
        Ok(self.state.lock().rooms.values().cloned().collect())
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
        let mut state = self.state.lock();
        let Some(stored) = state.rooms.get_mut(room) else { return Ok(Assigned::UnknownRoom) };
        if stored.epoch == epoch && stored.owner.as_ref() == owner {
            return Ok(Assigned::Done);
        }
        if stored.epoch != expected || epoch <= stored.epoch {
            return Ok(Assigned::Conflict { epoch: stored.epoch });
        }
        stored.owner = owner.cloned();
        stored.epoch = epoch;
        Ok(Assigned::Done)
    }

    async fn document(&self, name: DocumentName) -> Result<Option<Document>, StoreError> {
        Ok(self.state.lock().documents.get(&name).cloned())
    }

    async fn put_document(
        &self,
        term: Term,
        name: DocumentName,
        expected: Option<Version>,
        body: &str,
    ) -> Result<Put, StoreError> {
        fence(term)?;
        let mut state = self.state.lock();
        let held = state.documents.get(&name).map_or(Version::default(), |held| held.version);
        if expected.is_some_and(|expected| expected != held) {
            return Ok(Put::Conflict(held));
        }
        let version = held.next();
        state.documents.insert(name, Document { version, body: body.to_owned() });
        Ok(Put::Done(version))
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl AuditStore for MemoryStore {
    async fn append_audit(&self, body: &str, keep: u64) -> Result<u64, StoreError> {
        let mut state = self.state.lock();
        let id = state.audit.last_key_value().map_or(0, |(id, _)| *id) + 1;
        state.audit.insert(id, body.to_owned());
        state.audit = state.audit.split_off(&(id + 1).saturating_sub(keep));
        Ok(id)
    }

    async fn amend_audit(&self, id: u64, body: &str) -> Result<(), StoreError> {
        if let Some(kept) = self.state.lock().audit.get_mut(&id) {
            body.clone_into(kept);
        }
        Ok(())
    }

    async fn audit(&self, ids: RangeInclusive<u64>) -> Result<Vec<(u64, String)>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let state = self.state.lock();
        Ok(state.audit.range(ids).map(|(id, body)| (*id, body.clone())).collect())
    }

    async fn newest_audit(&self) -> Result<u64, StoreError> {
        Ok(self.state.lock().audit.last_key_value().map_or(0, |(id, _)| *id))
    }

    async fn shared_secret(&self, drawn: &str) -> Result<String, StoreError> {
        Ok(self.state.lock().secret.get_or_insert_with(|| drawn.to_owned()).clone())
    }
}
