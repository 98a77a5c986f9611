//! What viewers were shown against what was so.

use super::{
    Believed, History, Invariant, Shown, Sight, Violation,
    replay::{Replay, outcome},
    violation::{money, result, told},
};
use crate::{amount::Amount, auction::Outcome, id::UserId, order::Seq};
use alloc::{
    borrow::ToOwned,
    boxed::Box,
    collections::BTreeMap,
    format,
    string::{String, ToString},
};

/// How far a viewer has come.
#[derive(Default)]
struct Position {
    seq: Seq,
    /// The last thing shown was the close; the update of that event may follow.
    closed: bool,
}

/// Checks each sight of a history; counts those that cannot be checked.
pub(super) fn check(replay: &Replay<'_>, history: &History) -> Result<usize, Box<Violation>> {
    let mut positions: BTreeMap<u64, Position> = BTreeMap::new();
    let mut unchecked = 0;
    for sight in &history.sights {
        if sight.generation != replay.stream.generation {
            unchecked += 1;
            continue;
        }
        let position = positions.entry(sight.socket).or_default();
        if !position.take(sight) {
            let against = format!("it was shown seq {} before", position.seq);
            return replay.broken(Invariant::Prefix, saw(sight, history), against);
        }
        if sight.seq < replay.first {
            unchecked += 1;
            continue;
        }
        compare(replay, history, sight)?;
    }
    Ok(unchecked)
}

fn compare(replay: &Replay<'_>, history: &History, sight: &Sight) -> Result<(), Box<Violation>> {
    let (Some(moment), Some(event)) = (replay.moment(sight.seq), replay.event(sight.seq)) else {
        let against = format!("the stream ends at seq {}", replay.last_seq());
        return replay.broken(Invariant::Prefix, saw(sight, history), against);
    };
    match &sight.shown {
        Shown::State(shown) | Shown::Update(shown) => {
            let Some(is) = moment.money else { return Ok(()) };
            if (is.price, is.high_bidder) != (shown.price, shown.high_bidder.as_ref()) {
                let high = holder(is.high_bidder);
                let against = format!("the price then is {} of {high}", money(is.price));
                return replay.broken(Invariant::Prefix, saw(sight, history), against);
            }
        }
        Shown::Closed { winner, amount } => {
            let is = outcome(event).map(|outcome| match outcome {
                Outcome::Sold { winner, amount } => (Some(winner), Some(*amount)),
                Outcome::ReserveNotMet | Outcome::NoBids => (None, None),
            });
            if is != Some((winner.as_ref(), *amount)) {
                return replay.broken(Invariant::OneWinner, saw(sight, history), told(event));
            }
        }
    }
    Ok(())
}

// === impl Position ===

impl Position {
    /// Moves on to what was shown, unless that goes back.
    fn take(&mut self, sight: &Sight) -> bool {
        let seq = sight.seq;
        let forward = match sight.shown {
            Shown::State(_) | Shown::Closed { .. } => seq >= self.seq,
            Shown::Update(_) => seq > self.seq || (self.closed && seq == self.seq),
        };
        if forward {
            *self = Self { seq, closed: matches!(sight.shown, Shown::Closed { .. }) };
        }
        forward
    }
}

/// A sight as evidence.
fn saw(sight: &Sight, history: &History) -> String {
    let Sight { socket, at_us, seq, shown, .. } = sight;
    let what = match shown {
        Shown::State(Believed { price, high_bidder }) => {
            format!("as a state with price {} of {}", money(*price), holder(high_bidder.as_ref()))
        }
        Shown::Update(Believed { price, high_bidder }) => {
            format!("as an update to price {} of {}", money(*price), holder(high_bidder.as_ref()))
        }
        Shown::Closed { winner, amount } => format!("as the close, {}", close(winner, *amount)),
    };
    format!("socket {socket} was shown seq {seq} {what} at {at_us} us in {}", history.name)
}

fn holder(bidder: Option<&UserId>) -> String {
    bidder.map_or_else(|| "nobody".to_owned(), ToString::to_string)
}

fn close(winner: &Option<UserId>, amount: Option<Amount>) -> String {
    match (winner.clone(), amount) {
        (Some(winner), Some(amount)) => result(&Outcome::Sold { winner, amount }),
        (Some(winner), None) => format!("won by {winner}"),
        (None, _) => "not sold".to_owned(),
    }
}
