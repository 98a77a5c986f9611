//! What the simulation is worth: seeds that hold, a replay that is the same,
//! and faults put in on purpose that are found.
#![cfg(gavel_sim)]

use gavel_sim::{Plant, sweep::Sweep};

/// Seeds of each run of the tests; `make sim SEEDS=` runs more.
const SEEDS: u64 = 200;
/// Within so many a planted fault has to be found.
const FIND_WITHIN: u64 = 100;

fn sweep(plant: Option<Plant>) -> Sweep {
    Sweep { binary: env!("CARGO_BIN_EXE_gavel-sim").into(), plant, enough: 1 }
}

#[test]
fn no_seed_breaks_what_must_hold() {
    let wrong = sweep(None).run(0..SEEDS);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_seed_replays_byte_for_byte() {
    for seed in [1, 3, 7] {
        let run = || sweep(None).one(seed, Some("trace")).expect("it holds");
        let (first, second) = (run(), run());
        assert!(first.lines().count() > 10_000, "everything is traced");
        assert!(first == second, "seed {seed} is not the same twice");
    }
}

#[test]
fn each_planted_fault_is_found() {
    for plant in Plant::ALL {
        let wrong = sweep(Some(plant)).run(0..FIND_WITHIN);
        assert!(!wrong.is_empty(), "{plant:?} is not found");
    }
}
