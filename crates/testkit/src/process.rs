//! A server process that ends with its test.

use std::process::{Child, Command, Stdio};

/// A running redis-server.
#[derive(Debug)]
pub(crate) struct Process(Child);

// === impl Process ===

impl Process {
    /// # Panics
    /// If redis-server is not installed.
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::null()).spawn();
        Self(child.expect("apt-get install redis-server"))
    }

    /// Kills it, with no chance to save anything.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("it can be killed");
        self.0.wait().expect("it can be reaped");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.0.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status().expect("kill is there");
        assert!(status.success(), "kill {signal} {id}: {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The child is still ours to reap, so its id is nobody else's by now.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
