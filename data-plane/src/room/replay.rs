//! What a room does when the store has lost something that was told.
//!
//! ```text
//! load -> Tail::compare -> Whole    go on
//!                       -> Lacks    replay, and load again
//!                       -> Differs  the owner gives the history another name, and loads again
//!                       -> Another  it has one: everybody is told the whole state
//! ```
//!
//! A room is looked at whenever it is loaded: after each trouble with the store, when it turns out
//! to be another server, and when an edge knows more than the owner. A deputy
//! puts back what it has itself; where more is missing it waits for the owner, and its bids with it.

use super::{
    owner::{Done, Phase},
    tail::{Compared, EVENTS_TAKEN},
    task::{Role, Room},
};
use crate::{
    node::Shell,
    store::{Appended, EVENTS_KEPT, Loaded, Stamp, StoreError, StoredEvent},
};
use futures::FutureExt as _;
use gavel_rules::{
    id::RoomId,
    order::{Epoch, Generation, Position, Seq},
    time::{Millis, Timestamp},
};
use std::sync::Arc;

/// How long a deputy waits for the owner to put a history right.
const OWNER_MENDS: Millis = Millis::new(200);

// A stream that is compared with a tail begins no later.
const _: () = assert!(EVENTS_KEPT > EVENTS_TAKEN && EVENTS_KEPT > super::tail::EVENTS_MAX as u64);

/// The end of a room's stream, where it has to be compared.
#[derive(Debug, Default)]
pub(super) struct StreamEnd {
    pub(super) events: Vec<StoredEvent>,
    pub(super) stamp: Stamp,
}

// === impl StreamEnd ===

impl StreamEnd {
    /// Reads what follows `after`, or the last events, of a room that was loaded just now.
    pub(super) async fn read(
        shell: &Shell,
        room: &RoomId,
        loaded: &Loaded,
        after: Option<Seq>,
        stamp: Stamp,
    ) -> Result<Self, StoreError> {
        if !shell.store.watermark().has_replicas {
            return Ok(Self::default());
        }
        let last = loaded.auction.view().seq;
        let taken = Seq::new(last.get().saturating_sub(EVENTS_TAKEN));
        let after = after.unwrap_or(taken).min(last);
        let count = usize::try_from(last.get().saturating_sub(after.get())).unwrap_or(usize::MAX);
        let events = shell.store.range(room, after, count).await?;
        if events.last().map_or(after, |stored| stored.event.seq) < last {
            // It came from another server than the load.
            return Err(StoreError::Unknown);
        }
        Ok(Self { events, stamp: stamp.answered() })
    }
}

// === impl Room ===

impl Room {
    /// Another server answers than before: what is stored has to be looked at.
    pub(super) fn on_store_changed(&mut self) {
        if let Role::Owner(owner) = &mut self.role {
            owner.recheck = true;
        }
    }

    /// An edge knows the room up to there. If that is more than its owner does, either a deputy
    /// appended or the store lost something; if it is a later history, a deputy found that out.
    pub(super) fn on_heard(&mut self, heard: Position) {
        let known = self.position();
        if let Role::Owner(owner) = &mut self.role
            && (heard.generation, heard.seq) > (known.generation, known.seq)
        {
            owner.heard = heard;
            owner.recheck = true;
        }
    }

    /// Whether the stream is what was told. If not, what is to be done about it has begun.
    pub(super) fn is_as_told(&mut self, loaded: &Loaded, end: StreamEnd) -> bool {
        let mut told = self.position();
        let Role::Owner(owner) = &mut self.role else { return false };
        if owner.heard.generation == told.generation {
            told.seq = told.seq.max(owner.heard.seq);
        }
        let (generation, seq) = (loaded.generation, loaded.auction.view().seq);
        let is_deputy = owner.stands_in_for().is_some();
        match owner.tail.compare(told, Position { generation, seq }, &end.events) {
            Compared::Whole => {}
            Compared::Another if is_deputy => {}
            Compared::Another => {
                self.shell.metrics.history_replaced();
                tracing::error!(room.id = %self.id, was = told.generation.get(),
                    is = generation.get(), told = told.seq.get(), stored = seq.get(),
                    "the room has another history now");
            }
            Compared::Lacks(events)
                if events.iter().all(|stored| stored.epoch <= owner.epoch()) =>
            {
                self.replay(told.generation, events);
                return false;
            }
            // Where the stream only ends too early, the owner may have the rest of it.
            Compared::Differs { told, common } if !is_deputy || common < seq => {
                self.raise(generation, told, common, seq);
                return false;
            }
            Compared::Lacks(_) | Compared::Differs { .. } => {
                let now = self.shell.now();
                tracing::warn!(room.id = %self.id, told = told.seq.get(), stored = seq.get(),
                    "the store lost events; its owner has to see to it");
                self.reload(now.saturating_add(OWNER_MENDS));
                return false;
            }
        }
        owner.tail.hold(end.events, end.stamp);
        true
    }

    /// The room has an older epoch than ours: the store lost our claim.
    pub(super) fn reclaim(&mut self, stored: Epoch) {
        if let Role::Owner(owner) = &mut self.role {
            tracing::warn!(room.id = %self.id, epoch = owner.epoch().get(), stored = stored.get(),
                "the store lost the claim of the room; it is claimed again");
            owner.phase = Phase::Claim(Timestamp::new(0));
        }
    }

    pub(super) fn on_replayed(&mut self, events: usize, outcome: Result<Appended, StoreError>) {
        match outcome {
            Ok(Appended::Stored { seq, .. }) => {
                self.shell.metrics.replayed(events);
                tracing::warn!(room.id = %self.id, events, seq = seq.get(),
                    "the store had lost events; they are back");
                self.reload(Timestamp::new(0));
            }
            Ok(Appended::Fenced { epoch, .. }) => self.on_fenced(epoch),
            // Somebody else was faster.
            Ok(
                Appended::Conflict { .. } | Appended::TooEarly { .. } | Appended::TooLate { .. },
            ) => self.reload(Timestamp::new(0)),
            Err(error) => self.on_trouble(&error),
        }
    }

    pub(super) fn on_raised(&mut self, outcome: Result<Generation, StoreError>) {
        match outcome {
            Ok(_) => self.reload(Timestamp::new(0)),
            Err(error) => self.on_trouble(&error),
        }
    }

    fn replay(&mut self, generation: Generation, events: Vec<StoredEvent>) {
        let Role::Owner(owner) = &mut self.role else { return };
        owner.phase = Phase::Load(Timestamp::new(0));
        let (shell, id, epoch) = (Arc::clone(&self.shell), self.id.clone(), owner.epoch());
        let replay = async move {
            let outcome = shell.store.replay(&id, epoch, generation, &events).await;
            Done::Replayed { events: events.len(), outcome }
        };
        self.work = Some(replay.boxed());
    }

    fn raise(&mut self, from: Generation, told: Seq, common: Seq, stored: Seq) {
        let Role::Owner(owner) = &mut self.role else { return };
        owner.phase = Phase::Load(Timestamp::new(0));
        let after_common = |seq: Seq| seq.get().saturating_sub(common.get());
        tracing::error!(room.id = %self.id, generation = from.get(), common = common.get(),
            lost = after_common(told), others = after_common(stored),
            "the store lost events that were told, and they cannot be put back");
        let (shell, id, epoch) = (Arc::clone(&self.shell), self.id.clone(), owner.epoch());
        let raise = async move { shell.store.raise_generation(&id, epoch, from).await };
        self.work = Some(raise.map(Done::Raised).boxed());
    }
}
