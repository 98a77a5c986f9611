//! Who owns a room, where no control plane says so: the store tells the last
//! owner and whether it lives, and else the first node of those that live, in
//! the room's own order, takes the room under the next epoch.
//!
//! ```text
//! nobody named an owner, or it is out of reach --> load, last_heard
//!   the owner lives  --> its edge; who cannot reach it stands in for it
//!   it is silent     --> first of those that live: claims; others: its edge
//! ```
//!
//! All ask one store, so they mostly agree on the first. Where they do not, the
//! claim decides: of two under one epoch it refuses the second.

use super::{
    Assignment, Edge,
    owner::Done,
    task::{Role, Room},
};
use crate::{node::Shell, store::StoreError};
use futures::FutureExt as _;
use gavel_proto::relay::v1::{self as relay, attach_response::Kind};
use gavel_rules::{
    id::{NodeId, RoomId},
    order::Epoch,
    placement::{self, Candidate},
    time::{Millis, Timestamp},
};
use std::{collections::HashSet, sync::Arc};

/// Between two looks.
const PAUSE: Millis = Millis::new(250);
/// After a store that did not answer.
const TROUBLE_PAUSE: Millis = Millis::new(1_000);
/// A node that the store has not heard of for so long is taken to be gone. It
/// sends a heartbeat each second.
const SILENT: Millis = Millis::new(3_000);
/// What this node counts for in the order, as it registers.
const WEIGHT: u32 = 100;

/// How the room goes on without a control plane.
#[derive(Debug, Default)]
pub(super) struct Unnamed {
    /// When to look next.
    look_at: Timestamp,
    /// Nodes that said that they do not own the room.
    denied_by: HashSet<NodeId>,
    /// The run before owned the room: somebody has to close it.
    pub(super) resumes: bool,
}

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No such auction was ever begun.
    Nothing,
    /// An owner that lives.
    Owner(NodeId, Epoch),
    /// The owner of this epoch is gone, and this node is the first of the others.
    Abandoned(NodeId, Epoch),
}

// === impl Room ===

impl Room {
    /// Looks who owns the room, if somebody here needs to know and nobody else
    /// says it. Returns when to come again.
    pub(super) fn resolve(&mut self, now: Timestamp) -> Option<Timestamp> {
        let attends = self.hub.len() > 0 || self.has_waiting() || !self.edges.is_empty();
        if self.work.is_some() || !(attends || self.unnamed.resumes) {
            return None;
        }
        let look_at = self.unnamed.look_at;
        if look_at > now {
            return Some(look_at);
        }
        self.unnamed.look_at = now.saturating_add(PAUSE);
        if !self.shell.control.is_away() {
            return Some(self.unnamed.look_at);
        }
        let (shell, id) = (Arc::clone(&self.shell), self.id.clone());
        let denied_by = self.unnamed.denied_by.clone();
        self.work = Some(async move { Done::Found(find(&shell, &id, &denied_by).await) }.boxed());
        None
    }

    /// Whether a deputy is due to look for an owner in place of the one that it
    /// stands in for; it does so in between bids.
    pub(super) fn resolve_for_deputy(&mut self, now: Timestamp) -> bool {
        let is_deputy = matches!(&self.role, Role::Owner(owner) if owner.stands_in_for().is_some());
        is_deputy && self.shell.control.is_away() && {
            self.resolve(now);
            self.work.is_some()
        }
    }

    /// Another node takes this deputy for the owner: that may be so as soon as it
    /// has looked.
    pub(super) fn may_own_soon(&mut self) -> bool {
        let may = matches!(self.role, Role::Owner(_)) && self.shell.control.is_away();
        if may {
            self.unnamed.look_soon();
        }
        may
    }

    /// Acts on what a look found.
    pub(super) fn on_found(&mut self, found: Result<Found, StoreError>) {
        // Whoever it names by now knows more.
        if !self.shell.control.is_away() {
            return;
        }
        let resolving = matches!(self.role, Role::Resolving);
        match found {
            Ok(Found::Nothing) if resolving => self.unknown(),
            Ok(Found::Nothing) => {}
            Ok(Found::Owner(node, epoch) | Found::Abandoned(node, epoch))
                if node == self.shell.id =>
            {
                self.take(epoch.next());
            }
            Ok(Found::Owner(node, epoch) | Found::Abandoned(node, epoch)) => {
                self.follow(node, epoch);
            }
            Err(error) => {
                tracing::debug!(room.id = %self.id, %error, "who owns the room cannot be read");
                self.unnamed.look_at = self.shell.now().saturating_add(TROUBLE_PAUSE);
                self.shell.metrics.store_error(&error);
            }
        }
    }

