//! Placement: the same everywhere, even, and still.

mod simulation;

use super::*;
use alloc::{collections::BTreeMap, format, vec, vec::Vec};
use proptest::{collection::vec as list, prelude::*};

fn nodes(count: usize) -> Vec<NodeId> {
    (0..count).map(|n| format!("node-{n}").parse().expect("an id")).collect()
}

fn room(n: usize) -> RoomId {
    format!("room-{n}").parse().expect("an id")
}

fn idle(nodes: &[NodeId]) -> Vec<Candidate<'_>> {
    nodes.iter().map(|node| Candidate { node, weight: 1, load: 0, near: false }).collect()
}

/// Rooms per node, where every room adds its load to the node it goes to.
fn fill<'a>(mut candidates: Vec<Candidate<'a>>, rooms: usize) -> Vec<Candidate<'a>> {
    for n in 0..rooms {
        let node = place(&room(n), &candidates).expect("a node");
        let taker = candidates.iter_mut().find(|candidate| candidate.node == node);
        taker.expect("one of the candidates").load += 1;
    }
    candidates
}

/// Shares in permille where loads are ignored.
fn shares(weights: &[u32], rooms: usize) -> Vec<usize> {
    let nodes = nodes(weights.len());
    let candidates: Vec<_> = nodes
        .iter()
        .zip(weights)
        .map(|(node, weight)| Candidate { node, weight: *weight, load: 0, near: false })
        .collect();
    let mut count = BTreeMap::new();
    for n in 0..rooms {
        *count.entry(place(&room(n), &candidates).expect("a node")).or_insert(0_usize) += 1;
    }
    nodes.iter().map(|node| count.get(node).unwrap_or(&0) * 1_000 / rooms).collect()
}

#[test]
fn no_node_no_place() {
    let nodes = nodes(1);
    assert_eq!(place(&room(1), &[]), None);
    let drained = Candidate { node: &nodes[0], weight: 0, load: 0, near: false };
    assert_eq!(place(&room(1), &[drained]), None);
}

#[test]
fn places_are_the_same_in_every_release() {
    let nodes = nodes(5);
    let places = (0..6).map(|n| place(&room(n), &idle(&nodes)).expect("a node").as_ref());
    let places: Vec<&str> = places.collect();
    assert_eq!(places, GOLDEN);
}

const GOLDEN: [&str; 6] = ["node-3", "node-2", "node-1", "node-3", "node-4", "node-0"];

#[test]
fn ten_thousand_rooms_lie_evenly() {
    for count in [2, 10, 37] {
        let nodes = nodes(count);
        let filled = fill(idle(&nodes), 10_000);
        let most = filled.iter().map(|candidate| candidate.load).max().unwrap_or_default();
        let most_permille = most * 1_000 * count as u64 / 10_000;
        assert!(most_permille <= 1_050, "{most_permille} permille of the mean on {count} nodes");
    }
}

#[test]
fn a_lost_node_moves_its_own_rooms_only() {
    let nodes = nodes(100);
    let all = idle(&nodes);
    let mut moved = 0;
    for n in 0..2_000 {
        let before = place(&room(n), &all).expect("a node");
        let left: Vec<_> = all.iter().filter(|c| *c.node != nodes[41]).copied().collect();
        let after = place(&room(n), &left).expect("a node");
        assert!(after == before || *before == nodes[41]);
        moved += u32::from(after != before);
    }
    assert!((5..=40).contains(&moved), "{moved} of 2000 moved off one node of 100");
}

#[test]
fn weights_are_respected() {
    for weights in [[1, 2, 4], [u32::MAX / 4, u32::MAX / 2, u32::MAX], [250, 500, 1_000]] {
        let shares = shares(&weights, 20_000);
        for (share, expected) in shares.iter().zip([143, 286, 571]) {
            assert!(share.abs_diff(expected) <= 15, "{shares:?} for {weights:?}");
        }
    }
    let nodes = nodes(2);
    let uneven = [(&nodes[0], 1), (&nodes[1], 3)];
    let filled = fill(
        uneven.map(|(node, weight)| Candidate { node, weight, load: 0, near: false }).into(),
        4_000,
    );
    assert!(filled[0].load.abs_diff(1_000) <= 10, "{filled:?}");
}

