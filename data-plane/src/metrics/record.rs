//! What the shells say when something happened, in their words.

use std::time::Duration;

use gavel_rules::{Millis, Verdict};

use super::{BidOutcome, Closed, Hit, Metrics};
use crate::{
    close::CloseCode,
    limit::{Action, Exceeded},
    store::StoreError,
};

impl Metrics {
    /// A socket ended with this close code; 1006 if there was none.
    pub fn socket_closed(&self, code: u16) {
        self.sockets_closed.inc(Closed::of(Some(code)));
        if code == CloseCode::TooSlow.code() {
            self.slow_consumers.inc();
        }
    }

    /// Somebody exceeded a limit.
    pub fn exceeded(&self, limit: Exceeded, action: Action) {
        self.limit_hits.inc(Hit { limit, action });
    }

    /// A bid was answered, so long after it arrived.
    pub fn bid_answered(&self, verdict: &Verdict, after: Millis) {
        self.bids.inc(match verdict {
            Verdict::Accepted(_) => BidOutcome::Accepted,
            Verdict::Rejected(rejected) => rejected.reason.into(),
        });
        self.bid_ack_seconds.observe_duration(Duration::from_millis(after.get()));
    }

    /// An append was answered, so long after it was sent.
    pub fn committed(&self, after: Duration) {
        self.bid_commit_seconds.observe_duration(after);
    }

    /// An update was queued for this many sockets, in this time.
    pub fn fanned_out(&self, recipients: usize, took: Duration) {
        self.fanout_seconds.observe_duration(took);
        // Far beyond the last bound, so what does not fit counts the same.
        let recipients = u32::try_from(recipients).unwrap_or(u32::MAX);
        self.fanout_recipients.observe(f64::from(recipients));
    }

    /// A room turned out to have another owner.
    pub fn fenced(&self) {
        self.fenced.inc();
    }

    /// The store gave no answer.
    pub fn store_error(&self, error: &StoreError) {
        self.store_errors.inc(error.into());
    }

    /// A room is decided here, since its owner is out of reach.
    pub fn stood_in(&self) {
        self.stand_ins.inc();
    }

    /// Events that the store had lost were put back.
    pub fn replayed(&self, events: usize) {
        self.replayed_events.inc_by(u64::try_from(events).unwrap_or(u64::MAX));
    }

    /// An owned room turned out to have another history.
    pub fn history_replaced(&self) {
        self.histories_replaced.inc();
    }

    /// A relay stream was opened again after a loss.
    pub fn relay_reconnected(&self) {
        self.relay_reconnects.inc();
    }
}
