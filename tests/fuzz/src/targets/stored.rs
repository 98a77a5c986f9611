//! What is kept: lines of streams and histories, which `gavel verify` reads and owners fold.

use gavel_rules::{
    auction::{Auction, AuctionSnapshot, StoredEvent},
    audit::{History, Recorded, Stream, StreamFormat, audit},
    order::{Epoch, Generation},
};

/// Lines of any of these kinds. Whatever they hold, the fold takes it or refuses it and the audit
/// comes to an end; what the fold has taken comes back whole out of a snapshot.
pub(crate) fn streams(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let mut stream = Stream {
        format: StreamFormat::V1,
        room: "vase".parse().expect("an id"),
        generation: Generation::new(5),
        epoch: Epoch::new(1),
        snapshot: None,
        events: Vec::new(),
    };
    let mut history = History::default();
    for line in text.lines() {
        if let Ok(event) = serde_json::from_str::<StoredEvent>(line) {
            stream.events.push(event);
        } else if let Ok(head) = serde_json::from_str::<Stream>(line) {
            stream = Stream { events: stream.events, ..head };
        } else if let Ok(snapshot) = serde_json::from_str::<AuctionSnapshot>(line) {
            stream.snapshot = Some(snapshot);
        } else {
            match serde_json::from_str::<Recorded>(line) {
                Ok(Recorded::Bid { bid, .. }) => history.bids.push(bid),
                Ok(Recorded::Sight { sight, .. }) => history.sights.push(sight),
                Err(_) => {}
            }
        }
    }
    let found = audit(&stream, &[history], false);
    let folded = fold(&stream);
    // What the audit finds good is no less than what the fold takes.
    let begins = stream.events.first().is_some_and(|stored| stored.event.seq.get() == 1);
    assert!(found.is_err() || !begins || folded, "{found:?}");
    folded && begins
}

fn fold(stream: &Stream) -> bool {
    let mut auction = Auction::empty();
    if stream.events.first().is_some_and(|stored| stored.event.seq.get() != 1) {
        auction = stream.snapshot.clone().map_or(auction, Auction::from_snapshot);
    }
    for stored in &stream.events {
        let before = auction.to_snapshot();
        if auction.apply(&stored.event).is_err() {
            assert_eq!(auction.to_snapshot(), before, "what is refused leaves no trace");
            return false;
        }
        assert_eq!(auction.view().seq, stored.event.seq);
    }
    let snapshot = auction.to_snapshot();
    let json = serde_json::to_string(&snapshot).expect("it is JSON");
    let read: AuctionSnapshot = serde_json::from_str(&json).expect("we wrote it");
    assert_eq!(Auction::from_snapshot(read).to_snapshot(), snapshot);
    true
}
