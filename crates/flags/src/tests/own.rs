//! The flags that Gavel itself goes by.

use serde_json::json;

use super::*;
use crate::own::{self, SoftClose, Whom};
use crate::{Cached, Value};

const WHOM: Whom<'_> = Whom { user: "ann", room: "vase", session: "s1", node: "node-1" };

/// A document with this one flag.
fn with(key: &str, variants: Json, default: &str) -> Json {
    let flag = json!({"state": "ENABLED", "variants": variants, "defaultVariant": default});
    json!({"flags": {key: flag}})
}

fn load_own(document: &Json) -> Flags {
    own::load(&document.to_string()).unwrap()
}

#[test]
fn the_document_of_a_new_cluster_changes_nothing() {
    let (none, new) = (Flags::empty(), own::load(&own::default_document()).unwrap());
    let keys: Vec<_> = new.keys().collect();
    let mut declared: Vec<_> = own::ALL.iter().map(|declaration| declaration.key).collect();
    declared.sort_unstable();
    assert_eq!(keys, declared);
    let answers = |flags: &Flags| {
        let switches = [&own::BATCHING, &own::CHANGED_FIELDS, &own::STEERING, &own::DEGRADED_PATH];
        let limits = [&own::HEARTBEAT_INTERVAL, &own::BATCH_WINDOW];
        (
            switches.map(|flag| flag.answer(flags, WHOM)),
            limits.map(|flag| flag.answer(flags, WHOM)),
            own::ROOM_TRACE_SAMPLING.answer(flags, WHOM),
            own::SOFT_CLOSE.answer(flags, WHOM),
        )
    };
    let usual = ([true, true, false, true], [None, None], 1.0, SoftClose::AsCreated);
    assert_eq!(answers(&none), usual);
    assert_eq!(answers(&new), usual);
}

#[test]
fn each_type_is_answered() {
    let flags = load_own(&json!({"flags": {
        "batching": {"state": "ENABLED", "variants": {"x": false}, "defaultVariant": "x"},
        "batch-window": {"state": "ENABLED", "variants": {"x": 0}, "defaultVariant": "x"},
        "room-trace-sampling": {"state": "ENABLED", "variants": {"x": 0.25}, "defaultVariant": "x"},
        "soft-close": {"state": "ENABLED", "variants": {"x": "reset_to"}, "defaultVariant": "x"},
    }}));
    assert!(!own::BATCHING.answer(&flags, WHOM));
    assert_eq!(own::BATCH_WINDOW.answer(&flags, WHOM), Some(0));
    assert_eq!(own::ROOM_TRACE_SAMPLING.answer(&flags, WHOM), 0.25);
    assert_eq!(own::SOFT_CLOSE.answer(&flags, WHOM), SoftClose::ResetTo);
    assert_eq!(own::HEARTBEAT_INTERVAL.answer(&flags, WHOM), None);
}

#[test]
fn every_word_that_is_declared_is_one() {
    for declaration in own::ALL {
        if let own::Values::Words(words) = declaration.values {
            let known = words.iter().filter_map(|word| {
                <SoftClose as own::Answer>::of(&Value::String((*word).to_owned()))
            });
            assert_eq!(known.count(), words.len(), "{}", declaration.key);
        }
    }
}

