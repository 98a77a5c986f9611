//! What a check found, for people and for machines.

use crate::{output::Table, units};
use gavel_rules::{
    auction::Outcome,
    audit::{Report, Violation},
    id::RoomId,
    order::Seq,
};
use serde_json::{Value, json};
use std::fmt;

/// One room and what was found.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) room: RoomId,
    pub(super) found: Result<Report, Box<Violation>>,
}

/// A line for each room, then each violation with its evidence.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) &'a [Verdict]);

// === impl Text ===

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table =
            Table::new(["ROOM", "EVENTS", "BIDS", "EPOCHS", "WINNER", "RECORDED", "CHECK"]);
        for Verdict { room, found } in self.0 {
            let room = room.to_string();
            let dash = || "-".to_owned();
            match found {
                Ok(report) => table.row([
                    room,
                    report.events.to_string(),
                    report.bids.to_string(),
                    report.epochs.to_string(),
                    winner(report).unwrap_or_else(dash),
                    format!("{} bids, {} sights", report.recorded, report.sights),
                    result(report),
                ]),
                Err(violation) => {
                    let broken = violation.invariant.to_string();
                    table.row([room, dash(), dash(), dash(), dash(), dash(), broken]);
                }
            }
        }
        write!(f, "{table}")?;
        for violation in self.0.iter().filter_map(|verdict| verdict.found.as_ref().err()) {
            writeln!(f, "{violation}")?;
        }
        Ok(())
    }
}

fn winner(report: &Report) -> Option<String> {
    Some(match report.outcome.as_ref()? {
        Outcome::Sold { winner, amount } => format!("{winner} at {}", units::show(amount.minor())),
        Outcome::ReserveNotMet => "reserve not met".to_owned(),
        Outcome::NoBids => "no bids".to_owned(),
    })
}

fn result(report: &Report) -> String {
    let mut text = "ok".to_owned();
    if report.first > Seq::new(1) {
        text.push_str(&format!(", from seq {}", report.first));
    }
    if report.unchecked > 0 {
        text.push_str(&format!(", {} records cannot be checked", report.unchecked));
    }
    text
}

/// The same for machines.
pub(super) fn to_json(verdicts: &[Verdict]) -> Value {
    let rooms = verdicts.iter().map(|Verdict { room, found }| match found {
        Ok(report) => json!({
            "room": room,
            "ok": true,
            "events": report.events,
            "firstSeq": report.first,
            "bids": report.bids,
            "epochs": report.epochs,
            "winner": winner(report),
            "recordedBids": report.recorded,
            "recordedSights": report.sights,
            "unchecked": report.unchecked,
        }),
        Err(violation) => json!({
            "room": room,
            "ok": false,
            "invariant": violation.invariant.number(),
            "name": violation.invariant.as_str(),
            "found": violation.found,
            "against": violation.against,
        }),
    });
    let ok = verdicts.iter().all(|verdict| verdict.found.is_ok());
    json!({"ok": ok, "rooms": rooms.collect::<Vec<_>>()})
}
