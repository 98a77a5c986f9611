//! What the operating system tells the simulated processes: the time and
//! chance. Both come from libc, where every crate ends up asking, so nothing
//! above it has to know.
//!
//! Threads outside of a simulation get the real answers.

#![expect(
    unsafe_code,
    reason = "these stand in for functions of libc, whose callers pass pointers"
)]

use rand::{RngCore as _, SeedableRng as _, rngs::SmallRng};
use std::{
    cell::{Cell, RefCell},
    slice,
    time::{Duration, Instant},
};
use tokio::runtime::{Handle, Id};

/// When the simulation begins, by the wall clock.
pub(crate) const BEGIN_MS: u64 = 1_700_000_000_000;
/// When it begins, by the clock that never goes back.
const BOOT: Duration = Duration::from_secs(1_000);

thread_local! {
    static CHANCE: RefCell<Option<SmallRng>> = const { RefCell::new(None) };
    /// The clock that never goes back as of the step, outside of hosts.
    static STEP: Cell<Option<Duration>> = const { Cell::new(None) };
    static ORIGIN: Cell<Option<Instant>> = const { Cell::new(None) };
    /// How far each host's wall clock is off, by its runtime.
    static OFF_MS: RefCell<Vec<(Id, i64)>> = const { RefCell::new(Vec::new()) };
}

/// Makes this thread the simulation's, with chance from a seed.
pub(crate) fn enter(seed: u64) {
    CHANCE.set(Some(SmallRng::seed_from_u64(seed)));
    STEP.set(Some(BOOT));
    #[expect(clippy::disallowed_methods, reason = "it is asked of the clock below")]
    ORIGIN.set(Some(Instant::now()));
}

/// Brings the clock forward for what happens outside of hosts.
pub(crate) fn step_to(elapsed: Duration) {
    STEP.set(Some(BOOT + elapsed));
}

/// Sets the wall clock of the host whose runtime this is called in.
pub(crate) fn set_clock_off(ms: i64) {
    let id = Handle::current().id();
    OFF_MS.with_borrow_mut(|off| {
        off.retain(|(other, _)| *other != id);
        off.push((id, ms));
    });
}

/// Since the simulation began, on whichever host this is asked.
pub(crate) fn elapsed() -> Duration {
    monotonic().unwrap_or(BOOT) - BOOT
}

/// None outside of a simulation.
fn monotonic() -> Option<Duration> {
    let step = STEP.try_with(Cell::get).ok()??;
    // Inside of a host, its runtime's paused time, which the step is made of.
    let inside = Handle::try_current().ok().and_then(|_| {
        let origin = ORIGIN.try_with(Cell::get).ok()??;
        Some(BOOT + tokio::time::Instant::now().into_std().saturating_duration_since(origin))
    });
    Some(inside.unwrap_or(step))
}

fn wall() -> Option<Duration> {
    let since = monotonic()? - BOOT;
    let off_ms = Handle::try_current().ok().map_or(0, |handle| {
        let id = handle.id();
        let found = OFF_MS.try_with(|off| {
            off.borrow().iter().find(|(other, _)| *other == id).map(|(_, off_ms)| *off_ms)
        });
        found.ok().flatten().unwrap_or(0)
    });
    let begin = Duration::from_millis(BEGIN_MS.saturating_add_signed(off_ms));
    Some(begin + since)
}

/// See `clock_gettime(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> i32 {
    let told = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => wall(),
        libc::CLOCK_MONOTONIC
        | libc::CLOCK_MONOTONIC_RAW
        | libc::CLOCK_MONOTONIC_COARSE
        | libc::CLOCK_BOOTTIME => monotonic(),
        _ => None,
    };
    let Some(told) = told else {
        // SAFETY: the arguments are the caller's, as for the function itself.
        let done = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) };
        return i32::try_from(done).unwrap_or(-1);
    };
    let spec = libc::timespec {
        tv_sec: i64::try_from(told.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(told.subsec_nanos()),
    };
    // SAFETY: the caller of clock_gettime passes a valid pointer.
    unsafe { time.write(spec) };
    0
}

/// See `getrandom(2)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    let simulated = CHANCE.try_with(|chance| {
        chance.borrow_mut().as_mut().map(|chance| {
            // SAFETY: the caller of getrandom passes a buffer of this length.
            chance.fill_bytes(unsafe { slice::from_raw_parts_mut(buffer, length) });
        })
    });
    if let Ok(Some(())) = simulated {
        return isize::try_from(length).unwrap_or(isize::MAX);
    }
    // SAFETY: the arguments are the caller's, as for the function itself.
    let got = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
    isize::try_from(got).unwrap_or(-1)
}
