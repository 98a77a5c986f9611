//! What is told of why an answer is what it is.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Draw, Reason};

/// The variant and the path of an answer.
fn why(rules: &Json, context: &Context) -> (Option<String>, String) {
    let explained = load(&with_rules(rules)).explain("f", context);
    (explained.evaluation.variant, explained.path)
}

#[test]
fn the_part_that_decided_is_named() {
    let is = |user: &str| json!({"==": [{"var": "userId"}, user]});
    let rules = json!({"if": [is("ann"), "a", {"in": [{"var": "userId"}, ["bob", "eve"]]}, "b"]});
    let user = |user: &str| Context::new(user).with("userId", user);
    let told = |variant: &str, path: &str| (Some(variant.to_owned()), format!("$.flags.f.{path}"));
    assert_eq!(why(&rules, &user("ann")), told("a", "targeting.if[1]"));
    assert_eq!(why(&rules, &user("eve")), told("b", "targeting.if[3]"));
    assert_eq!(why(&rules, &user("joe")), told("c", "defaultVariant"));
    let otherwise = json!({"if": [is("ann"), "a", {"if": [is("bob"), null, "b"]}]});
    assert_eq!(why(&otherwise, &user("joe")), told("b", "targeting.if[2].if[2]"));
    assert_eq!(why(&otherwise, &user("bob")), told("c", "defaultVariant"));
    assert_eq!(why(&is("ann"), &user("ann")), told("true", "targeting"));
    let computed = json!({"cat": ["", {"var": "userId"}]});
    assert_eq!(why(&computed, &user("b")), told("b", "targeting"));
}

#[test]
fn without_rules_the_state_or_the_default_is_named() {
    let flags = load(&json!({"flags": {
        "fixed": {"state": "ENABLED", "variants": {"x": 1}, "defaultVariant": "x"},
        "down": {"state": "DISABLED", "variants": {"x": 1}, "defaultVariant": "x",
            "targeting": {"if": [true, "x"]}},
    }}));
    let told = |key: &str| {
        let explained = flags.explain(key, &Context::default());
        (explained.evaluation.reason, explained.path)
    };
    assert_eq!(told("fixed"), (Reason::Static, "$.flags.fixed.defaultVariant".to_owned()));
    assert_eq!(told("down"), (Reason::Disabled, "$.flags.down.state".to_owned()));
    assert_eq!(told("none"), (Reason::Error, "$.flags.none".to_owned()));
}

#[test]
fn a_percentage_is_told_with_its_bucket() {
    // The hash of "f" and "user_42", by the reference, is in the vectors' file
    // for other flags; what counts here is that all of it is told.
    let rules = json!({"fractional": [["a", 10], ["b", 20], ["c", 70]]});
    let flags = load(&with_rules(&rules));
    for n in 0..50 {
        let subject = format!("user-{n}");
        let explained = flags.explain("f", &Context::new(subject.as_str()));
        let [Draw { subject: hashed, bucket, total, share, from, to }] = &explained.draws[..]
        else {
            panic!("one draw: {explained:?}")
        };
        assert_eq!((hashed, *total), (&format!("f{subject}"), 100));
        assert!((from..to).contains(&bucket), "{explained:?}");
        let bounds = [("a", 0, 10), ("b", 10, 30), ("c", 30, 100)][*share];
        assert_eq!(
            (explained.evaluation.variant.as_deref(), *from, *to),
            (Some(bounds.0), bounds.1, bounds.2)
        );
        assert_eq!(explained.path, format!("$.flags.f.targeting.fractional[{share}]"));
    }
    let nested = json!({"if": [true, {"fractional": [
        {"var": "roomId"},
        [{"fractional": [["a", 1]]}, {"+": [1, 1]}],
    ]}]});
    let room = Context::new("u").with("roomId", "vase");
    let explained = load(&with_rules(&nested)).explain("f", &room);
    let path = "$.flags.f.targeting.if[1].fractional[1][0].fractional[0]";
    assert_eq!(explained.path, path);
    let told: Vec<_> =
        explained.draws.iter().map(|draw| (draw.subject.as_str(), draw.total)).collect();
    assert_eq!(told, [("vase", 2), ("fu", 1)]);
    // Nobody to draw for: nothing is drawn.
    let explained = flags.explain("f", &Context::default());
    assert_eq!((explained.draws.len(), explained.path.as_str()), (0, "$.flags.f.defaultVariant"));
}

/// Rules of conditions and percentages.
fn any_rules() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        3 => "[abc]".prop_map(Json::from),
        1 => Just(Json::Null),
        1 => Just(json!({"var": "pick"})),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let condition = prop_oneof![
            Just(json!({"var": "x"})),
            (0..4).prop_map(|n| json!({">": [{"var": "x"}, n]})),
            "[a-c]".prop_map(|user| json!({"==": [{"var": "userId"}, user]})),
        ];
        let branches = prop::collection::vec((condition, inner.clone()), 1..3);
        let otherwise = prop::option::of(inner.clone());
        let choice = (branches, otherwise).prop_map(|(branches, otherwise)| {
            let items = branches.into_iter().flat_map(|(condition, then)| [condition, then]);
            json!({"if": items.chain(otherwise).collect::<Vec<_>>()})
        });
        let shares = prop::collection::vec((inner, 0..5_u32), 1..4).prop_map(|mut shares| {
            shares[0].1 += 1;
            json!({"fractional": shares})
        });
        prop_oneof![choice, shares]
    })
    .prop_filter("rules are an object", Json::is_object)
}

proptest! {
    #[test]
    fn what_is_named_holds_the_answer(rules in any_rules(), user in "[a-d]", x in 0..4, pick in "[abc]") {
        let document = with_rules(&rules);
        let context = Context::new(user.as_str()).with("userId", user).with("x", x).with("pick", pick.as_str());
        let explained = load(&document).explain("f", &context);
        let pointer: String = explained.path.trim_start_matches('$').replace(['.', '['], "/").replace(']', "");
        let named = document.pointer(&pointer).expect(&explained.path);
        // A bucket is named with its weight.
        let named = named.get(0).unwrap_or(named);
        let named = named.as_str().unwrap_or(&pick);
        prop_assert_eq!(explained.evaluation.variant.as_deref(), Some(named), "{}", explained.path);
    }
}
