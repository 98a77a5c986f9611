//! The auction as the store loads it against the fold of all its events.

use super::{Invariant, Stream, Violation};
use crate::auction::Auction;
use alloc::{borrow::ToOwned, boxed::Box, format};

/// Checks invariant 13, where the stream begins at the beginning.
pub(super) fn check(stream: &Stream) -> Result<(), Box<Violation>> {
    let Some(snapshot) = &stream.snapshot else { return Ok(()) };
    let from_beginning = stream.events.first().is_none_or(|first| first.event.seq.get() == 1);
    if !from_beginning {
        return Ok(());
    }
    let seq = snapshot.seq();
    let mut auction = Auction::empty();
    for stored in stream.events.iter().take_while(|stored| stored.event.seq <= seq) {
        if let Err(error) = auction.apply(&stored.event) {
            return Err(stream.broken(
                Invariant::SnapshotIsFold,
                format!("the fold stops at seq {}: {error}", stored.event.seq),
                format!("the store loads the room at seq {seq}"),
            ));
        }
    }
    if auction.to_snapshot() == *snapshot {
        return Ok(());
    }
    let loaded = Auction::from_snapshot(snapshot.clone()).view();
    let folded = auction.view();
    let against = if loaded == folded {
        "the events fold to other answers to bids".to_owned()
    } else {
        format!("the events fold to {folded:?}")
    };
    let found = format!("the store loads the room at seq {seq} as {loaded:?}");
    Err(stream.broken(Invariant::SnapshotIsFold, found, against))
}
