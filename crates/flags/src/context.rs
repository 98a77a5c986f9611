//! Whom a flag is evaluated for.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::operators::TARGETING_KEY;

/// The subject of an evaluation and what is known about it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    /// What a percentage is drawn by: a room, user, node or session.
    pub targeting_key: String,
    /// What rules may look at, by name.
    pub attributes: BTreeMap<String, Value>,
    /// Seconds since the Unix epoch, for rules that read
    /// `$flagd.timestamp`; zero where no rule does.
    pub timestamp_s: u64,
}

// === impl Context ===

impl Context {
    /// A subject about which nothing else is known.
    pub fn new(targeting_key: impl Into<String>) -> Self {
        Self { targeting_key: targeting_key.into(), ..Self::default() }
    }

    /// The subject of a JSON object, as OpenFeature's protocols tell it; none if
    /// it is no object, or its `targetingKey` no text.
    pub fn from_json(context: &Value) -> Option<Self> {
        let mut attributes = context.as_object()?.clone();
        let targeting_key = match attributes.remove(TARGETING_KEY) {
            Some(key) => key.as_str()?.to_owned(),
            None => String::new(),
        };
        let attributes = attributes.into_iter().collect();
        Some(Self { targeting_key, attributes, ..Self::default() })
    }

    /// The same subject with one more attribute.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// The same subject at a time, in seconds since the Unix epoch.
    #[must_use]
    pub fn at(mut self, timestamp_s: u64) -> Self {
        self.timestamp_s = timestamp_s;
        self
    }
}
