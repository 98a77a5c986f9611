//! The binary `gavel`: both planes, an operator's verbs, a load generator and
//! a check of what came of it.

mod admin;
mod args;
mod certs;
mod cluster;
mod dev;
mod failure;
mod files;
mod load;

mod output;
mod serve;
mod smoke;
mod stores;
mod trust;
mod units;
mod verify;

use clap::Parser as _;
use std::process::ExitCode;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match args::Cli::try_parse() {
        Ok(cli) => failure::exit(cli.run()),
        Err(error) => args::complain(&error),
    }
}
