//! The pressure on a queue, by hand and against any sequence of waits.

use super::*;
use crate::{config::Config, node, store};
use gavel_rules::{id::Incarnation, order::Version};
use gavel_runtime::tasks;
use gavel_testkit::until;
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds { target: Millis::new(100), interval: Millis::new(500) };

/// Lets work leave every 50 ms after these waits, and tells the pressure behind each.
fn pressures(waits: impl IntoIterator<Item = u64>) -> Vec<Pressure> {
    let mut queue = Queue::default();
    let timed = waits.into_iter().zip((0..).step_by(50));
    timed
        .map(|(wait, at)| {
            queue.took(Millis::new(wait), Timestamp::new(at));
            queue.look(None, Timestamp::new(at), BOUNDS);
            queue.pressure()
        })
        .collect()
}

#[test]
fn pressure_rises_by_a_step_an_interval_and_falls_as_it_rose() {
    let waits = [vec![300; 21], vec![0; 21]].concat();
    let pressures = pressures(waits);
    let first = |pressure| pressures.iter().position(|found| *found == pressure);
    assert_eq!((first(Pressure::High), first(Pressure::Extreme)), (Some(10), Some(20)));
    let falls = pressures.iter().skip(21).position(|found| *found == Pressure::High);
    assert_eq!(falls, Some(9), "an interval in time");
    assert_eq!(pressures.last(), Some(&Pressure::Normal));
}

#[test]
fn one_that_did_not_wait_shows_that_the_queue_gets_empty() {
    let waits = (0..100).map(|n| if n % 5 == 0 { 100 } else { 5_000 });
    assert!(pressures(waits).iter().all(|pressure| *pressure == Pressure::Normal));
}

#[test]
fn where_nothing_leaves_the_oldest_tells() {
    let mut queue = Queue::default();
    let mut look = |oldest: Option<u64>, at| {
        let again = queue.look(oldest.map(Millis::new), Timestamp::new(at), BOUNDS);
        (again.map(Timestamp::as_millis), queue.pressure())
    };
    assert_eq!(look(Some(0), 1_000), (Some(1_500), Pressure::Normal));
    assert_eq!(look(Some(500), 1_500), (Some(2_000), Pressure::High));
    assert_eq!(look(Some(1_000), 2_000), (Some(2_500), Pressure::Extreme));
    assert_eq!(look(None, 2_500), (Some(3_000), Pressure::High));
    assert_eq!(look(None, 3_000), (None, Pressure::Normal));
    assert_eq!(look(None, 9_000), (None, Pressure::Normal), "nobody has to come again");
}

#[test]
fn without_a_target_nothing_is_late() {
    let bounds = Bounds { target: Millis::new(0), ..BOUNDS };
    let mut queue = Queue::default();
    for at in (0..10_000).step_by(50) {
        queue.took(Millis::new(9_000), Timestamp::new(at));
        queue.look(Some(Millis::new(9_000)), Timestamp::new(at), bounds);
        assert_eq!(queue.pressure(), Pressure::Normal);
    }
}

#[tokio::test]
async fn a_node_whose_thread_is_busy_sheds_pages_then_sockets_until_it_is_not() {
    let (store, run) = (store::open(None).unwrap(), Incarnation::new(1));
    let shell = Arc::new(node::shell(Config::default(), store, run).unwrap());
    let (shed_target, shed_interval) = (Millis::new(20), Millis::new(100));
    let limits = Limits { shed_target, shed_interval, ..Limits::default() };
    shell.live.set_limits(limits, Version::new(1));
    let watch = tasks::spawn("test.shed", watch_threads(Arc::clone(&shell)));
    let sheds = |what| shell.metrics.shedding.get(what) == 1;
    let mut pages_first = false;
    until("a thread that is late", async || {
        let began = clock::monotonic();
        while began.elapsed() < 2 * ASK_EVERY {}
        tokio::task::yield_now().await;
        pages_first |= sheds(Shed::Pages) && !sheds(Shed::Sockets);
        (sheds(Shed::Pages) && sheds(Shed::Sockets)).then_some(())
    })
    .await;
    assert!(pages_first);
    until("a thread in time", async || (!sheds(Shed::Pages)).then_some(())).await;
    assert!(!sheds(Shed::Sockets));
    shell.stop.cancel();
    watch.await.unwrap();
}

proptest! {
    /// Whatever comes: pressure rises only where all that left in the last interval was late, by
    /// one step, and at most once an interval.
    #[test]
    fn pressure_rises_only_for_a_whole_interval_of_lateness(
        steps in prop::collection::vec((0..400_u64, 0..400_u64), 1..200),
    ) {
        let (mut queue, mut at) = (Queue::default(), 0);
        let (mut taken, mut rose_at) = (Vec::new(), None);
        for (pause, wait) in steps {
            at += pause;
            taken.push((at, wait));
            let before = queue.pressure();
            queue.took(Millis::new(wait), Timestamp::new(at));
            queue.look(None, Timestamp::new(at), BOUNDS);
            let now = queue.pressure();
            if now > before {
                prop_assert_eq!(now, before.up());
                let since = at - BOUNDS.interval.get();
                let late = taken.iter().filter(|(taken_at, _)| *taken_at > since);
                prop_assert!(late.clone().all(|(_, wait)| *wait > BOUNDS.target.get()));
                prop_assert!(rose_at.is_none_or(|rose_at| rose_at <= since));
                rose_at = Some(at);
            }
        }
    }

    /// A queue that nothing waits in any more is at rest after three looks.
    #[test]
    fn whatever_was_before_an_empty_queue_comes_to_rest(
        waits in prop::collection::vec(0..400_u64, 0..100),
    ) {
        let mut queue = Queue::default();
        let end = u64::try_from(waits.len()).unwrap_or_default() * 50;
        for (wait, at) in waits.into_iter().zip((0..).step_by(50)) {
            queue.took(Millis::new(wait), Timestamp::new(at));
            queue.look(None, Timestamp::new(at), BOUNDS);
        }
        let mut again = queue.look(None, Timestamp::new(end), BOUNDS);
        for _ in 0..3 {
            let Some(at) = again else { break };
            again = queue.look(None, at, BOUNDS);
        }
        prop_assert_eq!((again, queue.pressure()), (None, Pressure::Normal));
    }
}
