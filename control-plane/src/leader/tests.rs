//! The election by example, and with several replicas on a store that forgets
//! leases, is slow, or does not answer.

use super::*;
use crate::store::LEASE;
use proptest::prelude::*;

fn at(ms: u64) -> Timestamp {
    Timestamp::new(ms)
}

fn term(number: u64) -> Term {
    Term::new(number)
}

fn candidate(n: usize) -> Candidate {
    Candidate { replica: format!("r{n}"), endpoint: String::new() }
}

fn other(number: u64) -> Leads {
    Leads { leader: candidate(9), term: term(number) }
}

/// A machine, and what it did at its last step.
struct One {
    election: Election,
    wake: Option<Timestamp>,
}

impl One {
    fn new() -> Self {
        Self { election: Election::new(at(0)), wake: Some(at(0)) }
    }

    fn step(&mut self, ms: u64, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.wake = self.election.step(event, at(ms), &mut actions);
        actions
    }

    /// One that leads under term 7 from 0 on.
    fn leads() -> Self {
        let mut one = Self::new();
        assert_eq!(one.step(0, Event::Tick), [Action::Ask { term: None }]);
        assert_eq!(one.wake, None, "an answer comes in any case");
        assert_eq!(one.step(5, Event::Mine(term(7))), [Action::Lead { term: term(7) }]);
        assert_eq!(one.wake, Some(at(1_000)));
        one
    }
}

const RENEW: Action = Action::Ask { term: Some(Term::new(7)) };

#[test]
fn a_leader_renews_each_second_and_counts_from_when_it_asked() {
    let mut one = One::leads();
    assert_eq!(one.step(1_000, Event::Tick), [RENEW]);
    assert_eq!(one.wake, Some(at(2_000)), "the lease that it has");
    assert_eq!(one.step(1_400, Event::Mine(term(7))), []);
    assert_eq!(one.wake, Some(at(2_000)));
    assert_eq!(one.step(2_000, Event::Tick), [RENEW]);
    assert_eq!(one.wake, Some(at(3_000)), "two seconds after it asked at 1000");
}

#[test]
fn without_renewal_it_pauses_and_goes_on_if_nobody_led_meanwhile() {
    let mut one = One::leads();
    assert_eq!(one.step(1_000, Event::Tick), [RENEW]);
    assert_eq!(one.step(1_250, Event::NoAnswer), []);
    assert_eq!(one.step(1_350, Event::Tick), [RENEW]);
    assert_eq!(one.step(2_000, Event::Tick), [Action::Pause]);
    assert_eq!(one.step(2_100, Event::NoAnswer), []);
    assert_eq!(one.step(9_000, Event::Tick), [RENEW]);
    assert_eq!(one.step(9_010, Event::Mine(term(7))), [Action::Resume]);
    assert_eq!(one.wake, Some(at(10_000)));
}

#[test]
fn an_answer_that_is_too_old_to_act_on_is_asked_for_again() {
    let mut one = One::new();
    one.step(0, Event::Tick);
    // It stood still in between.
    assert_eq!(one.step(2_000, Event::Mine(term(7))), [Action::Ask { term: None }]);
    assert_eq!(one.step(2_010, Event::Mine(term(8))), [Action::Lead { term: term(8) }]);
    let mut one = One::leads();
    assert_eq!(one.step(1_000, Event::Tick), [RENEW]);
    assert_eq!(one.step(9_000, Event::Mine(term(7))), [Action::Pause, RENEW]);
}

#[test]
fn whoever_stood_still_pauses_before_anything_else() {
    let mut one = One::leads();
    assert_eq!(one.step(7_000, Event::Tick), [Action::Pause, RENEW]);
    assert_eq!(one.step(7_005, Event::Anothers(other(8))), [Action::Follow(Some(other(8)))]);
    assert_eq!(one.wake, Some(at(7_105)));
    assert_eq!(one.step(7_105, Event::Tick), [Action::Ask { term: None }]);
    assert_eq!(one.step(7_110, Event::Anothers(other(8))), [], "nothing new");
    one.step(7_210, Event::Tick);
    assert_eq!(one.step(7_215, Event::Anothers(other(9))), [Action::Follow(Some(other(9)))]);
    one.step(7_315, Event::Tick);
    assert_eq!(one.step(7_320, Event::NoAnswer), [], "the leader is where it was");
}

#[test]
fn a_refused_change_ends_the_term_at_once() {
    let mut one = One::leads();
    let asks = Action::Ask { term: None };
    assert_eq!(one.step(300, Event::Fenced), [Action::Follow(None), asks]);
    assert_eq!(one.step(310, Event::Fenced), [], "once");
    assert_eq!(one.step(320, Event::Mine(term(9))), [Action::Lead { term: term(9) }]);
    let resign = Action::Resign { term: term(9) };
    assert_eq!(one.step(330, Event::Failed), [resign, Action::Follow(None)]);
    assert_eq!(one.wake, Some(at(1_330)), "another may do better");
}

#[test]
fn a_new_term_of_its_own_begins_anew() {
    let mut one = One::leads();
    assert_eq!(one.step(4_000, Event::Tick), [Action::Pause, RENEW]);
    assert_eq!(one.step(4_001, Event::Mine(term(8))), [Action::Lead { term: term(8) }]);
}

#[test]
fn whoever_stops_gives_the_lease_back_and_takes_none_again() {
    let mut one = One::leads();
    one.step(1_000, Event::Tick);
    assert_eq!(one.step(1_100, Event::Stop), [Action::Resign { term: term(7) }]);
    assert_eq!((one.step(1_200, Event::Mine(term(7))), one.wake), (vec![], None));
    let mut one = One::new();
    one.step(0, Event::Tick);
    assert_eq!((one.step(10, Event::Stop), one.wake), (vec![], None));
}

