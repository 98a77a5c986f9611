//! Shares, stickiness and growth of a rollout.

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::{bucket, draw, murmur3_32};

#[derive(Deserialize)]
struct HashVector {
    text: String,
    seed: u32,
    hash: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShareVector {
    flag: String,
    targeting_key: String,
    weights: Vec<u32>,
    bucket: u32,
    variant: String,
}

#[test]
fn hashes_equal_the_reference() {
    let vectors: Vec<HashVector> =
        serde_json::from_str(include_str!("../../testdata/murmur3.json")).unwrap();
    assert!(vectors.len() >= 40);
    for HashVector { text, seed, hash } in vectors {
        assert_eq!(murmur3_32(text.as_bytes(), seed), hash, "{text:?} {seed}");
    }
}

#[test]
fn buckets_equal_the_reference() {
    let vectors: Vec<ShareVector> =
        serde_json::from_str(include_str!("../../testdata/fractional.json")).unwrap();
    assert!(vectors.len() >= 40);
    for vector in vectors {
        let subject = format!("{}{}", vector.flag, vector.targeting_key);
        let total = vector.weights.iter().sum();
        assert_eq!(bucket(murmur3_32(subject.as_bytes(), 0), total), vector.bucket);

        let names = (0..vector.weights.len()).map(|i| format!("v{i}"));
        let variants: serde_json::Map<_, _> =
            names.clone().map(|n| (n.clone(), n.into())).collect();
        let buckets: Vec<_> = names.zip(&vector.weights).map(|(n, w)| json!([n, w])).collect();
        let flags = load(&json!({"flags": {&vector.flag: {
            "state": "ENABLED", "variants": variants, "defaultVariant": "v0",
            "targeting": {"fractional": buckets},
        }}}));
        let got = flags.evaluate(&vector.flag, &Context::new(&vector.targeting_key));
        assert_eq!(got.variant.as_deref(), Some(vector.variant.as_str()), "{subject}");
    }
}

#[test]
fn the_subject_may_be_named_and_weights_may_be_computed() {
    let rules = json!({"fractional": [{"var": "team"}, ["a", 1], ["b", 1]]});
    let index =
        |subject: &str| draw(subject, &[1, 1]).map(|drawn| ["a", "b"][drawn.share].to_owned());
    let mut seen = std::collections::BTreeSet::new();
    for team in ["red", "green", "blue", "white", "black"] {
        let got = chosen(&rules, &Context::new("u").with("team", team));
        assert_eq!(got, index(team));
        seen.extend(got);
    }
    assert_eq!(seen.len(), 2, "both occur");
    // Without the attribute the flag's key and the subject decide.
    assert_eq!(chosen(&rules, &Context::new("u7")), index("fu7"));
    // Without a weight each bucket weighs one.
    let plain = json!({"fractional": [["a"], ["b"]]});
    assert_eq!(chosen(&plain, &Context::new("u7")), index("fu7"));
    // A computed weight of nothing leaves the others everything.
    let computed = json!({"fractional": [["a", {"var": "w"}], ["b", 1]]});
    let got = chosen(&computed, &Context::new("u").with("w", -3));
    assert_eq!(got.as_deref(), Some("b"));
    // Without a subject there is nothing to draw by.
    assert_eq!(chosen(&plain, &Context::default()).as_deref(), Some("c"));
}

#[test]
fn shares_come_out_as_planned() {
    let weights = [10, 30, 60];
    let subjects = 20_000;
    let mut counts = [0_u32; 3];
    for subject in 0..subjects {
        counts[draw(&format!("rolloutuser-{subject}"), &weights).unwrap().share] += 1;
    }
    for (count, weight) in counts.into_iter().zip(weights) {
        let share = f64::from(count) / f64::from(subjects) * 100.0;
        assert!((share - f64::from(weight)).abs() < 1.0, "{counts:?}");
    }
}

#[test]
fn weights_out_of_range_choose_nothing() {
    assert_eq!(draw("x", &[]), None);
    assert_eq!(draw("x", &[0, 0]), None);
    assert_eq!(draw("x", &[u32::MAX, 1]), None);
    assert_eq!(draw("x", &[1 << 31]), None);
}

proptest! {
    #[test]
    fn a_subject_keeps_its_bucket(subject in ".{0,40}", weights in prop::collection::vec(1_u32..1000, 1..6)) {
        let first = draw(&subject, &weights).map(|drawn| drawn.share);
        prop_assert!(first.is_some_and(|index| index < weights.len()));
        prop_assert_eq!(first, draw(&subject, &weights).map(|drawn| drawn.share));
    }

    #[test]
    fn growing_a_rollout_only_adds_subjects(subject in "[a-z0-9-]{1,20}", mut steps in prop::collection::vec(0_u32..=100, 2..8)) {
        steps.sort_unstable();
        let on = |percent: u32| draw(&subject, &[percent, 100 - percent]).unwrap().share == 0;
        let mut before = false;
        for percent in steps {
            prop_assert!(on(percent) || !before, "left at {percent} %");
            before = on(percent);
        }
        prop_assert!(!on(0));
        prop_assert!(on(100));
    }

    #[test]
    fn versions_never_panic(left in ".{0,20}", right in ".{0,20}") {
        let rules = json!({"sem_ver": [{"var": "l"}, "<", {"var": "r"}]});
        let context = Context::new("u").with("l", left).with("r", right);
        prop_assert!(evaluate(&rules, &context).variant.is_some());
    }
}