#[test]
fn equal_weights_share_equally_whatever_their_size() {
    for weight in [1, 1_000, u32::MAX] {
        let shares = shares(&[weight; 50], 20_000);
        assert!(shares.iter().all(|share| (13..=27).contains(share)), "{shares:?} for {weight}");
    }
}

#[test]
fn a_node_over_the_bound_is_passed_over() {
    let nodes = nodes(10);
    let mut candidates = idle(&nodes);
    candidates[3].load = 1_000;
    assert!((0..1_000).all(|n| place(&room(n), &candidates) != Some(&nodes[3])));
}

/// Where a room goes on ten nodes of these loads, in its own order of
/// preference and whatever the weight that all of them share: a place in that
/// order, from zero.
fn preferred(loads: [u64; 10]) -> usize {
    let nodes = nodes(10);
    let placed = [1, 10, 1_000].map(|weight| {
        let mut left = idle(&nodes);
        left.iter_mut().for_each(|candidate| candidate.weight = weight);
        let candidates = loads.map(|load| {
            // Idle nodes tie, so the first of those left is the next in order.
            let node = place(&room(1), &left).expect("a node");
            left.retain(|candidate| candidate.node != node);
            Candidate { node, weight, load, near: false }
        });
        let node = place(&room(1), &candidates).expect("a node");
        candidates.iter().position(|candidate| candidate.node == node).expect("one of them")
    });
    assert!(placed.iter().all(|place| *place == placed[0]), "{placed:?} for {loads:?}");
    placed[0]
}

#[test]
fn the_least_loaded_of_the_first_three_takes_the_room() {
    assert_eq!(preferred([100; 10]), 0, "a tie goes to the first");
    assert_eq!(preferred([100, 99, 100, 100, 100, 100, 100, 100, 100, 100]), 1);
    assert_eq!(preferred([100, 99, 98, 100, 100, 100, 100, 100, 100, 100]), 2);
    assert_eq!(preferred([100, 100, 100, 1, 100, 100, 100, 100, 100, 100]), 0, "a fourth waits");
}

#[test]
fn a_quarter_over_the_mean_is_the_most_that_a_node_takes() {
    // 120 of a mean of 106 is within the bound, 150 of 115 is not.
    assert_eq!(preferred([120, 120, 120, 100, 100, 100, 100, 100, 100, 100]), 0);
    assert_eq!(preferred([150, 150, 150, 100, 100, 100, 100, 100, 100, 100]), 3);
    // Who is passed over is not one of the three.
    assert_eq!(preferred([150, 150, 150, 100, 100, 99, 1, 100, 100, 100]), 5);
    // Five is exactly a quarter over the mean with the new room, which is four.
    assert_eq!(preferred([5, 5, 5, 4, 4, 4, 3, 3, 3, 3]), 0);
    assert_eq!(preferred([5, 5, 5, 4, 4, 3, 3, 3, 3, 3]), 5);
}

#[test]
fn a_near_node_is_preferred_until_it_is_full() {
    let nodes = nodes(10);
    let near = |loads: [u64; 2]| {
        let mut candidates = idle(&nodes);
        candidates.iter_mut().for_each(|candidate| candidate.load = 100);
        for (n, load) in loads.into_iter().enumerate() {
            (candidates[n].load, candidates[n].near) = (load, true);
        }
        (0..200).map(|n| place(&room(n), &candidates).expect("a node").clone()).collect::<Vec<_>>()
    };
    assert!(near([100, 100]).iter().all(|node| nodes[..2].contains(node)));
    assert!(near([100, 90]).iter().all(|node| *node == nodes[1]), "the least loaded of them");
    assert!(near([200, 120]).iter().all(|node| *node == nodes[1]), "a full one is passed over");
    assert!(near([200, 200]).iter().all(|node| nodes[2..].contains(node)), "all are full");
}

fn owned<'a>(rooms: &'a [RoomId], node: &'a NodeId, loads: &[u64]) -> Vec<Owned<'a>> {
    let owned = rooms.iter().zip(loads);
    owned.map(|(room, load)| Owned { room, node, load: *load, movable: true }).collect()
}

