//! What the tests of several packages share; nothing that runs depends on it.
//!
//! A [`RedisServer`] is a process of its test's own. It listens on a socket in
//! its own directory, for which no other process can compete. Those of
//! [`Sentinels`] and of a [`RedisCluster`] find each other by their ports.
//! [`Failover`] is a primary with a replica, behind an address that leads to
//! one of them.

mod authority;
pub mod blocking;
mod cluster;
mod failover;
mod member;
mod process;
mod sentinels;
mod switch;
mod token_key;

pub use authority::{Authority, Issued};
pub use cluster::RedisCluster;
pub use failover::Failover;
pub use member::Member;
pub use sentinels::Sentinels;
pub use switch::Switch;
pub use token_key::{TokenKey, key_set};

use process::Process;
use std::{path::PathBuf, process::Command, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

/// How long anything may take before it is said not to happen.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The socket of a server, within its directory.
const SOCKET: &str = "redis.sock";

/// Polls until `ready` gives something.
///
/// # Panics
/// If it does not within [`PATIENCE`].
pub async fn until<T>(what: &str, mut ready: impl AsyncFnMut() -> Option<T>) -> T {
    let polled = tokio::time::timeout(PATIENCE, async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        // A look that takes longer must not keep its thread from what it waits for.
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Some(found) = ready().await {
                return found;
            }
        }
    });
    polled.await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// A redis-server that ends with its test.
#[derive(Debug)]
pub struct RedisServer {
    process: Option<Process>,
    keeps: Keeps,
    directory: TempDir,
    /// Where it listens by TLS, and what it shows there.
    tls: Option<(u16, Issued)>,
}

/// What it finds again after a [`RedisServer::restart`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Nothing,
    Everything,
}

// === impl RedisServer ===

impl RedisServer {
    /// Starts one that keeps nothing on disk.
    ///
    /// # Panics
    /// If redis-server is not installed or does not come up.
    pub async fn start() -> Self {
        Self::with(Keeps::Nothing).await
    }

    /// Starts one that keeps an append-only file.
    ///
    /// # Panics
    /// If redis-server is not installed or does not come up.
    pub async fn durable() -> Self {
        Self::with(Keeps::Everything).await
    }

    /// Starts one that is called by TLS as well and shows this certificate.
    ///
    /// # Panics
    /// If redis-server is not installed or does not come up.
    pub async fn with_tls(shows: Issued) -> Self {
        Self::started(Keeps::Nothing, Some((blocking::free_port(), shows))).await
    }

    async fn with(keeps: Keeps) -> Self {
        Self::started(keeps, None).await
    }

    async fn started(keeps: Keeps, tls: Option<(u16, Issued)>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut server = Self { process: None, keeps, directory, tls };
        server.restart().await;
        server
    }

    /// Where it listens by TLS, without the scheme.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn tls_address(&self) -> String {
        let (port, _) = self.tls.as_ref().expect("one with TLS");
        format!("localhost:{port}")
    }

    /// Starts it again after [`Self::kill`], at the same address.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn restart(&mut self) {
        let mut command = Command::new("redis-server");
        command
            .args(["--port", "0", "--unixsocket", SOCKET, "--save", "", "--appendonly"])
            .arg(if self.keeps == Keeps::Everything { "yes" } else { "no" })
            // Then what was answered is written, and outlives a kill. By default Redis puts that
            // off for up to two seconds while the disk is busy.
            .args(["--appendfsync", "no"])
            .current_dir(self.directory.path());
        if let Some((port, shows)) = &self.tls {
            command.args(["--tls-port", &port.to_string(), "--bind", "127.0.0.1"]);
            command.args(["--tls-cert-file", &shows.cert_file, "--tls-key-file", &shows.key_file]);
            command.args(["--tls-ca-cert-file", &shows.cert_file, "--tls-auth-clients", "no"]);
        }
        self.process = Some(Process::start(&mut command));
        until("a start of redis-server", async || self.answers().await.then_some(())).await;
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Kills it, with no chance to save anything.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Stops it in the middle of whatever it does, until [`Self::thaw`].
    ///
    /// # Panics
    /// If it does not run.
    pub fn freeze(&self) {
        self.process.as_ref().expect("it runs").signal("-STOP");
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn thaw(&self) {
        self.process.as_ref().expect("it runs").signal("-CONT");
    }

    /// The socket that it listens on.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join(SOCKET)
    }

    /// Whether it has read its data and takes commands.
    async fn answers(&self) -> bool {
        let Ok(mut stream) = UnixStream::connect(self.socket()).await else { return false };
        let mut answer = [0; 5];
        stream.write_all(b"PING\r\n").await.is_ok()
            && stream.read_exact(&mut answer).await.is_ok()
            && answer == *b"+PONG"
    }
}
