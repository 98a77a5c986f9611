//! A server in a process of its own, and what the kernel says of it.

use crate::Outcome;
use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A process that ends with this value.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    first_line: String,
}

impl Process {
    /// Starts a server and waits until it prints its first line.
    pub(crate) fn start(command: &mut Command) -> Outcome<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or("its output is not piped")?;
        let mut process = Self { child, first_line: String::new() };
        BufReader::new(stdout).read_line(&mut process.first_line)?;
        Ok(process)
    }

    /// What it printed first.
    pub(crate) fn first_line(&self) -> &str {
        self.first_line.trim_end()
    }

    /// Its resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> Outcome<f64> {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id()))?;
        let pages: f64 = statm.split(' ').nth(1).ok_or("statm has no second field")?.parse()?;
        Ok(pages * f64::from(u32::try_from(rustix::param::page_size())?))
    }

    /// Processor time it has used in user and kernel mode.
    pub(crate) fn processor_time(&self) -> Outcome<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in brackets may hold spaces; what follows it is regular.
        let (_, rest) = stat.rsplit_once(')').ok_or("stat has no name")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks =
            |field: usize| fields.get(field).ok_or("stat is short").map(|text| text.parse());
        let (user, kernel): (u64, u64) = (ticks(11)??, ticks(12)??);
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_millis((user + kernel) * 1000 / per_second))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