#[test]
fn the_heaviest_room_that_fits_half_the_gap_moves() {
    let nodes = nodes(3);
    let rooms: Vec<_> = (0..4).map(room).collect();
    let mut candidates = idle(&nodes);
    for (candidate, load) in candidates.iter_mut().zip([140, 100, 60]) {
        (candidate.weight, candidate.load) = (100, load);
    }
    let mut all = owned(&rooms, &nodes[0], &[60, 41, 39, 0]);
    let moves = |all: &[Owned<'_>]| {
        let moves = rebalance(&candidates, all);
        moves.iter().map(|m| (m.room.clone(), m.from.clone(), m.to.clone())).collect::<Vec<_>>()
    };
    let expected = |n: usize| [(rooms[n].clone(), nodes[0].clone(), nodes[2].clone())];
    assert_eq!(moves(&all), expected(2));
    all[1].load = 40;
    assert_eq!(moves(&all), expected(1), "half of the gap is 40");
    all[1].movable = false;
    assert_eq!(moves(&all), expected(2));
    all[2].movable = false;
    assert_eq!(moves(&all), [], "nothing that fits");
}

#[test]
fn loads_within_a_tenth_of_the_mean_are_left_alone() {
    let nodes = nodes(4);
    let rooms: Vec<_> = (0..40).map(room).collect();
    let moves = |loads: [u64; 4]| {
        let mut candidates = idle(&nodes);
        for (candidate, load) in candidates.iter_mut().zip(loads) {
            candidate.load = load;
        }
        rebalance(&candidates, &owned(&rooms, &nodes[0], &[1; 40])).len()
    };
    assert_eq!(moves([110, 100, 100, 90]), 0);
    assert_eq!(moves([111, 100, 100, 89]), 1);
    assert_eq!(moves([109, 109, 109, 73]), 1, "one is too cold");
    assert_eq!(moves([127, 91, 91, 91]), 1, "one is too hot");
    assert_eq!(moves([0, 0, 0, 0]), 0);
}

#[test]
fn a_node_without_weight_neither_gives_nor_takes() {
    let nodes = nodes(3);
    let rooms: Vec<_> = (0..2).map(room).collect();
    let mut candidates = idle(&nodes);
    for (candidate, (weight, load)) in candidates.iter_mut().zip([(0, 0), (1, 100), (1, 0)]) {
        (candidate.weight, candidate.load) = (weight, load);
    }
    let mut all = owned(&rooms[..1], &nodes[1], &[10]);
    all.extend(owned(&rooms[1..], &nodes[0], &[10]));
    let moves = rebalance(&candidates, &all);
    let expected = Move { room: &rooms[0], from: &nodes[1], to: &nodes[2] };
    assert_eq!(moves, [expected]);
    assert_eq!(rebalance(&[], &all), []);
}

#[test]
fn the_logarithm_is_right() {
    for (x, log) in [(1_u64 << 63, 1.0), (1 << 62, 2.0), (1, 64.0), (0, 64.0)] {
        assert_eq!(minus_log2(x) as f64, log * (1_u64 << 40) as f64);
    }
    for x in [3, 12_345, u64::MAX / 3, u64::MAX - 1] {
        let exact = 64.0 - (x as f64).log2();
        assert!((minus_log2(x) as f64 / (1_u64 << 40) as f64 - exact).abs() < 1e-9);
    }
}

proptest! {
    #[test]
    fn only_a_node_with_weight_whatever_the_order(
        described in list((prop_oneof![0..5_u32, any::<u32>()], prop_oneof![0..9_u64, any::<u64>()]), 0..12),
        n in 0..1_000_usize,
    ) {
        let nodes = nodes(described.len());
        let mut candidates: Vec<_> = nodes
            .iter()
            .zip(described)
            .map(|(node, (weight, load))| Candidate { node, weight, load, near: false })
            .collect();
        let placed = place(&room(n), &candidates);
        let able: Vec<_> = candidates.iter().filter(|c| c.weight > 0).map(|c| c.node).collect();
        prop_assert_eq!(placed.is_some(), !able.is_empty());
        prop_assert!(placed.is_none_or(|node| able.contains(&node)));
        candidates.reverse();
        prop_assert_eq!(place(&room(n), &candidates), placed);
    }
}
