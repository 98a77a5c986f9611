//! Every target, without a fuzzer: over its seeds, and over mutations of them that are the same in
//! every run. So no target rots, and what was found once stays found.

use gavel_fuzz::{TARGETS, Target};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use std::{
    collections::BTreeSet,
    fs,
    panic::catch_unwind,
    path::{Path, PathBuf},
    thread,
};

const MUTATIONS: usize = 3_000;
const CORPUS_BYTES_MAX: usize = 100 * 1024;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn seeds(target: Target) -> Vec<Vec<u8>> {
    let files = fs::read_dir(corpus().join(target.name)).expect(target.name);
    let mut files: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("a seed")).collect()
}

/// Runs the target; a panic is told with the input that made it.
fn run(target: Target, input: &[u8]) -> bool {
    let taken = catch_unwind(|| (target.run)(input));
    taken.unwrap_or_else(|_| panic!("target {}: b\"{}\"", target.name, input.escape_ascii()))
}

fn mutated(seeds: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut input = seeds.choose(random).expect("a seed").clone();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=input.len());
        match random.random_range(0..5) {
            0 => input.truncate(at),
            1 => input.insert(at, random.random()),
            2 => drop(input.splice(at..at, seeds.choose(random).expect("a seed").clone())),
            3 if at < input.len() => drop(input.remove(at)),
            _ => input.iter_mut().skip(at).take(1).for_each(|byte| *byte = random.random()),
        }
    }
    input
}

#[test]
fn every_target_takes_a_seed_and_stands_its_mutations() {
    let fallen: Vec<_> = thread::scope(|scope| {
        let runs: Vec<_> =
            TARGETS.iter().map(|target| (target.name, scope.spawn(|| stands(*target)))).collect();
        runs.into_iter().filter_map(|(name, run)| run.join().is_err().then_some(name)).collect()
    });
    assert!(fallen.is_empty(), "{fallen:?}");
}

fn stands(target: Target) {
    let seeds = seeds(target);
    let taken = seeds.iter().filter(|seed| run(target, seed)).count();
    assert!(taken > 0, "{}: no seed gets beyond the door", target.name);
    let mut random = StdRng::seed_from_u64(0);
    for _ in 0..MUTATIONS {
        run(target, &mutated(&seeds, &mut random));
    }
}

#[test]
fn targets_and_seeds_belong_together() {
    let names: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let directories = fs::read_dir(corpus()).expect("the corpus");
    let directories =
        directories.map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
    assert_eq!(directories.collect::<BTreeSet<_>>(), names);
    assert!(TARGETS.iter().all(|target| Target::named(target.name).is_some()));
    let bytes: usize =
        TARGETS.iter().flat_map(|target| seeds(*target)).map(|seed| seed.len()).sum();
    assert!(bytes < CORPUS_BYTES_MAX, "{bytes} bytes of seeds are too many to keep");
}
