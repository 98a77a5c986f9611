//! Who knows a part of a room's history gets the rest of it: a socket that
//! comes back, and a node whose sockets do.
//!
//! ```text
//! socket --joinAuction, position--> this node's ring
//!           this node knows nothing --Watch, whole--> owner's ring --Snapshot, before--> ring here
//!           the owner read the room anew: the end of the stream filled its ring
//! ```
//!
//! What no ring holds is told as the whole state.

use super::{
    Edge, Member, Watch,
    hub::Greeting,
    recent,
    task::{Role, Room},
};
use crate::{auth::Identity, settings::Settings};
use gavel_flags::own;
use gavel_proto::{
    convert::RoomSnapshot,
    relay::v1::{self as wire, attach_response::Kind},
};
use gavel_rules::{
    auction::View,
    id::UserId,
    order::{Epoch, Generation, Position},
    time::Timestamp,
};
use std::sync::Arc;

/// A socket that waits for its seat.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) member: Arc<Member>,
    pub(super) identity: Identity,
    /// What it knows, if it comes back.
    pub(super) since: Option<Position>,
    /// When it came.
    pub(super) at: Timestamp,
}

// === impl Room ===

impl Room {
    /// Seats a socket, now that the state is known.
    pub(super) fn take_seat(&mut self, joining: Joining, settings: &Settings, now: Timestamp) {
        let Joining { member, identity, since, .. } = joining;
        let now_at = self.position();
        let missed = since.and_then(|since| self.recent.after(since, now_at));
        let suggested = self.suggested(&member, &identity.user, settings);
        let greeting = Greeting { missed, suggested: suggested.as_deref() };
        self.hub.join(&member, identity.user, greeting, settings, now);
        if let Some(degraded) = self.degraded(member.dialect, now) {
            member.socket.send(&degraded);
        }
    }

    /// Where the owner's node takes sockets, for one that is to go there.
    fn suggested(&self, member: &Member, user: &UserId, settings: &Settings) -> Option<String> {
        let Role::Edge(edge) = &self.role else { return None };
        if edge.lost
            || !own::STEERING.answer(&settings.flags, member.whom(user, &self.id, &self.shell.id))
        {
            return None;
        }
        let peer = self.shell.peers.get(&edge.owner)?;
        Some(peer.public_url).filter(|url| !url.is_empty())
    }

    /// Goes on to a state that was read or told, with the states that led to it.
    /// Who is seated here gets every update between, where they are all there,
    /// or else the whole state.
    pub(super) fn catch_up(&mut self, view: View, generation: Generation, before: Vec<View>) {
        let known = self.position();
        let same = known.generation == generation && self.hub.view().is_some();
        let missed = before.iter().chain([&view]).filter(|view| view.seq > known.seq);
        let missed: Vec<_> = missed.cloned().collect();
        let covers = missed.iter().zip(1..).all(|(view, n)| view.seq.get() == known.seq.get() + n);
        if same && covers && !missed.is_empty() {
            missed.into_iter().for_each(|view| self.publish(view, &[]));
        } else {
            self.reset(view, generation);
        }
        self.recent.precede(before);
    }

    /// What to ask the owner for. A node that knows nothing asks in the name
    /// of the socket that has to go back furthest.
    pub(super) fn wants(&self) -> Watch {
        if self.hub.view().is_some() {
            return Watch { since: self.position(), whole: false };
        }
        let positions = self.joins.iter().filter_map(|joining| joining.since);
        let generation = positions.clone().map(|since| since.generation).max();
        let oldest = positions
            .filter(|since| Some(since.generation) == generation)
            .min_by_key(|since| since.seq);
        oldest.map_or_else(Watch::default, |since| Watch { since, whole: true })
    }

    /// How far this node knows the room.
    pub(super) fn position(&self) -> Position {
        let generation = self.hub.generation();
        let known = self.hub.view().map(|view| Position { generation, seq: view.seq });
        known.unwrap_or_default()
    }

    /// Takes an edge in and brings it up to date.
    pub(super) fn attach(&mut self, mut edge: Edge) {
        let owns = self.owns();
        if owns && !edge.wants.whole {
            self.on_heard(edge.wants.since);
        }
        if let (Role::Owner(owner), Some(view), true) = (&self.role, self.hub.view(), owns) {
            let current = Kind::Current(wire::Current { room_id: self.id.to_string() });
            let current = wire::AttachResponse { kind: Some(current) };
            let owed = self.owed(owner.epoch(), view, &edge).into_iter().chain([current]);
            for message in owed.chain(self.degraded_for_edge(self.shell.now())) {
                // An edge that cannot keep up comes back when it sees the gap.
                drop(edge.sender.try_send(message));
            }
            edge.wants = Watch::default();
        } else if !(owns
            || matches!(self.role, Role::Resolving)
            || self.prepared.is_some()
            || self.may_own_soon())
        {
            return self.deny(&edge);
        }
        self.edges.retain(|other| other.stream != edge.stream);
        self.edges.push(edge);
    }

