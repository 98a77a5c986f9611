//! Where a cluster runs, and how each of its processes is started.

use crate::{
    network::Network,
    process::Process,
    store::{Ports, Shape},
};
use gavel_testkit::blocking::free_port;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

pub(crate) const GAVEL: &str = env!("CARGO_BIN_EXE_gavel");
/// Where a leader is not on the machine of those it leads, this is needed.
pub(crate) const TOKEN: &str = "chaos";
pub(crate) const REPLICAS: [&str; 2] = ["one", "two"];
pub(crate) const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];

/// A process that may end and be started again.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) process: Option<Process>,
    host: &'static str,
    line: String,
    starts: u32,
}

/// This machine's loopback, or a network of its own; and a folder for files.
#[derive(Debug)]
pub(crate) struct Place {
    folder: tempfile::TempDir,
    /// Redis's files: in memory, as what others write to the disk must not
    /// stall it, and what a killed process has written is not lost there either.
    memory: tempfile::TempDir,
    network: Option<Network>,
    pub(crate) redis: Ports,
    websocket: [u16; NODES.len()],
}

// === impl Member ===

impl Member {
    pub(crate) fn new(name: &'static str, host: &'static str, line: String) -> Self {
        Self { name, process: None, host, line, starts: 0 }
    }

    pub(crate) fn start(&mut self, place: &Place, program: &str) {
        self.starts += 1;
        let log = format!("{}.{}", self.name, self.starts);
        let mut command = place.command(self.host, program);
        command.env("RUST_LOG", "info").args(self.line.split_whitespace());
        self.process = Some(Process::start(place.path(), &log, &mut command));
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it runs")
    }

    pub(crate) fn take(&mut self) -> Process {
        self.process.take().expect("it runs")
    }
}

// === impl Place ===

impl Place {
    pub(crate) fn new(network: Option<Network>, redis: Shape) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            memory: tempfile::tempdir_in("/dev/shm").expect("a folder in memory"),
            network,
            redis: Ports::new(redis),
            websocket: NODES.map(|_| free_port()),
        }
    }

    pub(crate) fn network(&self) -> &Network {
        self.network.as_ref().expect("a network of namespaces")
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Keeps the files, with what each process has said.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    pub(crate) fn command(&self, host: &str, program: &str) -> Command {
        match &self.network {
            Some(network) => network.command(host, program),
            None => {
                let mut command = Command::new(program);
                command.env_clear();
                command
            }
        }
    }

    pub(crate) fn address(&self, host: &str) -> String {
        self.network.as_ref().map_or_else(|| "127.0.0.1".to_owned(), |_| Network::address(host))
    }

    /// A folder in memory.
    pub(crate) fn memory(&self, name: &str) -> PathBuf {
        let folder = self.memory.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder in memory");
        folder
    }

    pub(crate) fn redis_url(&self) -> String {
        self.redis.url(|host| self.address(host))
    }

    pub(crate) fn replicas(&self, grpc: [u16; REPLICAS.len()]) -> Vec<Member> {
        let host = self.address("control");
        let member = |(name, grpc)| {
            let line = format!(
                "control-plane --redis-url {} --set cluster.replica_id={name} \
                 --http-listen {host}:{} --grpc-listen {host}:{grpc} --admin-token {TOKEN} \
                 --set grpc.advertise=http://{host}:{grpc}",
                self.redis_url(),
                free_port(),
            );
            Member::new(name, "control", line)
        };
        REPLICAS.into_iter().zip(grpc).map(member).collect()
    }

    pub(crate) fn nodes(&self, grpc: [u16; REPLICAS.len()]) -> Vec<Member> {
        let control = self.address("control");
        let control = grpc.map(|port| format!("http://{control}:{port}")).join(",");
        let member = |(name, port)| {
            let (host, relay) = (self.address(name), free_port());
            let line = format!(
                "data-plane --redis-url {} --node-id {name} --http-listen {host}:{port} \
                 --relay-listen {host}:{relay} --relay-advertise http://{host}:{relay} \
                 --control-endpoint {control} --set shutdown.spread_ms=500 --admin-token {TOKEN}",
                self.redis_url(),
            );
            Member::new(name, name, line)
        };
        NODES.into_iter().zip(self.websocket).map(member).collect()
    }

    /// Where the nodes take WebSockets.
    pub(crate) fn urls(&self) -> String {
        let url = |(name, port)| format!("ws://{}:{port}/ws", self.address(name));
        NODES.into_iter().zip(self.websocket).map(url).collect::<Vec<_>>().join(",")
    }
}
