//! A redis-server that others find by its port.

use crate::{blocking::free_port, process::Process, until};
use std::{path::Path, process::Command};
use tempfile::TempDir;

/// One of several servers that work together.
#[derive(Debug)]
pub struct Member {
    port: u16,
    process: Option<Process>,
    /// Goes when nothing runs in it.
    _directory: TempDir,
}

// === impl Member ===

impl Member {
    /// Starts one with a file of settings, which it may change.
    pub(crate) async fn start(settings: &str, args: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let settings = format!(
            "port {port}\nbind 127.0.0.1\nprotected-mode no\ndir {}\n{settings}\n",
            directory.path().display()
        );
        std::fs::write(file(directory.path()), settings).expect("it can be written");
        let mut command = Command::new("redis-server");
        command.arg(file(directory.path())).args(args);
        let member =
            Self { port, process: Some(Process::start(&mut command)), _directory: directory };
        until("a start of redis-server", async || member.answers().then_some(())).await;
        member
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends a command given in words, and returns what it printed.
    ///
    /// # Panics
    /// If redis-cli is not installed.
    #[must_use]
    pub fn ask(&self, words: &str) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]).args(words.split_whitespace());
        let output = command.output().expect("apt-get install redis-tools");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Sends a command that must be answered with OK.
    ///
    /// # Panics
    /// If it is not.
    pub fn tell(&self, words: &str) {
        let said = self.ask(words);
        assert_eq!(said.trim(), "OK", "{words}, at {}", self.port);
    }

    /// Kills it, with no chance to save anything.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Whether it was not killed.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.process.is_some()
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

    fn answers(&self) -> bool {
        self.ask("PING").trim() == "PONG"
    }
}

fn file(directory: &Path) -> std::path::PathBuf {
    directory.join("redis.conf")
}
