//! A loaded document and its evaluation.

use std::collections::BTreeMap;
use std::sync::Arc;

use datalogic_rs::bumpalo::Bump;
use datalogic_rs::{ArenaExt, DataValue};
use serde_json::Value as Json;

use crate::Context;
use crate::document::{self, Definition};
use crate::error::FlagError;
use crate::evaluation::{Evaluation, Fault, Reason, Value};
use crate::operators::{ENGINE, FLAG_KEY, FLAGD, TARGETING_KEY, TIMESTAMP};
use crate::plan::Rollout;

/// The flags of one document; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    flags: Arc<BTreeMap<String, Definition>>,
}

/// A variant chosen from a definition.
struct Choice<'a> {
    variant: &'a str,
    value: &'a Value,
    reason: Reason,
}

// === impl Flags ===

impl Flags {
    /// Loads a document, or refuses it with its first fault.
    pub fn parse(text: &str) -> Result<Self, FlagError> {
        Ok(Self { flags: Arc::new(document::parse(text)?) })
    }

    /// No flags: every caller gets its own default.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The keys of all flags, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.flags.keys().map(String::as_str)
    }

    /// How many flags there are.
    pub fn len(&self) -> usize {
        self.flags.len()
    }

    /// Whether there are no flags.
    pub fn is_empty(&self) -> bool {
        self.flags.is_empty()
    }

    /// Each flag that is rolled out or was, with its rollout.
    pub fn rollouts(&self) -> impl Iterator<Item = (&str, &Rollout)> {
        self.flags.iter().filter_map(|(key, flag)| Some((key.as_str(), flag.rollout.as_ref()?)))
    }

    /// The variant of a flag for a subject; none where the caller's default applies.
    pub fn variant(&self, key: &str, context: &Context) -> Option<&str> {
        let choice = self.choose(key, context).ok().flatten()?;
        Some(choice.variant)
    }

    /// Whether this is the same document, read once.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.flags, &other.flags)
    }

    /// Whether there is such a flag and it is not disabled.
    pub(crate) fn answers(&self, key: &str) -> bool {
        self.flags.get(key).is_some_and(|flag| flag.enabled)
    }

    /// The definition of a flag.
    pub(crate) fn definition(&self, key: &str) -> Option<&Definition> {
        self.flags.get(key)
    }

    /// The answer of a flag for a subject, with its reason.
    pub fn evaluate(&self, key: &str, context: &Context) -> Evaluation {
        match self.choose(key, context) {
            Ok(Some(choice)) => Evaluation {
                variant: Some(choice.variant.to_owned()),
                value: Some(choice.value.clone()),
                reason: choice.reason,
                fault: None,
            },
            Ok(None) => Evaluation::disabled(),
            Err(fault) => Evaluation::failed(fault),
        }
    }

    /// The value of a boolean flag, or `default` if there is none.
    pub fn bool_value(&self, key: &str, context: &Context, default: bool) -> bool {
        match self.value(key, context) {
            Some(Value::Bool(value)) => *value,
            Some(_) | None => default,
        }
    }

    /// The value of a flag of whole numbers, or `default` if there is none.
    pub fn int_value(&self, key: &str, context: &Context, default: i64) -> i64 {
        match self.value(key, context) {
            Some(Value::Int(value)) => *value,
            Some(_) | None => default,
        }
    }

    /// The value of a flag of numbers, or `default` if there is none.
    pub fn float_value(&self, key: &str, context: &Context, default: f64) -> f64 {
        match self.value(key, context) {
            Some(Value::Float(value)) => *value,
            Some(value @ Value::Int(_)) => value.to_json().as_f64().unwrap_or(default),
            Some(_) | None => default,
        }
    }

    /// The value of a text flag, or `default` if there is none.
    pub fn string_value(&self, key: &str, context: &Context, default: &str) -> String {
        match self.value(key, context) {
            Some(Value::String(value)) => value.clone(),
            Some(_) | None => default.to_owned(),
        }
    }

    pub(crate) fn value(&self, key: &str, context: &Context) -> Option<&Value> {
        let choice = self.choose(key, context).ok().flatten()?;
        Some(choice.value)
    }

    /// The variant for a subject; none where the flag is disabled.
    fn choose(&self, key: &str, context: &Context) -> Result<Option<Choice<'_>>, Fault> {
        let (key, flag) = self.flags.get_key_value(key).ok_or(Fault::FlagNotFound)?;
        if !flag.enabled {
            return Ok(None);
        }
        let chosen = match &flag.rules {
            Some(rules) => run(&rules.compiled, key, context)?,
            None => return flag.choice(&flag.default_variant, Reason::Static).map(Some),
        };
        let choice = match chosen {
            Some(variant) => flag.choice(&variant, Reason::TargetingMatch),
            None => flag.choice(&flag.default_variant, Reason::Default),
        };
        choice.map(Some)
    }
}

