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
use std::{collections::BTreeMap, ops::RangeInclusive};

/// The cluster as stored.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    rooms: BTreeMap<RoomId, StoredRoom>,
    documents: BTreeMap<DocumentName, Document>,
    lease: Option<(Candidate, Term, Timestamp)>,
    audit: BTreeMap<u64, String>,
    secret: Option<String>,
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

    pub(crate) fn append_audit(&mut self, body: &str, keep: u64) -> u64 {
        let audit = &mut self.cluster.audit;
        let id = audit.last_key_value().map_or(0, |(id, _)| *id) + 1;
        audit.insert(id, body.to_owned());
        audit.retain(|kept, _| kept + keep > id);
        id
    }

    pub(crate) fn amend_audit(&mut self, id: u64, body: &str) {
        if let Some(kept) = self.cluster.audit.get_mut(&id) {
            body.clone_into(kept);
        }
    }

    pub(crate) fn audit(&self, ids: RangeInclusive<u64>) -> Vec<(u64, String)> {
        let entries = self.cluster.audit.iter().filter(|(id, _)| ids.contains(id));
        entries.map(|(id, body)| (*id, body.clone())).collect()
    }

    pub(crate) fn newest_audit(&self) -> u64 {
        self.cluster.audit.last_key_value().map_or(0, |(id, _)| *id)
    }

    pub(crate) fn shared_secret(&mut self, drawn: &str) -> String {
        self.cluster.secret.get_or_insert_with(|| drawn.to_owned()).clone()
    }

    fn fence(&self, term: Term) -> Result<(), StoreError> {
        let newest = self.cluster.term;
        if term < newest && !self.planted(Plant::TermOff) {
            return Err(StoreError::Fenced { by: newest });
        }
        Ok(())
    }
}
