//! What a room sheds while its bids wait for too long: joins, then bids. Only
//! an owner that decides is behind: where nobody decides, waiting longer for an
//! owner is all that helps.

use super::{
    Ask,
    owner::Phase,
    resume::Joining,
    task::{Role, Room},
};
use crate::{
    codec::json::{ClientError, ErrorCode},
    metrics::Shed,
    shed::{Bounds, SHED_RETRY},
};
use gavel_rules::time::{Millis, Timestamp};

// === impl Room ===

impl Room {
    /// Finds out whether bids wait for too long; returns when to look again.
    pub(super) fn look_at_waits(&mut self, now: Timestamp) -> Option<Timestamp> {
        let Some(since) = self.decides_since() else {
            self.shedder.reset();
            return None;
        };
        let oldest = self.bids.iter().find_map(|ask| ask.wait(since, now));
        self.shedder.look(oldest, now, Bounds::of(&self.shell.live.get().limits))
    }

    /// Takes a bid out of the queue to decide it; none if it comes too late for
    /// that and has been answered.
    pub(super) fn take_up(&mut self, ask: Ask, now: Timestamp) -> Option<Ask> {
        let Some(wait) = self.decides_since().and_then(|since| ask.wait(since, now)) else {
            return Some(ask);
        };
        self.shedder.took(wait, now);
        if !self.shedder.sheds(Shed::Bids) || wait <= self.shell.live.get().limits.shed_target {
            return Some(ask);
        }
        self.shedder.shed(Shed::Bids);
        ask.unavailable(&self.shell, &self.id, self.hub.view());
        None
    }

    /// Refuses a socket while the room is behind; one that has its seat keeps it.
    pub(super) fn shed_join(&self, joining: &Joining) -> bool {
        if !self.shedder.sheds(Shed::Joins) || self.hub.seats(&joining.member.session) {
            return false;
        }
        self.shedder.shed(Shed::Joins);
        let error = ClientError::new(ErrorCode::Unavailable, "the auction takes nobody just now");
        joining.member.refuse(&self.id, &error.in_room(&self.id).retry_after(SHED_RETRY.get()));
        true
    }

    /// Since when this node decides the room's bids, if it does.
    fn decides_since(&self) -> Option<Timestamp> {
        match &self.role {
            Role::Owner(owner) if owner.phase == Phase::Ready => Some(owner.decides_since()),
            Role::Owner(_) | Role::Edge(_) | Role::Resolving => None,
        }
    }
}

// === impl Ask ===

impl Ask {
    /// How long it has waited to be decided by whoever decides since then; none
    /// if that has begun before.
    fn wait(&self, since: Timestamp, now: Timestamp) -> Option<Millis> {
        (self.attempts == 0).then(|| now.since(self.queued.max(since)))
    }
}
