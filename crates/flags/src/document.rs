//! Reading a document strictly.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};

use crate::error::{At, FlagError};
use crate::evaluation::Value;
use crate::json::Strict;
use crate::plan::Rollout;
use crate::targeting::{self, Rules};

/// The longest document that is read.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 1 << 20;

const KEYS: [&str; 4] = ["$schema", "flags", "$evaluators", "metadata"];
const FLAG_KEYS: [&str; 5] = ["state", "variants", "defaultVariant", "targeting", "metadata"];

/// One flag, ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) enabled: bool,
    pub(crate) variants: BTreeMap<String, Value>,
    /// A key of `variants`.
    pub(crate) default_variant: String,
    pub(crate) rules: Option<Rules>,
    pub(crate) rollout: Option<Rollout>,
}

pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, Definition>, FlagError> {
    let root = At::root();
    if text.len() > DOCUMENT_BYTES_MAX {
        return Err(root.fault(format!("longer than {DOCUMENT_BYTES_MAX} bytes")));
    }
    let Strict(document) = serde_json::from_str(text).map_err(|e| root.fault(e.to_string()))?;
    let document = object(&document, &root)?;
    refuse_unknown(document, &KEYS, &root)?;
    if let Some(metadata) = document.get("metadata") {
        object(metadata, &root.key("metadata"))?;
    }
    let none = Map::new();
    let evaluators = match document.get("$evaluators") {
        Some(evaluators) => object(evaluators, &root.key("$evaluators"))?,
        None => &none,
    };
    targeting::check_evaluators(evaluators, &root.key("$evaluators"))?;

    let at = root.key("flags");
    let flags = document.get("flags").ok_or_else(|| at.fault("missing"))?;
    object(flags, &at)?
        .iter()
        .map(|(key, flag)| {
            let at = at.key(key);
            if key.is_empty() {
                return Err(at.fault("a flag needs a key"));
            }
            Ok((key.clone(), definition(object(flag, &at)?, &at, evaluators)?))
        })
        .collect()
}

fn definition(
    flag: &Map<String, Json>,
    at: &At,
    evaluators: &Map<String, Json>,
) -> Result<Definition, FlagError> {
    refuse_unknown(flag, &FLAG_KEYS, at)?;
    let rollout = match flag.get("metadata") {
        Some(metadata) => {
            let at = at.key("metadata");
            Rollout::read(object(metadata, &at)?, &at)?
        }
        None => None,
    };
    let enabled = match text(flag, "state", at)? {
        "ENABLED" => true,
        "DISABLED" => false,
        other => {
            let message = format!("{other:?} is neither ENABLED nor DISABLED");
            return Err(at.key("state").fault(message));
        }
    };
    let variants = variants(flag, &at.key("variants"))?;
    let default_variant = text(flag, "defaultVariant", at)?.to_owned();
    if !variants.contains_key(&default_variant) {
        let message = format!("{default_variant:?} is no variant of this flag");
        return Err(at.key("defaultVariant").fault(message));
    }
    let names: BTreeSet<&str> = variants.keys().map(String::as_str).collect();
    let rules = match flag.get("targeting") {
        Some(rules) => targeting::compile(rules, &at.key("targeting"), evaluators, &names)?,
        None => None,
    };
    Ok(Definition { enabled, variants, default_variant, rules, rollout })
}

fn variants(flag: &Map<String, Json>, at: &At) -> Result<BTreeMap<String, Value>, FlagError> {
    let value = flag.get("variants").ok_or_else(|| at.fault("missing"))?;
    let mut variants = BTreeMap::new();
    let mut kind = None;
    for (name, value) in object(value, at)? {
        let at = at.key(name);
        let value = Value::from_json(value.clone())
            .ok_or_else(|| at.fault("must be a boolean, number, string or object"))?;
        let first = *kind.get_or_insert(value.kind());
        if value.kind() != first {
            let message = format!("is a {}, but another variant a {first}", value.kind());
            return Err(at.fault(message));
        }
        variants.insert(name.clone(), value);
    }
    if variants.is_empty() {
        return Err(at.fault("there must be at least one variant"));
    }
    Ok(variants)
}

fn object<'a>(value: &'a Json, at: &At) -> Result<&'a Map<String, Json>, FlagError> {
    value.as_object().ok_or_else(|| at.fault("must be an object"))
}

fn text<'a>(object: &'a Map<String, Json>, key: &str, at: &At) -> Result<&'a str, FlagError> {
    let at = at.key(key);
    let value = object.get(key).ok_or_else(|| at.fault("missing"))?;
    value.as_str().ok_or_else(|| at.fault("must be a string"))
}

fn refuse_unknown(object: &Map<String, Json>, known: &[&str], at: &At) -> Result<(), FlagError> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(at.key(key).fault(format!("unknown; known are {}", known.join(", ")))),
        None => Ok(()),
    }
}
