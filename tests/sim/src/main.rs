//! Runs seeds, each in a process of its own, as many at once as there are
//! processors.
//!
//! ```text
//! gavel-sim [--first N] [--seeds N] [--plant NAME]    runs them; tells each that is wrong
//! gavel-sim --seed N [--plant NAME] [--trace FILTER]  one seed here, telling what happens
//! ```

#[cfg(not(gavel_sim))]
fn main() {}

#[cfg(gavel_sim)]
fn main() -> std::process::ExitCode {
    simulated::main()
}

#[cfg(gavel_sim)]
mod simulated {
    use clap::Parser;
    use gavel_sim::{
        Plant, STEPS, run,
        sweep::{self, Sweep},
    };
    use std::{process::ExitCode, sync::atomic::Ordering, time::Duration};

    /// A step takes far below a millisecond, on a busy machine some more.
    const STILL_MAX: Duration = Duration::from_secs(20);

    /// Seeded simulation of a whole cluster.
    #[derive(Debug, Parser)]
    struct Args {
        /// Run this seed alone, in this process.
        #[arg(long)]
        seed: Option<u64>,
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        first: u64,
        /// How many seeds.
        #[arg(long, default_value_t = 200)]
        seeds: u64,
        /// Begin no more seeds after so many wrong ones.
        #[arg(long, default_value_t = usize::MAX)]
        enough: usize,
        /// Put this fault in.
        #[arg(long)]
        plant: Option<Plant>,
        /// Tell what happens as this filter says, such as `gavel=info`.
        #[arg(long)]
        trace: Option<String>,
    }

    pub(super) fn main() -> ExitCode {
        let args = Args::parse();
        let wrong = match args.seed {
            Some(seed) => one(seed, &args),
            None => many(&args),
        };
        if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    /// Runs a seed here; whether it is wrong.
    fn one(seed: u64, args: &Args) -> bool {
        if let Some(filter) = &args.trace {
            sweep::trace(filter);
        }
        std::thread::spawn(move || watch(seed));
        // A thread whose locals nobody has used yet.
        let plant = args.plant;
        let ran = std::thread::spawn(move || run(seed, plant)).join();
        let Ok(outcome) = ran else { return true };
        sweep::tell(seed, &outcome);
        outcome.wrong.is_some()
    }

    /// Ends the process if the seed's time stands still, as in a task that never waits.
    fn watch(seed: u64) {
        let mut before = u64::MAX;
        loop {
            std::thread::sleep(STILL_MAX);
            let now = STEPS.load(Ordering::Relaxed);
            if now == before {
                sweep::stands_still(seed);
                std::process::exit(1);
            }
            before = now;
        }
    }

    /// Runs a range of seeds; whether one is wrong.
    fn many(args: &Args) -> bool {
        let binary = std::env::current_exe().expect("this process has a file");
        let sweep = Sweep { binary, plant: args.plant, enough: args.enough };
        let wrong = sweep.run(args.first..args.first + args.seeds);
        sweep::sum_up(args.seeds, &wrong);
        !wrong.is_empty()
    }
}
