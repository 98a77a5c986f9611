//! Streams and histories in files, as docs/verify.md describes them.

use crate::failure::Failure;
use gavel_rules::{
    auction::StoredEvent,
    audit::{History, HistoryHead, Recorded, Stream},
    id::RoomId,
};
use serde::{Deserialize, de::IgnoredAny};
use std::{
    collections::BTreeMap,
    fmt::Display,
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Write as _},
    path::Path,
};

/// A file of streams that is being written.
#[derive(Debug)]
pub(super) struct StreamFile {
    name: String,
    out: BufWriter<File>,
}

/// A line that begins a room, which has a format, or goes on with it.
#[derive(Deserialize)]
struct Beginning {
    format: Option<IgnoredAny>,
}

// === impl StreamFile ===

impl StreamFile {
    /// Begins a file.
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let file = File::create(path)
            .map_err(|error| Failure::Usage(format!("--save: cannot write {name}: {error}")))?;
        Ok(Self { name, out: BufWriter::new(file) })
    }

    /// Adds a room.
    pub(super) fn keep(&mut self, stream: &Stream) -> Result<(), Failure> {
        let write = |out: &mut BufWriter<File>| -> io::Result<()> {
            writeln!(out, "{}", serde_json::to_string(stream)?)?;
            for event in &stream.events {
                writeln!(out, "{}", serde_json::to_string(event)?)?;
            }
            Ok(())
        };
        write(&mut self.out).map_err(|error| unwritten(&self.name, error))
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| unwritten(&self.name, error))
    }
}

/// Reads a file of streams.
pub(super) fn read_streams(path: &Path) -> Result<BTreeMap<RoomId, Stream>, Failure> {
    let mut streams: BTreeMap<RoomId, Stream> = BTreeMap::new();
    let mut current: Option<Stream> = None;
    each_line(path, |line| {
        let begins = serde_json::from_str::<Beginning>(line)?.format.is_some();
        if begins {
            let next: Stream = serde_json::from_str(line)?;
            streams.extend(current.replace(next).map(|done| (done.room.clone(), done)));
        } else {
            let event: StoredEvent = serde_json::from_str(line)?;
            let stream = current.as_mut().ok_or("an event before any room")?;
            stream.events.push(event);
        }
        Ok(())
    })?;
    streams.extend(current.map(|done| (done.room.clone(), done)));
    Ok(streams)
}

/// Adds the rooms of a history.
pub(super) fn read_history(
    path: &Path,
    histories: &mut BTreeMap<RoomId, Vec<History>>,
) -> Result<(), Failure> {
    let mut head: Option<HistoryHead> = None;
    let mut rooms: BTreeMap<RoomId, History> = BTreeMap::new();
    each_line(path, |line| {
        let Some(head) = &head else {
            head = Some(serde_json::from_str(line)?);
            return Ok(());
        };
        let recorded: Recorded = serde_json::from_str(line)?;
        let (Recorded::Bid { room, .. } | Recorded::Sight { room, .. }) = &recorded;
        let history = rooms.entry(room.clone()).or_insert_with(|| History {
            name: path.display().to_string(),
            clock: head.clock.clone(),
            ..History::default()
        });
        match recorded {
            Recorded::Bid { bid, .. } => history.bids.push(bid),
            Recorded::Sight { sight, .. } => history.sights.push(sight),
        }
        Ok(())
    })?;
    for (room, history) in rooms {
        histories.entry(room).or_default().push(history);
    }
    Ok(())
}

/// Gives each line away; the first that is refused is named.
fn each_line(
    path: &Path,
    mut take: impl FnMut(&str) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<(), Failure> {
    let name = path.display();
    let unread = |error: &dyn Display| Failure::Usage(format!("cannot read {name}: {error}"));
    let file = File::open(path).map_err(|error| unread(&error))?;
    for (number, line) in (1..).zip(BufReader::new(file).lines()) {
        let line = line.map_err(|error| unread(&error))?;
        take(&line).map_err(|error| Failure::Usage(format!("{name}, line {number}: {error}")))?;
    }
    Ok(())
}

fn unwritten(name: &str, error: io::Error) -> Failure {
    Failure::internal(&format!("cannot write {name}"), error)
}
