//! Limiters against models that are too slow to use and too simple to be wrong.

use super::*;
use alloc::vec::Vec;
use proptest::{collection::vec as list, prelude::*};

fn at(ms: u64) -> Timestamp {
    Timestamp::new(ms)
}

fn gaps() -> impl Strategy<Value = Vec<u64>> {
    list(prop_oneof![3 => Just(0), 4 => 0..50_u64, 1 => 0..3_000_u64], 1..200)
}

#[test]
fn a_lowered_limit_tells_the_true_wait() {
    let mut log = SlidingLog::default();
    let window = Millis::new(100);
    for now in [0, 10, 20] {
        log.try_take(3, window, at(now)).expect("free");
    }
    // Under one a window, all three must go first.
    assert_eq!(log.try_take(1, window, at(30)), Err(Millis::new(90)));
    assert_eq!(log.try_take(1, window, at(120)), Ok(()));
}

#[test]
fn a_limit_of_zero_refuses_all() {
    let window = Millis::new(100);
    assert_eq!(SlidingLog::default().try_take(0, window, at(0)), Err(window));
}

#[test]
fn a_clock_that_goes_back_locks_nobody_out() {
    let mut gcra = Gcra::new(10, 2);
    let hour = 3_600_000;
    gcra.try_take(at(hour)).expect("a first");
    let wait = gcra.try_take(at(0)).err().unwrap_or_default();
    assert!(wait <= Millis::new(100), "{wait}");
    assert_eq!(gcra.try_take(at(wait.get())), Ok(()));
}

#[test]
fn a_burst_then_the_rate() {
    let mut gcra = Gcra::new(10, 3);
    for _ in 0..3 {
        assert_eq!(gcra.try_take(at(5_000)), Ok(()));
    }
    assert_eq!(gcra.try_take(at(5_000)), Err(Millis::new(100)));
    assert_eq!(gcra.try_take(at(5_099)), Err(Millis::new(1)));
    assert_eq!(gcra.try_take(at(5_100)), Ok(()));
}

#[test]
fn no_rate_is_too_high_to_hold() {
    for rate in [600_000, 1_000_000, u32::MAX] {
        let mut gcra = Gcra::new(rate, 1);
        let mut taken = 0_u64;
        while taken <= 1_000_000 && gcra.try_take(at(7)).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 1, "at {rate} a second");
    }
}

proptest! {
    #[test]
    fn the_sliding_log_is_the_naive_count(
        gaps in gaps(), limits in list(0..6_u32, 200), window in 1..400_u64,
    ) {
        let (mut log, mut taken, mut now) = (SlidingLog::default(), Vec::new(), 1_000);
        for (gap, max) in gaps.into_iter().zip(limits) {
            now += gap;
            let within = |now: u64, taken: &[u64]| {
                taken.iter().filter(|at| now - **at < window).count() < max as usize
            };
            match log.try_take(max, Millis::new(window), at(now)) {
                Ok(()) => {
                    prop_assert!(within(now, &taken));
                    taken.push(now);
                }
                Err(wait) => {
                    prop_assert!(wait.get() > 0 && wait.get() <= window);
                    prop_assert!(!within(now + wait.get() - 1, &taken), "not a moment too late");
                    prop_assert!(max == 0 || within(now + wait.get(), &taken), "nor too early");
                }
            }
            let idle = taken.iter().all(|at| now - at >= window);
            prop_assert_eq!(log.is_idle(Millis::new(window), at(now)), idle);
        }
    }

    #[test]
    fn gcra_never_exceeds_burst_and_rate(
        gaps in gaps(), rate in 1..3_000_u32, burst in 1..20_u32,
    ) {
        let (mut gcra, mut taken, mut now) = (Gcra::new(rate, burst), Vec::new(), 1_700_000_000_000);
        for gap in gaps {
            now += gap;
            match gcra.try_take(at(now)) {
                Ok(()) => taken.push(now),
                Err(wait) => {
                    prop_assert!(wait.get() > 0 && wait.get() <= 1_000_u64.div_ceil(rate.into()));
                    let mut later = gcra;
                    prop_assert_eq!(later.try_take(at(now + wait.get())), Ok(()), "never locks out");
                }
            }
        }
        for (i, from) in taken.iter().enumerate() {
            for (count, until) in (1_u64..).zip(&taken[i..]) {
                let most = u64::from(burst) + u64::from(rate) * (until - from) / 1_000;
                prop_assert!(count <= most, "{count} in {} ms", until - from);
            }
        }
    }

    #[test]
    fn gcra_gives_the_rate_to_who_waits(rate in 1..1_000_u32, burst in 2..20_u32) {
        let (mut gcra, mut taken) = (Gcra::new(rate, burst), 0_u64);
        for ms in 0..10_000 {
            taken += u64::from(gcra.try_take(at(ms)).is_ok());
        }
        // Within one percent; a burst of one would lose what lies between two milliseconds.
        prop_assert!(taken * 100 >= u64::from(rate) * 10 * 99, "{taken} at {rate} a second");
    }
}
