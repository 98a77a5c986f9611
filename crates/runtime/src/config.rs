//! Settings from defaults, a file, the environment and flags, in that order.
//!
//! A variable `GAVEL_HTTP__LISTEN` sets `http.listen`. Every error names the
//! key and where its value came from; the process then exits with
//! [`EXIT_USAGE`]. Unknown keys are refused where the settings derive
//! `deny_unknown_fields`, as all of Gavel's do.

use std::path::Path;

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Format, Serialized, Toml};
use figment::value::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

mod form;
mod layer;
mod schema;
#[cfg(test)]
mod tests;

pub use form::{Form, SECRET_BYTES_MIN};
use layer::{Layer, Pair};
pub use schema::{Bound, Section, Setting, check, sections, variable_of};

/// What the names of all variables begin with.
pub const PREFIX: &str = "GAVEL_";

/// The exit status of a process whose settings are wrong (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The dotted key, or empty where the whole source is unreadable.
    pub key: String,
    /// Where the value came from: a file, a variable, a flag, or a check.
    pub source: String,
    /// What is wrong with it.
    pub message: String,
}

/// Reads settings: defaults, then `file`, then variables that begin with
/// `prefix`, then `overrides` (dotted key and value, usually from flags).
///
/// `REDIS_URL` also sets `redis.url` where the settings have that key; the
/// variable with the prefix wins over it.
pub fn load<T>(
    file: Option<&Path>,
    prefix: &str,
    overrides: &[(&str, String)],
) -> Result<T, ConfigError>
where
    T: DeserializeOwned + Serialize + Default,
{
    // Names or values that are not UTF-8 cannot be settings.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    load_from(file, prefix, variables, overrides)
}

/// The value of a variable that is not a setting, such as `OTEL_SDK_DISABLED`;
/// an empty one counts as absent.
#[expect(
    clippy::disallowed_methods,
    reason = "standard variables of other projects are read here and nowhere else"
)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Refuses authorities for a Redis that is not called by TLS.
///
/// # Errors
/// [`ConfigError`] for `redis.ca_file`.
pub fn check_redis_authorities(url: &str, ca_file: &str) -> Result<(), ConfigError> {
    if ca_file.is_empty() || url.starts_with("rediss") {
        return Ok(());
    }
    Err(ConfigError::invalid("redis.ca_file", "needs a redis.url that begins with rediss"))
}

// === impl ConfigError ===

impl ConfigError {
    /// A value that was read well but is out of its bounds.
    pub fn invalid(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), source: "settings".to_owned(), message: message.into() }
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.source, self.message)
        } else {
            write!(f, "{} ({}): {}", self.key, self.source, self.message)
        }
    }
}

// The field `source` is a place and not a cause.
impl std::error::Error for ConfigError {}

fn load_from<T>(
    file: Option<&Path>,
    prefix: &str,
    variables: impl Iterator<Item = (String, String)>,
    overrides: &[(&str, String)],
) -> Result<T, ConfigError>
where
    T: DeserializeOwned + Serialize + Default,
{
    let defaults = Value::serialize(T::default()).map_err(|e| explain(&e))?;
    let pairs = environment(prefix, variables, &defaults);
    let flags = overrides.iter().map(|(key, value)| Pair {
        origin: format!("flag for {key}"),
        key: (*key).to_owned(),
        value: value.clone(),
    });

    let mut figment = Figment::from(Serialized::defaults(T::default()));
    if let Some(path) = file {
        if !path.is_file() {
            return Err(ConfigError {
                key: String::new(),
                source: path.display().to_string(),
                message: "there is no such file".to_owned(),
            });
        }
        figment = figment.merge(Toml::file_exact(path));
    }
    for pair in pairs.into_iter().chain(flags) {
        figment = figment.merge(Layer::new(pair, &defaults));
    }
    figment.extract().map_err(|e| explain(&e))
}

fn environment(
    prefix: &str,
    variables: impl Iterator<Item = (String, String)>,
    defaults: &Value,
) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = variables
        .filter_map(|(name, value)| {
            let key = if name == "REDIS_URL" {
                let wanted = !value.is_empty() && defaults.find_ref("redis.url").is_some();
                wanted.then(|| "redis.url".to_owned())?
            } else {
                // Without a section it is not a setting but a switch of the
                // process, such as GAVEL_LOG_FORMAT.
                let rest = name.strip_prefix(prefix)?;
                rest.contains("__").then(|| rest.to_lowercase().replace("__", "."))?
            };
            Some(Pair { key, value, origin: format!("variable {name}") })
        })
        .collect();
    // Sorted for one result whatever the order of the environment; the general
    // name comes first so that the particular one wins.
    pairs.sort_by_key(|pair| (pair.origin != "variable REDIS_URL", pair.origin.clone()));
    pairs
}

fn explain(error: &figment::Error) -> ConfigError {
    let mut path = error.path.clone();
    if let Kind::UnknownField(name, _) = &error.kind
        && path.last() != Some(name)
    {
        path.push(name.clone());
    }
    if let Kind::MissingField(name) = &error.kind {
        path.push(name.to_string());
    }
    let source = error.metadata.as_ref().map_or_else(
        || "settings".to_owned(),
        |metadata| match metadata.source.as_ref().and_then(|s| s.file_path()) {
            Some(file) => file.display().to_string(),
            None => metadata.name.to_string(),
        },
    );
    ConfigError { key: path.join("."), source, message: error.kind.to_string() }
}
