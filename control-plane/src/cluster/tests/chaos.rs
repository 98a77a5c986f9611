//! The cluster machine against a store that is slow, loses answers and fails.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

/// An assignment on its way to the store.
struct Asked {
    room: RoomId,
    expected: Epoch,
    owner: NodeId,
    epoch: Epoch,
}

#[derive(Debug, Clone, Copy)]
enum Move {
    Room(u8),
    Register {
        node: u8,
        newer: bool,
    },
    Heartbeat(u8),
    Disconnect(u8),
    Pass(u64),
    /// The store does the oldest of what it was asked.
    Store {
        answers: bool,
    },
    Fail,
    Restart,
    /// A room should move.
    Go(u8),
    /// A node does its part of the last move that began.
    Step {
        released: bool,
    },
    Drain(u8),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        (0..4_u8).prop_map(Move::Room),
        (0..3_u8, any::<bool>()).prop_map(|(node, newer)| Move::Register { node, newer }),
        (0..3_u8).prop_map(Move::Heartbeat),
        (0..3_u8).prop_map(Move::Disconnect),
        (0..2_000_u64).prop_map(Move::Pass),
        any::<bool>().prop_map(|answers| Move::Store { answers }),
        Just(Move::Store { answers: true }),
        Just(Move::Fail),
        Just(Move::Restart),
        (0..4_u8).prop_map(Move::Go),
        any::<bool>().prop_map(|released| Move::Step { released }),
        (0..3_u8).prop_map(Move::Drain),
    ];
    prop::collection::vec(one, 1..120)
}

struct Chaos {
    cluster: Cluster,
    now: u64,
    asked: VecDeque<Asked>,
    /// What the store holds.
    stored: BTreeMap<RoomId, (Option<NodeId>, Epoch)>,
    /// The last that was published of each room.
    published: BTreeMap<RoomId, (NodeId, Epoch)>,
    incarnations: [u64; 3],
    /// The last move that began: room, old owner, new owner, epoch.
    moving: Option<(RoomId, NodeId, NodeId, Epoch)>,
}

impl Chaos {
    fn new() -> Self {
        Self {
            cluster: Cluster::new(LEASE, Timestamp::new(0)),
            now: 0,
            asked: VecDeque::new(),
            stored: BTreeMap::new(),
            published: BTreeMap::new(),
            incarnations: [1; 3],
            moving: None,
        }
    }

    fn step(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.cluster.step(event, Timestamp::new(self.now), &mut actions);
        for action in actions {
            match action {
                Action::Persist { room, expected, owner, epoch } => {
                    assert!(self.asked.iter().all(|asked| asked.room != room), "one at a time");
                    self.asked.push_back(Asked { room, expected, owner, epoch });
                }
                Action::Publish { room } => self.publish(room),
                Action::Prepare { room, node, from, epoch } => {
                    assert_eq!(self.stored[&room], (Some(node.clone()), epoch), "stored first");
                    self.moving = Some((room, from, node, epoch));
                }
                Action::Tell { .. }
                | Action::Supersede { .. }
                | Action::BrakeOn { .. }
                | Action::BrakeOff { .. }
                | Action::Forget { .. } => {}
            }
        }
    }

    fn publish(&mut self, room: RoomId) {
        let (owner, epoch) = self.cluster.assignment(&room).expect("a room");
        let now = (owner.expect("an owner").clone(), epoch);
        let stored = &self.stored[&room];
        assert!(stored.1 >= epoch, "stored before it is told");
        if let Some(before) = self.published.insert(room, now.clone()) {
            assert!(before.1 <= now.1, "epochs never fall");
            assert!(before.1 < now.1 || before.0 == now.0, "one owner for each epoch");
        }
    }

    /// The store takes the oldest request, as `assign.lua` does.
    fn store(&mut self, answers: bool) {
        let Some(Asked { room, expected, owner, epoch }) = self.asked.pop_front() else { return };
        let held = self.stored.get_mut(&room).expect("a room");
        let same = *held == (Some(owner.clone()), epoch);
        let conflict = !same && (held.1 != expected || epoch <= held.1);
        if !conflict {
            *held = (Some(owner.clone()), epoch);
        }
        let held = held.1;
        self.step(match (answers, conflict) {
            (false, _) => Event::PersistFailed { room },
            (true, true) => Event::Conflict { room, epoch: held },
            (true, false) => Event::Persisted { room, owner, epoch },
        });
    }

