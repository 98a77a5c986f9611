//! What goes wrong in a run, and when: all of it from the seed. Each seed
//! chooses a few kinds of faults, so that some runs have many of one kind and
//! none of another.

use crate::{
    hosts::{CONTROLS, NODES},
    store::Weather,
};
use rand::{Rng as _, SeedableRng as _, rngs::SmallRng, seq::IndexedRandom as _};
use std::time::Duration;

/// When faults begin: everything has started by then.
pub(crate) const CALM: Duration = Duration::from_secs(6);
/// When the last one ends.
pub(crate) const HEALED: Duration = Duration::from_secs(24);

/// A fault, from when to when.
#[derive(Debug, Clone)]
pub(crate) struct Spell {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    pub(crate) fault: Fault,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// A process dies, and is started when the spell ends.
    Crash(&'static str),
    /// A node is asked to stop and started anew.
    Restart(&'static str),
    /// Nothing passes between two hosts until the spell ends; then all of it does.
    Hold(&'static str, &'static str),
    /// What one host sends another is lost, which no connection survives.
    Cut(&'static str, &'static str),
    /// The calls of some hosts to the store fare like this.
    Store(Vec<&'static str>, Weather),
    /// A node's wall clock is set by so many milliseconds.
    Clock(&'static str, i64),
    /// The store's clock falls behind, as that of another server would.
    StoreClock(u64),
}

/// The kinds that a seed chooses from.
#[derive(Debug, Clone, Copy)]
enum Kind {
    CrashNode,
    CrashControl,
    Restart,
    Hold,
    Cut,
    StoreAway,
    StoreFlaky,
    StoreLate,
    StoreStall,
    Clock,
    StoreClock,
}

const KINDS: [Kind; 11] = [
    Kind::CrashNode,
    Kind::CrashControl,
    Kind::Restart,
    Kind::Hold,
    Kind::Cut,
    Kind::StoreAway,
    Kind::StoreFlaky,
    Kind::StoreLate,
    Kind::StoreStall,
    Kind::Clock,
    Kind::StoreClock,
];

/// All that goes wrong with this seed, by its beginning.
pub(crate) fn draw(seed: u64) -> Vec<Spell> {
    let mut chance = SmallRng::seed_from_u64(seed);
    let many = chance.random_range(1..=5);
    let kinds: Vec<Kind> = KINDS.choose_multiple(&mut chance, many).copied().collect();
    let pace_ms = chance.random_range(300..2_500);
    let (mut at, mut spells) = (CALM, Vec::new());
    loop {
        at += Duration::from_millis(chance.random_range(pace_ms / 4..pace_ms * 2));
        let long = Duration::from_millis(chance.random_range(100..5_000));
        if at + long >= HEALED {
            return spells;
        }
        let Some(kind) = kinds.choose(&mut chance) else { return spells };
        let fault = fault(*kind, &mut chance);
        spells.push(Spell { from: at, until: at + long, fault });
    }
}

fn fault(kind: Kind, chance: &mut SmallRng) -> Fault {
    let node = one_of(&NODES, chance);
    let control = one_of(&CONTROLS, chance);
    match kind {
        Kind::CrashNode => Fault::Crash(node),
        Kind::CrashControl => Fault::Crash(control),
        Kind::Restart => Fault::Restart(node),
        Kind::Hold => {
            let (a, b) = two_hosts(chance);
            Fault::Hold(a, b)
        }
        Kind::Cut => {
            let (a, b) = two_hosts(chance);
            Fault::Cut(a, b)
        }
        Kind::StoreAway => {
            Fault::Store(some_hosts(chance), Weather { away: true, ..Weather::default() })
        }
        Kind::StoreFlaky => {
            let (questions_lost, answers_lost) = (chance.random_range(0.0..0.3), 0.3);
            let weather = Weather { questions_lost, answers_lost, ..Weather::default() };
            Fault::Store(some_hosts(chance), weather)
        }
        Kind::StoreLate => {
            let late = chance.random_range(0.05..0.5);
            Fault::Store(some_hosts(chance), Weather { late, ..Weather::default() })
        }
        // As a process that stands still: all that it asked is done when it is too late.
        Kind::StoreStall => {
            let host = if chance.random_bool(0.5) { node } else { control };
            Fault::Store(vec![host], Weather { late: 1.0, ..Weather::default() })
        }
        Kind::Clock => {
            let most = *[300, 5_000, 3_600_000].choose(chance).unwrap_or(&300);
            Fault::Clock(node, chance.random_range(-most..=most))
        }
        Kind::StoreClock => Fault::StoreClock(chance.random_range(100..5_000)),
    }
}

/// Two hosts of the cluster, in either order.
fn two_hosts(chance: &mut SmallRng) -> (&'static str, &'static str) {
    let a = one_of(&NODES, chance);
    loop {
        let b = if chance.random_bool(0.7) {
            one_of(&NODES, chance)
        } else {
            one_of(&CONTROLS, chance)
        };
        if a != b {
            return if chance.random_bool(0.5) { (a, b) } else { (b, a) };
        }
    }
}

/// All hosts, or one.
fn some_hosts(chance: &mut SmallRng) -> Vec<&'static str> {
    let all = || NODES.into_iter().chain(CONTROLS);
    if chance.random_bool(0.3) {
        return all().collect();
    }
    let all: Vec<&str> = all().collect();
    vec![one_of(&all, chance)]
}

fn one_of(hosts: &[&'static str], chance: &mut SmallRng) -> &'static str {
    hosts.choose(chance).copied().unwrap_or("node-1")
}
