//! The cluster machine by example.

mod chaos;
mod load;
mod transcript;

use super::*;

const LEASE: Millis = Millis::new(3_000);

fn room(name: &str) -> RoomId {
    name.parse().expect("id")
}

fn node(name: &str) -> NodeId {
    name.parse().expect("id")
}

fn joining(incarnation: Incarnation) -> Joining {
    Joining { incarnation, weight: 100, zone: String::new() }
}

/// A cluster with a store that always answers at once.
struct World {
    cluster: Cluster,
    now: u64,
    stored: BTreeMap<RoomId, (NodeId, Epoch)>,
    published: Vec<RoomId>,
    told: Vec<(NodeId, RoomId)>,
    superseded: Vec<(NodeId, Incarnation)>,
    forgotten: Vec<NodeId>,
    /// How often the brake went on or off.
    brakes: usize,
}

impl World {
    fn new() -> Self {
        Self {
            cluster: Cluster::new(LEASE, Timestamp::new(0)),
            now: 0,
            stored: BTreeMap::new(),
            published: Vec::new(),
            told: Vec::new(),
            superseded: Vec::new(),
            forgotten: Vec::new(),
            brakes: 0,
        }
    }

    fn step(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.cluster.step(event, Timestamp::new(self.now), &mut actions);
        for action in actions {
            match action {
                Action::Publish { room } => self.published.push(room),
                Action::Tell { node, room } => self.told.push((node, room)),
                Action::Forget { node } => self.forgotten.push(node),
                Action::BrakeOn { .. } | Action::BrakeOff { .. } => self.brakes += 1,
                Action::Prepare { .. } => panic!("nothing moves"),
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

    /// Lets time pass, with a tick whenever the machine asked for one.
    fn until(&mut self, now: u64) {
        while let Some(due) = self.cluster.wake_at.filter(|due| due.as_millis() <= now) {
            self.now = self.now.max(due.as_millis());
            self.step(Event::Tick);
        }
        self.now = now;
    }

    fn room(&mut self, name: &str) {
        self.step(Event::Room { room: room(name), owner: None, epoch: Epoch::default() });
    }

    fn register(&mut self, name: &str, incarnation: u64, held: &[(&str, u64)]) {
        let held = held.iter().map(|(name, epoch)| (room(name), Epoch::new(*epoch))).collect();
        let incarnation = Incarnation::new(incarnation);
        self.step(Event::Registered { node: node(name), joining: joining(incarnation), held });
    }

    fn heartbeat(&mut self, name: &str) {
        let (incarnation, report) = (Incarnation::new(1), Report::default());
        self.step(Event::Heartbeat { node: node(name), incarnation, report });
    }

    fn disconnect(&mut self, name: &str) {
        self.step(Event::Disconnected { node: node(name), incarnation: Incarnation::new(1) });
    }

    fn owner(&self, name: &str) -> Option<(String, u64)> {
        let (owner, epoch) = self.cluster.assignment(&room(name))?;
        Some((owner?.to_string(), epoch.get()))
    }

    /// How many of the rooms r0, r1, .. a node owns.
    fn owned(&self, name: &str) -> usize {
        self.stored.values().filter(|(owner, _)| *owner == node(name)).count()
    }
}

fn owns(name: &str, epoch: u64) -> Option<(String, u64)> {
    Some((name.to_owned(), epoch))
}

#[test]
fn rooms_of_a_lapsed_node_move_under_the_next_epoch() {
    let mut world = World::new();
    world.register("n1", 1, &[]);
    world.register("n2", 1, &[]);
    for n in 0..20 {
        world.room(&format!("r{n}"));
    }
    assert!(world.owned("n1") >= 7 && world.owned("n2") >= 7, "rooms are spread");
    world.until(2_900);
    world.heartbeat("n2");
    world.until(3_000);
    assert_eq!(world.owned("n2"), 20);
    world.until(6_000);
    assert_eq!(world.owned("n2"), 20, "without a node that lives, the last one stays noted");
}

#[test]
fn rooms_of_one_moment_do_not_herd() {
    let mut world = World::new();
    for n in 0..300 {
        world.room(&format!("r{n}"));
    }
    let mut actions = Vec::new();
    for name in ["n1", "n2", "n3"] {
        let (incarnation, held) = (Incarnation::new(1), Vec::new());
        let joining = joining(incarnation);
        let event = Event::Registered { node: node(name), joining, held };
        world.cluster.step(event, Timestamp::new(0), &mut actions);
    }
    assert_eq!(world.cluster.member(&node("n1")), Some((true, 300)), "the first takes all");
    // The first goes before anything is stored: the others share, and no
    // answer of the store in between resets what they are about to carry.
    for action in actions {
        let Action::Persist { room, owner, epoch, .. } = action else { continue };
        let event = Event::Persisted { room, owner, epoch };
        world.cluster.step(event, Timestamp::new(0), &mut Vec::new());
    }
    let mut actions = Vec::new();
    for name in ["n2", "n3"] {
        let (node, incarnation) = (node(name), Incarnation::new(1));
        let event = Event::Heartbeat { node, incarnation, report: Report::default() };
        world.cluster.step(event, Timestamp::new(2_900), &mut actions);
    }
    world.cluster.step(Event::Tick, Timestamp::new(3_000), &mut actions);
    assert_eq!(actions.len(), 300);
    for name in ["n2", "n3"] {
        let (_, carried) = world.cluster.member(&node(name)).expect("a member");
        assert!((120..=180).contains(&carried), "{name} carries {carried}");
    }
}

#[test]
fn losing_one_node_of_many_moves_its_rooms_alone() {
    const NODES: usize = 50;
    const ROOMS: usize = 2_000;
    let mut world = World::new();
    let name = |n: usize| format!("n{n}");
    for n in 0..NODES {
        world.register(&name(n), 1, &[]);
    }
    for n in 0..ROOMS {
        world.room(&format!("r{n}"));
    }
    let most = |world: &World| (0..NODES).map(|n| world.owned(&name(n))).max().expect("nodes");
    assert!(most(&world) <= ROOMS / NODES + 2, "{} rooms on one node", most(&world));
    let (lost, before) = (world.owned("n0"), world.stored.clone());
    world.until(2_900);
    for n in 1..NODES {
        world.heartbeat(&name(n));
    }
    world.until(3_000);
    let moved = world.stored.iter().filter(|(room, now)| before[room] != **now).count();
    assert_eq!(moved, lost);
    assert!(most(&world) <= ROOMS / (NODES - 1) + 3, "{} rooms on one node", most(&world));
}

#[test]
fn a_suspect_keeps_its_rooms_and_gets_no_new_ones() {
    let mut world = World::new();
    world.register("n1", 1, &[]);
    world.room("a");
    world.disconnect("n1");
    world.room("b");
    assert_eq!((world.owner("a"), world.owner("b")), (owns("n1", 1), None));
    world.until(500);
    world.register("n1", 1, &[("a", 1)]);
    assert_eq!((world.owner("a"), world.owner("b")), (owns("n1", 1), owns("n1", 1)));
    world.until(2_000);
    assert_eq!(world.owner("a"), owns("n1", 1), "it came back in time");
}

#[test]
fn a_newer_run_gets_the_next_epoch_which_fences_the_earlier_one() {
    let mut world = World::new();
    world.register("n1", 5, &[]);
    world.room("a");
    world.register("n2", 1, &[]);
    world.register("n1", 4, &[]);
    assert_eq!(world.owner("a"), owns("n1", 1), "an older run changes nothing");
    world.register("n1", 6, &[]);
    assert_eq!(world.owner("a"), owns("n1", 2));
    world.register("n1", 6, &[("a", 2)]);
    assert_eq!(world.owner("a"), owns("n1", 2), "the same run keeps its epoch");
    let runs: Vec<_> = world.superseded.iter().map(|(_, run)| run.get()).collect();
    assert_eq!(runs, [4, 5]);
}

#[test]
fn a_run_that_is_gone_keeps_no_later_one_out_whose_number_is_lower() {
    let mut world = World::new();
    world.register("n1", 1, &[]);
    world.room("a");
    world.register("n1", 0, &[]);
    assert_eq!(world.owner("a"), owns("n1", 1), "it is there");
    world.disconnect("n1");
    world.register("n1", 0, &[]);
    assert_eq!(world.owner("a"), owns("n1", 2));
}

#[test]
fn whoever_lost_a_room_is_told() {
    let mut world = World::new();
    world.register("n1", 1, &[]);
    world.room("a");
    world.until(2_000);
    world.register("n2", 1, &[]);
    world.until(3_000);
    assert_eq!(world.owner("a"), owns("n2", 2));
    assert_eq!(world.told, [(node("n1"), room("a"))], "in case it can still hear");
    world.register("n1", 1, &[("a", 1), ("nothing", 9)]);
    assert_eq!(world.told.len(), 2, "and when it comes back");
    assert_eq!(world.owner("a"), owns("n2", 2));
}

#[test]
fn a_later_epoch_of_a_node_is_believed() {
    let mut world = World::new();
    world.register("n1", 1, &[]);
    world.room("a");
    world.register("n2", 1, &[("a", 9)]);
    assert_eq!(world.owner("a"), owns("n2", 9));
}

#[test]
fn a_node_that_stays_away_is_forgotten_in_the_end() {
    let mut world = World::new();
    world.register("n1", 1, &[]);
    world.room("a");
    world.until(602_999);
    assert_eq!(world.cluster.member(&node("n1")), Some((false, 1)));
    world.until(603_000);
    assert_eq!(world.forgotten, [node("n1")]);
    assert_eq!(world.cluster.member(&node("n1")), None);
    world.register("n1", 1, &[("a", 1)]);
    assert_eq!(world.owner("a"), owns("n1", 1));
    assert_eq!(world.cluster.member(&node("n1")), Some((true, 1)));
}

#[test]
fn after_a_stall_of_ours_nobody_has_lapsed() {
    let mut world = World::new();
    world.register("n1", 1, &[]);
    world.room("a");
    world.register("n2", 1, &[]);
    world.now = 60_000;
    world.heartbeat("n2");
    world.step(Event::Tick);
    assert_eq!(world.owner("a"), owns("n1", 1), "its heartbeats may wait unread");
    world.until(62_000);
    world.heartbeat("n2");
    world.until(63_000);
    assert_eq!(world.owner("a"), owns("n2", 2), "it had a whole lease to show itself");
}

/// A room whose first assignment the store is asked for.
fn asked() -> (Cluster, Vec<Action>) {
    let (mut cluster, mut actions) = (Cluster::new(LEASE, Timestamp::new(0)), Vec::new());
    let event = Event::Room { room: room("a"), owner: None, epoch: Epoch::default() };
    cluster.step(event, Timestamp::new(0), &mut actions);
    let (joining, held) = (joining(Incarnation::new(1)), Vec::new());
    let event = Event::Registered { node: node("n1"), joining, held };
    cluster.step(event, Timestamp::new(0), &mut actions);
    (cluster, actions)
}

#[test]
fn a_store_without_an_answer_is_asked_again() {
    let (mut cluster, mut actions) = asked();
    assert!(matches!(actions.as_slice(), [Action::Persist { .. }]));
    actions.clear();
    let event = Event::PersistFailed { room: room("a") };
    let wake = cluster.step(event, Timestamp::new(10), &mut actions);
    assert_eq!((wake, actions.len()), (Some(Timestamp::new(510)), 0));
    let wake = cluster.step(Event::Tick, Timestamp::new(510), &mut actions);
    assert!(matches!(actions.as_slice(), [Action::Persist { .. }]));
    assert_eq!(wake, Some(Timestamp::new(3_000)), "nothing is left to be tried");
}

#[test]
fn a_conflict_is_decided_anew_from_what_the_store_holds() {
    let (mut cluster, mut actions) = asked();
    // Also where the store lost what it once held.
    for (held, next) in [(7, 8), (3, 4)] {
        actions.clear();
        let event = Event::Conflict { room: room("a"), epoch: Epoch::new(held) };
        cluster.step(event, Timestamp::new(10), &mut actions);
        let (expected, epoch) = (Epoch::new(held), Epoch::new(next));
        let persist = Action::Persist { room: room("a"), expected, owner: node("n1"), epoch };
        assert_eq!(actions, [persist]);
    }
}
