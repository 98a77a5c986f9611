//! Faults under load, each once: `make chaos` runs these and more many times.

mod cluster;
mod network;
mod outcome;
mod place;
#[path = "../processes/process.rs"]
mod process;
mod scenarios;

use std::sync::{Mutex, PoisonError};

/// Scenarios run one after the other, each with the machine for itself.
static MACHINE: Mutex<()> = Mutex::new(());

fn loses_nothing(name: &str) {
    let _machine = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    scenarios::run(scenarios::named(name));
}

#[test]
fn a_killed_owner_loses_no_acknowledged_bid() {
    loses_nothing("owner-killed");
}

#[test]
fn an_owner_that_stood_still_is_fenced_when_it_wakes() {
    loses_nothing("owner-paused");
}

#[test]
fn a_killed_edge_costs_its_bidders_a_reconnect() {
    loses_nothing("edge-killed");
}

#[test]
fn a_killed_leader_costs_no_bid() {
    loses_nothing("leader-killed");
}

#[test]
fn a_killed_redis_comes_back_with_every_acknowledged_bid() {
    loses_nothing("redis-killed");
}

#[test]
fn a_node_that_is_asked_to_stop_refuses_no_bid() {
    loses_nothing("node-stopped");
}

#[test]
fn rooms_that_move_all_the_time_refuse_no_bid() {
    loses_nothing("move-storm");
}
