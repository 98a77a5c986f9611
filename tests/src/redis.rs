//! A redis-server of a test's own, on a free loopback port, that ends with it.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
};

/// A redis-server that keeps an append-only file.
#[derive(Debug)]
pub struct RedisServer {
    process: Option<Child>,
    port: u16,
    directory: tempfile::TempDir,
}

// === impl RedisServer ===

impl RedisServer {
    /// Starts one.
    ///
    /// # Panics
    /// If redis-server is not installed or does not come up.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let directory = tempfile::tempdir().expect("a directory");
        let mut server = Self { process: None, port, directory };
        server.restart().await;
        server
    }

    /// Starts it again after [`Self::kill`], on the same port and data.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn restart(&mut self) {
        let process = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--dir"])
            .arg(self.directory.path())
            .stdout(Stdio::null())
            .spawn();
        self.process = Some(process.expect("apt-get install redis-server"));
        let redis = gavel_runtime::redis::Redis::connect(&self.url()).expect("a URL");
        crate::until("a start of redis-server", async || redis.ping().await.ok()).await;
    }

    /// Kills it, with no chance to save anything.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("it can be killed");
        process.wait().expect("it can be reaped");
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // The child is still ours to reap, so its id is nobody else's by now.
            drop(process.kill());
            drop(process.wait());
        }
    }
}
