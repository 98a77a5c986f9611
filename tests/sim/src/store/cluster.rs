//! The cluster's state in the one store: what `ClusterStore` promises, in its
//! shortest form, and the places where a [`Plant`] breaks it.

use super::Store;
use crate::Plant;
use gavel_control_plane::store::{
    Assigned, Candidate, Document, DocumentName, LEASE, Leadership, Put, StoreError, StoredRoom,
};
use gavel_rules::{
    auction::AuctionRules,
    id::{NodeId, RoomId},
    order::{Epoch, Term, Version},
    time::Timestamp,
};
use std::collections::BTreeMap;

/// The cluster as stored.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    rooms: BTreeMap<RoomId, StoredRoom>,
    documents: BTreeMap<DocumentName, Document>,
    lease: Option<(Candidate, Term, Timestamp)>,
    /// The newest.
    pub(crate) term: Term,
    /// The terms that changed something, in order.
    pub(crate) changed_by: Vec<Term>,
}

// === impl Store ===

impl Store {
    pub(crate) fn lead(&mut self, candidate: &Candidate, term: Option<Term>) -> Leadership {
        let now = self.now();
        let anybody = self.planted(Plant::LeaseOff);
        let cluster = &mut self.cluster;
        let changes = cluster.documents.values().map(|document| document.version.get()).sum();
        if let Some((leader, term, until)) = &cluster.lease
            && leader.replica != candidate.replica
            && now < *until
            && !anybody
        {
            return Leadership { leader: leader.clone(), term: *term, changes };
        }
        let term = term
            .filter(|term| *term == cluster.term)
            .unwrap_or_else(|| Term::new(cluster.term.next().get().max(now.as_millis())));
        cluster.term = term;
        cluster.lease = Some((candidate.clone(), term, now.saturating_add(LEASE)));
        Leadership { leader: candidate.clone(), term, changes }
    }

    pub(crate) fn resign(&mut self, candidate: &Candidate, term: Term) {
        let held = &mut self.cluster.lease;
        if held.as_ref().is_some_and(|held| held.0 == *candidate && held.1 == term) {
            *held = None;
        }
    }

    pub(crate) fn create_room(
        &mut self,
        term: Term,
        room: &RoomId,
        rules: &AuctionRules,
    ) -> Result<bool, StoreError> {
        self.fence(term)?;
        if self.cluster.rooms.contains_key(room) {
            return Ok(false);
        }
        let (owner, epoch) = (None, Epoch::default());
        let stored = StoredRoom { room: room.clone(), rules: rules.clone(), owner, epoch };
        self.cluster.rooms.insert(room.clone(), stored);
        self.cluster.changed_by.push(term);
        Ok(true)
    }

    pub(crate) fn assign(
        &mut self,
        term: Term,
        room: &RoomId,
        expected: Epoch,
        owner: Option<&NodeId>,
        epoch: Epoch,
    ) -> Result<Assigned, StoreError> {
        self.fence(term)?;
        let Some(stored) = self.cluster.rooms.get_mut(room) else {
            return Ok(Assigned::UnknownRoom);
        };
        if stored.epoch == epoch && stored.owner.as_ref() == owner {
            return Ok(Assigned::Done);
        }
        if stored.epoch != expected || epoch <= stored.epoch {
            return Ok(Assigned::Conflict { epoch: stored.epoch });
        }
        (stored.owner, stored.epoch) = (owner.cloned(), epoch);
        self.cluster.changed_by.push(term);
        Ok(Assigned::Done)
    }

    pub(crate) fn put_document(
        &mut self,
        term: Term,
        name: DocumentName,
        expected: Option<Version>,
        body: &str,
    ) -> Result<Put, StoreError> {
        self.fence(term)?;
        let held = self.cluster.documents.get(&name);
        let held = held.map_or(Version::default(), |held| held.version);
        if expected.is_some_and(|expected| expected != held) {
            return Ok(Put::Conflict(held));
        }
        let version = held.next();
        self.cluster.documents.insert(name, Document { version, body: body.to_owned() });
        self.cluster.changed_by.push(term);
        Ok(Put::Done(version))
    }

    pub(crate) fn stored_room(&self, room: &RoomId) -> Option<StoredRoom> {
        self.cluster.rooms.get(room).cloned()
    }

    pub(crate) fn stored_rooms(&self) -> Vec<StoredRoom> {
        self.cluster.rooms.values().cloned().collect()
    }

    pub(crate) fn document(&self, name: DocumentName) -> Option<Document> {
        self.cluster.documents.get(&name).cloned()
    }

    fn fence(&self, term: Term) -> Result<(), StoreError> {
        let newest = self.cluster.term;
        if term < newest && !self.planted(Plant::TermOff) {
            return Err(StoreError::Fenced { by: newest });
        }
        Ok(())
    }
}
