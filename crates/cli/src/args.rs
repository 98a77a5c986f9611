//! The verbs of `gavel`, and where each is done.

use crate::{
    admin, certs, dev,
    failure::{self, Failure},
    load, serve, smoke, verify,
};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Live auctions over WebSocket: a control plane that places rooms, a data
/// plane that decides bids.
#[derive(Debug, Parser)]
#[command(name = "gavel", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run a whole cluster in this process, with ten demo auctions.
    Dev(dev::DevArgs),
    /// Run everything on this machine without Redis.
    Serve(serve::ServeArgs),
    /// Run the control plane.
    ControlPlane(serve::ControlPlaneArgs),
    /// Run one data-plane node.
    DataPlane(serve::DataPlaneArgs),
    /// Show or check the settings of a process.
    #[command(subcommand)]
    Config(serve::ConfigVerb),
    /// Create, look at and steer rooms.
    Rooms(admin::Rooms),
    /// Look at the data-plane nodes.
    Nodes(admin::Nodes),
    /// Look at and change the limits in force.
    Limits(admin::Limits),
    /// Look at and change the feature flags in force.
    Flags(admin::Flags),
    /// Ban and kick users, and make their tokens void.
    Users(admin::Users),
    /// See who changed what.
    Audit(admin::Audit),
    /// Make certificates.
    #[command(subcommand)]
    Certs(certs::CertsVerb),
    /// Show metrics of the whole cluster.
    Metrics(admin::Metrics),
    /// Put load on a cluster and check what comes back.
    Load(load::LoadArgs),
    /// Run one small auction on a cluster, and check it.
    Smoke(smoke::SmokeArgs),
    /// Check what is stored and what clients recorded.
    Verify(verify::VerifyArgs),
}

// === impl Cli ===

impl Cli {
    /// Does what was asked for, on a runtime of its own.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::internal("cannot start a runtime", error))?;
        runtime.block_on(self.verb.run())
    }
}

// === impl Verb ===

impl Verb {
    async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Dev(args) => Box::pin(dev::run(args)).await,
            Self::Serve(args) => Box::pin(serve::single(args)).await,
            Self::ControlPlane(args) => Box::pin(serve::control_plane(args)).await,
            Self::DataPlane(args) => Box::pin(serve::data_plane(args)).await,
            Self::Config(verb) => serve::config(verb),
            Self::Rooms(verb) => Box::pin(verb.run()).await,
            Self::Nodes(verb) => Box::pin(verb.run()).await,
            Self::Limits(verb) => Box::pin(verb.run()).await,
            Self::Flags(verb) => Box::pin(verb.run()).await,
            Self::Users(verb) => Box::pin(verb.run()).await,
            Self::Audit(verb) => Box::pin(verb.run()).await,
            Self::Certs(verb) => verb.run(),
            Self::Metrics(verb) => Box::pin(verb.run()).await,
            Self::Load(args) => Box::pin(load::run(args)).await,
            Self::Smoke(args) => Box::pin(smoke::run(args)).await,
            Self::Verify(args) => Box::pin(verify::run(args)).await,
        }
    }
}

/// Shows what clap has to say: help goes well, wrong usage is [`failure::USAGE`].
pub(crate) fn complain(error: &clap::Error) -> ExitCode {
    // Where even standard error is closed there is nobody left to tell.
    drop(error.print());
    if error.use_stderr() { ExitCode::from(failure::USAGE) } else { ExitCode::SUCCESS }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_of_the_readme_parses() {
        for line in [
            "gavel dev --node-ports 3000,3001 --control-ports 7000,7001 --print-json",
            "gavel dev --data demo",
            "gavel serve --data /var/lib/gavel --http-listen 0.0.0.0:80",
            "gavel control-plane --redis-url redis://127.0.0.1:6379",
            "gavel data-plane --node-id node-1 --http-listen 127.0.0.1:3000",
            "gavel config print data-plane",
            "gavel config print serve",
            "gavel config check control-plane --config c.toml",
            "gavel rooms create r1 --title Vase --opening-price 10.00 --increment 1.00 --closes-in 5m",
            "gavel rooms list --json",
            "gavel rooms pause r1 --reason lunch",
            "gavel nodes release",
            "gavel limits set bids_per_user_max=10 batch_window_ms=50",
            "gavel flags set batching --percent 10 --by room",
            "gavel flags set -",
            "gavel users ban ann --room r1 --for 2h --reason shilling",
            "gavel users unban ann --room r1",
            "gavel users kick ann",
            "gavel users revoke ann --for 7d",
            "gavel users revoke --token 4f1a",
            "gavel users list --json",
            "gavel audit list --resource rooms/1 --by ann --limit 10",
            "gavel audit watch --after 7 --json",
            "gavel certs dev certs --nodes node-1,node-2 --hosts localhost,10.0.0.1 --days 30",
            "gavel rooms list --endpoint https://h:7001 --ca ca.pem --cert a.pem --key a.key",
            "gavel load --url wss://localhost:3000/ws --ca ca.pem",
            "gavel metrics --endpoint http://127.0.0.1:7001",
            "gavel load --url ws://127.0.0.1:3000/ws,ws://127.0.0.1:3001/ws --sockets 10 --duration 2s",
            "gavel load --room-ids vase --record run.jsonl",
            "gavel smoke --token gavel-dev --url ws://127.0.0.1:3000/ws,ws://127.0.0.1:3001/ws",
            "gavel verify --token gavel-dev --history run.jsonl",
            "gavel verify vase --redis-url redis://127.0.0.1:6379 --save vase.jsonl",
            "gavel verify --stream vase.jsonl --history a.jsonl,b.jsonl --complete --json",
            "gavel verify --all --node http://127.0.0.1:3000",
        ] {
            if let Err(error) = Cli::try_parse_from(line.split_whitespace()) {
                panic!("{line}: {error}");
            }
        }
    }
}
