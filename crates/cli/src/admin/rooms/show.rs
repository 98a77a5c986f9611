//! Rooms, for people and for machines.

use crate::{
    failure::Failure,
    output::{self, Table},
    units,
};
use gavel_proto::{
    admin::v1::Room,
    common::v1::{AuctionState, View, outcome},
};
use serde_json::{Value, json};

/// Prints one room.
pub(crate) fn room(room: &Room, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::json(&to_json(room));
    }
    let mut table = Table::plain();
    let mut line = |name: &str, value: String| table.row([name.to_owned(), value]);
    line("room", room.id.clone());
    line("owner", owner(room));
    if let Some(rules) = &room.rules {
        line("title", rules.title.clone());
        line("currency", rules.currency.clone());
        line("opening price", units::show(rules.opening_price));
    }
    if let Some(view) = &room.view {
        line("state", state(view).to_owned());
        line("price", units::show(view.price));
        line("high bidder", view.high_bidder.clone().unwrap_or_else(|| "-".to_owned()));
        line("bids", view.bid_count.to_string());
        line("minimum", units::show(view.minimum));
        line("closes", closes(view.closes_at));
        if view.credited_ms > 0 {
            line("outages credited", format!("{} s", view.credited_ms / 1000));
        }
        line("seq", view.seq.to_string());
        line("viewers", room.viewers.to_string());
        if let Some(met) = view.reserve_met {
            line("reserve", if met { "met" } else { "not met" }.to_owned());
        }
        if let Some(outcome) = outcome_line(view) {
            line("outcome", outcome);
        }
    }
    output::text(table)
}

/// Prints many rooms.
pub(crate) fn rooms(rooms: &[Room], as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::json(&rooms.iter().map(to_json).collect());
    }
    let mut table = Table::new(["ROOM", "OWNER", "EPOCH", "OPENING", "CURRENCY", "TITLE"]);
    for room in rooms {
        let rules = room.rules.clone().unwrap_or_default();
        table.row([
            room.id.clone(),
            owner(room),
            room.epoch.to_string(),
            units::show(rules.opening_price),
            rules.currency,
            rules.title,
        ]);
    }
    output::text(table)
}

fn owner(room: &Room) -> String {
    if room.owner.is_empty() { "-".to_owned() } else { room.owner.clone() }
}

fn state(view: &View) -> &'static str {
    match view.state() {
        AuctionState::Unspecified => "unknown",
        AuctionState::Scheduled => "scheduled",
        AuctionState::Open => "open",
        AuctionState::Paused => "paused",
        AuctionState::Closed => "closed",
    }
}

fn closes(at: u64) -> String {
    let now = gavel_runtime::clock::now_ms();
    if at >= now {
        format!("in {} s", (at - now) / 1000)
    } else {
        format!("{} s ago", (now - at) / 1000)
    }
}

fn outcome_line(view: &View) -> Option<String> {
    Some(match view.outcome.as_ref()?.kind.as_ref()? {
        outcome::Kind::Sold(sold) => {
            format!("sold to {} for {}", sold.winner, units::show(sold.amount))
        }
        outcome::Kind::ReserveNotMet(_) => "reserve not met".to_owned(),
        outcome::Kind::NoBids(_) => "no bids".to_owned(),
    })
}

/// Amounts are minor units, times are milliseconds since the Unix epoch.
fn to_json(room: &Room) -> Value {
    let rules = room.rules.as_ref().map(|rules| {
        json!({
            "title": rules.title,
            "currency": rules.currency,
            "openingPrice": rules.opening_price,
            "reserve": rules.reserve,
            "opensAt": rules.opens_at,
            "closesAt": rules.closes_at,
        })
    });
    let view = room.view.as_ref().map(|view| {
        json!({
            "state": state(view),
            "price": view.price,
            "highBidder": view.high_bidder,
            "bidCount": view.bid_count,
            "minimum": view.minimum,
            "opensAt": view.opens_at,
            "closesAt": view.closes_at,
            "extensions": view.extensions,
            "creditedMs": view.credited_ms,
            "reserveMet": view.reserve_met,
            "seq": view.seq,
            "round": view.round,
            "outcome": outcome_line(view),
        })
    });
    json!({
        "id": room.id,
        "owner": if room.owner.is_empty() { None } else { Some(&room.owner) },
        "epoch": room.epoch,
        "viewers": room.viewers,
        "rules": rules,
        "view": view,
    })
}
