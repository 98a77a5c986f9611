//! The audit of one room: its event stream against itself, and recorded
//! histories of clients against the stream.
//!
//! ```text
//! Stream ----> replay    2 3 4 6 9 10 11     what the events alone can tell
//!              snapshot  13                  where one is given
//! Histories -> answers   1 4 6 7             what bidders were told
//!              timeline  5 7                 what was known before a bid was sent
//!              sights    10 12               what viewers were shown
//! ```
//!
//! The numbers are invariants, see docs/verify.md. The replay does not use the
//! fold that owners use, so that a mistake there cannot hide itself here. The
//! accepted order is its own witness, which makes all of it O(n log n).

mod answers;
mod history;
mod replay;
mod sights;
mod snapshot;
#[cfg(test)]
mod tests;
mod timeline;
mod violation;

pub use history::{
    Answer, Believed, History, HistoryFormat, HistoryHead, Recorded, RecordedBid, Said, Shown,
    Sight,
};
pub use violation::{Invariant, Violation};

use crate::{
    auction::{AuctionSnapshot, AuctionState, Outcome, StoredEvent},
    id::RoomId,
    order::{Epoch, Generation, Seq},
};
use alloc::{boxed::Box, string::String, vec::Vec};
use answers::Answers;
use replay::Replay;
use serde::{Deserialize, Serialize};
use timeline::Timelines;

/// A room as stored. Serialized it is the first line of its kept form; the
/// events follow it, each on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// How it is kept.
    pub format: StreamFormat,
    /// Which.
    pub room: RoomId,
    /// The history that seq counts in.
    pub generation: Generation,
    /// The epoch that appends must carry.
    pub epoch: Epoch,
    /// The auction as the store loads it, from its snapshot and the events after that.
    pub snapshot: Option<AuctionSnapshot>,
    /// Its events; the oldest may have been dropped behind a snapshot.
    #[serde(skip)]
    pub events: Vec<StoredEvent>,
}

/// How a stream is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamFormat {
    /// The first form.
    #[default]
    #[serde(rename = "gavel-stream-1")]
    V1,
}

/// What an audit that found nothing wrong looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Events in the stream.
    pub events: usize,
    /// The seq of the first event, above one where older ones have been dropped.
    pub first: Seq,
    /// Accepted bids in the stream.
    pub bids: usize,
    /// Epochs that appended.
    pub epochs: usize,
    /// How the last round closed, if it has.
    pub outcome: Option<Outcome>,
    /// Recorded bids that were looked at.
    pub recorded: usize,
    /// Recorded sights that were looked at.
    pub sights: usize,
    /// Answers and sights that speak of dropped events and could not be checked.
    pub unchecked: usize,
}

/// Checks a room's stream, and histories of the room against it. With
/// `complete` the histories are taken to hold every bid that was ever sent.
///
/// # Errors
/// The first [`Violation`].
pub fn audit(
    stream: &Stream,
    histories: &[History],
    complete: bool,
) -> Result<Report, Box<Violation>> {
    let replay = Replay::of(stream)?;
    snapshot::check(stream)?;
    let timelines = Timelines::of(&replay, histories);
    let answers = Answers::new(&replay, &timelines);
    let mut unchecked = 0;
    for history in histories {
        unchecked += answers.check(history)?;
        unchecked += sights::check(&replay, history)?;
    }
    answers.check_order()?;
    answers.check_requests(histories, complete)?;
    let bids = replay.bids().count();
    let closed = replay.last().is_some_and(|last| last.state == Some(AuctionState::Closed));
    Ok(Report {
        events: stream.events.len(),
        first: replay.first,
        bids,
        epochs: stream.events.chunk_by(|a, b| a.epoch == b.epoch).count(),
        outcome: replay.outcome().filter(|_| closed).cloned(),
        recorded: histories.iter().map(|history| history.bids.len()).sum(),
        sights: histories.iter().map(|history| history.sights.len()).sum(),
        unchecked,
    })
}

// === impl Stream ===

impl Stream {
    fn broken(&self, invariant: Invariant, found: String, against: String) -> Box<Violation> {
        Box::new(Violation { room: self.room.clone(), invariant, found, against })
    }
}
