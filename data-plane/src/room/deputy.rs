//! The degraded path: an edge that cannot reach the owner decides by itself.
//!
//! It reads the room from the store and appends under the epoch that it finds
//! there, by the owner's rules and the owner's code. Two that decide at the
//! same time cannot both append one seq: whoever comes second is told of the
//! conflict, reads the room again and decides its bids anew, each found by its
//! id if it is stored already. Nothing here needs the control plane. When it
//! names an owner that can be reached, the room goes there with the bids that
//! wait.
//!
//! ```text
//! Edge --link is down--> Deputy --link is back, or another owner--> Edge
//!                        reads what others append while it has nothing to do
//! ```

use super::{
    Assignment,
    owner::Owner,
    task::{Role, Room},
};
use gavel_rules::time::{Millis, Timestamp};

/// For how long an owner that lost an edge looks for what a deputy there appends.
const WATCHFUL: Millis = Millis::new(30_000);

// === impl Room ===

impl Room {
    /// The stream to the owner's relay broke, cannot be opened, or is back.
    pub(super) fn on_link(&mut self, relay_url: &str, down: bool) {
        match &mut self.role {
            Role::Edge(edge) if edge.link.url() == relay_url => edge.lost = down,
            Role::Owner(owner) if !down => {
                let next = owner.stood_in_for().filter(|next| next.relay_url == relay_url);
                if let Some(next) = next {
                    owner.leave_to(next);
                }
            }
            Role::Edge(_) | Role::Owner(_) | Role::Resolving => {}
        }
    }

    /// An edge's stream broke. The edge may be alive and decide by itself.
    pub(super) fn on_edge_lost(&mut self, stream: u64) {
        let before = self.edges.len();
        self.edges.retain(|edge| edge.stream != stream);
        let now = self.shell.now();
        if let Role::Owner(owner) = &mut self.role
            && self.edges.len() < before
        {
            owner.watch_out(now);
        }
    }

    /// Takes the owner's part if it is out of reach and somebody here needs it.
    pub(super) fn stand_in(&mut self) {
        let lost = matches!(&self.role, Role::Edge(edge) if edge.lost);
        let needed = self.hub.len() > 0 || self.has_waiting();
        if !lost || !needed || self.prepared.is_some() || !self.may_stand_in() {
            return;
        }
        let Role::Edge(edge) = std::mem::replace(&mut self.role, Role::Resolving) else { return };
        tracing::info!(room.id = %self.id, owner = %edge.owner, "its owner is out of reach: deciding here");
        self.shell.metrics.stood_in();
        let now = self.shell.now();
        self.role = Role::Owner(Box::new(Owner::deputy(self.epoch, edge, now)));
    }

    /// Leaves the room to its owner again where the flags no longer let this
    /// node decide; bids then wait for that owner, or are told that nothing is known.
    pub(super) fn step_back(&mut self) {
        let may_stand_in = self.may_stand_in();
        let Role::Owner(owner) = &mut self.role else { return };
        if let Some(next) = owner.stood_in_for().filter(|_| !may_stand_in) {
            owner.leave_to(next);
        }
    }

    /// Whether the flags let this node decide in the place of an owner.
    pub(super) fn may_stand_in(&mut self) -> bool {
        let settings = self.shell.live.get();
        self.flags(&settings).degraded_path
    }

    /// Whether an assignment names the owner that this node stands in for: that
    /// it owns the room is known, and does not make it answer.
    pub(super) fn is_no_news(owner: &Owner, assignment: &Assignment) -> bool {
        owner.stands_in_for().is_some_and(|edge| {
            assignment.owner.as_ref() == Some(&edge.owner)
                && assignment.relay_url == edge.link.url()
                && assignment.epoch <= owner.epoch()
        })
    }
}

// === impl Owner ===

impl Owner {
    /// The owner that this node stands in for, as the one to go on.
    fn stood_in_for(&self) -> Option<Assignment> {
        let edge = self.stands_in_for()?;
        let (owner, relay_url) = (Some(edge.owner.clone()), edge.link.url().to_owned());
        Some(Assignment { epoch: self.epoch(), owner, relay_url, rules: None })
    }

    /// Whether others may append as well.
    pub(super) fn is_contested(&self, now: Timestamp) -> bool {
        self.stands_in_for().is_some() || self.watchful_until > now
    }

    /// Others appended, or may do so: looks for that for a while.
    pub(super) fn watch_out(&mut self, now: Timestamp) {
        self.watchful_until = now.saturating_add(WATCHFUL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, node, store};
    use gavel_rules::order::Epoch;
    use std::sync::Arc;

    #[tokio::test]
    async fn an_owner_that_nobody_handed_its_room_to_looks_for_what_deputies_append() {
        let store = store::open(None).expect("a store");
        let shell = Arc::new(
            node::shell(Config::default(), store, gavel_rules::Incarnation::default())
                .expect("a node"),
        );
        for (epoch, contested) in [(1, false), (2, true)] {
            let mut room = Room::new(Arc::clone(&shell), "a".parse().expect("id"));
            let (owner, epoch) = (Some(shell.id.clone()), Epoch::new(epoch));
            room.assigned(Assignment { epoch, owner, relay_url: String::new(), rules: None });
            let Role::Owner(owner) = &room.role else { panic!("it owns the room") };
            assert_eq!(owner.is_contested(shell.now()), contested, "{epoch}");
        }
    }
}
