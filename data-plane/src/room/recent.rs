//! The last events of a room, for those who missed only these.

use crate::store::BEFORE_MAX;
use gavel_proto::relay::v1 as wire;
use gavel_rules::{
    auction::View,
    id::RoomId,
    order::{Epoch, Position, Seq},
};
use std::collections::VecDeque;

/// Events that are kept; whoever missed more gets the whole state. At a hundred
/// bids a second it is five seconds, which is longer than a client takes to come
/// back; more of them would not fit into what a socket is sent at once. A room
/// that has had so many keeps some 150 KB of them.
const EVENTS_MAX: usize = 512;
// A room that has just been read remembers as much as one that was here.
const _: () = assert!(BEFORE_MAX + 1 == EVENTS_MAX);

/// The states after the last events, without a gap.
#[derive(Debug, Default)]
pub(super) struct Recent {
    views: VecDeque<View>,
}

/// What somebody has missed.
#[derive(Debug)]
pub(super) struct Missed<'a> {
    /// The state they know, if it is still here.
    pub(super) known: Option<&'a View>,
    /// Every state after it.
    pub(super) views: Vec<&'a View>,
}

// === impl Recent ===

impl Recent {
    /// Adds the state after the next event.
    pub(super) fn push(&mut self, view: View) {
        if self.views.back().is_some_and(|last| last.seq.next() != view.seq) {
            self.views.clear();
        }
        if self.views.len() == EVENTS_MAX {
            self.views.pop_front();
        }
        self.views.push_back(view);
    }

    /// Begins anew with a state: another history began, or a part of this one
    /// is missing.
    pub(super) fn begin(&mut self, view: View) {
        self.views.clear();
        self.views.push_back(view);
    }

    /// Puts states before the oldest, as far as they lead to it without a gap.
    pub(super) fn precede(&mut self, before: Vec<View>) {
        for view in before.into_iter().rev() {
            let Some(oldest) = self.views.front() else { return };
            if view.seq.next() == oldest.seq && self.views.len() < EVENTS_MAX {
                self.views.push_front(view);
            }
        }
    }

    /// What is missing between `since` and `now`; none if it is not all here.
    pub(super) fn after(&self, since: Position, now: Position) -> Option<Missed<'_>> {
        if since.generation != now.generation || since.seq > now.seq {
            return None;
        }
        let known = self.views.iter().find(|view| view.seq == since.seq);
        let views: Vec<_> = self.views.iter().filter(|view| view.seq > since.seq).collect();
        let whole = match (views.first(), views.last()) {
            (Some(first), Some(last)) => first.seq == since.seq.next() && last.seq == now.seq,
            _ => since.seq == now.seq,
        };
        whole.then_some(Missed { known, views })
    }
}

// === impl Missed ===

impl Missed<'_> {
    /// The state that is known and all that follow, before that of `seq`.
    pub(super) fn up_to(&self, seq: Seq) -> Vec<View> {
        let all = self.known.iter().chain(&self.views);
        all.filter(|view| view.seq < seq).map(|view| (*view).clone()).collect()
    }
}

/// One event's effect as an edge is told it.
pub(super) fn update(
    room: &RoomId,
    epoch: Epoch,
    view: View,
    traceparents: &[String],
) -> wire::AttachResponse {
    let update = wire::Update {
        room_id: room.to_string(),
        epoch: epoch.get(),
        view: Some(view.into()),
        traceparents: traceparents.to_vec(),
    };
    wire::AttachResponse { kind: Some(wire::attach_response::Kind::Update(update)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_rules::{
        auction::Auction,
        order::{Generation, Seq},
    };

    fn recent(seqs: impl IntoIterator<Item = u64>) -> Recent {
        let mut recent = Recent::default();
        for seq in seqs {
            recent.push(View { seq: Seq::new(seq), ..Auction::empty().view() });
        }
        recent
    }

    fn at(generation: u64, seq: u64) -> Position {
        Position { generation: Generation::new(generation), seq: Seq::new(seq) }
    }

    fn seqs(recent: &Recent, since: Position, now: Position) -> Option<Vec<u64>> {
        let missed = recent.after(since, now)?;
        assert!(missed.known.is_none_or(|known| known.seq == since.seq));
        Some(missed.views.iter().map(|view| view.seq.get()).collect())
    }

    #[test]
    fn who_missed_a_few_gets_these() {
        let recent = recent(3..=9);
        assert_eq!(seqs(&recent, at(1, 6), at(1, 9)), Some(vec![7, 8, 9]));
        assert_eq!(seqs(&recent, at(1, 9), at(1, 9)), Some(vec![]));
        assert_eq!(seqs(&recent, at(1, 2), at(1, 9)), Some((3..=9).collect()));
    }

    #[test]
    fn who_missed_more_or_lives_in_another_history_gets_none() {
        let kept = recent(3..=9);
        assert_eq!(seqs(&kept, at(1, 1), at(1, 9)), None, "2 is missing");
        assert_eq!(seqs(&kept, at(2, 6), at(1, 9)), None, "another history");
        assert_eq!(seqs(&kept, at(1, 12), at(1, 9)), None, "it knows more than we do");
        assert_eq!(seqs(&kept, at(1, 6), at(1, 10)), None, "the last one is missing");
        assert_eq!(seqs(&Recent::default(), at(1, 6), at(1, 9)), None);
        let gap = recent([3, 4, 6]);
        assert_eq!(seqs(&gap, at(1, 3), at(1, 6)), None, "5 is missing");
        let many = recent(1..=1_000);
        assert_eq!(many.views.len(), EVENTS_MAX);
    }
    #[test]
    fn what_came_before_is_put_in_front() {
        let view = |seq| View { seq: Seq::new(seq), ..Auction::empty().view() };
        let mut kept = Recent::default();
        kept.begin(view(9));
        kept.precede((5..9).map(view).collect());
        assert_eq!(seqs(&kept, at(1, 5), at(1, 9)), Some(vec![6, 7, 8, 9]));
        kept.precede((3..9).map(view).collect());
        assert_eq!(seqs(&kept, at(1, 3), at(1, 9)), Some((4..=9).collect()), "only what lacks");
        kept.precede(vec![view(1)]);
        assert_eq!(seqs(&kept, at(1, 1), at(1, 9)), None, "2 is missing");
        let missed = kept.after(at(1, 7), at(1, 9)).expect("it is here");
        let led: Vec<_> = missed.up_to(Seq::new(9)).iter().map(|view| view.seq.get()).collect();
        assert_eq!(led, [7, 8], "the known one too");
        let mut many = recent(1_000..1_500);
        many.precede((1..1_000).map(view).collect());
        assert_eq!(many.views.len(), EVENTS_MAX);
    }
}
