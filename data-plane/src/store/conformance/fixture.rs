//! Histories that need no clock: event `n` of every room in every test is the same.

use std::path::Path;
use std::sync::Arc;

use gavel_rules::Guard;
use gavel_rules::{
    Amount, Auction, AuctionRules, BidId, Epoch, Event, EventKind, GuestAccess, IncrementTable,
    Millis, NodeId, RoomId, Seq, Timestamp, UserId, Version,
};

use gavel_runtime::disk::Disk;

use crate::store::{Appended, Claim, Loaded, RedbStore, RoomStore, StoreError, folding::Folding};

pub(super) const ANY_TIME: Guard = Guard { not_before: None, not_after: None };

const OPENS_AT: Timestamp = Timestamp::new(1_900_000_000_000);

/// Event `seq`: created, opened, then one bid after the other by two bidders in turn.
pub(super) fn event(seq: u64) -> Event {
    let closes_at = OPENS_AT.saturating_add(Millis::new(86_400_000));
    let kind = match seq {
        1 => EventKind::Created { rules: Box::new(rules(closes_at)) },
        2 => EventKind::Opened { closes_at, soft_close: None },
        _ => EventKind::BidAccepted {
            bidder: bidder(seq),
            bid_id: bid_id(seq),
            amount: amount(1000 + seq * 100),
            minimum_next: amount(1100 + seq * 100),
            extended_to: None,
            flags: Version::new(1),
            limits: Version::new(1),
        },
    };
    let at = OPENS_AT.saturating_add(Millis::new(seq));
    Event { seq: Seq::new(seq), at, kind }
}

/// Events `from` to `to`, both included.
pub(super) fn events(from: u64, to: u64) -> Vec<Event> {
    (from..=to).map(event).collect()
}

/// The fold of events 1 to `to`.
pub(super) fn folded(to: u64) -> Auction {
    Folding::new(None).apply_all(&events(1, to)).unwrap().end().0
}

pub(super) fn bidder(seq: u64) -> UserId {
    format!("bidder-{}", seq % 2).parse().unwrap()
}

pub(super) fn bid_id(seq: u64) -> BidId {
    format!("bid-{seq}").parse().unwrap()
}

pub(super) fn room(id: &str) -> RoomId {
    id.parse().unwrap()
}

pub(super) fn node(id: &str) -> NodeId {
    id.parse().unwrap()
}

/// The store in a directory.
pub(super) fn redb(directory: &Path) -> Arc<dyn RoomStore> {
    Arc::new(RedbStore::new(Arc::new(Disk::open(directory).unwrap())))
}

/// Two auctions are the same if they would be stored as the same.
pub(super) fn assert_same(one: &Auction, other: &Auction) {
    let json = |auction: &Auction| serde_json::to_value(auction.to_snapshot()).unwrap();
    assert_eq!(json(one), json(other));
    assert_eq!(one.view().seq, other.view().seq);
}

/// A store, a room and the epoch under which to write to it.
#[derive(Clone)]
pub(super) struct Owned {
    pub(super) store: Arc<dyn RoomStore>,
    pub(super) room: RoomId,
    pub(super) epoch: Epoch,
}

impl Owned {
    /// A room claimed by `node-1` under epoch 1.
    pub(super) async fn claim(store: &Arc<dyn RoomStore>, id: &str) -> Self {
        let owned = Self { store: Arc::clone(store), room: room(id), epoch: Epoch::new(1) };
        claimed(store.claim(&owned.room, owned.epoch, &node("node-1")).await);
        owned
    }

    /// Appends events `from` to `to`.
    pub(super) async fn append(&self, from: u64, to: u64) -> Result<Appended, StoreError> {
        self.append_guarded(from, to, ANY_TIME).await
    }

    pub(super) async fn append_guarded(
        &self,
        from: u64,
        to: u64,
        guard: Guard,
    ) -> Result<Appended, StoreError> {
        let expected = Seq::new(from - 1);
        self.store.append(&self.room, self.epoch, expected, guard, &events(from, to)).await
    }

    /// Appends events `from` to `to`, which must succeed, in batches of 100.
    pub(super) async fn fill(&self, from: u64, to: u64) {
        for first in (from..=to).step_by(100) {
            assert_stored(&self.append(first, to.min(first + 99)).await);
        }
    }

    pub(super) async fn load(&self) -> Loaded {
        self.store.load(&self.room).await.unwrap()
    }

    /// What is stored is exactly events 1 to `to`, each under epoch 1.
    pub(super) async fn assert_holds(&self, to: u64) {
        let stored = self.store.range(&self.room, Seq::new(0), 100_000).await.unwrap();
        assert!(stored.iter().all(|stored| stored.epoch == self.epoch));
        let found: Vec<_> = stored.into_iter().map(|stored| stored.event).collect();
        assert_eq!(found, events(1, to));
        assert_same(&self.load().await.auction, &folded(to));
    }
}

#[track_caller]
pub(super) fn claimed(outcome: Result<Claim, StoreError>) -> Loaded {
    match outcome {
        Ok(Claim::Claimed(loaded)) => *loaded,
        Ok(Claim::Fenced { .. }) | Err(_) => panic!("not claimed: {outcome:?}"),
    }
}

#[track_caller]
pub(super) fn assert_stored(outcome: &Result<Appended, StoreError>) {
    assert!(matches!(outcome, Ok(Appended::Stored { .. })), "{outcome:?}");
}

fn amount(minor: u64) -> Amount {
    Amount::new(minor).unwrap()
}

fn rules(closes_at: Timestamp) -> AuctionRules {
    AuctionRules {
        title: "A \"quoted\" clock, 1 m\u{b2}".to_owned(),
        currency: "EUR".to_owned(),
        opening_price: amount(1000),
        increments: IncrementTable::flat(amount(100)).unwrap(),
        reserve: None,
        opens_at: OPENS_AT,
        closes_at,
        extension: None,
        guests: GuestAccess::View,
        seller: None,
        reopen_after: None,
        outage_credit: None,
    }
}
