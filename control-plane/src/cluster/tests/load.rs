//! Loads, the moves that they bring, and the end of the brake.

use super::*;

/// Nodes that heartbeat each second, and the moves that were proposed.
struct Loads {
    cluster: Cluster,
    now: u64,
    /// Rooms that moved, with their new owners.
    moved: Vec<(String, String)>,
    brakes: Vec<Action>,
    persisted: usize,
}

impl Loads {
    fn new(nodes: usize) -> Self {
        let cluster = Cluster::new(LEASE, Timestamp::new(0));
        let mut loads =
            Self { cluster, now: 0, moved: Vec::new(), brakes: Vec::new(), persisted: 0 };
        for n in 0..nodes {
            let (node, joining) = (node(&format!("n{n}")), joining(Incarnation::new(1)));
            loads.step(Event::Registered { node, joining, held: Vec::new() });
        }
        loads
    }

    fn step(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.cluster.step(event, Timestamp::new(self.now), &mut actions);
        for action in actions {
            match action {
                Action::Persist { room, owner, epoch, .. } => {
                    self.persisted += 1;
                    self.step(Event::Persisted { room, owner, epoch });
                }
                Action::Prepare { room, node, from, epoch } => {
                    self.moved.push((room.to_string(), node.to_string()));
                    self.step(Event::Prepared { room: room.clone(), epoch, node });
                    self.step(Event::Released { room, epoch, node: from });
                }
                Action::BrakeOn { .. } | Action::BrakeOff { .. } => self.brakes.push(action),
                Action::Publish { .. }
                | Action::Tell { .. }
                | Action::Supersede { .. }
                | Action::Forget { .. } => {}
            }
        }
    }

    /// A room as the store holds it.
    fn stored(&mut self, name: &str, owner: &str) {
        let (room, owner, epoch) = (room(name), Some(node(owner)), Epoch::new(1));
        self.step(Event::Room { room, owner, epoch });
    }

    fn heartbeat(&mut self, name: &str, load_ppm: u32, busiest: &[(&str, u32, u64)]) {
        let busiest = busiest.iter().map(|(name, load_ppm, until)| RoomLoad {
            room: room(name),
            load_ppm: *load_ppm,
            movable_until: Timestamp::new(*until),
        });
        let report = Report { load_ppm, busiest: busiest.collect(), draining: false };
        let (node, incarnation) = (node(name), Incarnation::new(1));
        self.step(Event::Heartbeat { node, incarnation, report });
    }

    /// Lets a second pass, with a tick whenever the machine asked for one.
    fn second(&mut self) {
        let then = self.now + 1_000;
        while let Some(due) = self.cluster.wake_at.filter(|due| due.as_millis() <= then) {
            self.now = self.now.max(due.as_millis());
            self.step(Event::Tick);
        }
        self.now = then;
    }
}

/// A minute and a little in which n0 carries three rooms, of which the heaviest that
/// fits is `b`, and n1 next to nothing.
fn uneven(movable_until: u64) -> Loads {
    let mut loads = Loads::new(2);
    for name in ["a", "b", "c"] {
        loads.stored(name, "n0");
    }
    loads.stored("d", "n1");
    for _ in 0..65 {
        let rooms = [("a", 500_000, u64::MAX), ("b", 200_000, movable_until), ("c", 100_000, 1)];
        loads.heartbeat("n0", 800_000, &rooms);
        loads.heartbeat("n1", 100_000, &[("d", 100_000, u64::MAX)]);
        loads.second();
    }
    loads
}

#[test]
fn the_hottest_node_gives_to_the_coldest_once_its_rooms_have_settled() {
    let loads = uneven(u64::MAX);
    let moved = ("b".to_owned(), "n1".to_owned());
    assert_eq!(loads.moved, [moved], "after a minute, and once in ten seconds");
    assert_eq!(loads.persisted, 1, "nothing moves by a plain assignment");
}

