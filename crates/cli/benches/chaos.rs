//! The table of docs/reliability.md: `make chaos`, so many runs of each scenario.

#[path = "../tests/chaos/cluster.rs"]
mod cluster;
#[path = "../tests/chaos/network.rs"]
mod network;
#[path = "../tests/chaos/outcome.rs"]
mod outcome;
#[path = "../tests/chaos/place.rs"]
mod place;
#[path = "../tests/processes/process.rs"]
mod process;
#[path = "../tests/chaos/scenarios.rs"]
mod scenarios;
#[path = "../tests/chaos/store.rs"]
mod store;

use outcome::Outcome;
use scenarios::Scenario;
use std::{
    io::{self, Write as _},
    process::ExitCode,
};

const HEAD: &str = "\
| Scenario | runs | failed | bids | acked | acked lost | duplicate seqs | winners a room | refused | cut off, then settled | gap p50 ms | gap max ms |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

/// `chaos RUNS [SCENARIO]...`; cargo adds `--bench`.
fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let Some(runs) = args.next().and_then(|runs| runs.parse().ok()) else {
        say("usage: chaos RUNS [SCENARIO]...");
        return ExitCode::from(64);
    };
    let mut wanted: Vec<Scenario> = args.map(|name| scenarios::named(&name)).collect();
    if wanted.is_empty() {
        wanted = scenarios::ALL.to_vec();
    }
    drop(writeln!(io::stdout(), "{HEAD}"));
    let mut failed = 0;
    for scenario in wanted {
        let (row, failures) = row(scenario, runs);
        drop(writeln!(io::stdout(), "{row}"));
        failed += failures;
    }
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs a scenario so many times; its row, and how many runs failed.
fn row(scenario: Scenario, runs: usize) -> (String, usize) {
    let mut good: Vec<Outcome> = Vec::new();
    for run in 1..=runs {
        // The panic has told what was wrong.
        let outcome = std::panic::catch_unwind(|| scenarios::run(scenario)).ok();
        say(&format!("{} {run}/{runs}: {outcome:?}", scenario.name));
        good.extend(outcome);
    }
    let failed = runs - good.len();
    let sum = |figure: fn(&Outcome) -> u64| good.iter().map(figure).sum::<u64>();
    let mut gaps: Vec<u64> = good.iter().map(|outcome| outcome.gap_ms).collect();
    gaps.sort_unstable();
    let gap = |place: usize| gaps.get(place).copied().unwrap_or(0);
    let row = format!(
        "| `{}` | {runs} | {failed} | {} | {} | {} | {} | {} to {} | {} | {} | {} | {} |",
        scenario.name,
        sum(|outcome| outcome.sent),
        sum(|outcome| outcome.acked),
        sum(|outcome| outcome.lost),
        sum(|outcome| outcome.duplicates),
        good.iter().map(|outcome| outcome.winners.0).min().unwrap_or(0),
        good.iter().map(|outcome| outcome.winners.1).max().unwrap_or(0),
        sum(|outcome| outcome.unavailable),
        sum(|outcome| outcome.unanswered),
        gap(gaps.len() / 2),
        gap(gaps.len().saturating_sub(1)),
    );
    (row, failed)
}

fn say(line: &str) {
    drop(writeln!(io::stderr(), "{line}"));
}
