//! Transcripts: each line of a file in `testdata/` that begins with `>` is an
//! event, and the lines up to the next are the actions it must bring.
//!
//! ```text
//! > 0 room a                     > 10 register n1 1 [a=3 ..]   > 20 heartbeat n1 1
//! > 0 room a n1 3                > 30 disconnect n1 1          > 40 tick
//! > 5 persisted a n1 1           > 6 conflict a 7              > 7 failed a
//! > 8 release                    > 9 register n1@east 1
//! > 11 move a n2   > 12 prepared a n2 2   > 13 released a n1 2   > 14 drain n1 1
//! > 15 refused a n1 7            the room is claimed under that epoch already
//! > 20 heartbeat n1 1 70% a=40%  the node's load, and that of rooms it owns
//! ```

use super::*;
use std::{fmt::Write as _, path::Path};

fn number(words: &mut dyn Iterator<Item = &str>) -> u64 {
    words.next().expect("a number").parse().expect("a number")
}

/// Millionths of what is written in percent.
fn ppm(word: &str) -> u32 {
    word.strip_suffix('%').expect("a percentage").parse::<u32>().expect("a number") * 10_000
}

fn event(name: &str, words: &mut dyn Iterator<Item = &str>) -> Event {
    match name {
        "tick" => return Event::Tick,
        "release" => return Event::ReleaseBrake,
        _ => {}
    }
    let id = words.next().expect("an id");
    match name {
        "room" => {
            let owner = words.next().map(node);
            let epoch = Epoch::new(owner.as_ref().map_or(0, |_| number(words)));
            Event::Room { room: room(id), owner, epoch }
        }
        "register" => {
            let incarnation = Incarnation::new(number(words));
            let held = words.map(|word| word.split_once('=').expect("room=epoch"));
            let held = held.map(|(name, epoch)| (room(name), Epoch::new(epoch.parse().unwrap())));
            let (id, zone) = id.split_once('@').unwrap_or((id, ""));
            let joining = Joining { incarnation, weight: 100, zone: zone.to_owned() };
            Event::Registered { node: node(id), joining, held: held.collect() }
        }
        "heartbeat" => {
            let incarnation = Incarnation::new(number(words));
            let load_ppm = words.next().map(ppm).unwrap_or_default();
            let movable_until = Timestamp::new(u64::MAX);
            let busiest = words.map(|word| word.split_once('=').expect("room=load"));
            let busiest = busiest.map(|(name, load)| RoomLoad {
                room: room(name),
                load_ppm: ppm(load),
                movable_until,
            });
            let report = Report { load_ppm, busiest: busiest.collect(), draining: false };
            Event::Heartbeat { node: node(id), incarnation, report }
        }
        "disconnect" => {
            Event::Disconnected { node: node(id), incarnation: Incarnation::new(number(words)) }
        }
        "persisted" => {
            let owner = node(words.next().expect("an owner"));
            Event::Persisted { room: room(id), owner, epoch: Epoch::new(number(words)) }
        }
        "move" => Event::Move { room: room(id), to: words.next().map(node) },
        "prepared" | "released" => {
            let (room, node) = (room(id), node(words.next().expect("a node")));
            let epoch = Epoch::new(number(words));
            match name {
                "prepared" => Event::Prepared { room, epoch, node },
                _ => Event::Released { room, epoch, node },
            }
        }
        "refused" => {
            let node = node(words.next().expect("a node"));
            Event::ClaimRefused { room: room(id), epoch: Epoch::new(number(words)), node }
        }
        "drain" => {
            let incarnation = Incarnation::new(number(words));
            let report = Report { draining: true, ..Report::default() };
            Event::Heartbeat { node: node(id), incarnation, report }
        }
        "conflict" => Event::Conflict { room: room(id), epoch: Epoch::new(number(words)) },
        "failed" => Event::PersistFailed { room: room(id) },
        other => panic!("what is {other}?"),
    }
}

fn describe(action: &Action) -> String {
    match action {
        Action::Persist { room, expected, owner, epoch } => {
            format!("persist {room} {expected} -> {epoch} {owner}")
        }
        Action::Publish { room } => format!("publish {room}"),
        Action::Tell { node, room } => format!("tell {node} {room}"),
        Action::Forget { node } => format!("forget {node}"),
        Action::BrakeOn { lapses, of } => format!("brake on {lapses} of {of}"),
        Action::BrakeOff { lapses } => format!("brake off {lapses}"),
        Action::Prepare { room, node, from, epoch } => {
            format!("prepare {room} {from} -> {node} {epoch}")
        }
        Action::Supersede { node, incarnation, by } => {
            format!("supersede {node} {} by {}", incarnation.get(), by.get())
        }
    }
}

/// Plays the events of a transcript and writes down what really comes.
fn play(script: &str) -> String {
    let mut cluster = Cluster::new(LEASE, Timestamp::new(0));
    let mut played = String::new();
    for line in script.lines() {
        let Some(told) = line.strip_prefix("> ") else {
            if line.is_empty() || line.starts_with('#') {
                writeln!(played, "{line}").unwrap();
            }
            continue;
        };
        writeln!(played, "{line}").unwrap();
        let mut words = told.split_whitespace();
        let now = Timestamp::new(number(&mut words));
        let name = words.next().expect("an event");
        let mut actions = Vec::new();
        let wake = cluster.step(event(name, &mut words), now, &mut actions);
        for action in &actions {
            writeln!(played, "{}", describe(action)).unwrap();
        }
        let wake = wake.map_or("never".to_owned(), |at| at.as_millis().to_string());
        writeln!(played, "wake {wake}").unwrap();
    }
    played
}

#[test]
fn every_transcript_plays_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let script = std::fs::read_to_string(&path).unwrap();
        let played = play(&script);
        assert!(played == script, "{}: what comes is\n{played}", path.display());
        count += 1;
    }
    assert!(count > 0);
}
