//! The figures of docs/performance.md: `make bench`, or one of them by name.
//!
//! Servers run in processes of their own, so that their memory and processor
//! time can be read apart from the client's. What Gavel is compared with runs
//! in the same run on the same machine: a ratio says more than a number.

mod figures {
    pub(crate) mod ack;
    pub(crate) mod attacks;
    pub(crate) mod bare;
    pub(crate) mod baseline;
    pub(crate) mod fanout;
    pub(crate) mod flags;
    pub(crate) mod gavel;
    pub(crate) mod memory;
    pub(crate) mod moves;
    pub(crate) mod process;
    pub(crate) mod report;
    pub(crate) mod viewers;
}

use figures::{ack, attacks, baseline, fanout, flags, memory, moves, report::Report};
use std::{io::Write as _, process::ExitCode};
use tokio::runtime::Runtime;

/// What may go wrong ends the run and is printed.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Whether every figure is within its bar.
fn run() -> Outcome<bool> {
    // Cargo adds `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    raise_limit()?;
    let runtime = Runtime::new()?;
    if let [serve, name] = args.as_slice()
        && serve == baseline::SERVE
    {
        return runtime.block_on(baseline::serve(name)).map(|()| true);
    }
    let wanted = |name: &str| args.is_empty() || args.iter().any(|arg| arg == name);
    let mut report = Report::default();
    if wanted("memory") {
        runtime.block_on(memory::measure(&mut report))?;
    }
    if wanted("fanout") {
        runtime.block_on(fanout::measure(&mut report))?;
    }
    if wanted("ack") {
        ack::measure(&mut report)?;
    }
    if wanted("moves") {
        moves::measure(&mut report, &runtime)?;
    }
    if wanted("attacks") {
        attacks::measure(&mut report)?;
    }
    if wanted("flags") {
        flags::measure(&mut report)?;
    }
    write!(std::io::stdout(), "{report}")?;
    Ok(report.is_within_bars())
}

/// As many files as the system lets us have: each socket is one.
fn raise_limit() -> Outcome<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}
