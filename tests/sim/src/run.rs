//! One run: calm, faults, healing, and what must be true meanwhile.

use crate::{
    Plant,
    check::{Book, Steps},
    crowd::Bidder,
    hosts::{self, CONTROLS, NODES, Strings},
    machine,
    operator::Operator,
    plan::{self, Fault, HEALED, Spell},
    store::{Shared, Weather},
};
use gavel_rules::{
    amount::Amount,
    auction::{AuctionRules, Extension, ExtensionMode, GuestAccess, IncrementTable, OutageCredit},
    id::RoomId,
    time::{Millis, Timestamp},
};
use gavel_runtime::tasks;
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use turmoil::Sim;

/// What hosts are stepped by.
const TICK: Duration = Duration::from_millis(2);
/// Within this after healing every room has to accept a bid.
const ALIVE_WITHIN: Duration = Duration::from_secs(10);
/// How long all goes on after that, so that more than one bid is seen.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// Within this everybody in a room is shown what happened there.
const SHOWN_WITHIN: Duration = Duration::from_millis(500);
/// Where the crowd is.
const CROWDS: [&str; 3] = ["crowd-1", "crowd-2", "crowd-3"];
/// Who bids in one room from one place, at most.
const BIDDERS_MAX: usize = 3;

/// How many rooms there are.
const ROOMS: usize = 3;

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Faults that the run had.
    pub faults: usize,
    /// Bids that were answered.
    pub answered: usize,
    /// Those that were accepted.
    pub accepted: usize,
    /// The first thing that was wrong, and when.
    pub wrong: Option<String>,
}

/// The world of one seed.
struct World<'a> {
    sim: Sim<'a>,
    shared: Arc<Shared>,
    strings: Arc<Strings>,
    book: Arc<Book>,
    steps: Steps,
}

/// How many steps this process has made, for whoever watches that it makes some.
pub static STEPS: AtomicU64 = AtomicU64::new(0);

/// Runs a seed to its end, or to the first thing that is wrong. Once in a
/// process: what is kept per process would be part of the next run.
pub fn run(seed: u64, plant: Option<Plant>) -> Outcome {
    machine::enter(seed);
    let spells = plan::draw(seed);
    for spell in &spells {
        tracing::info!(?spell, "planned");
    }
    let mut world = World::new(seed, plant);
    let wrong = world.live(&spells).err().map(|what| {
        let at_ms = world.sim.elapsed().as_millis();
        format!("at {at_ms} ms: {what}")
    });
    let (accepted, answered) = world.book.counts();
    Outcome { faults: spells.len(), answered, accepted, wrong }
}

// === impl World ===

