//! One socket's view of its room, and whether its updates come in order.

use super::{message::Message, stats::Fault};
use gavel_rules::id::UserId;

/// What one socket knows of its room.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Track {
    /// The last seq received, in a snapshot, an update or a close.
    pub(crate) seq: u64,
    /// The price as of `seq`.
    pub(crate) price: u64,
    /// Who holds that price.
    pub(crate) high_bidder: Option<UserId>,
    /// The least that the next bid must offer.
    pub(crate) minimum: u64,
    /// The history that `seq` counts in.
    pub(crate) generation: u64,
    /// Whether a state has come.
    pub(crate) joined: bool,
    closed_seq: Option<u64>,
}

// === impl Track ===

impl Track {
    /// Takes a message of the room; tells what is wrong with its place in the order.
    pub(crate) fn take(&mut self, message: &Message) -> Option<Fault> {
        match message {
            &Message::AuctionState {
                current_bid,
                ref current_bidder_id,
                minimum_bid,
                seq,
                generation,
            } => {
                let back = self.joined && generation == self.generation && seq < self.seq;
                self.joined = true;
                self.generation = generation;
                self.closed_seq = None;
                (self.seq, self.price, self.minimum) = (seq, current_bid, minimum_bid);
                self.high_bidder.clone_from(current_bidder_id);
                back.then_some(Fault::Disorder)
            }
            &Message::AuctionUpdate { current_bid, ref current_bidder_id, minimum_bid, seq } => {
                // A close is told twice, as itself and as an update.
                let same_close = self.closed_seq.take() == Some(seq) && seq == self.seq;
                let fault = if same_close { None } else { self.advance(seq) };
                if fault.is_none_or(|fault| fault == Fault::Gap) {
                    self.price = current_bid.unwrap_or(self.price);
                    self.minimum = minimum_bid.unwrap_or(self.minimum);
                    if let Some(high_bidder) = current_bidder_id {
                        self.high_bidder.clone_from(high_bidder);
                    }
                }
                fault
            }
            &Message::AuctionClosed { seq, .. } => {
                self.closed_seq = Some(seq);
                // At the seq of the update just seen it is the other half of one event.
                if seq == self.seq { None } else { self.advance(seq) }
            }
            Message::BidAccepted { .. }
            | Message::BidRejected { .. }
            | Message::Error { .. }
            | Message::Batch { .. }
            | Message::Welcome { .. }
            | Message::Other => None,
        }
    }

    fn advance(&mut self, seq: u64) -> Option<Fault> {
        let expected = self.seq.saturating_add(1);
        if seq > self.seq {
            self.seq = seq;
        }
        match seq.cmp(&expected) {
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(Fault::Gap),
            std::cmp::Ordering::Less if seq == self.seq => Some(Fault::DuplicateSeq),
            std::cmp::Ordering::Less => Some(Fault::Disorder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(seq: u64) -> Message {
        Message::AuctionState {
            current_bid: 100,
            current_bidder_id: None,
            minimum_bid: 110,
            seq,
            generation: 1,
        }
    }

    fn update(seq: u64) -> Message {
        let (current_bid, current_bidder_id) = (Some(seq * 10), Some("u".parse().ok()));
        Message::AuctionUpdate { current_bid, current_bidder_id, minimum_bid: None, seq }
    }

    fn closed(seq: u64) -> Message {
        Message::AuctionClosed { seq, winner: None, amount: None }
    }

    #[test]
    fn a_steady_stream_has_no_fault() {
        let mut track = Track::default();
        let stream = [state(7), update(8), update(9), closed(10), update(10), update(11)];
        assert!(stream.iter().all(|message| track.take(message).is_none()));
        assert_eq!((track.seq, track.price, track.minimum), (11, 110, 110));
        assert_eq!(track.high_bidder, "u".parse().ok());
        let mut track = Track::default();
        let stream = [state(7), update(8), closed(8), update(9), state(9)];
        assert!(stream.iter().all(|message| track.take(message).is_none()));
    }

    #[test]
    fn faults_are_told_apart() {
        for (seq, fault) in [
            (7, Some(Fault::DuplicateSeq)),
            (5, Some(Fault::Disorder)),
            (8, None),
            (9, Some(Fault::Gap)),
        ] {
            let mut track = Track::default();
            track.take(&state(7));
            assert_eq!(track.take(&update(seq)), fault, "{seq}");
        }
        let mut track = Track::default();
        track.take(&state(7));
        assert_eq!(track.take(&state(6)), Some(Fault::Disorder));
    }
}
