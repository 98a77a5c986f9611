//! Many seeds, each in a process of its own.

#![expect(clippy::print_stdout, reason = "this is what the command prints")]

use crate::{Outcome, Plant, machine};
use parking_lot::Mutex;
use std::{
    ops::Range,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime},
};

/// A seed that is wrong, and what its process said.
#[derive(Debug)]
pub struct Wrong {
    /// Which.
    pub seed: u64,
    /// What.
    pub said: String,
}

/// How seeds are run.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// The command of this package.
    pub binary: PathBuf,
    /// The fault that is put in.
    pub plant: Option<Plant>,
    /// How many wrong seeds are enough to begin no more.
    pub enough: usize,
}

// === impl Sweep ===

impl Sweep {
    /// Runs these seeds and gives those that are wrong, by number.
    ///
    /// # Panics
    /// If no process can be started.
    #[must_use]
    pub fn run(&self, seeds: Range<u64>) -> Vec<Wrong> {
        let next = AtomicU64::new(seeds.start);
        let wrong = Mutex::new(Vec::new());
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end || wrong.lock().len() >= self.enough {
                    return;
                }
                if let Err(said) = self.one(seed, None) {
                    wrong.lock().push(Wrong { seed, said });
                }
            }
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(work);
            }
        });
        let mut wrong = wrong.into_inner();
        wrong.sort_by_key(|wrong| wrong.seed);
        wrong
    }

    /// Runs one seed in a process and gives what it said.
    ///
    /// # Errors
    /// What it said, if it is wrong.
    ///
    /// # Panics
    /// If no process can be started.
    pub fn one(&self, seed: u64, trace: Option<&str>) -> Result<String, String> {
        let mut command = Command::new(&self.binary);
        command.arg("--seed").arg(seed.to_string());
        if let Some(plant) = self.plant {
            command.arg("--plant").arg(format!("{plant:?}"));
        }
        if let Some(filter) = trace {
            command.args(["--trace", filter]);
        }
        let output = command.output().expect("a process of ours");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if output.status.success() { Ok(said) } else { Err(said) }
    }
}

/// Prints what came of a seed.
pub fn tell(seed: u64, outcome: &Outcome) {
    let Outcome { faults, answered, accepted, wrong } = outcome;
    let what = wrong.as_deref().unwrap_or("ok");
    println!("seed {seed}: {faults} faults, {accepted} of {answered} bids accepted: {what}");
}

/// Prints that a seed does not go on.
pub fn stands_still(seed: u64) {
    println!("seed {seed}: time stands still");
}

/// Prints which seeds are wrong, and how to see one again.
pub fn sum_up(seeds: u64, wrong: &[Wrong]) {
    for Wrong { said, .. } in wrong {
        println!("{}", said.trim_end());
    }
    if let Some(Wrong { seed, .. }) = wrong.first() {
        println!("again: make sim SEED={seed} TRACE=gavel=info");
    }
    println!("simulation: {} passed, {} failed", seeds - wrong.len() as u64, wrong.len());
}

/// Prints what happens, by the time of the simulation.
///
/// # Panics
/// If it is not a filter, or something is traced already.
pub fn trace(filter: &str) {
    let filter = EnvFilter::try_new(filter).expect("a filter");
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_timer(Elapsed).init();
}

struct Elapsed;

impl FormatTime for Elapsed {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{:>9.3}", machine::elapsed().as_secs_f64())
    }
}
