//! Changes to the flags of a document that is held as JSON.

use serde_json::{Map, Value, json};

use super::{Rollout, RolloutState, Subject};
use crate::error::At;

/// Why a flag cannot be changed like that; words for whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EditError(pub String);

type Outcome<T> = Result<T, EditError>;

// === impl Rollout ===

impl Rollout {
    /// Begins a rollout at its first step. What it replaces must be plain or a
    /// share: rules that somebody wrote by hand are not thrown away.
    ///
    /// # Errors
    /// [`EditError`] if the flag or the variant is not there, the flag has
    /// such rules or a rollout under way, or the plan is none.
    pub fn start(mut self, document: &mut Value, flag: &str) -> Outcome<()> {
        let definition = definition(document, flag)?;
        if read(definition)?.is_some_and(|rollout| rollout.state.is_under_way()) {
            return Err(EditError(format!("a rollout of {flag} is under way already")));
        }
        if definition.get("state").and_then(Value::as_str) != Some("ENABLED") {
            return Err(EditError(format!("{flag} is disabled")));
        }
        let text = |key: &str| definition.get(key).and_then(Value::as_str).unwrap_or_default();
        self.control = text("defaultVariant").to_owned();
        let variants = definition.get("variants").and_then(Value::as_object);
        if !variants.is_some_and(|variants| variants.contains_key(&self.treatment)) {
            return Err(EditError(format!("{flag} has no variant {:?}", self.treatment)));
        }
        self.before = match definition.get("targeting") {
            None => String::new(),
            Some(rules) if is_share(rules) => rules.to_string(),
            Some(_) => {
                let message = format!("{flag} has rules of its own; a rollout would replace them");
                return Err(EditError(message));
            }
        };
        self.check().map_err(EditError)?;
        self.put(definition, flag)
    }

    /// Writes this state of the rollout of a flag, and the targeting that it
    /// comes to.
    ///
    /// # Errors
    /// [`EditError`] if there is no such flag, or its rollout is another one.
    pub fn replace(&self, document: &mut Value, flag: &str) -> Outcome<()> {
        let definition = definition(document, flag)?;
        let same = |held: Self| held.started_ms == self.started_ms;
        if !read(definition)?.is_some_and(same) {
            return Err(EditError(format!("the rollout of {flag} is another one by now")));
        }
        self.put(definition, flag)
    }

    fn put(&self, definition: &mut Map<String, Value>, flag: &str) -> Outcome<()> {
        let targeting = match self.state {
            RolloutState::Running | RolloutState::Paused => {
                let (treatment, control) = (self.treatment.as_str(), self.control.as_str());
                Some(share(self.by, self.percent(), treatment, control))
            }
            RolloutState::Completed => None,
            RolloutState::Aborted | RolloutState::RolledBack => match self.before.as_str() {
                "" => None,
                before => Some(serde_json::from_str(before).map_err(|error| {
                    EditError(format!("the targeting of {flag} from before is lost: {error}"))
                })?),
            },
        };
        definition.remove("targeting");
        definition.extend(targeting.map(|targeting| ("targeting".to_owned(), targeting)));
        if self.state == RolloutState::Completed {
            let treatment = self.treatment.as_str().into();
            definition.insert("defaultVariant".to_owned(), treatment);
        }
        let metadata = definition.entry("metadata").or_insert_with(|| json!({}));
        let metadata = metadata.as_object_mut();
        self.write(metadata.ok_or_else(|| EditError(format!("{flag} has no metadata")))?);
        Ok(())
    }
}

impl Subject {
    /// Makes a boolean flag answer `true` to `percent` of the subjects.
    ///
    /// # Errors
    /// [`EditError`] if there is no such flag, it is not boolean, or a rollout
    /// of it is under way.
    pub fn share(self, document: &mut Value, flag: &str, percent: u8) -> Outcome<()> {
        let definition = definition(document, flag)?;
        if read(definition)?.is_some_and(|rollout| rollout.state.is_under_way()) {
            return Err(EditError(format!("a rollout of {flag} is under way; abort it first")));
        }
        let variant = |wanted: bool| {
            let variants = definition.get("variants")?.as_object()?;
            variants.iter().find(|(_, value)| **value == wanted).map(|(name, _)| name.clone())
        };
        let (Some(on), Some(off)) = (variant(true), variant(false)) else {
            return Err(EditError(format!("{flag} is not a boolean flag")));
        };
        definition.insert("targeting".to_owned(), share(self, percent, &on, &off));
        Ok(())
    }
}

/// The flag's name is part of what is hashed, so that two flags at 10 % do not
/// pick the same tenth.
fn share(by: Subject, percent: u8, on: &str, off: &str) -> Value {
    let subject = json!({"cat": [{"var": "$flagd.flagKey"}, {"var": by.attribute()}]});
    json!({"fractional": [subject, [on, percent], [off, 100_u8.saturating_sub(percent)]]})
}

/// Whether rules are nothing but a share, as [`share`] makes them.
fn is_share(rules: &Value) -> bool {
    let rules = rules.as_object();
    rules.is_some_and(|rules| rules.keys().all(|operator| operator == "fractional"))
}

fn definition<'a>(document: &'a mut Value, flag: &str) -> Outcome<&'a mut Map<String, Value>> {
    let flags = document.get_mut("flags").and_then(Value::as_object_mut);
    let flags = flags.ok_or_else(|| EditError("the document holds no flags".to_owned()))?;
    let names: Vec<String> = flags.keys().cloned().collect();
    let definition = flags.get_mut(flag).and_then(Value::as_object_mut);
    definition.ok_or_else(|| {
        EditError(format!("there is no flag {flag:?}; there are {}", names.join(", ")))
    })
}

fn read(definition: &Map<String, Value>) -> Outcome<Option<Rollout>> {
    let Some(metadata) = definition.get("metadata").and_then(Value::as_object) else {
        return Ok(None);
    };
    let read = Rollout::read(metadata, &At::root().key("metadata"));
    read.map_err(|error| EditError(error.to_string()))
}