    /// Owns the room from now on, if nobody else was faster.
    fn take(&mut self, epoch: Epoch) {
        tracing::info!(room.id = %self.id, epoch = epoch.get(), "claimed without a control plane");
        let look_at = self.unnamed.look_at;
        self.unnamed = Unnamed { look_at, ..Unnamed::default() };
        let owner = Some(self.shell.id.clone());
        self.succeed(Assignment { epoch, owner, relay_url: String::new(), rules: None });
    }

    /// Takes a node for the owner. It claims the room when it is asked, if it
    /// has not done so yet.
    fn follow(&mut self, node: NodeId, epoch: Epoch) {
        self.unnamed.resumes = false;
        let Some(peer) = self.shell.peers.get(&node) else { return };
        let (owner, relay_url) = (Some(node.clone()), peer.relay_url);
        let next = Assignment { epoch, owner, relay_url, rules: None };
        match &mut self.role {
            Role::Owner(owner) if Self::is_no_news(owner, &next) => {
                for edge in std::mem::take(&mut self.edges) {
                    self.deny(&edge);
                }
            }
            Role::Owner(owner) => owner.leave_to(next),
            Role::Resolving => self.become_edge(node, next),
            Role::Edge(_) => {}
        }
    }

    /// Tells another node that the room is not owned here.
    pub(super) fn deny(&self, edge: &Edge) {
        let kind = Some(Kind::NotOwner(relay::NotOwner { room_id: self.id.to_string() }));
        // An edge whose stream is full asks again when it gets no answers.
        drop(edge.sender.try_send(relay::AttachResponse { kind }));
    }

    /// The node taken for the owner says that it is not.
    pub(super) fn on_not_owner(&mut self) {
        let Role::Edge(edge) = &self.role else { return };
        if self.shell.control.is_away() && self.prepared.is_none() {
            self.unnamed.denied_by.insert(edge.owner.clone());
            self.become_nobody();
        }
        self.shell.control.interested(&self.id);
    }

    /// An owner was named, or showed itself.
    pub(super) fn named(&mut self) {
        self.unnamed = Unnamed::default();
    }
}

// === impl Unnamed ===

impl Unnamed {
    /// What was found is not true any more.
    pub(super) fn look_soon(&mut self) {
        self.look_at = Timestamp::new(0);
    }
}

