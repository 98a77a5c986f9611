//! What the scripts reply, read. Whatever a reply holds, it is an ack only where the script said
//! so, and a room only where snapshot and events fit each other.

use gavel_rules::{AuctionSnapshot, Epoch, Event, Generation, NodeId, Seq, StoredEvent, Timestamp};

use super::failure::corrupt;
use crate::store::{Appended, Loaded, StoreError, folding::Folding};

/// What `append.lua` replies: word, number, owner.
pub type Append = (String, u64, String);

/// What `load.lua` replies: time, generation, epoch, owner, seq, seq of the snapshot, snapshot.
pub type Header = (u64, u64, u64, String, u64, u64, String);

/// What `range.lua` replies: seq, epoch and event, one entry behind the other.
pub type Entries = Vec<String>;

/// A room of which the header has been read, and perhaps some events.
#[derive(Debug)]
pub struct Loading {
    folding: Folding,
    /// The last event that was read.
    last: Seq,
    /// The last event that the room has had.
    seq: Seq,
    generation: Generation,
    epoch: Epoch,
    owner: Option<NodeId>,
    now: Timestamp,
}

/// The outcome of an append whose last event has this seq.
///
/// # Errors
/// [`StoreError`] for what the script never says.
pub fn appended((word, number, owner): Append, seq: Seq) -> Result<Appended, StoreError> {
    Ok(match word.as_str() {
        "stored" => Appended::Stored { seq, at: Timestamp::new(number) },
        "fenced" => Appended::Fenced { epoch: Epoch::new(number), owner: parse_owner(&owner)? },
        "conflict" => Appended::Conflict { seq: Seq::new(number) },
        "early" => Appended::TooEarly { now: Timestamp::new(number) },
        "late" => Appended::TooLate { now: Timestamp::new(number) },
        // The script is ours; a word it does not know means nothing was understood.
        _ => return Err(StoreError::Unknown),
    })
}

/// The events of a page.
///
/// # Errors
/// [`StoreError::Corrupt`] if one of them is none.
pub fn events(entries: &Entries) -> Result<Vec<StoredEvent>, StoreError> {
    entries.chunks(3).map(stored_event).collect()
}

/// The owner, if the text names one.
///
/// # Errors
/// [`StoreError::Corrupt`] if it is no id.
pub fn parse_owner(text: &str) -> Result<Option<NodeId>, StoreError> {
    match text {
        "" => Ok(None),
        id => id.parse().map(Some).map_err(corrupt),
    }
}

// === impl Loading ===

impl Loading {
    /// Begins with the header.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if it holds no snapshot of the seq that it tells.
    pub fn begin(header: Header) -> Result<Self, StoreError> {
        let (now, generation, epoch, owner, seq, snapshot_seq, snapshot) = header;
        let snapshot: Option<AuctionSnapshot> = match snapshot.as_str() {
            "" => None,
            json => Some(serde_json::from_str(json).map_err(corrupt)?),
        };
        let held = snapshot.as_ref().map_or(0, |snapshot| snapshot.seq().get());
        if held != snapshot_seq {
            return Err(corrupt(format!("the snapshot of {snapshot_seq} holds that of {held}")));
        }
        Ok(Self {
            folding: Folding::new(snapshot),
            last: Seq::new(snapshot_seq),
            seq: Seq::new(seq),
            generation: Generation::new(generation),
            epoch: Epoch::new(epoch),
            owner: parse_owner(&owner)?,
            now: Timestamp::new(now),
        })
    }

    /// The last event that was read; the next page begins after it.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.last
    }

    /// Folds in a page.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if an event does not follow the one before.
    pub fn page(&mut self, page: &[StoredEvent]) -> Result<(), StoreError> {
        for stored in page {
            self.folding.apply(&stored.event)?;
            self.last = stored.event.seq;
        }
        Ok(())
    }

    /// The room.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if events are missing at its end.
    pub fn end(self) -> Result<Loaded, StoreError> {
        let Self { folding, last, seq, generation, epoch, owner, now } = self;
        if last < seq {
            return Err(corrupt(format!(
                "the room has had event {seq}, but the stream ends at {last}"
            )));
        }
        let (auction, before) = folding.end();
        Ok(Loaded { auction, before, generation, epoch, owner, now, heard_at: None })
    }
}

/// One entry as `range.lua` flattens it.
fn stored_event(entry: &[String]) -> Result<StoredEvent, StoreError> {
    let [seq, epoch, json] = entry else {
        return Err(corrupt("a stream entry without epoch or event"));
    };
    let event: Event = serde_json::from_str(json).map_err(corrupt)?;
    if event.seq.to_string() != *seq {
        return Err(corrupt(format!("entry {seq} holds event {}", event.seq)));
    }
    Ok(StoredEvent { epoch: Epoch::new(epoch.parse().map_err(corrupt)?), event })
}
