//! The cluster machine against a store that always answers.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const LEASE: Millis = Millis::new(3_000);

/// A cluster with a store that always answers at once.
struct World {
    cluster: Cluster,
    now: u64,
    stored: BTreeMap<RoomId, (NodeId, Epoch)>,
    published: Vec<RoomId>,
    superseded: Vec<(NodeId, Incarnation)>,
}

impl World {
    fn new() -> Self {
        Self {
            cluster: Cluster::new(LEASE, Timestamp::new(0)),
            now: 0,
            stored: BTreeMap::new(),
            published: Vec::new(),
            superseded: Vec::new(),
        }
    }

    fn step(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.cluster.step(event, Timestamp::new(self.now), &mut actions);
        for action in actions {
            match action {
                Action::Publish { room } => self.published.push(room),
                Action::Supersede { node, incarnation, .. } => {
                    self.superseded.push((node, incarnation));
                }
                Action::Persist { room, expected, owner, epoch } => {
                    let held = self.stored.get(&room).map_or(Epoch::default(), |held| held.1);
                    assert!(epoch > held, "epochs only rise");
                    assert_eq!(expected, held);
                    self.stored.insert(room.clone(), (owner.clone(), epoch));
                    self.step(Event::Persisted { room, owner, epoch });
                }
            }
        }
    }

    fn room(&mut self, room: &str) {
        let room = room.parse().expect("id");
        self.step(Event::Room { room, owner: None, epoch: Epoch::default() });
    }

    fn register(&mut self, node: &str, incarnation: u64) {
        self.step(Event::Registered {
            node: node.parse().expect("id"),
            incarnation: Incarnation::new(incarnation),
            weight: 100,
            held: Vec::new(),
        });
    }

    fn heartbeat(&mut self, node: &str, incarnation: u64) {
        let node = node.parse().expect("id");
        self.step(Event::Heartbeat { node, incarnation: Incarnation::new(incarnation) });
    }

    fn owner(&self, room: &str) -> Option<(String, u64)> {
        let (owner, epoch) = self.cluster.assignment(&room.parse().expect("id"))?;
        Some((owner?.to_string(), epoch.get()))
    }
}

#[test]
fn a_room_waits_for_a_node_and_then_has_one_owner() {
    let mut world = World::new();
    world.room("a");
    assert_eq!(world.owner("a"), None);
    world.register("n1", 1);
    assert_eq!(world.owner("a"), Some(("n1".to_owned(), 1)));
    assert!(world.published.contains(&"a".parse().expect("id")));
    world.register("n2", 1);
    assert_eq!(world.owner("a"), Some(("n1".to_owned(), 1)), "a new node takes nothing away");
}

#[test]
fn rooms_of_a_lapsed_node_move_under_the_next_epoch() {
    let mut world = World::new();
    world.register("n1", 1);
    world.register("n2", 1);
    for n in 0..20 {
        world.room(&format!("r{n}"));
    }
    let of = |world: &World, node: &str| {
        (0..20).filter(|n| world.owner(&format!("r{n}")).expect("owner").0 == node).count()
    };
    assert!(of(&world, "n1") >= 7 && of(&world, "n2") >= 7, "rooms are spread");
    world.now = 2_900;
    world.heartbeat("n2", 1);
    world.now = 3_000;
    world.step(Event::Tick);
    assert_eq!(of(&world, "n2"), 20);
    world.now = 6_000;
    world.step(Event::Tick);
    assert_eq!(of(&world, "n2"), 20, "without a node that lives, the last one stays noted");
}

#[test]
fn a_broken_stream_is_a_suspicion_for_700_ms() {
    let mut world = World::new();
    world.register("n1", 1);
    world.room("a");
    world.register("n2", 1);
    let (node, incarnation) = ("n1".parse().expect("id"), Incarnation::new(1));
    world.step(Event::Disconnected { node, incarnation });
    world.now = 699;
    world.step(Event::Tick);
    assert_eq!(world.owner("a"), Some(("n1".to_owned(), 1)));
    world.now = 700;
    world.step(Event::Tick);
    assert_eq!(world.owner("a"), Some(("n2".to_owned(), 2)));
}

#[test]
fn an_owner_from_the_store_gets_one_lease_to_come_back() {
    let mut world = World::new();
    let (room, owner) = ("a".parse().expect("id"), "n1".parse::<NodeId>().expect("id"));
    world.stored.insert("a".parse().expect("id"), (owner.clone(), Epoch::new(7)));
    world.step(Event::Room { room, owner: Some(owner), epoch: Epoch::new(7) });
    world.register("n2", 1);
    world.now = 2_999;
    world.heartbeat("n2", 1);
    world.step(Event::Tick);
    assert_eq!(world.owner("a"), Some(("n1".to_owned(), 7)));
    world.now = 3_000;
    world.step(Event::Tick);
    assert_eq!(world.owner("a"), Some(("n2".to_owned(), 8)));
}

#[test]
fn the_newest_run_of_a_node_is_the_member() {
    let mut world = World::new();
    world.register("n1", 5);
    world.register("n1", 4);
    world.register("n1", 6);
    let runs: Vec<_> = world.superseded.iter().map(|(_, run)| run.get()).collect();
    assert_eq!(runs, [4, 5]);
}

#[test]
fn a_store_without_an_answer_is_asked_again() {
    let mut cluster = Cluster::new(LEASE, Timestamp::new(0));
    let mut actions = Vec::new();
    let room: RoomId = "a".parse().expect("id");
    let owner = None;
    let event = Event::Room { room: room.clone(), owner, epoch: Epoch::default() };
    cluster.step(event, Timestamp::new(0), &mut actions);
    let event = Event::Registered {
        node: "n1".parse().expect("id"),
        incarnation: Incarnation::new(1),
        weight: 1,
        held: Vec::new(),
    };
    cluster.step(event, Timestamp::new(0), &mut actions);
    assert!(matches!(actions.as_slice(), [Action::Persist { .. }]));
    actions.clear();
    let event = Event::PersistFailed { room };
    let wake = cluster.step(event, Timestamp::new(10), &mut actions);
    assert_eq!((wake, actions.len()), (Some(Timestamp::new(510)), 0));
    cluster.step(Event::Tick, Timestamp::new(510), &mut actions);
    assert!(matches!(actions.as_slice(), [Action::Persist { .. }]));
}

proptest! {
    /// Whatever comes and goes: epochs only rise (asserted in `World`), and
    /// where a node lives, every room has an owner that lives.
    #[test]
    fn every_room_has_a_living_owner(moves in prop::collection::vec((0..5_u8, 0..4_u8, 0..2_000_u64), 1..80)) {
        let mut world = World::new();
        world.now = 10_000;
        for (what, which, after) in moves {
            world.now += after;
            world.step(Event::Tick);
            match what {
                0 => world.room(&format!("r{which}")),
                1 => world.register(&format!("n{which}"), 1),
                2 | 3 => world.heartbeat(&format!("n{which}"), 1),
                _ => {
                    let node = format!("n{which}").parse().expect("id");
                    world.step(Event::Disconnected { node, incarnation: Incarnation::new(1) });
                }
            }
            if world.cluster.has_nodes() {
                for room in world.cluster.rooms() {
                    let (owner, _) = world.cluster.assignment(room).expect("room");
                    let member = world.cluster.member(owner.expect("an owner"));
                    prop_assert!(member.is_some_and(|(live, _)| live));
                }
            }
        }
    }
}
