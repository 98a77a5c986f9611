//! Which events every copy of the store has, so that whoever keeps them may let them go.
//!
//! ```text
//! append --answered at 1--> | asked at 2, all replicas have what there was --> | covered: 1, not 3
//!                           | append --answered at 3-->
//! ```
//! That only tells something of events that lie on the server that was asked. So every connection
//! has a number, and a stamp names the connection over which its events were seen in the store.

use std::time::Instant;

use gavel_runtime::clock;

/// How far the copies of a store are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// Whether copies have been seen at all; without, nothing is covered, and nothing has to be kept.
    pub has_replicas: bool,
    /// Counts the servers that were asked; with another one, what is stored has to be looked at again.
    pub server: u64,
    /// The connections that are known to lead to this server, from the first to the last.
    pub connections: (u64, u64),
    /// Every copy has what lay on the server then.
    pub covers_until: Option<Instant>,
}

/// Where and when events were seen in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    connection: u64,
    answered_at: Option<Instant>,
}

// === impl Watermark ===

impl Watermark {
    /// Whether every copy has the events with this stamp.
    #[must_use]
    pub fn covers(&self, stamp: Stamp) -> bool {
        let (first, last) = self.connections;
        let is_here = (first..=last).contains(&stamp.connection);
        let (Some(until), Some(answered_at)) = (self.covers_until, stamp.answered_at) else {
            return false;
        };
        is_here && answered_at < until
    }
}

// === impl Stamp ===

impl Stamp {
    /// A stamp of a call that is about to be sent, while this connection is the newest. If it goes
    /// over a later one, the stamp names too early a server, which covers less and not more.
    pub(super) fn sent_over(connection: u64) -> Self {
        Self { connection, answered_at: None }
    }

    /// The stamp of the call now that its answer is here.
    #[must_use]
    pub fn answered(self) -> Self {
        Self { answered_at: Some(clock::monotonic()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn only_what_was_answered_before_and_on_this_server_is_covered() {
        let at = clock::monotonic();
        let mark = Watermark {
            has_replicas: true,
            server: 1,
            connections: (3, 5),
            covers_until: Some(at),
        };
        let before = Some(at - Duration::from_millis(1));
        for (connection, answered_at, covered) in [
            (3, before, true),
            (5, before, true),
            (2, before, false),
            (6, before, false),
            (4, Some(at), false),
            (4, None, false),
        ] {
            let stamp = Stamp { connection, answered_at };
            assert_eq!(mark.covers(stamp), covered, "{stamp:?}");
            assert!(!Watermark { covers_until: None, ..mark }.covers(stamp));
        }
    }
}