#[test]
fn what_a_flag_cannot_be_is_refused_with_its_path() {
    let rows = [
        ("batching", json!({"x": "on"}), "must be true or false"),
        ("steering", json!({"x": 1}), "must be true or false"),
        ("heartbeat-interval", json!({"x": 999}), "must be a whole number from 1000 to 300000"),
        ("heartbeat-interval", json!({"x": true}), "must be a whole number from 1000 to 300000"),
        ("batch-window", json!({"x": -1}), "must be a whole number from 0 to 1000"),
        ("batch-window", json!({"x": 10.5}), "must be a whole number from 0 to 1000"),
        ("batch-window", json!({"x": 1001}), "must be a whole number from 0 to 1000"),
        ("room-trace-sampling", json!({"x": 1.01}), "must be a number from 0 to 1"),
        ("room-trace-sampling", json!({"x": "0.5"}), "must be a number from 0 to 1"),
        ("soft-close", json!({"x": "reset-to"}), "must be one of as-created, add, reset_to"),
        ("soft-close", json!({"x": {"mode": "add"}}), "must be one of as-created, add, reset_to"),
    ];
    for (key, variants, message) in rows {
        let document = with(key, variants, "x");
        let error = own::load(&document.to_string()).unwrap_err();
        let path = format!("$.flags.{key}.variants.x");
        assert_eq!((error.path.as_str(), error.message.as_str()), (path.as_str(), message));
        // To others it may be whatever it is.
        let other = document.to_string().replace(key, "another");
        assert!(own::load(&other).is_ok(), "{other}");
    }
    // A variant that nobody gets yet may be chosen at any time.
    let error = own::load(&with("batch-window", json!({"a": 5, "b": 2000}), "a").to_string());
    assert_eq!(error.unwrap_err().path, "$.flags.batch-window.variants.b");
}

#[test]
fn rules_of_our_flags_may_not_look_at_the_time() {
    for time in [json!({"var": "$flagd.timestamp"}), json!({"val": ["$flagd", "timestamp"]})] {
        let mut document = with("batching", json!({"on": true, "off": false}), "on");
        let late = json!({"if": [{">": [time, 5]}, "off"]});
        document["flags"]["batching"]["targeting"] = late.clone();
        let error = own::load(&document.to_string()).unwrap_err();
        assert_eq!(error.path, "$.flags.batching.targeting", "{late}");
    }
    let mut document = with("batching", json!({"on": true, "off": false}), "on");
    document["flags"]["batching"]["targeting"] =
        json!({"if": [{"==": [{"var": "$flagd.flagKey"}, "batching"]}, "off"]});
    assert!(!own::BATCHING.answer(&load_own(&document), WHOM));
}

#[test]
fn rules_see_their_subject_and_no_more() {
    let seen = |key: &str, attribute: &str| {
        let mut document = with(key, json!({"on": true, "off": false}), "off");
        document["flags"][key]["targeting"] = json!({"if": [{"var": attribute}, "on"]});
        load_own(&document)
    };
    for attribute in ["userId", "roomId", "sessionId", "nodeId", "targetingKey"] {
        assert!(own::BATCHING.answer(&seen("batching", attribute), WHOM), "{attribute}");
    }
    // A room's answer is the same for everybody in it.
    for (attribute, known) in [("roomId", true), ("nodeId", true), ("userId", false)] {
        let document = seen("degraded-path", attribute);
        assert_eq!(own::DEGRADED_PATH.answer(&document, WHOM), known, "{attribute}");
    }
    for asked_for in own::ALL.map(|declaration| declaration.asked_for) {
        assert!(asked_for.attributes().contains(&asked_for.drawn_by()));
        let names = own::ATTRIBUTES.map(|(name, _)| name);
        assert!(asked_for.attributes().iter().all(|name| names.contains(name)));
        let context = asked_for.context(WHOM);
        assert_eq!(context.attributes[asked_for.drawn_by()], context.targeting_key);
    }
    let whole = Whom { session: "", ..WHOM }.context();
    assert_eq!(whole.targeting_key, "ann");
    assert_eq!(whole.attributes.into_keys().collect::<Vec<_>>(), ["nodeId", "roomId", "userId"]);
}

#[test]
fn a_kept_answer_lasts_as_long_as_its_document() {
    let on = load(&with("f", json!({"x": true}), "x"));
    let off = load(&with("f", json!({"x": false}), "x"));
    let (mut cached, mut worked) = (Cached::default(), 0);
    let nobody = Context::default();
    for (flags, value, after) in [(&on, true, 1), (&on.clone(), true, 1), (&off, false, 2)] {
        let got = cached.get(flags, || {
            worked += 1;
            flags.bool_value("f", &nobody, !value)
        });
        assert_eq!((got, worked), (value, after));
    }
    // Equal text that was read again is another document: nothing is compared.
    let again = load(&with("f", json!({"x": false}), "x"));
    assert!(!again.is(&off));
}
