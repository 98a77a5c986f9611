//! What one answer of a flag costs: worked out, kept, and with the rules
//! compiled each time, as evaluators do that keep the document as text.

use crate::{
    Outcome,
    figures::report::{Report, Section},
};
use gavel_flags::{
    Cached, Flags,
    own::{BATCHING, Whom},
};
use gavel_runtime::clock;
use std::{hint::black_box, time::Duration};

/// Sessions whose answers are kept: more than a processor's nearest caches hold.
const SESSIONS: u32 = 10_000;
/// Of so many runs the best counts: others are at work on the machine.
const RUNS: usize = 5;

/// A condition on the room, then a percentage of users.
const DOCUMENT: &str = r#"{"flags": {"batching": {
    "state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
    "targeting": {"if": [
        {"in": [{"var": "roomId"}, ["vase", "lamp", "chair"]]},
        {"fractional": [["on", 10], ["off", 90]]},
        "off"
    ]}}}}"#;

pub(crate) fn measure(report: &mut Report) -> Outcome<()> {
    let flags = Flags::parse(DOCUMENT)?;
    let users: Vec<String> = (0..SESSIONS).map(|n| format!("user-{n}")).collect();
    let worked_out =
        for_each(&users, |user| BATCHING.answer(black_box(&flags), whom(user.as_str())));
    let mut sessions: Vec<_> = users.iter().map(|user| (user, Cached::default())).collect();
    let kept = for_each_mut(&mut sessions, |(user, cached)| {
        cached.get(black_box(&flags), || BATCHING.answer(&flags, whom(user.as_str())))
    });
    let few = users.get(..500).unwrap_or(&users);
    let compiled = for_each(few, |user| {
        Flags::parse(black_box(DOCUMENT))
            .is_ok_and(|flags| BATCHING.answer(&flags, whom(user.as_str())))
    });

    let mut section = Section::new("An answer of a flag with a condition and a percentage", "ns");
    section.row("worked out", worked_out, Some(1_000.0));
    section.row("kept for a session and a document", kept, Some(50.0));
    section.row("with the rules compiled each time", compiled, None);
    section.row("worked out to compiled each time", worked_out / compiled, Some(0.5));
    section.row("kept to worked out", kept / worked_out, Some(0.25));
    report.add(section);
    Ok(())
}

fn whom(user: &str) -> Whom<'_> {
    Whom { user, room: "chair", session: "s0123456789abcdef", node: "node-1" }
}

fn for_each<T, R>(items: &[T], mut answer: impl FnMut(&T) -> R) -> f64 {
    best(items.len(), || items.iter().for_each(|item| drop(black_box(answer(item)))))
}

fn for_each_mut<T, R>(items: &mut [T], mut answer: impl FnMut(&mut T) -> R) -> f64 {
    best(items.len(), || items.iter_mut().for_each(|item| drop(black_box(answer(item)))))
}

/// Nanoseconds for each of `count` in the best run.
fn best(count: usize, mut run: impl FnMut()) -> f64 {
    let timed = |_| {
        let began = clock::monotonic();
        run();
        clock::monotonic().saturating_duration_since(began)
    };
    let best = (0..RUNS).map(timed).min().unwrap_or(Duration::MAX);
    best.as_secs_f64() * 1e9 / f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
