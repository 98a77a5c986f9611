//! Rollouts by example, in documents.

use serde_json::{Value, json};

use crate::{Context, Flags, Rollout, RolloutState, Subject};

fn document() -> Value {
    json!({"flags": {
        "batching": {
            "state": "ENABLED", "defaultVariant": "on", "variants": {"on": true, "off": false},
        },
        "color": {
            "state": "ENABLED", "defaultVariant": "a", "variants": {"a": "red", "b": "blue"},
            "metadata": {"team": "ui"},
        },
        "old": {"state": "DISABLED", "defaultVariant": "a", "variants": {"a": "red", "b": "blue"}},
        "ruled": {
            "state": "ENABLED", "defaultVariant": "a", "variants": {"a": "red", "b": "blue"},
            "targeting": {"if": [{"==": [{"var": "userId"}, "ada"]}, "b", "a"]},
        },
    }})
}

fn plan(treatment: &str) -> Rollout {
    Rollout {
        treatment: treatment.to_owned(),
        control: String::new(),
        by: Subject::Room,
        steps: vec![1, 50, 100],
        step: 0,
        hold_ms: 60_000,
        bids_min: 100,
        ratio_max: 2.0,
        started_ms: 7,
        since_ms: 7,
        state: RolloutState::Running,
        reason: String::new(),
        before: String::new(),
    }
}

fn read(document: &Value, flag: &str) -> Rollout {
    let flags = Flags::parse(&document.to_string()).expect("a good document");
    flags.rollouts().find(|(key, _)| *key == flag).expect("a rollout").1.clone()
}

/// How many of a thousand rooms get the variant.
fn share(document: &Value, flag: &str, variant: &str) -> usize {
    let flags = Flags::parse(&document.to_string()).expect("a good document");
    let room = |n: usize| Context::new("somebody").with("roomId", format!("room-{n}"));
    let gets = |n: &usize| flags.evaluate(flag, &room(*n)).variant.as_deref() == Some(variant);
    (0..1000).filter(gets).count()
}

#[test]
fn each_step_gives_the_treatment_to_more_and_takes_it_from_nobody() {
    let mut edited = document();
    plan("b").start(&mut edited, "color").unwrap();
    assert_eq!(edited["flags"]["color"]["metadata"]["team"], "ui");
    let mut rollout = read(&edited, "color");
    assert_eq!((rollout.control.as_str(), rollout.percent()), ("a", 1));
    let first = share(&edited, "color", "b");
    assert!((1..=30).contains(&first), "{first}");
    let had: Vec<_> = (0..1000).filter(|n| has(&edited, *n)).collect();
    rollout.step = 1;
    rollout.replace(&mut edited, "color").unwrap();
    assert!((420..=580).contains(&share(&edited, "color", "b")));
    assert!(had.into_iter().all(|n| has(&edited, n)), "somebody lost it");
    rollout.state = RolloutState::Completed;
    rollout.replace(&mut edited, "color").unwrap();
    assert_eq!(share(&edited, "color", "b"), 1000);
    assert_eq!(edited["flags"]["color"]["defaultVariant"], "b");
    assert_eq!(edited["flags"]["color"].get("targeting"), None);
    assert_eq!(read(&edited, "color"), rollout);
    assert_eq!(edited["flags"]["batching"], document()["flags"]["batching"]);
}

fn has(document: &Value, n: usize) -> bool {
    let flags = Flags::parse(&document.to_string()).expect("a good document");
    let room = Context::new("somebody").with("roomId", format!("room-{n}"));
    flags.evaluate("color", &room).variant.as_deref() == Some("b")
}

#[test]
fn what_ends_early_leaves_the_flag_as_it_was() {
    for state in [RolloutState::Aborted, RolloutState::RolledBack] {
        let mut edited = document();
        Subject::User.share(&mut edited, "batching", 30).unwrap();
        let before = edited["flags"]["batching"]["targeting"].clone();
        plan("off").start(&mut edited, "batching").unwrap();
        assert_ne!(edited["flags"]["batching"]["targeting"], before);
        let ended = Rollout { state, ..read(&edited, "batching") };
        ended.replace(&mut edited, "batching").unwrap();
        assert_eq!(edited["flags"]["batching"]["targeting"], before);
        assert_eq!(edited["flags"]["batching"]["defaultVariant"], "on");
        // It is over: another may begin.
        plan("off").start(&mut edited, "batching").unwrap();
    }
}

#[test]
fn what_cannot_be_rolled_out_is_refused_in_words() {
    let mut running = document();
    plan("b").start(&mut running, "color").unwrap();
    let refused = |mut document: Value, flag: &str, plan: Rollout| {
        plan.start(&mut document, flag).unwrap_err().to_string()
    };
    for (document, flag, plan, words) in [
        (document(), "nope", plan("on"), "there is no flag \"nope\"; there are batching, color"),
        (document(), "color", plan("c"), "color has no variant \"c\""),
        (document(), "color", plan("a"), "\"a\" is what everybody has already"),
        (document(), "old", plan("b"), "old is disabled"),
        (document(), "ruled", plan("b"), "ruled has rules of its own"),
        (running.clone(), "color", plan("b"), "under way already"),
        (document(), "color", Rollout { steps: vec![], ..plan("b") }, "steps must be"),
        (document(), "color", Rollout { steps: vec![0], ..plan("b") }, "steps must be"),
        (document(), "color", Rollout { steps: vec![101], ..plan("b") }, "steps must be"),
        (document(), "color", Rollout { steps: vec![50, 10], ..plan("b") }, "steps must be"),
        (document(), "color", Rollout { ratio_max: 0.5, ..plan("b") }, "ratioMax must be"),
        (document(), "color", Rollout { ratio_max: f64::NAN, ..plan("b") }, "ratioMax must be"),
    ] {
        let said = refused(document, flag, plan);
        assert!(said.contains(words), "{said}");
    }
    assert!(Subject::User.share(&mut running, "color", 10).is_err());
    let other = Rollout { started_ms: 8, ..read(&running, "color") };
    assert!(other.replace(&mut running, "color").is_err(), "a rollout of before");
}

#[test]
fn metadata_that_is_no_rollout_is_refused_with_its_path() {
    let mut edited = document();
    plan("b").start(&mut edited, "color").unwrap();
    for (key, value) in [
        ("rollout.step", json!(3)),
        ("rollout.steps", json!("1,x")),
        ("rollout.state", json!("perhaps")),
        ("rollout.more", json!(1)),
    ] {
        let mut wrong = edited.clone();
        wrong["flags"]["color"]["metadata"][key] = value;
        let error = Flags::parse(&wrong.to_string()).unwrap_err();
        assert_eq!(error.path, "$.flags.color.metadata.rollout", "{error}");
    }
}

#[test]
fn a_share_names_its_subject() {
    let mut edited = document();
    Subject::Room.share(&mut edited, "batching", 10).unwrap();
    let fractional = &edited["flags"]["batching"]["targeting"]["fractional"];
    assert_eq!(fractional[0]["cat"][1]["var"], "roomId");
    assert_eq!((&fractional[1], &fractional[2]), (&json!(["on", 10]), &json!(["off", 90])));
    let error = Subject::User.share(&mut document(), "color", 10).unwrap_err();
    assert_eq!(error.to_string(), "color is not a boolean flag");
    assert!(Subject::User.share(&mut json!([]), "batching", 10).is_err());
}
