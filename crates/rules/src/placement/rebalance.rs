//! Which rooms to move so that loads come closer to each other.

use super::Candidate;
use crate::id::{NodeId, RoomId};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

/// Nodes this far from the mean load, in percent of it, are left alone.
const TOLERANCE_PERCENT: u128 = 10;
/// One room in so many moves in a round at most, or each wave of moves would
/// be a disturbance of its own. A single room may always move.
const ROOMS_PER_MOVE: usize = 1_000;
/// A room that closes less than this share of the gap, in percent, is not
/// worth a move.
const WORTH_PERCENT: u64 = 1;
/// Fixed point of a load's share of a weight.
const SHARE_BITS: u32 = 20;

/// A room with its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned<'a> {
    /// Which room.
    pub room: &'a RoomId,
    /// Who owns it.
    pub node: &'a NodeId,
    /// What it adds to its owner's load.
    pub load: u64,
    /// Whether now is a time to move it.
    pub movable: bool,
}

/// A room that is better elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move<'a> {
    /// Which room.
    pub room: &'a RoomId,
    /// Its owner.
    pub from: &'a NodeId,
    /// Who should own it.
    pub to: &'a NodeId,
}

/// A node as the moves so far leave it.
struct Place<'a> {
    node: &'a NodeId,
    weight: u128,
    load: u64,
    /// Its rooms that may move, the lightest first.
    rooms: Vec<(u64, &'a RoomId)>,
}

/// The moves of one round: again and again the heaviest room that fits half
/// of the gap goes from the hottest node to the coldest, until all are within
/// the tolerance or enough has been moved. A room moves once in a round.
///
/// `rooms` are all that there are; those of nodes that are no candidates are
/// only counted.
#[must_use]
pub fn rebalance<'a>(nodes: &[Candidate<'a>], rooms: &[Owned<'a>]) -> Vec<Move<'a>> {
    let mut places = places(nodes, rooms);
    let weight: u128 = places.iter().map(|place| place.weight).sum();
    let load: u128 = places.iter().map(|place| u128::from(place.load)).sum();
    let Some(mean) = (load << SHARE_BITS).checked_div(weight) else { return Vec::new() };
    let moves_max = (rooms.len() / ROOMS_PER_MOVE).max(1);
    let mut moves = Vec::new();
    while moves.len() < moves_max {
        let Some(next) = next_move(&mut places, mean) else { break };
        moves.push(next);
    }
    moves
}

fn places<'a>(nodes: &[Candidate<'a>], rooms: &[Owned<'a>]) -> Vec<Place<'a>> {
    let mut by_node = BTreeMap::<&NodeId, BTreeSet<(u64, &RoomId)>>::new();
    for owned in rooms.iter().filter(|owned| owned.movable && owned.load > 0) {
        by_node.entry(owned.node).or_default().insert((owned.load, owned.room));
    }
    let able = nodes.iter().filter(|candidate| candidate.weight > 0);
    able.map(|candidate| Place {
        node: candidate.node,
        weight: candidate.weight.into(),
        load: candidate.load,
        rooms: by_node.remove(candidate.node).into_iter().flatten().collect(),
    })
    .collect()
}

fn next_move<'a>(places: &mut [Place<'a>], mean: u128) -> Option<Move<'a>> {
    // Equally full nodes come by their id, so that every replica decides alike.
    places.sort_by_cached_key(|place| (place.share(), place.node));
    let (cold, warmer) = places.split_first_mut()?;
    let apart = |share: u128| share.abs_diff(mean) * 100 > mean * TOLERANCE_PERCENT;
    // Where no node is too cold, only those that are too hot give.
    let from = if apart(cold.share()) { mean } else { mean + mean * TOLERANCE_PERCENT / 100 };
    // The hottest may be hot by one room that fits nowhere; then the next gives.
    for hot in warmer.iter_mut().rev().take_while(|place| place.share() > from) {
        let Some((load, room)) = hot.give(half_of_the_gap(hot, cold)) else { continue };
        cold.load = cold.load.saturating_add(load);
        return Some(Move { room, from: hot.node, to: cold.node });
    }
    None
}

/// The load whose move would make both equally full.
fn half_of_the_gap(hot: &Place<'_>, cold: &Place<'_>) -> u64 {
    let gap = hot.share().saturating_sub(cold.share());
    let half = (gap * hot.weight * cold.weight / (hot.weight + cold.weight)) >> SHARE_BITS;
    u64::try_from(half).unwrap_or(u64::MAX)
}

// === impl Place ===

impl<'a> Place<'a> {
    fn share(&self) -> u128 {
        (u128::from(self.load) << SHARE_BITS) / self.weight
    }

    /// Gives away the heaviest room of at most this load, unless even that is
    /// next to nothing.
    fn give(&mut self, load_max: u64) -> Option<(u64, &'a RoomId)> {
        let fitting = self.rooms.partition_point(|(load, _)| *load <= load_max);
        let heaviest = fitting.checked_sub(1)?;
        let (load, _) = self.rooms.get(heaviest)?;
        if load.saturating_mul(100) < load_max.saturating_mul(WORTH_PERCENT) {
            return None;
        }
        let (load, room) = self.rooms.remove(heaviest);
        self.load = self.load.saturating_sub(load);
        Some((load, room))
    }
}