    fn pass(&mut self, ms: u64) {
        let then = self.now + ms;
        while let Some(due) = self.cluster.wake_at.filter(|due| due.as_millis() <= then) {
            self.now = self.now.max(due.as_millis());
            self.step(Event::Tick);
        }
        self.now = then;
    }

    fn restart(&mut self) {
        self.cluster = Cluster::new(LEASE, Timestamp::new(self.now));
        self.asked.clear();
        for (room, (owner, epoch)) in self.stored.clone() {
            self.step(Event::Room { room, owner, epoch });
        }
    }

    fn make(&mut self, step: Move) {
        match step {
            Move::Room(n) => {
                let room = room(&format!("r{n}"));
                if !self.stored.contains_key(&room) {
                    self.stored.insert(room.clone(), (None, Epoch::default()));
                    self.step(Event::Room { room, owner: None, epoch: Epoch::default() });
                }
            }
            Move::Register { node, newer } => {
                self.incarnations[usize::from(node)] += u64::from(newer);
                self.register(node);
            }
            Move::Heartbeat(n) => {
                let (node, incarnation) = self.run(n);
                let report = Report { load_ppm: u32::from(n) * 300_000, ..Report::default() };
                self.step(Event::Heartbeat { node, incarnation, report });
            }
            Move::Disconnect(n) => {
                let (node, incarnation) = self.run(n);
                self.step(Event::Disconnected { node, incarnation });
            }
            Move::Pass(ms) => self.pass(ms),
            Move::Store { answers } => self.store(answers),
            Move::Fail => {
                if let Some(Asked { room, .. }) = self.asked.pop_front() {
                    self.step(Event::PersistFailed { room });
                }
            }
            Move::Restart => self.restart(),
            Move::Go(n) => self.step(Event::Move { room: room(&format!("r{n}")), to: None }),
            Move::Step { released } => {
                if let Some((room, from, to, epoch)) = self.moving.clone() {
                    self.step(match released {
                        true => Event::Released { room, epoch, node: from },
                        false => Event::Prepared { room, epoch, node: to },
                    });
                }
            }
            Move::Drain(n) => {
                let (node, incarnation) = self.run(n);
                let report = Report { draining: true, ..Report::default() };
                self.step(Event::Heartbeat { node, incarnation, report });
            }
        }
    }

    fn run(&self, n: u8) -> (NodeId, Incarnation) {
        (node(&format!("n{n}")), Incarnation::new(self.incarnations[usize::from(n)]))
    }

    fn register(&mut self, n: u8) {
        let (node, incarnation) = self.run(n);
        let joining = joining(incarnation);
        self.step(Event::Registered { node, joining, held: Vec::new() });
    }

    /// What every node is counted to carry is what it carries.
    fn check_counts(&self) {
        for (node, member) in &self.cluster.nodes {
            let rooms = self.cluster.rooms.values();
            let carried = rooms
                .filter(|placed| placed.under_way.as_ref().or(placed.owner.as_ref()) == Some(node));
            assert_eq!(u64::try_from(carried.count()).unwrap(), member.rooms, "{node}");
        }
    }
}

proptest! {
    /// Safety all the way, whatever comes; and once a node lives, time passes
    /// and the store answers, every room has an owner that lives.
    #[test]
    fn epochs_never_fall_and_every_room_gets_an_owner(moves in moves()) {
        let mut chaos = Chaos::new();
        for step in moves {
            chaos.make(step);
            chaos.check_counts();
        }
        for _ in 0..12 {
            chaos.register(0);
            chaos.make(Move::Heartbeat(0));
            chaos.pass(1_000);
            while !chaos.asked.is_empty() {
                chaos.store(true);
            }
        }
        for room in chaos.stored.keys() {
            let (owner, epoch) = chaos.cluster.assignment(room).expect("the room");
            let owner = owner.expect("an owner");
            prop_assert!(chaos.cluster.member(owner).is_some_and(|(live, _)| live));
            prop_assert_eq!(&chaos.stored[room], &(Some(owner.clone()), epoch));
        }
    }
}
