//! Who gets which variant.

use serde_json::json;

use super::*;
use crate::{Fault, Reason};

#[test]
fn rules_choose_or_leave_the_default() {
    let rules = json!({"if": [{"==": [{"var": "tier"}, "gold"]}, "a", {"in": [{"var": "tier"}, ["tin", "lead"]]}, "b"]});
    let subject = |tier: &str| Context::new("u").with("tier", tier);
    assert_eq!(chosen(&rules, &subject("gold")).as_deref(), Some("a"));
    assert_eq!(chosen(&rules, &subject("lead")).as_deref(), Some("b"));
    let other = evaluate(&rules, &subject("clay"));
    assert_eq!(other.variant.as_deref(), Some("c"));
    assert_eq!(other.reason, Reason::Default);
    let unknown = evaluate(&rules, &Context::new("u"));
    assert_eq!(unknown.reason, Reason::Default);
    assert_eq!(evaluate(&rules, &subject("gold")).reason, Reason::TargetingMatch);
}

#[test]
fn conditions_alone_choose_true_or_false() {
    let rules = json!({">": [{"var": "age"}, 17]});
    let of = |age: i64| chosen(&rules, &Context::new("u").with("age", age));
    assert_eq!(of(18).as_deref(), Some("true"));
    assert_eq!(of(17).as_deref(), Some("false"));
}

#[test]
fn what_is_no_variant_is_an_error() {
    let rules = json!({"cat": ["x", {"var": "v"}]});
    let got = evaluate(&rules, &Context::new("u").with("v", "y"));
    assert_eq!(got.reason, Reason::Error);
    assert_eq!(got.fault, Some(Fault::UnknownVariant("xy".into())));
    assert_eq!(got.value, None);
    let number = evaluate(&json!({"+": [1, 2]}), &Context::new("u"));
    assert_eq!(number.fault, Some(Fault::UnknownVariant("3".into())));
}

#[test]
fn texts_are_matched_at_their_ends() {
    for (operator, part, expected) in [
        ("starts_with", "adm", Some("a")),
        ("starts_with", "min", Some("b")),
        ("ends_with", "min", Some("a")),
        ("ends_with", "adm", Some("b")),
    ] {
        let rules = json!({"if": [{operator: [{"var": "role"}, part]}, "a", "b"]});
        let admin = Context::new("u").with("role", "admin");
        assert_eq!(chosen(&rules, &admin).as_deref(), expected, "{operator} {part}");
        let number = Context::new("u").with("role", 7);
        assert_eq!(chosen(&rules, &number).as_deref(), Some("b"));
    }
}

#[test]
fn versions_are_compared() {
    let cases = [
        ("1.2.3", "=", "v1.2.3", true),
        ("1.2.3+build", "=", "1.2.3", true),
        ("1.2", "=", "1.2.0", true),
        ("1.2.3", "!=", "1.2.4", true),
        ("1.2.3", "<", "1.10.0", true),
        ("2.0.0-rc.1", "<", "2.0.0", true),
        ("2.0.0-rc.2", "<", "2.0.0-rc.10", true),
        ("2.0.0-alpha", "<", "2.0.0-alpha.1", true),
        ("2.0.0-1", "<", "2.0.0-alpha", true),
        ("1.2.3", "<=", "1.2.3", true),
        ("1.2.3", ">", "1.2.3", false),
        ("1.2.3", ">=", "1.2.3", true),
        ("1.9.0", "^", "1.0.0", true),
        ("2.0.0", "^", "1.0.0", false),
        ("1.2.9", "~", "1.2.0", true),
        ("1.3.0", "~", "1.2.0", false),
        ("nonsense", "=", "nonsense", false),
        ("01.2.3", "=", "1.2.3", false),
        ("1.2.3.4", "=", "1.2.3", false),
        ("1.2.3", "==", "1.2.3", false),
        ("", "=", "", false),
    ];
    for (left, operator, right, expected) in cases {
        let rules = json!({"if": [{"sem_ver": [{"var": "v"}, operator, right]}, "a", "b"]});
        let got = chosen(&rules, &Context::new("u").with("v", left));
        let expected = if expected { "a" } else { "b" };
        assert_eq!(got.as_deref(), Some(expected), "{left} {operator} {right}");
    }
    let rules = json!({"if": [{"sem_ver": [{"var": "v"}, "=", "2.0.0"]}, "a", "b"]});
    let number = Context::new("u").with("v", 2);
    assert_eq!(chosen(&rules, &number).as_deref(), Some("a"));
}

#[test]
fn evaluators_are_shared() {
    let mut document = with_rules(&json!({"if": [{"$ref": "staff"}, "a", "b"]}));
    document["$evaluators"] = json!({
        "staff": {"or": [{"$ref": "boss"}, {"ends_with": [{"var": "mail"}, "@gavel.test"]}]},
        "boss": {"==": [{"var": "targetingKey"}, "boss"]},
    });
    let flags = load(&document);
    let of = |context: &Context| flags.string_value("f", context, "");
    assert_eq!(of(&Context::new("boss")), "A");
    assert_eq!(of(&Context::new("x").with("mail", "x@gavel.test")), "A");
    assert_eq!(of(&Context::new("x")), "B");
}

#[test]
fn the_flag_and_the_time_are_known_and_cannot_be_posed_as() {
    let rules = json!({"if": [{"==": [{"var": "$flagd.flagKey"}, "f"]},
        {"if": [{">=": [{"var": "$flagd.timestamp"}, 100]}, "a", "b"]}]});
    let posed = Context::new("u").with("$flagd", json!({"flagKey": "x"}));
    assert_eq!(chosen(&rules, &posed.clone().at(100)).as_deref(), Some("a"));
    assert_eq!(chosen(&rules, &posed.at(99)).as_deref(), Some("b"));
    let rules = json!({"if": [{"==": [{"var": "targetingKey"}, "boss"]}, "a", "b"]});
    let posed = Context::new("u").with("targetingKey", "boss");
    assert_eq!(chosen(&rules, &posed).as_deref(), Some("b"));
}

#[test]
fn attributes_of_any_shape_are_reachable() {
    let rules = json!({"if": [{"==": [{"var": "a.b.1"}, 2.5]}, "a", "b"]});
    let context = Context::new("u").with("a", json!({"b": [null, 2.5, true]}));
    assert_eq!(chosen(&rules, &context).as_deref(), Some("a"));
}
