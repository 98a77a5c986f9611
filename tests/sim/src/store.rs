//! The one store of a simulated cluster, and each host's way to it, which may
//! fail in all ways that a network and a server can.

mod cluster;
mod link;
mod rooms;

pub(crate) use link::{Link, Weather};
pub(crate) use rooms::Room;

use crate::{Plant, machine};
use cluster::Cluster;
use gavel_rules::{
    id::{NodeId, RoomId},
    time::Timestamp,
};
use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use rooms::Heard;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What is stored; nothing here can fail, but what is planted.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) rooms: BTreeMap<RoomId, Room>,
    pub(crate) cluster: Cluster,
    heard: BTreeMap<NodeId, Heard>,
    now: Timestamp,
    /// How far its clock is behind, after a jump.
    behind_ms: u64,
    plant: Option<Plant>,
    chance: SmallRng,
}

/// The store and the ways to it, as the hosts share them.
#[derive(Debug)]
pub(crate) struct Shared {
    store: Mutex<Store>,
    weather: Mutex<BTreeMap<String, Weather>>,
    late: Mutex<Vec<Late>>,
}

/// A call that takes effect when its caller has given it up.
struct Late {
    at: Duration,
    work: Box<dyn FnOnce(&mut Store) + Send>,
}

// === impl Store ===

impl Store {
    /// The auction clock.
    pub(crate) fn now(&mut self) -> Timestamp {
        let elapsed = u64::try_from(machine::elapsed().as_millis()).unwrap_or(u64::MAX);
        let told = Timestamp::new(machine::BEGIN_MS + elapsed - self.behind_ms);
        self.now = self.now.max(told);
        self.now
    }

    /// Its server is another from now on, whose clock is behind.
    pub(crate) fn fall_behind(&mut self, ms: u64) {
        self.behind_ms = ms;
    }

    fn planted(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    fn chance(&mut self, of: f64) -> bool {
        self.chance.random_bool(of)
    }
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(seed: u64, plant: Option<Plant>) -> Arc<Self> {
        let store = Store {
            rooms: BTreeMap::new(),
            cluster: Cluster::default(),
            heard: BTreeMap::new(),
            now: Timestamp::default(),
            behind_ms: 0,
            plant,
            chance: SmallRng::seed_from_u64(seed),
        };
        let store = Mutex::new(store);
        Arc::new(Self { store, weather: Mutex::default(), late: Mutex::default() })
    }

    /// Works in the store, as nobody can who has to ask for it.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Store) -> T) -> T {
        work(&mut self.store.lock())
    }

    /// How a host's calls fare from now on.
    pub(crate) fn set_weather(&self, host: &str, weather: Weather) {
        self.weather.lock().insert(host.to_owned(), weather);
    }

    /// Does what is due of what came too late for its callers.
    pub(crate) fn tick(&self) {
        let now = machine::elapsed();
        let due: Vec<Late> = self.late.lock().extract_if(.., |late| late.at <= now).collect();
        for late in due {
            self.with(late.work);
        }
    }
}

impl std::fmt::Debug for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Late").field("at", &self.at).finish_non_exhaustive()
    }
}
