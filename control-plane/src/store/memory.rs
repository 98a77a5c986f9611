//! The engine of a single process, which forgets everything when it stops.

use super::{
    Assigned, Candidate, ClusterStore, Document, DocumentName, Leadership, Put, StoreError,
    StoredRoom,
    sole::{self, fence},
};
use async_trait::async_trait;
use gavel_rules::{
    auction::AuctionRules,
    id::{NodeId, RoomId},
    order::{Epoch, Term, Version},
};
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rooms: BTreeMap<RoomId, StoredRoom>,
    documents: BTreeMap<DocumentName, Document>,
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