/// Asks the store who owns the room and, where that node is gone, who is to.
async fn find(
    shell: &Shell,
    room: &RoomId,
    denied_by: &HashSet<NodeId>,
) -> Result<Found, StoreError> {
    let loaded = shell.store.load(room).await?;
    let Some(owner) = loaded.owner.filter(|_| loaded.auction.rules().is_some()) else {
        return Ok(Found::Nothing);
    };
    let (me, epoch) = (&shell.id, loaded.epoch);
    let lives = async |node: &NodeId| {
        let heard_at = shell.store.last_heard(node).await?;
        Ok(heard_at.is_some_and(|at| at.saturating_add(SILENT) > loaded.now))
    };
    if owner == *me || (!denied_by.contains(&owner) && lives(&owner).await?) {
        return Ok(Found::Owner(owner, epoch));
    }
    let peers = shell.peers.all();
    let others = peers.iter().filter(|(node, peer)| {
        let out_of_reach = denied_by.contains(*node) || shell.links.is_down(&peer.relay_url);
        **node != owner && *node != me && !out_of_reach
    });
    let candidate = |node, weight| Candidate { node, weight, load: 0, near: false };
    let mut candidates: Vec<_> = others.map(|(node, peer)| candidate(node, peer.weight)).collect();
    if !shell.control.is_draining() {
        candidates.push(candidate(me, WEIGHT));
    }
    for Candidate { node, .. } in placement::order(room, &candidates) {
        if *node == me || lives(node).await? {
            return Ok(Found::Abandoned((*node).clone(), epoch));
        }
    }
    Ok(Found::Abandoned(me.clone(), epoch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, node, store::MemoryStore};
    use gavel_proto::fleet::v1 as wire;
    use gavel_rules::{
        amount::Amount,
        auction::{Auction, AuctionRules, GuestAccess, IncrementTable},
        id::Incarnation,
        order::Seq,
    };
    use std::sync::atomic::{AtomicU64, Ordering};

    const ROOM: &str = "vase";

    fn id(name: &str) -> NodeId {
        name.parse().expect("an id")
    }

    fn rules() -> AuctionRules {
        AuctionRules {
            title: "A vase".to_owned(),
            currency: "EUR".to_owned(),
            opening_price: Amount::new(100).expect("an amount"),
            increments: IncrementTable::flat(Amount::new(10).expect("one")).expect("a table"),
            reserve: None,
            opens_at: Timestamp::new(0),
            closes_at: Timestamp::new(u64::MAX / 2),
            extension: None,
            guests: GuestAccess::Bid,
            seller: None,
            reopen_after: None,
            outage_credit: None,
        }
    }

    /// A node `me` and its peers, on a store whose clock the test sets.
    struct World {
        clock: Arc<AtomicU64>,
        shell: Arc<Shell>,
    }

    impl World {
        fn new(peers: &[&str]) -> Self {
            let clock = Arc::new(AtomicU64::new(1_000_000));
            let time = Arc::clone(&clock);
            let store = Arc::new(MemoryStore::with_clock(move || time.load(Ordering::Relaxed)));
            let mut config = Config::default();
            "me".clone_into(&mut config.node.id);
            let shell =
                Arc::new(node::shell(config, store, Incarnation::default()).expect("a node"));
            let peer = |node: &&str| wire::Peer {
                node_id: (*node).to_owned(),
                relay_url: format!("http://{node}:8090"),
                weight: 100,
                ..wire::Peer::default()
            };
            let here = peers.iter().map(peer).collect();
            shell.peers.told(wire::Peers { here, gone: Vec::new() });
            Self { clock, shell }
        }

        async fn beats(&self, nodes: &[&str]) {
            for node in nodes {
                let beat = self.shell.store.heartbeat(&id(node), Incarnation::new(1)).await;
                beat.expect("the store is there");
            }
        }

        fn passes(&self, ms: u64) {
            self.clock.fetch_add(ms, Ordering::Relaxed);
        }

        /// The room under epoch 4.
        async fn created_by(&self, owner: &str) {
            let (room, epoch) = (ROOM.parse().expect("an id"), Epoch::new(4));
            let store = &self.shell.store;
            store.claim(&room, epoch, &id(owner)).await.expect("claimed");
            let (auction, event) = Auction::create(rules(), Timestamp::new(1)).expect("good rules");
            let guard = auction.guard();
            let stored = store.append(&room, epoch, Seq::default(), guard, &[event]).await;
            stored.expect("stored");
        }

        async fn find(&self, denied_by: &[&str]) -> Found {
            let denied_by = denied_by.iter().map(|node| id(node)).collect();
            find(&self.shell, &ROOM.parse().expect("an id"), &denied_by).await.expect("found")
        }
    }

    fn abandoned(first: &str) -> Found {
        Found::Abandoned(id(first), Epoch::new(4))
    }

    #[tokio::test]
    async fn only_a_room_that_was_begun_is_one() {
        let world = World::new(&["a"]);
        assert_eq!(world.find(&[]).await, Found::Nothing);
        let room = ROOM.parse().expect("an id");
        world.shell.store.claim(&room, Epoch::new(4), &id("a")).await.expect("claimed");
        assert_eq!(world.find(&[]).await, Found::Nothing, "nobody knows its rules");
    }

    #[tokio::test]
    async fn an_owner_counts_until_it_has_been_silent_for_long_enough() {
        let world = World::new(&["a"]);
        world.beats(&["a"]).await;
        world.created_by("a").await;
        world.passes(SILENT.get() - 1);
        assert_eq!(world.find(&[]).await, Found::Owner(id("a"), Epoch::new(4)));
        assert_eq!(world.find(&["a"]).await, abandoned("me"), "it says that it is not");
        world.passes(1);
        assert_eq!(world.find(&[]).await, abandoned("me"));
        // Even if it has left no sign: nobody else is the one that claimed it.
        let world = World::new(&[]);
        world.created_by("me").await;
        assert_eq!(world.find(&[]).await, Found::Owner(id("me"), Epoch::new(4)));
    }

    #[tokio::test]
    async fn the_first_that_lives_takes_the_room() {
        let world = World::new(&["a", "b", "c"]);
        world.created_by("a").await;
        let others = [id("b"), id("c"), id("me")];
        let candidate = |node| Candidate { node, weight: WEIGHT, load: 0, near: false };
        let candidates: Vec<_> = others.iter().map(candidate).collect();
        let order = placement::order(&ROOM.parse().expect("an id"), &candidates);
        let order: Vec<&str> = order.iter().map(|one| one.node.as_ref()).collect();
        assert_eq!(world.find(&[]).await, abandoned("me"), "nobody else lives");
        world.beats(&["b", "c"]).await;
        let first = order[0];
        assert_eq!(world.find(&[]).await, abandoned(first));
        if first != "me" {
            assert_eq!(world.find(&[first]).await, abandoned(order[1]));
        }
        world.shell.control.drain(true);
        let other = order.into_iter().find(|node| *node != "me").expect("a node");
        assert_eq!(world.find(&[]).await, abandoned(other), "who leaves takes no rooms");
        assert_eq!(world.find(&["b", "c"]).await, abandoned("me"), "but for the last one");
    }
}
