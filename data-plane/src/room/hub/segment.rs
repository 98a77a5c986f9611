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

#[derive(Debug, Default)]
struct Queue {
    frames: Vec<(Seats, Bytes)>,
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

    /// Whether frames are on their way to members.
    pub(super) fn is_busy(&self) -> bool {
        self.queue.lock().flushing
    }

    pub(super) fn add(&mut self, seat: &Arc<Seat>) {
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
        let mut queue = self.queue.lock();
        if queue.frames.len() >= FRAMES_MAX {
            queue.frames.clear();
            queue.frames.push((Arc::clone(&self.seats), resync()));
        } else {
            queue.frames.push((Arc::clone(&self.seats), frame.clone()));
        }
        if !queue.flushing {
            queue.flushing = true;
            drop(tasks::spawn("room.flush", flush(Arc::clone(&self.queue))));
        }
    }
}

async fn flush(queue: Arc<Mutex<Queue>>) {
    loop {
        let frames = {
            let mut queue = queue.lock();
            queue.flushing = !queue.frames.is_empty();
            std::mem::take(&mut queue.frames)
        };
        if frames.is_empty() {
            return;
        }
        let same = |a: &(Seats, Bytes), b: &(Seats, Bytes)| Arc::ptr_eq(&a.0, &b.0);
        for run in frames.chunk_by(same) {
            let Some((seats, _)) = run.first() else { continue };
            let frame = merge(run);
            for turn in seats.chunks(WRITES_PER_TURN) {
                for seat in turn {
                    seat.member.socket.send_unless(&frame, &seat.left);
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

fn merge(run: &[(Seats, Bytes)]) -> Bytes {
    if let [(_, frame)] = run {
        return frame.clone();
    }
    let mut merged = BytesMut::with_capacity(run.iter().map(|(_, frame)| frame.len()).sum());
    for (_, frame) in run {
        merged.extend_from_slice(frame);
    }
    merged.freeze()
}
