//! What settings say of themselves: the meaning, the default and the bounds of
//! each, read from the schema that their structs derive. [`check`] and
//! docs/configuration.md both go by what is read here, so they cannot differ.
//!
//! ```text
//!   doc comment                          meaning
//!   Default                              default
//!   range(min = .., max = ..)            Bound::Within
//!   an enum of plain variants            Bound::OneOf
//!   extend("format" = "url")             Bound::Form
//!   extend("below_half_of" = "a.b")      Bound::BelowHalfOf
//! ```

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{ConfigError, Form, PREFIX};

/// Settings that belong together: a table of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The first part of its settings' keys.
    pub name: String,
    /// What they are about.
    pub meaning: String,
    /// In order of their keys.
    pub settings: Vec<Setting>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Its dotted name.
    pub key: String,
    /// What it does.
    pub meaning: String,
    /// What it is where nothing sets it.
    pub default: Value,
    /// What its value must be. Where the default is an empty text, the value
    /// may be empty whatever they say.
    pub bounds: Vec<Bound>,
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// A number from the first to the second, both included.
    Within(u64, u64),
    /// A text of this form.
    Form(Form),
    /// One of these words.
    OneOf(Vec<String>),
    /// Less than half of the setting with this key.
    BelowHalfOf(String),
}

/// Refuses the first setting out of its bounds, by its key.
///
/// # Errors
/// [`ConfigError`] with the key and the bound; never with a text's value, which
/// may be a secret.
pub fn check<T: JsonSchema + Serialize>(config: &T) -> Result<(), ConfigError> {
    let values = serde_json::to_value(config)
        .map_err(|error| ConfigError::invalid("", error.to_string()))?;
    for setting in sections::<T>()?.iter().flat_map(|section| &section.settings) {
        setting.check(&values)?;
    }
    Ok(())
}

/// All settings of `T`, whose fields are sections.
///
/// # Errors
/// [`ConfigError`] if a field is no section, or a setting says something of
/// itself that nobody here checks.
pub fn sections<T: JsonSchema>() -> Result<Vec<Section>, ConfigError> {
    let generator = SchemaSettings::default().with(|s| s.inline_subschemas = true).into_generator();
    let schema = generator.into_root_schema_for::<T>();
    let mut sections: Vec<_> = properties(schema.as_object())
        .map(|(name, section)| {
            let mut settings = properties(section.as_object())
                .map(|(field, schema)| Setting::read(format!("{name}.{field}"), schema))
                .collect::<Result<Vec<_>, _>>()?;
            if settings.is_empty() {
                return Err(ConfigError::invalid(name.as_str(), "is no section"));
            }
            settings.sort_by(|a, b| a.key.cmp(&b.key));
            Ok(Section { name: name.clone(), meaning: text(section, "description"), settings })
        })
        .collect::<Result<_, _>>()?;
    sections.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(sections)
}

/// The variable that sets the setting of this key.
#[must_use]
pub fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

// === impl Setting ===

impl Setting {
    fn read(key: String, schema: &Value) -> Result<Self, ConfigError> {
        let bounds =
            Bound::read(schema).map_err(|message| ConfigError::invalid(key.as_str(), message))?;
        let default = schema.get("default").cloned().unwrap_or_default();
        Ok(Self { key, meaning: text(schema, "description"), default, bounds })
    }

    fn check(&self, values: &Value) -> Result<(), ConfigError> {
        let value = at(values, &self.key);
        if value == "" && self.default == "" {
            return Ok(());
        }
        for bound in &self.bounds {
            bound
                .check(value, values)
                .map_err(|message| ConfigError::invalid(&*self.key, message))?;
        }
        Ok(())
    }
}

// === impl Bound ===

impl Bound {
    /// What a schema demands, or the name of what is not known here.
    fn read(schema: &Value) -> Result<Vec<Self>, String> {
        let keywords = schema.as_object().into_iter().flatten();
        let (mut least, mut most, mut bounds) = (0, u64::MAX, Vec::new());
        for (keyword, value) in keywords {
            let unknown = || format!("nobody checks {keyword} = {value}");
            match (keyword.as_str(), value.as_str()) {
                ("description" | "default" | "type", _) => {}
                ("minimum", _) => least = value.as_u64().ok_or_else(unknown)?,
                ("maximum", _) => most = value.as_u64().ok_or_else(unknown)?,
                ("oneOf", _) => bounds.push(Self::OneOf(words(value).ok_or_else(unknown)?)),
                ("format", Some("uint8" | "uint16" | "uint32" | "uint64" | "uint")) => {}
                ("format", Some(name)) => {
                    bounds.push(Self::Form(Form::named(name).ok_or_else(unknown)?));
                }
                ("below_half_of", Some(key)) => bounds.push(Self::BelowHalfOf(key.to_owned())),
                _ => return Err(unknown()),
            }
        }
        if (least, most) != (0, u64::MAX) {
            bounds.insert(0, Self::Within(least, most));
        }
        Ok(bounds)
    }

    fn check(&self, value: &Value, values: &Value) -> Result<(), String> {
        let number = value.as_u64().unwrap_or_default();
        match self {
            Self::Within(least, most) if !(*least..=*most).contains(&number) => {
                Err(format!("{number} is not within {self}"))
            }
            Self::Form(form) if !form.fits(value.as_str().unwrap_or_default()) => {
                Err(format!("must be {self}"))
            }
            Self::BelowHalfOf(key) => {
                let whole = at(values, key).as_u64().unwrap_or_default();
                let fine = number < whole / 2;
                fine.then_some(()).ok_or_else(|| format!("{number} is not {self}, {whole}"))
            }
            // Reading the value as its enum has refused every other word.
            Self::OneOf(_) | Self::Within(..) | Self::Form(_) => Ok(()),
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Within(least, most) => write!(f, "{least} to {most}"),
            Self::Form(form) => f.write_str(form.words()),
            Self::OneOf(words) => f.write_str(&words.join(" or ")),
            Self::BelowHalfOf(key) => write!(f, "less than half of {key}"),
        }
    }
}

/// The variants of an enum, each of which has a meaning.
fn words(variants: &Value) -> Option<Vec<String>> {
    let words = variants.as_array()?.iter();
    words.map(|variant| Some(variant.get("const")?.as_str()?.to_owned())).collect()
}

fn properties(schema: Option<&Map<String, Value>>) -> impl Iterator<Item = (&String, &Value)> {
    schema.and_then(|schema| schema.get("properties")?.as_object()).into_iter().flatten()
}

/// A text of a schema on one line.
fn text(schema: &Value, keyword: &str) -> String {
    schema.get(keyword).and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
}

fn at<'a>(values: &'a Value, key: &str) -> &'a Value {
    key.split('.').fold(values, |value, part| value.get(part).unwrap_or(&Value::Null))
}