// === impl Definition ===

impl Definition {
    fn choice(&self, variant: &str, reason: Reason) -> Result<Choice<'_>, Fault> {
        let (variant, value) = self
            .variants
            .get_key_value(variant)
            .ok_or_else(|| Fault::UnknownVariant(variant.to_owned()))?;
        Ok(Choice { variant, value, reason })
    }
}

/// What a part of the rules comes to.
pub(crate) fn value_of(rule: &Json, key: &str, context: &Context) -> Option<Json> {
    let rule = ENGINE.compile(rule.to_string().as_str()).ok()?;
    let arena = Bump::new();
    let outcome = ENGINE.evaluate(&rule, data(key, context, &arena), &arena).ok()?;
    serde_json::from_str(&outcome.to_json_string()).ok()
}

/// What the rules choose: a variant's name, or nothing.
fn run(rules: &datalogic_rs::Logic, key: &str, context: &Context) -> Result<Option<String>, Fault> {
    let arena = Bump::new();
    let data = data(key, context, &arena);
    let outcome = ENGINE
        .evaluate(rules, data, &arena)
        .map_err(|error| Fault::Targeting(error.to_string()))?;
    match outcome {
        DataValue::Null => Ok(None),
        DataValue::String(variant) => Ok(Some((*variant).to_owned())),
        // Conditions alone are rules too: they choose "true" or "false".
        DataValue::Bool(value) => Ok(Some(value.to_string())),
        DataValue::Number(_) | DataValue::Array(_) | DataValue::Object(_) => {
            Err(Fault::UnknownVariant(outcome.to_json_string()))
        }
    }
}

/// What rules may look at. The subject and the flag come last, and an
/// attribute of the same name is left out, so that none can pose as them.
fn data<'a>(key: &str, context: &Context, arena: &'a Bump) -> &'a DataValue<'a> {
    let own = |name: &str| name == FLAGD || name == TARGETING_KEY;
    let mut fields = Vec::new();
    for (name, value) in &context.attributes {
        if !own(name) {
            fields.push((&*arena.alloc_str(name), convert(value, arena)));
        }
    }
    if !context.targeting_key.is_empty() {
        let subject = DataValue::from_str_in(&context.targeting_key, arena);
        fields.push((TARGETING_KEY, subject));
    }
    let timestamp = i64::try_from(context.timestamp_s).unwrap_or(i64::MAX);
    let flagd = arena.object(&[
        (FLAG_KEY, DataValue::from_str_in(key, arena)),
        (TIMESTAMP, DataValue::from_i64(timestamp)),
    ]);
    fields.push((FLAGD, *flagd));
    arena.object(&fields)
}

fn convert<'a>(value: &Json, arena: &'a Bump) -> DataValue<'a> {
    match value {
        Json::Null => DataValue::Null,
        Json::Bool(value) => DataValue::Bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => DataValue::from_i64(value),
            (None, Some(value)) => DataValue::from_f64(value),
            (None, None) => DataValue::Null,
        },
        Json::String(value) => DataValue::from_str_in(value, arena),
        Json::Array(items) => {
            let items = items.iter().map(|item| convert(item, arena));
            let items: Vec<DataValue<'a>> = items.collect();
            *arena.array(&items)
        }
        Json::Object(object) => {
            let fields: Vec<(&'a str, DataValue<'a>)> = object
                .iter()
                .map(|(key, value)| (&*arena.alloc_str(key), convert(value, arena)))
                .collect();
            *arena.object(&fields)
        }
    }
}
