//! Some hundred members and the frames on their way to them.
//!
//! Natural batching: whoever empties the queue takes all that came while it
//! was writing, merges it, and writes it to each member at once. There is no
//! delay when idle and there are fewer writes under load. The members are a
//! copy-on-write list, and each queued frame keeps the list as it was, so that
//! a member gets nothing that was sent before it came. What is still queued when
//! it leaves is dropped: it may be told newer things by another way.

use super::Seat;
use bytes::{Bytes, BytesMut};
use gavel_runtime::tasks;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Members of a segment; large enough to share a merge, small enough that
/// several workers write to one large room.
const MEMBERS_MAX: usize = 512;
/// Frames that may wait; over it the members get the whole state instead.
const FRAMES_MAX: usize = 1024;
/// Writes after which others on the same worker get their turn.
const WRITES_PER_TURN: usize = 128;

/// Some members of a lane.
#[derive(Debug, Default)]
pub(super) struct Segment {
    seats: Seats,
    queue: Arc<Mutex<Queue>>,
}

type Seats = Arc<Vec<Arc<Seat>>>;

/// When all is written that was queued elsewhere before: for a member that moves
/// from one segment to another. It comes when its [`Item::Reached`] is dropped.
pub(super) type Turn = oneshot::Receiver<()>;

#[derive(Debug)]
enum Item {
    /// To be written to these members.
    Frame(Seats, Bytes),
    /// Something in another queue waits for this place.
    Reached(oneshot::Sender<()>),
    /// Nothing that follows may be written before.
    Await(Turn),
}

#[derive(Debug, Default)]
struct Queue {
    items: Vec<Item>,
    /// How many of them are frames.
    frames: usize,
    /// A task is emptying the queue.
    flushing: bool,
}

// === impl Segment ===

impl Segment {
    pub(super) fn has_room(&self) -> bool {
        self.seats.len() < MEMBERS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// The turn of what is to follow all that is queued here, if anything is.
    pub(super) fn turn(&self) -> Option<Turn> {
        let mut queue = self.queue.lock();
        queue.flushing.then(|| {
            let (reached, turn) = oneshot::channel();
            queue.items.push(Item::Reached(reached));
            turn
        })
    }

    /// Takes a member in; it is sent nothing from here before its turn.
    pub(super) fn add(&mut self, seat: &Arc<Seat>, turn: Option<Turn>) {
        if let Some(turn) = turn {
            self.queue(Item::Await(turn));
        }
        Arc::make_mut(&mut self.seats).push(Arc::clone(seat));
    }

    /// Takes a member out; false if it is not here.
    pub(super) fn remove(&mut self, seat: &Arc<Seat>) -> bool {
        let position = self.seats.iter().position(|other| Arc::ptr_eq(other, seat));
        if let Some(position) = position {
            Arc::make_mut(&mut self.seats).swap_remove(position);
        }
        position.is_some()
    }

    /// Queues a frame for all members. `resync` makes the frame that stands
    /// for everything, for when too much waits.
    pub(super) fn send(&self, frame: &Bytes, resync: impl FnOnce() -> Bytes) {
        let seats = Arc::clone(&self.seats);
        let overflows = {
            let mut queue = self.queue.lock();
            let overflows = queue.frames >= FRAMES_MAX;
            if overflows {
                // Members that moved here still have to wait for their turn.
                queue.items.retain(|item| matches!(item, Item::Await(_)));
                queue.frames = 0;
            }
            overflows
        };
        self.queue(Item::Frame(seats, if overflows { resync() } else { frame.clone() }));
    }

    fn queue(&self, item: Item) {
        let mut queue = self.queue.lock();
        queue.frames += usize::from(matches!(item, Item::Frame(..)));
        queue.items.push(item);
        if !queue.flushing {
            queue.flushing = true;
            drop(tasks::spawn("room.flush", flush(Arc::clone(&self.queue))));
        }
    }
}

async fn flush(queue: Arc<Mutex<Queue>>) {
    loop {
        let items = {
            let mut queue = queue.lock();
            queue.flushing = !queue.items.is_empty();
            queue.frames = 0;
            std::mem::take(&mut queue.items)
        };
        if items.is_empty() {
            return;
        }
        let mut items = items.into_iter().peekable();
        while let Some(item) = items.next() {
            let (seats, first) = match item {
                Item::Frame(seats, frame) => (seats, frame),
                Item::Reached(turn) => {
                    drop(turn);
                    continue;
                }
                Item::Await(turn) => {
                    // It comes as an error, being dropped and not sent.
                    drop(turn.await);
                    continue;
                }
            };
            let mut run = vec![first];
            let same = |item: &Item| matches!(item, Item::Frame(s, _) if Arc::ptr_eq(s, &seats));
            while let Some(Item::Frame(_, frame)) = items.next_if(same) {
                run.push(frame);
            }
            let frame = merge(&run);
            for turn in seats.chunks(WRITES_PER_TURN) {
                for seat in turn {
                    seat.member.socket.send_unless(&frame, &seat.left);
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

pub(super) fn merge(run: &[Bytes]) -> Bytes {
    if let [frame] = run {
        return frame.clone();
    }
    let mut merged = BytesMut::with_capacity(run.iter().map(Bytes::len).sum());
    for frame in run {
        merged.extend_from_slice(frame);
    }
    merged.freeze()
}
