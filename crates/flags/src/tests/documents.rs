//! What a document may hold.

use serde_json::json;

use super::*;
use crate::{Fault, Reason, Value};

fn flag(replace: &str, value: Json) -> Json {
    let mut flag = json!({
        "state": "ENABLED",
        "variants": {"on": true, "off": false},
        "defaultVariant": "off",
    });
    flag[replace] = value;
    json!({"flags": {"f": flag}})
}

#[test]
fn values_have_their_types() {
    let document = json!({"$schema": "https://flagd.dev/schema/v0/flags.json", "metadata": {"v": 1}, "flags": {
        "bool": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on"},
        "int": {"state": "ENABLED", "variants": {"x": 7, "y": 0.5}, "defaultVariant": "x"},
        "float": {"state": "ENABLED", "variants": {"x": 7, "y": 0.5}, "defaultVariant": "y"},
        "text": {"state": "ENABLED", "variants": {"x": "yes"}, "defaultVariant": "x", "targeting": {}},
        "json": {"state": "ENABLED", "variants": {"x": {"a": [1]}}, "defaultVariant": "x"},
        "down": {"state": "DISABLED", "variants": {"on": true}, "defaultVariant": "on"},
    }});
    let flags = load(&document);
    let nobody = Context::default();
    assert_eq!(flags.len(), 6);
    assert!(flags.bool_value("bool", &nobody, false));
    assert_eq!(flags.int_value("int", &nobody, 1), 7);
    assert_eq!(flags.float_value("float", &nobody, 1.0), 0.5);
    assert_eq!(flags.float_value("int", &nobody, 1.0), 7.0);
    assert_eq!(flags.string_value("text", &nobody, "no"), "yes");
    let got = flags.evaluate("json", &nobody);
    assert_eq!(got.value, Some(Value::Json(json!({"a": [1]}))));
    assert_eq!((got.reason, got.variant.as_deref()), (Reason::Static, Some("x")));
}

#[test]
fn the_caller_s_default_covers_absent_disabled_and_mistyped() {
    let flags = load(&json!({"flags": {
        "down": {"state": "DISABLED", "variants": {"on": true}, "defaultVariant": "on"},
        "text": {"state": "ENABLED", "variants": {"x": "yes"}, "defaultVariant": "x"},
    }}));
    let nobody = Context::default();
    assert_eq!(flags.evaluate("down", &nobody).reason, Reason::Disabled);
    assert_eq!(flags.evaluate("none", &nobody).fault, Some(Fault::FlagNotFound));
    for key in ["down", "none", "text"] {
        assert!(!flags.bool_value(key, &nobody, false));
        assert!(flags.bool_value(key, &nobody, true));
        assert_eq!(flags.int_value(key, &nobody, 9), 9);
    }
    assert_eq!(Flags::empty().string_value("any", &nobody, "d"), "d");
}

#[test]
fn faults_are_found_with_their_paths() {
    let rule = |rule: Json| flag("targeting", rule);
    let cases = [
        (json!([]), "$"),
        (json!({}), "$.flags"),
        (json!({"flags": [], }), "$.flags"),
        (json!({"flags": {}, "flag": {}}), "$.flag"),
        (json!({"flags": {"": {}}}), r#"$.flags[""]"#),
        (json!({"flags": {"a b": {}}}), r#"$.flags["a b"].state"#),
        (flag("state", json!("ON")), "$.flags.f.state"),
        (flag("state", json!(true)), "$.flags.f.state"),
        (flag("variants", json!({})), "$.flags.f.variants"),
        (flag("variants", json!({"off": 1, "on": true})), "$.flags.f.variants.on"),
        (flag("variants", json!({"off": null})), "$.flags.f.variants.off"),
        (flag("defaultVariant", json!("x")), "$.flags.f.defaultVariant"),
        (flag("defaultVariant", Json::Null), "$.flags.f.defaultVariant"),
        (flag("targetting", json!({})), "$.flags.f.targetting"),
        (rule(json!("on")), "$.flags.f.targeting"),
        (rule(json!({"is": []})), "$.flags.f.targeting.is"),
        (rule(json!({"if": [{"==": [1, 1], "!=": [1, 1]}, "on"]})), "$.flags.f.targeting.if[0]"),
        (rule(json!({"if": [true, "onn", "off"]})), "$.flags.f.targeting.if[1]"),
        (rule(json!({"if": [true, "on", "of"]})), "$.flags.f.targeting.if[2]"),
        (
            rule(json!({"fractional": [["on", 1], ["of", 1]]})),
            "$.flags.f.targeting.fractional[1][0]",
        ),
        (
            rule(json!({"fractional": [["on", 1], ["off", -1]]})),
            "$.flags.f.targeting.fractional[1][1]",
        ),
        (rule(json!({"fractional": [["on", 0], ["off", 0]]})), "$.flags.f.targeting.fractional"),
        (
            rule(json!({"fractional": [["on", 2_147_483_647], ["off", 1]]})),
            "$.flags.f.targeting.fractional",
        ),
        (rule(json!({"fractional": ["key"]})), "$.flags.f.targeting.fractional"),
        (rule(json!({"if": [{"$ref": "x"}, "on"]})), "$.flags.f.targeting.if[0].$ref"),
    ];
    for (document, path) in cases {
        assert_eq!(refused(&document), path, "{document}");
    }
}

#[test]
fn broken_json_and_repeated_keys_are_refused() {
    assert!(Flags::parse("{").is_err());
    let error = Flags::parse(r#"{"flags": {"f": {}, "f": {}}}"#).unwrap_err();
    assert!(error.message.contains("twice"), "{error}");
    let long = format!(r#"{{"flags": {{}}{}}}"#, " ".repeat(1 << 20));
    assert!(Flags::parse(&long).is_err());
}

#[test]
fn circles_and_explosions_of_references_are_refused() {
    let circle = json!({"flags": {}, "$evaluators": {
        "x": {"and": [{"$ref": "y"}, true]},
        "y": {"$ref": "x"},
    }});
    assert_eq!(refused(&circle), "$.$evaluators.x.and[0].$ref");

    let mut evaluators = json!({"e0": {"var": "x"}});
    for level in 1..20 {
        let before = json!({"$ref": format!("e{}", level - 1)});
        evaluators[format!("e{level}")] = json!({"and": [before, before, before]});
    }
    let error = Flags::parse(&json!({"flags": {}, "$evaluators": evaluators}).to_string());
    assert!(error.unwrap_err().message.contains("10000 nodes"));
}

#[test]
fn rules_that_nest_too_deep_are_refused() {
    let mut rules = json!(true);
    for _ in 0..40 {
        rules = json!({"!": [rules]});
    }
    let mut document = with_rules(&json!({"if": [rules, "a"]}));
    assert_eq!(refused(&document).matches('!').count(), 32);

    // References may not hide the depth.
    let mut evaluators = json!({"e0": true});
    for level in 1..5_000 {
        evaluators[format!("e{level}")] = json!({"!": [{"$ref": format!("e{}", level - 1)}]});
    }
    document = json!({"flags": {}, "$evaluators": evaluators});
    let error = Flags::parse(&document.to_string()).unwrap_err();
    assert!(error.message.contains("nest deeper"), "{error}");
}