    /// What an edge has to be told before updates follow.
    fn owed(&self, epoch: Epoch, view: &View, edge: &Edge) -> Vec<wire::AttachResponse> {
        let Watch { since, whole } = edge.wants;
        let missed = self.recent.after(since, self.position());
        // Many rooms share the stream: what one missed must not fill it.
        let missed =
            missed.filter(|missed| whole || missed.views.len() <= edge.sender.capacity() / 2);
        let before = match missed {
            Some(missed) if whole => missed.up_to(view.seq),
            Some(missed) => {
                let update = |view: &View| recent::update(&self.id, epoch, view.clone(), &[]);
                return missed.views.into_iter().map(update).collect();
            }
            None => Vec::new(),
        };
        let (room, generation) = (self.id.clone(), self.hub.generation());
        let snapshot = RoomSnapshot { room, epoch, generation, view: view.clone(), before };
        vec![wire::AttachResponse { kind: Some(Kind::Snapshot(snapshot.into())) }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Config, node,
        room::{Assignment, owner::Done, replay::StreamEnd},
        store::{self, Claim},
    };
    use gavel_rules::{
        amount::Amount,
        auction::{Action, Auction, AuctionRules, Bid, Event, GuestAccess, IncrementTable, Input},
        id::RoomId,
        order::{Seq, Version},
    };
    use tokio::sync::mpsc;

    fn minor(units: u64) -> Amount {
        Amount::new(units).expect("an amount")
    }

    /// An auction that was created, opened, and had so many bids.
    fn events(bids: u64) -> Vec<Event> {
        let rules = AuctionRules {
            title: "A chair".to_owned(),
            currency: "EUR".to_owned(),
            opening_price: minor(100),
            increments: IncrementTable::flat(minor(100)).expect("a step"),
            reserve: None,
            opens_at: Timestamp::new(1_000),
            closes_at: Timestamp::new(u64::MAX / 4),
            extension: None,
            guests: GuestAccess::Bid,
            seller: None,
            reopen_after: None,
            outage_credit: None,
        };
        let now = Timestamp::new(2_000);
        let (mut auction, created) = Auction::create(rules, now).expect("good rules");
        auction.apply(&created).expect("it is the first");
        let mut actions = Vec::new();
        auction.step(Input::Tick, now, &mut actions);
        auction.commit();
        for n in 1..=bids {
            let bid = Bid {
                bidder: format!("u{}", n % 2).parse().expect("id"),
                bid_id: format!("b{n}").parse().expect("id"),
                amount: minor(n * 100),
                flags: Version::default(),
                limits: Version::default(),
            };
            auction.step(Input::Bid { bid, token: n }, now, &mut actions);
        }
        let appended = actions.into_iter().filter_map(|action| match action {
            Action::Append(event) => Some(event),
            Action::Answer { .. } | Action::Refused(_) => None,
        });
        [created].into_iter().chain(appended).collect()
    }

    #[tokio::test]
    async fn what_an_edge_asks_of_an_owner_that_still_reads_it_gets_then() {
        let store = store::open(None).expect("a store");
        let shell = Arc::new(
            node::shell(Config::default(), store, gavel_rules::Incarnation::default())
                .expect("a node"),
        );
        let id: RoomId = "a".parse().expect("id");
        let guard = Default::default();
        let claim = async |epoch| shell.store.claim(&id, Epoch::new(epoch), &shell.id).await;
        let first = claim(1).await.expect("a claim");
        let Claim::Claimed(first) = first else { panic!("{first:?}") };
        let events = events(8);
        let appended = shell.store.append(&id, Epoch::new(1), Seq::new(0), guard, &events).await;
        appended.expect("they are stored");

        let mut room = Room::new(Arc::clone(&shell), id.clone());
        let (owner, relay_url) = (Some(shell.id.clone()), String::new());
        room.become_owner(Assignment { epoch: Epoch::new(2), owner, relay_url, rules: None });
        let since = Position { generation: first.generation, seq: Seq::new(6) };
        let lost = Position { generation: Generation::new(1), ..since };
        let (sender, mut told) = mpsc::channel(16);
        for (stream, since, whole) in [(1, since, true), (2, since, false), (3, lost, true)] {
            room.attach(Edge { stream, sender: sender.clone(), wants: Watch { since, whole } });
        }
        assert!(told.try_recv().is_err(), "nothing is known yet");
        room.on_done(Done::Claimed(claim(2).await.map(|claim| (claim, StreamEnd::default()))));

        let mut tell = || loop {
            let kind = told.try_recv().expect("a message").kind.expect("a kind");
            if !matches!(kind, Kind::Current(_)) {
                return kind;
            }
        };
        let Kind::Snapshot(snapshot) = tell() else { panic!("the state and what led to it") };
        let snapshot = RoomSnapshot::try_from(snapshot).expect("a snapshot");
        assert_eq!((snapshot.view.seq, snapshot.generation), (Seq::new(10), first.generation));
        let led: Vec<_> = snapshot.before.iter().map(|view| view.seq.get()).collect();
        assert_eq!(led, [6, 7, 8, 9]);
        for seq in 7..=10 {
            let Kind::Update(update) = tell() else { panic!("an update") };
            assert_eq!(update.view.expect("a view").seq, seq);
        }
        let Kind::Snapshot(snapshot) = tell() else { panic!("the state") };
        assert!(snapshot.before.is_empty(), "another history");
    }
}