#[test]
fn a_room_that_is_about_to_close_stays() {
    assert_eq!(uneven(60_000).moved, [], "the owner said until when it may move");
}

#[test]
fn a_load_that_was_reported_long_ago_moves_nothing() {
    let mut loads = uneven(u64::MAX);
    loads.moved.clear();
    for _ in 0..30 {
        loads.heartbeat("n0", 800_000, &[]);
        loads.heartbeat("n1", 100_000, &[]);
        loads.second();
    }
    assert!(loads.moved.len() <= 1, "{:?}", loads.moved);
}

#[test]
fn a_room_counts_for_its_new_owner_before_reports_contain_it() {
    let mut loads = Loads::new(2);
    for n in 0..20 {
        loads.stored(&format!("r{n}"), "n0");
    }
    loads.heartbeat("n0", 800_000, &[]);
    loads.heartbeat("n1", 0, &[]);
    let before = loads.cluster.load_ppm(&node("n1"));
    // Rooms of 40,000 go to n1 until it would carry as much as n0, and then to
    // both: not all to the one that still reports nothing.
    for n in 0..40 {
        let (owner, epoch) = (None, Epoch::default());
        loads.step(Event::Room { room: room(&format!("s{n}")), owner, epoch });
    }
    let (n0, n1) = (loads.cluster.load_ppm(&node("n0")), loads.cluster.load_ppm(&node("n1")));
    assert!(before < 1_000 && n1 > 500_000, "{before} {n1}");
    assert!(n1 < n0 + n0 / 2, "{n0} {n1}");
    // Reports that come to contain them leave the sum where it was.
    for _ in 0..60 {
        let told = u32::try_from(n1).unwrap();
        loads.heartbeat("n0", 800_000, &[]);
        loads.heartbeat("n1", told, &[]);
        let now = loads.cluster.load_ppm(&node("n1"));
        assert!(now.abs_diff(n1) < n1 / 10, "{now} after {n1}");
        loads.second();
    }
}

/// Five nodes of which three go silent, each with a room.
fn braked() -> Loads {
    let mut loads = Loads::new(5);
    for n in 0..5 {
        loads.stored(&format!("r{n}"), &format!("n{n}"));
    }
    while loads.now < 5_000 {
        loads.heartbeat("n3", 0, &[]);
        loads.heartbeat("n4", 0, &[]);
        loads.second();
    }
    assert_eq!(loads.brakes, [Action::BrakeOn { lapses: 3, of: 5 }]);
    assert_eq!((loads.cluster.nodes_held(), loads.cluster.nodes_live()), (3, 2));
    assert!(loads.cluster.is_held(&node("n0")) && !loads.cluster.is_held(&node("n3")));
    assert_eq!(loads.persisted, 0);
    loads
}

#[test]
fn the_brake_is_released_by_an_operator() {
    let mut loads = braked();
    loads.step(Event::ReleaseBrake);
    assert_eq!(loads.brakes[1..], [Action::BrakeOff { lapses: 3 }]);
    assert_eq!((loads.persisted, loads.cluster.nodes_held()), (3, 0));
    loads.step(Event::ReleaseBrake);
    assert_eq!(loads.brakes.len(), 2, "there is nothing to release any more");
}

#[test]
fn the_brake_is_released_after_a_minute() {
    let mut loads = braked();
    let (since, until) = loads.cluster.brake().expect("the brake");
    assert_eq!(until.since(since), Millis::new(60_000));
    while loads.now < until.as_millis() + 1_000 {
        let on = loads.now < until.as_millis();
        assert_eq!(loads.cluster.brake().is_some(), on, "at {}", loads.now);
        assert_eq!(loads.persisted, if on { 0 } else { 3 });
        loads.heartbeat("n3", 0, &[]);
        loads.heartbeat("n4", 0, &[]);
        loads.second();
    }
    assert_eq!(loads.persisted, 3);
}
