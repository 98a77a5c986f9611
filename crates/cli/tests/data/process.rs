//! A `gavel` process on a directory, and verbs against it.

use gavel_testkit::blocking::{free_port, until};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;
use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
};

/// A process whose words go to a file.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

/// `gavel serve` on a directory, at the same ports in every run.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    http: u16,
    grpc: u16,
    control_http: u16,
}

// === impl Process ===

impl Process {
    /// Starts it; the log of an earlier run is kept in front.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let out = OpenOptions::new().create(true).append(true).open(log).expect("a log");
        let err = out.try_clone().expect("the same file");
        let command = command.stdout(out).stderr(err).stdin(Stdio::null());
        Self { child: command.spawn().expect("the binary runs"), log: log.to_owned() }
    }

    pub(crate) fn words(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log")
    }

    /// SIGKILL: it does nothing more.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    pub(crate) fn stop(&mut self) -> ExitStatus {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("it has an id"), Signal::TERM).expect("it can be told");
        until("its end", || self.child.try_wait().expect("it can be waited for"))
    }

    /// Writes fail beyond this place in any file, or nowhere.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(pid, Resource::Fsize, limit).expect("files can be limited");
    }

    fn assert_runs(&mut self) {
        let ended = self.child.try_wait().expect("it can be waited for");
        assert!(ended.is_none(), "it ended with {ended:?}:\n{}", self.words());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

// === impl Server ===

impl Server {
    pub(crate) fn new() -> Self {
        let [http, grpc, control_http] = [(); 3].map(|()| free_port());
        Self { folder: tempfile::tempdir().expect("a folder"), http, grpc, control_http }
    }

    /// The directory of the store.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/ws", self.http)
    }

    /// Runs it until it answers its operators and its node is there.
    pub(crate) fn start(&self) -> Process {
        let mut command = gavel(&self.line());
        self.run(command.arg("--data").arg(self.data()).env("RUST_LOG", "info"))
    }

    /// The same, but a file that may not grow is an error to it and no signal.
    pub(crate) fn start_for_limits(&self) -> Process {
        let mut command = Command::new("sh");
        let script = "trap '' XFSZ; exec \"$0\" \"$@\"";
        command.env_clear().arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_gavel"));
        command.args(self.line().split_whitespace()).arg("--data").arg(self.data());
        // Its log is a file as well.
        self.run(command.env("RUST_LOG", "off"))
    }

    fn line(&self) -> String {
        format!(
            "serve --http-listen 127.0.0.1:{} --grpc-listen 127.0.0.1:{} \
             --set control_plane.http.listen=127.0.0.1:{}",
            self.http, self.grpc, self.control_http
        )
    }

    fn run(&self, command: &mut Command) -> Process {
        let mut process = Process::start(command, &self.folder.path().join("log"));
        until("a node", || {
            process.assert_runs();
            let nodes = self.try_json("nodes list")?;
            nodes.as_array().is_some_and(|nodes| nodes.len() == 1).then_some(())
        });
        process
    }

    /// What a verb prints that goes well.
    pub(crate) fn json(&self, line: &str) -> Value {
        self.try_json(line).unwrap_or_else(|| panic!("{line} does not go well"))
    }

    pub(crate) fn try_json(&self, line: &str) -> Option<Value> {
        let endpoint = format!("http://127.0.0.1:{}", self.grpc);
        json(&gavel(line).env("GAVEL_ENDPOINT", endpoint).arg("--json").output().expect("it runs"))
    }

    /// What a room is, once it can be told.
    pub(crate) fn room(&self, id: &str) -> Value {
        until("the room's view", || {
            let room = self.try_json(&format!("rooms get {id}"))?;
            room.pointer("/view/state").is_some().then_some(room)
        })
    }
}

pub(crate) fn gavel(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
    // Whatever the machine has set must not reach the test.
    command.env_clear().args(line.split_whitespace());
    command
}

pub(crate) fn json(output: &Output) -> Option<Value> {
    if !output.status.success() {
        return None;
    }
    Some(serde_json::from_slice(&output.stdout).expect("it prints JSON"))
}

pub(crate) fn at<'a>(json: &'a Value, path: &str) -> &'a Value {
    json.pointer(path).unwrap_or(&Value::Null)
}

/// Overwrites a file from this place on.
pub(crate) fn overwrite(file: &Path, from: u64, with: &[u8]) {
    use std::os::unix::fs::FileExt as _;
    let file = File::options().write(true).open(file).expect("the file");
    file.write_all_at(with, from).expect("it can be written");
}
