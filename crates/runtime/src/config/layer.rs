//! One setting given as text, as a layer of figment.

use figment::value::{Dict, Map, Value};
use figment::{Error, Metadata, Profile, Provider};

/// A setting as text, with where it came from.
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) origin: String,
}

/// A [`Pair`] whose text has been read as the type of its default.
pub(super) struct Layer {
    origin: String,
    dict: Dict,
}

// === impl Layer ===

impl Layer {
    pub(super) fn new(pair: Pair, defaults: &Value) -> Self {
        // A token of digits stays a string where the default is a string.
        let keep = matches!(defaults.find_ref(&pair.key), Some(Value::String(..)));
        let mut value = match pair.value.parse::<Value>() {
            Ok(parsed) if !keep => parsed,
            Ok(_) | Err(_) => Value::from(pair.value),
        };
        for part in pair.key.rsplit('.') {
            value = Value::from(Dict::from([(part.to_owned(), value)]));
        }
        Self { origin: pair.origin, dict: value.into_dict().unwrap_or_default() }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}
