//! Processes of a test, and what they say.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// How often to look at something that takes a moment, and how many times.
pub(crate) const POLL: (Duration, u32) = (Duration::from_millis(50), 600);

/// A process of ours, and where its log goes.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    file: PathBuf,
}

// === impl Process ===

impl Process {
    pub(crate) fn start(folder: &Path, name: &str, command: &mut Command) -> Self {
        let file = folder.join(format!("{name}.log"));
        let out = File::create(&file).expect("a log file");
        let err = out.try_clone().expect("the same file");
        let child = command.stdout(out).stderr(err).stdin(Stdio::null()).spawn();
        Self { child: child.unwrap_or_else(|error| panic!("{name} does not start: {error}")), file }
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the log says so.
    pub(crate) fn says(&mut self, words: &str) {
        for _ in 0..POLL.1 {
            let log = self.log();
            if log.contains(words) {
                return;
            }
            let ended = self.child.try_wait().expect("it can be waited for");
            assert!(ended.is_none(), "it ended with {ended:?}:\n{log}");
            thread::sleep(POLL.0);
        }
        panic!("{words:?} never came:\n{}", self.log());
    }

    /// What it has said by now.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.file).expect("the log")
    }

    /// How often the log says so by now.
    pub(crate) fn said(&self, words: &str) -> usize {
        self.log().matches(words).count()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("it has an id"), signal).expect("it can be told");
    }

    /// Asks it to stop and waits until it has, without a fault; returns what
    /// it said.
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        for _ in 0..POLL.1 {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                let log = self.log();
                assert!(status.success(), "{status:?}:\n{log}");
                return log;
            }
            thread::sleep(POLL.0);
        }
        panic!("it does not stop");
    }

    /// Kills it, with no chance to do anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is ours");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