impl World<'_> {
    fn new(seed: u64, plant: Option<Plant>) -> Self {
        let mut chance = SmallRng::seed_from_u64(seed ^ 0x5eed);
        let shared = Shared::new(seed, plant);
        let (strings, book) = (Strings::new(), Book::new(&shared));
        let mut sim = turmoil::Builder::new()
            .rng_seed(seed)
            .tick_duration(TICK)
            .simulation_duration(Duration::from_secs(3_600))
            .min_message_latency(Duration::ZERO)
            .max_message_latency(Duration::from_millis(chance.random_range(2..30)))
            .tcp_capacity(4_096)
            .build();
        for host in NODES {
            let (shared, strings) = (Arc::clone(&shared), Arc::clone(&strings));
            sim.host(host, move || hosts::node(host, Arc::clone(&shared), Arc::clone(&strings)));
        }
        for host in CONTROLS {
            let (shared, strings) = (Arc::clone(&shared), Arc::clone(&strings));
            sim.host(host, move || hosts::control(host, Arc::clone(&shared), Arc::clone(&strings)));
        }
        let rooms = rooms(&mut chance);
        for crowd in CROWDS {
            let mut bidders = Vec::new();
            for (room, _) in &rooms {
                for one in 1..=chance.random_range(1..=BIDDERS_MAX) {
                    bidders.push((format!("{crowd}-{room}-{one}"), room.clone(), chance.random()));
                }
            }
            let book = Arc::clone(&book);
            sim.host(crowd, move || crowd_of(bidders.clone(), Arc::clone(&book)));
        }
        let moves = chance.random_bool(0.5);
        let operator = Arc::new(Operator { rooms: rooms.to_vec(), seed, until: HEALED, moves });
        sim.host("operator", move || Arc::clone(&operator).work());
        Self { sim, shared, strings, book, steps: Steps::default() }
    }

    fn live(&mut self, spells: &[Spell]) -> Result<(), String> {
        let mut changes: Vec<(Duration, bool, &Fault)> = spells
            .iter()
            .flat_map(|spell| {
                [(spell.from, true, &spell.fault), (spell.until, false, &spell.fault)]
            })
            .collect();
        changes.sort_by_key(|change| change.0);
        for (at, begins, fault) in changes {
            self.step_until(at)?;
            tracing::info!(begins, ?fault, "fault");
            if begins { self.begin(fault) } else { self.end(fault) }
        }
        self.step_until(HEALED)?;
        tracing::info!("healed");
        if self.shared.with(|store| store.rooms.len()) < ROOMS {
            return Err("some room was never claimed".to_owned());
        }
        while !self.book.silent_since(HEALED).is_empty() {
            if self.sim.elapsed() > HEALED + ALIVE_WITHIN {
                let silent = self.book.silent_since(HEALED);
                return Err(format!("no bid was accepted since all was healed in {silent:?}"));
            }
            self.step()?;
        }
        self.step_until(self.sim.elapsed() + AFTERWARDS)?;
        let (ends, then) = (self.book.ends(), self.sim.elapsed());
        self.step_until(then + SHOWN_WITHIN)?;
        self.book.nobody_lags(&ends, then)?;
        self.book.audit()
    }

    fn step_until(&mut self, at: Duration) -> Result<(), String> {
        while self.sim.elapsed() < at {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        STEPS.fetch_add(1, Ordering::Relaxed);
        self.sim.step().map_err(|error| format!("a host failed: {error}"))?;
        machine::step_to(self.sim.elapsed());
        self.shared.tick();
        self.shared.with(|store| self.steps.look(store))?;
        if tasks::panics() > 0 {
            return Err("a task panicked".to_owned());
        }
        self.book.take_wrong().map_or(Ok(()), Err)
    }

    fn begin(&mut self, fault: &Fault) {
        match fault {
            Fault::Crash(host) => self.sim.crash(*host),
            Fault::Restart(node) => self.strings.restart(node),
            Fault::Hold(a, b) => self.sim.hold(*a, *b),
            Fault::Cut(from, to) => self.sim.partition_oneway(*from, *to),
            Fault::Store(hosts, weather) => self.set_weather(hosts, *weather),
            Fault::Clock(node, ms) => self.strings.set_clock_off(node, *ms),
            Fault::StoreClock(ms) => self.shared.with(|store| store.fall_behind(*ms)),
        }
    }

    fn end(&mut self, fault: &Fault) {
        match fault {
            Fault::Crash(host) => self.sim.bounce(*host),
            Fault::Hold(a, b) => self.sim.release(*a, *b),
            Fault::Cut(from, to) => self.sim.repair_oneway(*from, *to),
            Fault::Store(hosts, _) => self.set_weather(hosts, Weather::default()),
            // A clock stays as it was set.
            Fault::Restart(_) | Fault::Clock(..) | Fault::StoreClock(_) => {}
        }
    }

    fn set_weather(&self, hosts: &[&str], weather: Weather) {
        for host in hosts {
            self.shared.set_weather(host, weather);
        }
    }
}

/// One room is open for the whole run, one closes while faults last, one
/// opens late and has a soft close.
fn rooms(chance: &mut SmallRng) -> [(RoomId, AuctionRules); ROOMS] {
    let mut second = |from: u64, to: u64| {
        let ms = chance.random_range(from * 1_000..to * 1_000);
        Timestamp::new(machine::BEGIN_MS + ms)
    };
    let begin = Timestamp::new(machine::BEGIN_MS);
    let end = begin.saturating_add(Millis::new(3_600_000));
    let extension = Extension {
        window: Millis::new(2_000),
        by: Millis::new(1_500),
        mode: ExtensionMode::ResetTo,
        extensions_max: 4,
    };
    let credit = OutageCredit { from: Millis::new(2_000), total_max: Millis::new(4_000) };
    [
        (id("lamp"), rules("A lamp", begin, end, None, None)),
        (id("vase"), rules("A vase", begin, second(9, 24), None, Some(credit))),
        (id("desk"), rules("A desk", second(5, 12), second(14, 24), Some(extension), None)),
    ]
}

fn rules(
    title: &str,
    opens_at: Timestamp,
    closes_at: Timestamp,
    extension: Option<Extension>,
    outage_credit: Option<OutageCredit>,
) -> AuctionRules {
    let step = Amount::new(100).expect("a small amount");
    AuctionRules {
        title: title.to_owned(),
        currency: "EUR".to_owned(),
        opening_price: step,
        increments: IncrementTable::flat(step).expect("a step"),
        reserve: None,
        opens_at,
        closes_at,
        extension,
        guests: GuestAccess::Bid,
        seller: None,
        reopen_after: None,
        outage_credit,
    }
}

fn id(text: &str) -> RoomId {
    text.parse().expect("an id")
}

async fn crowd_of(bidders: Vec<(String, RoomId, u64)>, book: Arc<Book>) -> turmoil::Result {
    let bidders = bidders.iter().map(|(user, room, seed)| Bidder::new(user, room, &book, *seed));
    futures::future::join_all(bidders.map(Bidder::live)).await;
    Ok(())
}
