//! Which node a room goes to, and which rooms go elsewhere when loads drift
//! apart: pure functions of rooms and nodes.

use crate::{
    hash::hash_pair,
    id::{NodeId, RoomId},
};
use alloc::vec::Vec;

mod rebalance;

pub use rebalance::{Move, Owned, rebalance};

/// Nodes that a room considers, in its own order of preference.
const CHOICES: usize = 3;
/// A node over this share of the mean load, in permille, is passed over.
const BOUND_PERMILLE: u128 = 1250;

/// A node that may own a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Which node.
    pub node: &'a NodeId,
    /// Its capacity relative to others; zero takes no room.
    pub weight: u32,
    /// What it carries, in any unit that all candidates share.
    pub load: u64,
    /// Whether it is where the room's viewers are likely to be: such a node is
    /// preferred for as long as its load allows.
    pub near: bool,
}

/// The node for a room; none where no node has weight.
///
/// Weighted rendezvous order (Thaler and Ravishankar 1998; weights after
/// Schindelhauer and Schomaker 2005) gives each room its own stable order of
/// nodes. Of the first three whose load is below 1.25 of the mean, the least
/// loaded takes it ("two choices", Mitzenmacher 2001); three that are near, if
/// any is.
#[must_use]
pub fn place<'a>(room: &RoomId, candidates: &[Candidate<'a>]) -> Option<&'a NodeId> {
    let order = order(room, candidates);
    let weight: u128 = order.iter().map(|candidate| u128::from(candidate.weight)).sum();
    let load: u128 = order.iter().map(|candidate| u128::from(candidate.load)).sum();
    let fits = |candidate: &&&Candidate<'a>| {
        // load/weight <= 1.25 x (total load + 1)/(total weight), in integers.
        let mine = u128::from(candidate.load) * weight * 1000;
        let mean = (load + 1) * u128::from(candidate.weight);
        mine <= mean * BOUND_PERMILLE
    };
    let near = order.iter().filter(|candidate| candidate.near && fits(candidate));
    let mut first: Vec<_> = near.take(CHOICES).collect();
    if first.is_empty() {
        first.extend(order.iter().filter(fits).take(CHOICES));
    }
    let least = first.into_iter().min_by(|a, b| {
        let (a_load, b_load) = (u128::from(a.load), u128::from(b.load));
        (a_load * u128::from(b.weight)).cmp(&(b_load * u128::from(a.weight)))
    });
    least.or(order.first()).map(|candidate| candidate.node)
}

/// The nodes that may own a room, the one that it prefers first: the weighted
/// rendezvous order, whatever they carry. Whoever knows the same nodes knows
/// the same order.
#[must_use]
pub fn order<'c, 'a>(room: &RoomId, candidates: &'c [Candidate<'a>]) -> Vec<&'c Candidate<'a>> {
    let mut order: Vec<_> = candidates.iter().filter(|candidate| candidate.weight > 0).collect();
    order.sort_by_cached_key(|candidate| (score(room, candidate), candidate.node));
    order
}

/// Lower comes first: -ln(u)/weight for a uniform u, as fixed-point integers
/// so that every machine agrees to the bit.
fn score(room: &RoomId, candidate: &Candidate<'_>) -> u128 {
    let uniform = hash_pair(room.as_ref(), candidate.node.as_ref());
    // Shifted by as many bits as a weight has, or great weights would tie.
    (u128::from(minus_log2(uniform)) << 32) / u128::from(candidate.weight)
}

/// 2^40 x -log2(x / 2^64), by repeated squaring, exact to the last few bits.
fn minus_log2(x: u64) -> u64 {
    const FRACTION_BITS: u32 = 40;
    let x = x.max(1);
    let zeros = x.leading_zeros();
    let mut mantissa = u128::from(x << zeros);
    let mut fraction = 0_u64;
    for _ in 0..FRACTION_BITS {
        mantissa = (mantissa * mantissa) >> 63;
        let carry = mantissa >> 64 != 0;
        fraction = (fraction << 1) | u64::from(carry);
        if carry {
            mantissa >>= 1;
        }
    }
    (u64::from(zeros + 1) << FRACTION_BITS) - fraction
}

#[cfg(test)]
mod tests;
