//! Rules: references resolved, checked with the path of each fault, compiled.

use std::collections::BTreeSet;

use datalogic_rs::Logic;
use serde_json::{Map, Value};

use crate::error::{At, FlagError};
use crate::operators::{ENGINE, FLAGD, TIMESTAMP};
use crate::rollout::TOTAL_WEIGHT_MAX;

const REF: &str = "$ref";

/// The most nodes that the rules of one flag may have once references are
/// resolved, since references to references grow without bound.
const NODES_MAX: usize = 10_000;

/// The rules of one flag.
#[derive(Debug)]
pub(crate) struct Rules {
    /// With every reference resolved.
    pub(crate) resolved: Value,
    /// The same, ready to run.
    pub(crate) compiled: Logic,
}

// === impl Rules ===

impl Rules {
    /// Whether they look at the time.
    pub(crate) fn read_the_time(&self) -> bool {
        let whole = format!("{FLAGD}.{TIMESTAMP}");
        let parts = [Value::from(FLAGD), Value::from(TIMESTAMP)];
        let reads = |node: &Value| match node {
            Value::String(text) => *text == whole,
            Value::Array(items) => *items == parts,
            Value::Object(rule) => rule.contains_key("now"),
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        };
        any(&self.resolved, &reads)
    }
}

/// Whether something holds of a node or of one within it.
fn any(node: &Value, holds: &impl Fn(&Value) -> bool) -> bool {
    holds(node)
        || match node {
            Value::Array(items) => items.iter().any(|item| any(item, holds)),
            Value::Object(object) => object.values().any(|value| any(value, holds)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
}

/// Compiles the rules of one flag; empty rules are none.
pub(crate) fn compile(
    rules: &Value,
    at: &At,
    evaluators: &Map<String, Value>,
    variants: &BTreeSet<&str>,
) -> Result<Option<Rules>, FlagError> {
    let Some(object) = rules.as_object() else {
        return Err(at.fault("rules must be an object"));
    };
    if object.is_empty() {
        return Ok(None);
    }
    let mut resolver = Resolver { evaluators, trail: Vec::new(), nodes: 0, depth: 0 };
    let resolved = resolver.resolve(rules, at)?;
    check_operators(&resolved, at)?;
    check_results(&resolved, at, variants)?;
    let text = resolved.to_string();
    let compiled = ENGINE.compile(text.as_str()).map_err(|e| at.fault(e.to_string()))?;
    Ok(Some(Rules { resolved, compiled }))
}

/// Checks what `$evaluators` holds, also where no flag refers to it.
pub(crate) fn check_evaluators(evaluators: &Map<String, Value>, at: &At) -> Result<(), FlagError> {
    for (name, rules) in evaluators {
        let at = at.key(name);
        let mut resolver = Resolver { evaluators, trail: vec![name], nodes: 0, depth: 0 };
        check_operators(&resolver.resolve(rules, &at)?, &at)?;
    }
    Ok(())
}

/// How deep rules may nest once references are resolved: they are walked and
/// evaluated recursively.
const DEPTH_MAX: usize = 64;

struct Resolver<'a> {
    evaluators: &'a Map<String, Value>,
    /// The references that lead here, to find a circle.
    trail: Vec<&'a str>,
    nodes: usize,
    depth: usize,
}

// === impl Resolver ===

impl<'a> Resolver<'a> {
    fn resolve(&mut self, node: &Value, at: &At) -> Result<Value, FlagError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(at.fault(format!("the rules have more than {NODES_MAX} nodes")));
        }
        if self.depth > DEPTH_MAX {
            return Err(at.fault(format!("the rules nest deeper than {DEPTH_MAX}")));
        }
        self.depth += 1;
        let resolved = self.resolve_within(node, at);
        self.depth -= 1;
        resolved
    }

    fn resolve_within(&mut self, node: &Value, at: &At) -> Result<Value, FlagError> {
        match node {
            Value::Object(object) => match object.get(REF) {
                Some(name) => self.follow(object, name, at),
                None => {
                    let entries = object.iter().map(|(key, value)| {
                        let value = self.resolve(value, &at.key(key))?;
                        Ok((key.clone(), value))
                    });
                    entries.collect::<Result<_, _>>().map(Value::Object)
                }
            },
            Value::Array(items) => {
                let items = items.iter().enumerate();
                items
                    .map(|(index, item)| self.resolve(item, &at.index(index)))
                    .collect::<Result<_, _>>()
                    .map(Value::Array)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(node.clone()),
        }
    }

    fn follow(
        &mut self,
        object: &Map<String, Value>,
        name: &Value,
        at: &At,
    ) -> Result<Value, FlagError> {
        let at_ref = at.key(REF);
        if object.len() != 1 {
            return Err(at.fault("a reference must stand alone"));
        }
        let Some(name) = name.as_str() else {
            return Err(at_ref.fault("a reference must be the name of an evaluator"));
        };
        let Some((name, rules)) = self.evaluators.get_key_value(name) else {
            return Err(at_ref.fault(format!("there is no evaluator {name:?}")));
        };
        if self.trail.contains(&name.as_str()) {
            return Err(at_ref.fault(format!("the evaluator {name:?} refers to itself")));
        }
        self.trail.push(name);
        let resolved = self.resolve(rules, at);
        self.trail.pop();
        resolved
    }
}

