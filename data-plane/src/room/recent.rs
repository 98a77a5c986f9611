//! The last events of a room, for those who missed only these.

use super::Position;
use gavel_proto::relay::v1 as wire;
use gavel_rules::{auction::View, id::RoomId, order::Epoch};
use std::collections::VecDeque;

/// Events that are kept; whoever missed more gets the whole state.
const EVENTS_MAX: usize = 64;

/// The states after the last events, without a gap.
#[derive(Debug, Default)]
pub(super) struct Recent {
    views: VecDeque<View>,
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

    /// Forgets all: another history began, or a part of this one is missing.
    pub(super) fn clear(&mut self) {
        self.views.clear();
    }

    /// The states after `since` up to that of `now`; none if one is missing.
    pub(super) fn after(&self, since: Position, now: Position) -> Option<Vec<&View>> {
        if since.generation != now.generation || since.seq > now.seq {
            return None;
        }
        let missed: Vec<_> = self.views.iter().filter(|view| view.seq > since.seq).collect();
        let whole = match (missed.first(), missed.last()) {
            (Some(first), Some(last)) => first.seq == since.seq.next() && last.seq == now.seq,
            _ => since.seq == now.seq,
        };
        whole.then_some(missed)
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
        let after = recent.after(since, now)?;
        Some(after.iter().map(|view| view.seq.get()).collect())
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
}
