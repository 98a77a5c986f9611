//! The history of a run in a file: a line for each answered bid and for each
//! thing a socket was shown.
//!
//! A bid's time is read before it is sent, all other times after something
//! came: so what seems to have happened one after the other did.

use super::{message::Message, track::Track};
use crate::failure::Failure;
use gavel_rules::{
    amount::Amount,
    auction::RejectReason,
    audit::{
        Answer, Believed, HistoryFormat, HistoryHead, Recorded, RecordedBid, Said, Shown, Sight,
    },
    id::RoomId,
    order::{Generation, Seq},
    time::Timestamp,
};
use gavel_runtime::clock;
use parking_lot::Mutex;
use serde::Serialize;
use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
};

/// What is written at a time, so that a fast run does not wait for the disk.
const BUFFER_BYTES: usize = 1 << 20;

/// Where the history goes.
#[derive(Debug)]
pub(crate) struct Recorder {
    out: Mutex<Out>,
}

#[derive(Debug)]
struct Out {
    path: String,
    file: BufWriter<File>,
    /// The first thing that could not be written; nothing is after it.
    failed: Option<io::Error>,
}

// === impl Recorder ===

impl Recorder {
    /// Begins a history.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let file = File::create(path)
            .map_err(|error| Failure::Usage(format!("--record: cannot write {name}: {error}")))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let recorder = Self { out: Mutex::new(Out { path: name, file, failed: None }) };
        let clock = clock::machine_clock();
        recorder.out.lock().line(&HistoryHead { format: HistoryFormat::V1, clock });
        Ok(recorder)
    }

    /// A bid has its answer, or will never have one.
    pub(crate) fn bid(&self, room: &RoomId, bid: RecordedBid) {
        self.out.lock().line(&Recorded::Bid { room: room.clone(), bid });
    }

    /// A socket was shown something, and now believes what its track says.
    pub(crate) fn sight(&self, room: &RoomId, socket: u64, message: &Message, track: &Track) {
        let Some((seq, shown)) = shown(message, track) else { return };
        let (at_us, generation) = (clock::machine_us(), Generation::new(track.generation));
        let sight = Sight { socket, at_us, generation, seq, shown };
        self.out.lock().line(&Recorded::Sight { room: room.clone(), sight });
    }

    /// Writes what is still held back; fails if anything is missing.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let mut out = self.out.lock();
        let flushed = out.file.flush();
        match out.failed.take().map_or(flushed, Err) {
            Ok(()) => Ok(()),
            Err(error) => {
                Err(Failure::internal(&format!("the history in {} is not whole", out.path), error))
            }
        }
    }
}

// === impl Out ===

impl Out {
    fn line(&mut self, line: &impl Serialize) {
        if self.failed.is_some() {
            return;
        }
        let json = serde_json::to_string(line).map_err(io::Error::from);
        self.failed = json.and_then(|json| writeln!(self.file, "{json}")).err();
    }
}

/// The answer that a message is to a bid.
pub(crate) fn answer(message: &Message) -> Option<Answer> {
    let said = match message {
        &Message::BidAccepted { seq, amount, minimum_bid, server_time, .. } => Said::Accepted {
            seq: Seq::new(seq),
            amount: Amount::new(amount).ok()?,
            minimum: Amount::new(minimum_bid).ok()?,
            at: Timestamp::new(server_time),
        },
        Message::BidRejected { reason, seq, current_bid, minimum_bid, server_time, .. } => {
            match RejectReason::ALL.into_iter().find(|known| known.as_str() == reason) {
                Some(reason) => Said::Rejected {
                    reason,
                    price: Amount::new(*current_bid).ok()?,
                    minimum: Amount::new(*minimum_bid).ok()?,
                    seq: Seq::new(*seq),
                    at: Timestamp::new(*server_time),
                },
                // A reason of a later release promises nothing that is known here.
                None => Said::Error { code: reason.clone() },
            }
        }
        Message::Error { code, .. } => Said::Error { code: code.clone() },
        Message::Welcome { .. }
        | Message::AuctionState { .. }
        | Message::AuctionUpdate { .. }
        | Message::AuctionClosed { .. }
        | Message::Batch { .. }
        | Message::Other => return None,
    };
    Some(Answer { at_us: clock::machine_us(), said })
}

fn shown(message: &Message, track: &Track) -> Option<(Seq, Shown)> {
    let believed = || {
        let price = Amount::new(track.price).ok()?;
        Some(Believed { price, high_bidder: track.high_bidder.clone() })
    };
    let (seq, shown) = match message {
        Message::AuctionState { seq, .. } => (seq, Shown::State(believed()?)),
        Message::AuctionUpdate { seq, .. } => (seq, Shown::Update(believed()?)),
        Message::AuctionClosed { seq, winner, amount } => {
            let amount = amount.map(Amount::new).transpose().ok()?;
            (seq, Shown::Closed { winner: winner.clone(), amount })
        }
        Message::Welcome { .. }
        | Message::BidAccepted { .. }
        | Message::BidRejected { .. }
        | Message::Error { .. }
        | Message::Batch { .. }
        | Message::Other => return None,
    };
    Some((Seq::new(*seq), shown))
}
