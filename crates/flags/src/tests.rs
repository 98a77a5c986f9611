//! Documents, targeting and rollouts.

mod documents;
mod explain;
mod own;
mod rollouts;
mod targeting;

use serde_json::{Value as Json, json};

use crate::{Context, Evaluation, Flags};

/// A document with one flag of three text variants and the given rules.
fn with_rules(rules: &Json) -> Json {
    json!({"flags": {"f": {
        "state": "ENABLED",
        "variants": {"a": "A", "b": "B", "c": "C", "true": "T", "false": "F"},
        "defaultVariant": "c",
        "targeting": rules,
    }}})
}

fn load(document: &Json) -> Flags {
    Flags::parse(&document.to_string()).unwrap()
}

/// The path at which a document is refused.
fn refused(document: &Json) -> String {
    Flags::parse(&document.to_string()).unwrap_err().path
}

fn evaluate(rules: &Json, context: &Context) -> Evaluation {
    load(&with_rules(rules)).evaluate("f", context)
}

fn chosen(rules: &Json, context: &Context) -> Option<String> {
    evaluate(rules, context).variant
}
