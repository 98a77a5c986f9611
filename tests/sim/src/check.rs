//! What has to hold: at each ack, after each step (`steps`), after healing,
//! and at the end.

mod steps;

pub(crate) use steps::Steps;

use crate::{
    machine,
    store::{Room, Shared, Store},
};
use gavel_rules::{
    amount::Amount,
    auction::{AuctionState, EventKind},
    audit::{self, History, RecordedBid, Said, Sight, Stream, StreamFormat},
    id::{BidId, RoomId, UserId},
    order::Seq,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What everybody in the crowd saw and was told, and the first thing that was wrong.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) shared: Arc<Shared>,
    histories: Mutex<BTreeMap<RoomId, History>>,
    /// Bids that are sent and neither answered nor given up.
    open: Mutex<BTreeMap<BidId, (RoomId, RecordedBid)>>,
    accepted_at: Mutex<BTreeMap<RoomId, Duration>>,
    viewers: Mutex<BTreeMap<UserId, Viewer>>,
    sockets: AtomicU64,
    wrong: Mutex<Option<String>>,
}

/// What somebody with an open socket was shown last.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    pub(crate) room: RoomId,
    pub(crate) joined_at: Duration,
    pub(crate) seq: Seq,
}

// === impl Book ===

impl Book {
    pub(crate) fn new(shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            histories: Mutex::default(),
            open: Mutex::default(),
            accepted_at: Mutex::default(),
            viewers: Mutex::default(),
            sockets: AtomicU64::new(0),
            wrong: Mutex::default(),
        })
    }

    /// The number of a new socket.
    pub(crate) fn socket(&self) -> u64 {
        self.sockets.fetch_add(1, Ordering::Relaxed)
    }

    /// A bid is about to be sent.
    pub(crate) fn asks(&self, room: &RoomId, bid: RecordedBid) {
        self.open.lock().insert(bid.bid_id.clone(), (room.clone(), bid));
    }

    /// A bid was answered, or never will be.
    pub(crate) fn bid(&self, room: &RoomId, bid: RecordedBid) {
        self.open.lock().remove(&bid.bid_id);
        if let Some(Said::Accepted { seq, amount, .. }) = bid.answer.as_ref().map(|it| &it.said) {
            self.acked(room, &bid.bidder, &bid.bid_id, *seq, *amount);
            self.accepted_at.lock().insert(room.clone(), machine::elapsed());
        }
        self.histories.lock().entry(room.clone()).or_default().bids.push(bid);
    }

    /// Somebody was shown something.
    pub(crate) fn sight(&self, room: &RoomId, sight: Sight) {
        self.histories.lock().entry(room.clone()).or_default().sights.push(sight);
    }

    /// Somebody's socket has come this far, or is gone.
    pub(crate) fn stands(&self, user: &UserId, viewer: Option<Viewer>) {
        let mut viewers = self.viewers.lock();
        match viewer {
            Some(viewer) => viewers.insert(user.clone(), viewer),
            None => viewers.remove(user),
        };
    }

    /// The last event of each room.
    pub(crate) fn ends(&self) -> BTreeMap<RoomId, Seq> {
        self.shared.with(|store| {
            let last = |room: &Room| room.events.last().map(|stored| stored.event.seq);
            store
                .rooms
                .iter()
                .map(|(id, room)| (id.clone(), last(room).unwrap_or_default()))
                .collect()
        })
    }

    /// Whoever sat in a room at `then` has been shown by now what there was.
    pub(crate) fn nobody_lags(
        &self,
        ends: &BTreeMap<RoomId, Seq>,
        then: Duration,
    ) -> Result<(), String> {
        for (user, Viewer { room, joined_at, seq }) in &*self.viewers.lock() {
            let end = ends.get(room).copied().unwrap_or_default();
            if *joined_at < then && *seq < end {
                return Err(format!("{user} was shown seq {seq} of {room} last, but {end} is old"));
            }
        }
        Ok(())
    }

    /// Notes what is wrong; the first counts.
    pub(crate) fn wrong(&self, what: String) {
        self.wrong.lock().get_or_insert(what);
    }

    pub(crate) fn take_wrong(&self) -> Option<String> {
        self.wrong.lock().take()
    }

    /// How many bids were accepted, and how many answers given, so far.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let histories = self.histories.lock();
        let bids = || histories.values().flat_map(|history| &history.bids);
        let said = |bid: &RecordedBid| bid.answer.as_ref().map(|answer| answer.said.clone());
        let accepted = bids().filter(|bid| matches!(said(bid), Some(Said::Accepted { .. })));
        (accepted.count(), bids().filter(|bid| bid.answer.is_some()).count())
    }

    /// An ack may only come when the bid is stored, as it says.
    fn acked(&self, room: &RoomId, bidder: &UserId, bid: &BidId, seq: Seq, amount: Amount) {
        let stored = self.shared.with(|store| {
            let events = store.rooms.get(room).map_or(&[][..], |room| &room.events);
            events.iter().any(|stored| {
                let EventKind::BidAccepted { bidder: who, bid_id, amount: much, .. } =
                    &stored.event.kind
                else {
                    return false;
                };
                (stored.event.seq, who, bid_id, *much) == (seq, bidder, bid, amount)
            })
        });
        if !stored {
            self.wrong(format!("room {room}: bid {bid} was acked as seq {seq} and is not stored"));
        }
    }

    /// Which rooms have neither closed nor accepted a bid since then.
    pub(crate) fn silent_since(&self, since: Duration) -> Vec<RoomId> {
        let accepted_at = self.accepted_at.lock();
        let lives = |room: &RoomId| accepted_at.get(room).is_some_and(|at| *at > since);
        let closed = |store: &mut Store, room: &RoomId| {
            let loaded = store.load(room);
            loaded.is_ok_and(|it| it.auction.view().state == AuctionState::Closed)
        };
        self.shared.with(|store| {
            let rooms: Vec<RoomId> = store.stored_rooms().into_iter().map(|it| it.room).collect();
            rooms.into_iter().filter(|room| !lives(room) && !closed(store, room)).collect()
        })
    }

    /// Everything that was recorded, against everything that is stored.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let mut histories = self.histories.lock().clone();
        for (room, bid) in self.open.lock().values() {
            histories.entry(room.clone()).or_default().bids.push(bid.clone());
        }
        self.shared.with(|store| {
            for (id, room) in &store.rooms {
                let stream = Stream {
                    format: StreamFormat::V1,
                    room: id.clone(),
                    generation: room.generation,
                    epoch: room.epoch,
                    snapshot: room.snapshot.clone(),
                    events: room.events.clone(),
                };
                let mut history = histories.remove(id).unwrap_or_default();
                history.name = "the crowd".to_owned();
                history.clock = "the simulation".to_owned();
                let audited = audit::audit(&stream, &[history], true);
                audited.map_err(|violation| violation.to_string())?;
            }
            Ok(())
        })
    }
}
