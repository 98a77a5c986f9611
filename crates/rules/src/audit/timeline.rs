//! What clients knew when, and when they sent what: the real time that the
//! order of the stream has to respect.

use super::{History, RecordedBid, Said, Sight, replay::Replay};
use crate::{
    id::{BidId, UserId},
    order::Seq,
};
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

/// The timelines of all clocks.
#[derive(Default)]
pub(super) struct Timelines<'h> {
    by_clock: BTreeMap<&'h str, Timeline<'h>>,
    sends: BTreeMap<(&'h UserId, &'h BidId), Sent<'h>>,
}

/// When an accepted bid was first sent.
#[derive(Clone, Copy)]
pub(super) struct Sent<'h> {
    pub(super) seq: Seq,
    pub(super) history: &'h History,
    pub(super) bid: &'h RecordedBid,
    /// Sent by several clocks too, so that nobody can tell when first.
    ambiguous: bool,
}

/// A client learned that `seq` is stored.
#[derive(Clone, Copy)]
pub(super) struct Known<'h> {
    pub(super) seq: Seq,
    at_us: u64,
    history: &'h History,
    from: From<'h>,
}

#[derive(Clone, Copy)]
enum From<'h> {
    Answer(&'h RecordedBid),
    Sight(&'h Sight),
}

#[derive(Default)]
struct Timeline<'h> {
    /// By time; each entry is the highest seq known by then.
    known: Vec<Known<'h>>,
    /// By time; each entry is the lowest seq of what was sent from then on.
    sent: Vec<(u64, Sent<'h>)>,
}

// === impl Timelines ===

impl<'h> Timelines<'h> {
    /// Orders what the histories tell of the stream's events.
    pub(super) fn of(replay: &Replay<'h>, histories: &'h [History]) -> Self {
        let mut timelines = Self::default();
        for history in histories {
            timelines.learn(replay, history);
            timelines.send(replay, history);
        }
        let sends: Vec<_> = timelines.sent().collect();
        for sent in sends {
            let timeline = timelines.by_clock.entry(&sent.history.clock).or_default();
            timeline.sent.push((sent.bid.sent_us, sent));
        }
        timelines.by_clock.values_mut().for_each(Timeline::settle);
        timelines
    }

    /// The highest seq that anybody knew for certain before `at_us`.
    pub(super) fn known_before(&self, clock: &str, at_us: u64) -> Option<Known<'h>> {
        let known = &self.by_clock.get(clock)?.known;
        let count = known.partition_point(|known| known.at_us < at_us);
        known.get(count.checked_sub(1)?).copied()
    }

    /// The lowest seq of the accepted bids that were sent only after `at_us`.
    pub(super) fn sent_after(&self, clock: &str, at_us: u64) -> Option<Sent<'h>> {
        let sent = &self.by_clock.get(clock)?.sent;
        let start = sent.partition_point(|(sent_us, _)| *sent_us <= at_us);
        sent.get(start).map(|(_, sent)| *sent)
    }

    /// Each accepted bid whose first sending is known.
    pub(super) fn sent(&self) -> impl Iterator<Item = Sent<'h>> {
        self.sends.values().copied().filter(|sent| !sent.ambiguous)
    }

    fn learn(&mut self, replay: &Replay<'_>, history: &'h History) {
        let generation = replay.stream.generation;
        let acks = history.bids.iter().filter(|bid| bid.generation == generation);
        let acks = acks.filter_map(|bid| {
            let answer = bid.answer.as_ref()?;
            let (Said::Accepted { seq, .. } | Said::Rejected { seq, .. }) = answer.said else {
                return None;
            };
            Some(Known { seq, at_us: answer.at_us, history, from: From::Answer(bid) })
        });
        let sights = history.sights.iter().filter(|sight| sight.generation == generation);
        let sights = sights.map(|sight| {
            let (seq, at_us) = (sight.seq, sight.at_us);
            Known { seq, at_us, history, from: From::Sight(sight) }
        });
        let timeline = self.by_clock.entry(&history.clock).or_default();
        timeline.known.extend(acks.chain(sights));
    }

    fn send(&mut self, replay: &Replay<'h>, history: &'h History) {
        for bid in &history.bids {
            let mut accepted = replay.accepted(&bid.bidder, &bid.bid_id);
            // An id that several rounds accepted does not say which was sent when.
            let (Some(event), None) = (accepted.next(), accepted.next()) else { continue };
            let sent = Sent { seq: event.seq, history, bid, ambiguous: false };
            let first = self.sends.entry((&bid.bidder, &bid.bid_id)).or_insert(sent);
            if first.history.clock != history.clock {
                first.ambiguous = true;
            } else if bid.sent_us < first.bid.sent_us {
                *first = Sent { ambiguous: first.ambiguous, ..sent };
            }
        }
    }
}

// === impl Timeline ===

impl Timeline<'_> {
    fn settle(&mut self) {
        self.known.sort_by_key(|known| known.at_us);
        let mut highest: Option<Known<'_>> = None;
        for known in &mut self.known {
            let at_us = known.at_us;
            let before = highest.filter(|before| before.seq >= known.seq);
            // The time stays that of the entry, for the search.
            *known = before.map_or(*known, |before| Known { at_us, ..before });
            highest = Some(*known);
        }
        self.sent.sort_by_key(|(sent_us, _)| *sent_us);
        let mut lowest: Option<Sent<'_>> = None;
        for (_, sent) in self.sent.iter_mut().rev() {
            *sent = lowest.filter(|later| later.seq <= sent.seq).unwrap_or(*sent);
            lowest = Some(*sent);
        }
    }
}

// === impl Sent ===

impl Sent<'_> {
    /// As evidence.
    pub(super) fn told(&self) -> String {
        let Self { seq, history, bid, .. } = self;
        let RecordedBid { bidder, bid_id, sent_us, .. } = bid;
        format!("bid {bid_id} of {bidder}, sent at {sent_us} us in {}, is seq {seq}", history.name)
    }
}

// === impl Known ===

impl Known<'_> {
    /// As evidence.
    pub(super) fn told(&self) -> String {
        let Self { seq, history, from, .. } = self;
        let name = &history.name;
        match from {
            From::Answer(RecordedBid { bidder, bid_id, answer, .. }) => {
                let at_us = answer.as_ref().map_or(0, |answer| answer.at_us);
                format!(
                    "{bidder} was told of seq {seq} in answer to {bid_id} at {at_us} us in {name}"
                )
            }
            From::Sight(Sight { socket, at_us, .. }) => {
                format!("socket {socket} was shown seq {seq} at {at_us} us in {name}")
            }
        }
    }
}