/// Each object must be one known operator with its operands.
fn check_operators(node: &Value, at: &At) -> Result<(), FlagError> {
    match node {
        Value::Object(object) => {
            let mut entries = object.iter();
            let (Some((operator, operands)), None) = (entries.next(), entries.next()) else {
                return Err(at.fault("a rule must have exactly one operator"));
            };
            let at = at.key(operator);
            if !is_known(operator) {
                return Err(at.fault(format!("there is no operator {operator:?}")));
            }
            if operator == "fractional" {
                check_fractional(operands, &at)?;
            }
            check_operators(operands, &at)
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, item)| check_operators(item, &at.index(index))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn is_known(operator: &str) -> bool {
    ENGINE.has_custom_operator(operator) || ENGINE.builtin_operator_names().any(|n| n == operator)
}

/// `[subject?, [variant, weight?], ...]`; weights that are rules themselves
/// are known only later.
fn check_fractional(operands: &Value, at: &At) -> Result<(), FlagError> {
    let Some(items) = operands.as_array() else {
        return Err(at.fault("must be an array of buckets"));
    };
    let subject = usize::from(items.first().is_some_and(|first| !first.is_array()));
    let mut total = Some(0_u64);
    let mut buckets = 0_usize;
    for (index, item) in items.iter().enumerate().skip(subject) {
        let at = at.index(index);
        let weight = match item.as_array().map(Vec::as_slice) {
            Some([_]) => Some(1),
            Some([_, Value::Object(_)]) => None,
            Some([_, weight]) => Some(weight.as_u64().ok_or_else(|| {
                at.index(1).fault("a weight must be a whole number, zero or more")
            })?),
            _ => return Err(at.fault("a bucket must be [variant] or [variant, weight]")),
        };
        total = total.zip(weight).map(|(sum, weight)| sum.saturating_add(weight));
        buckets += 1;
    }
    if buckets == 0 {
        return Err(at.fault("there must be at least one bucket"));
    }
    match total {
        Some(0) => Err(at.fault("the weights sum to zero")),
        Some(sum) if sum > u64::from(TOTAL_WEIGHT_MAX) => {
            Err(at.fault(format!("the weights sum to more than {TOTAL_WEIGHT_MAX}")))
        }
        Some(_) | None => Ok(()),
    }
}

/// Where the outcome can be read off the rules, it must be a variant.
fn check_results(node: &Value, at: &At, variants: &BTreeSet<&str>) -> Result<(), FlagError> {
    match node {
        Value::Null => Ok(()),
        Value::String(name) => check_variant(name, at, variants),
        Value::Bool(value) => check_variant(if *value { "true" } else { "false" }, at, variants),
        Value::Number(_) | Value::Array(_) => {
            Err(at.fault("rules must yield the name of a variant"))
        }
        Value::Object(object) => {
            if let Some(Value::Array(items)) = object.get("if") {
                let at = at.key("if");
                let last = items.len().saturating_sub(1);
                for (index, item) in items.iter().enumerate() {
                    // Conditions stand at even places, except for a last "else".
                    if index % 2 == 1 || index == last {
                        check_results(item, &at.index(index), variants)?;
                    }
                }
            } else if let Some(Value::Array(items)) = object.get("fractional") {
                let at = at.key("fractional");
                for (index, item) in items.iter().enumerate() {
                    if let Some(variant) = item.as_array().and_then(|bucket| bucket.first()) {
                        check_results(variant, &at.index(index).index(0), variants)?;
                    }
                }
            }
            Ok(())
        }
    }
}

fn check_variant(name: &str, at: &At, variants: &BTreeSet<&str>) -> Result<(), FlagError> {
    if variants.contains(name) {
        return Ok(());
    }
    Err(at.fault(format!("{name:?} is no variant of this flag")))
}