/// The store's side: who holds the lease until when, and the newest term.
#[derive(Default)]
struct Store {
    lease: Option<(usize, Term, Timestamp)>,
    newest: u64,
}

impl Store {
    fn lead(&mut self, n: usize, held: Option<Term>, now: Timestamp) -> Event {
        let lease = self.lease.filter(|(_, _, until)| *until > now);
        if let Some((holder, term, _)) = lease.filter(|(holder, ..)| *holder != n) {
            return Event::Anothers(Leads { leader: candidate(holder), term });
        }
        let held = held.filter(|held| held.get() == self.newest);
        let term = held.unwrap_or_else(|| {
            self.newest += 1;
            Term::new(self.newest)
        });
        self.lease = Some((n, term, now.saturating_add(LEASE)));
        Event::Mine(term)
    }
}

#[derive(Debug, Clone, Copy)]
enum Move {
    /// Time passes for all but those that stand still.
    Pass(u64),
    /// The oldest question of a replica reaches the store, and its answer the
    /// replica after so long.
    Answer(usize, u64),
    Lose(usize),
    StandStill(usize, u64),
    Stop(usize),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        6 => (0..1_500_u64).prop_map(Move::Pass),
        8 => (0..3_usize, 0..400_u64).prop_map(|(n, ms)| Move::Answer(n, ms)),
        2 => (0..3_usize).prop_map(Move::Lose),
        1 => (0..3_usize, 0..9_000_u64).prop_map(|(n, ms)| Move::StandStill(n, ms)),
        1 => (0..3_usize).prop_map(Move::Stop),
    ];
    prop::collection::vec(one, 1..200)
}

struct Replicas {
    now: u64,
    store: Store,
    machines: Vec<One>,
    asked: Vec<Option<Option<Term>>>,
    still_until: Vec<u64>,
    /// Under which term each acts, as its actions tell.
    acting: Vec<Option<Term>>,
    terms: Vec<Option<Term>>,
}

impl Replicas {
    fn new() -> Self {
        Self {
            now: 0,
            store: Store::default(),
            machines: (0..3).map(|_| One::new()).collect(),
            asked: vec![None; 3],
            still_until: vec![0; 3],
            acting: vec![None; 3],
            terms: vec![None; 3],
        }
    }

    fn step(&mut self, n: usize, event: Event) {
        for action in self.machines[n].step(self.now, event) {
            match action {
                Action::Ask { term } => {
                    assert!(self.asked[n].replace(term).is_none(), "one question at a time");
                }
                Action::Lead { term } => {
                    assert!(self.terms[n].is_none_or(|before| before < term), "terms rise");
                    (self.acting[n], self.terms[n]) = (Some(term), Some(term));
                }
                Action::Pause => assert!(self.acting[n].take().is_some()),
                Action::Resume => self.acting[n] = self.terms[n],
                Action::Follow(_) => self.acting[n] = None,
                Action::Resign { .. } => {
                    self.acting[n] = None;
                    self.store.lease = self.store.lease.filter(|(holder, ..)| *holder != n);
                }
            }
        }
    }

    fn make(&mut self, step: Move) {
        match step {
            Move::Pass(ms) => {
                for _ in 0..ms {
                    self.now += 1;
                    self.tick();
                }
            }
            Move::Answer(n, ms) => {
                let Some(term) = self.asked[n].take() else { return };
                let event = self.store.lead(n, term, at(self.now));
                self.make(Move::Pass(ms));
                self.still_until[n] = self.still_until[n].min(self.now);
                self.step(n, event);
            }
            Move::Lose(n) => {
                if self.asked[n].take().is_some() {
                    self.step(n, Event::NoAnswer);
                }
            }
            Move::StandStill(n, ms) => self.still_until[n] = self.now + ms,
            Move::Stop(n) => {
                self.step(n, Event::Stop);
                // It is started again, under the same name.
                let mut machine = One::new();
                machine.election = Election::new(at(self.now));
                machine.wake = Some(at(self.now));
                (self.machines[n], self.asked[n], self.terms[n]) = (machine, None, None);
            }
        }
        self.check();
    }

    fn tick(&mut self) {
        for n in 0..3 {
            let due = self.machines[n].wake.is_some_and(|wake| wake.as_millis() <= self.now);
            if due && self.still_until[n] <= self.now {
                self.step(n, Event::Tick);
            }
        }
        self.check();
    }

    /// Of those that do not stand still at most one acts, and it has the
    /// newest term.
    fn check(&self) {
        let awake = (0..3).filter(|n| self.still_until[*n] <= self.now);
        let acting: Vec<_> = awake.filter_map(|n| self.acting[n]).collect();
        assert!(acting.len() <= 1, "{acting:?} act at {}", self.now);
        assert!(acting.iter().all(|term| term.get() == self.store.newest), "{acting:?}");
    }
}

proptest! {
    #[test]
    fn one_acts_at_a_time_and_in_the_end_one_does(moves in moves()) {
        let mut replicas = Replicas::new();
        for step in moves {
            replicas.make(step);
        }
        for _ in 0..70 {
            for n in 0..3 {
                replicas.make(Move::Answer(n, 0));
            }
            replicas.make(Move::Pass(100));
        }
        // Whoever stood still to the end of this has had time to wake up.
        replicas.make(Move::Pass(9_000));
        for _ in 0..40 {
            for n in 0..3 {
                replicas.make(Move::Answer(n, 0));
            }
            replicas.make(Move::Pass(100));
        }
        prop_assert_eq!(replicas.acting.iter().flatten().count(), 1);
    }
}
