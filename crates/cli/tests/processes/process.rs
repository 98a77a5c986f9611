//! Processes of a test, and what they say.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

/// How often to look at something that takes a moment, and how many times.
pub(crate) const POLL: (Duration, u32) = (Duration::from_millis(50), 600);

/// A process of ours, and where its log goes.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

// === impl Process ===

impl Process {
    pub(crate) fn start(folder: &Path, name: &str, command: &mut Command) -> Self {
        let log = folder.join(format!("{name}.log"));
        let out = File::create(&log).expect("a log file");
        let err = out.try_clone().expect("the same file");
        let child = command.stdout(out).stderr(err).stdin(Stdio::null()).spawn();
        Self { child: child.unwrap_or_else(|error| panic!("{name} does not start: {error}")), log }
    }

    pub(crate) fn redis(folder: &Path, port: u16) -> Self {
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        Self::start(folder, "redis", command.arg("--dir").arg(folder))
    }

    pub(crate) fn gavel(folder: &Path, name: &str, line: &str) -> Self {
        Self::start(folder, name, gavel(line).env("RUST_LOG", "info"))
    }

    /// Waits until the log says so.
    pub(crate) fn says(&mut self, words: &str) {
        for _ in 0..POLL.1 {
            let log = std::fs::read_to_string(&self.log).expect("the log");
            if log.contains(words) {
                return;
            }
            let ended = self.child.try_wait().expect("it can be waited for");
            assert!(ended.is_none(), "it ended with {ended:?}:\n{log}");
            thread::sleep(POLL.0);
        }
        panic!("{words:?} never came:\n{}", std::fs::read_to_string(&self.log).expect("the log"));
    }

    /// How often the log says so by now.
    pub(crate) fn said(&self, words: &str) -> usize {
        std::fs::read_to_string(&self.log).expect("the log").matches(words).count()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("it has an id"), signal).expect("it can be told");
    }

    /// Asks it to stop and waits until it has, without a fault; returns what
    /// it said.
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        for _ in 0..POLL.1 {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                let log = std::fs::read_to_string(&self.log).expect("the log");
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

pub(crate) fn gavel(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
    command.env_clear().args(line.split_whitespace());
    command
}

pub(crate) fn done(line: &str) -> Output {
    let output = gavel(line).output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{line}:\n{}{}", text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}");
    output
}

/// Waits until both nodes have this version of the limits: one is stored first
/// and in force a moment later.
pub(crate) fn in_force(version: u64, endpoint: &str) {
    for _ in 0..POLL.1 {
        let listed = done(&format!("nodes list --json {endpoint}")).stdout;
        let nodes: Vec<serde_json::Value> = serde_json::from_slice(&listed).expect("JSON");
        let holds = |node: &&serde_json::Value| {
            node.get("limitsVersion").and_then(serde_json::Value::as_u64) == Some(version)
        };
        if nodes.iter().filter(holds).count() == 2 {
            return;
        }
        thread::sleep(POLL.0);
    }
    panic!("limits {version} are not in force on both nodes");
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
