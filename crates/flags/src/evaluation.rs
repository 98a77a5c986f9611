//! The answer to an evaluation.

/// The value of a variant.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// On or off.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    String(String),
    /// An object.
    Json(serde_json::Value),
}

/// Why an evaluation gave what it gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The flag has no rules: everybody gets the default variant.
    Static,
    /// The rules chose a variant.
    TargetingMatch,
    /// The rules chose nothing, so the default variant applies.
    Default,
    /// The flag is disabled: the caller's own default applies.
    Disabled,
    /// The evaluation failed: the caller's own default applies.
    Error,
}

/// What went wrong where the reason is [`Reason::Error`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No flag has this key.
    #[error("there is no such flag")]
    FlagNotFound,
    /// The rules could not be computed for this context.
    #[error("the rules failed: {0}")]
    Targeting(String),
    /// The rules chose something that is no variant.
    #[error("the rules chose {0}, which is no variant")]
    UnknownVariant(String),
}

/// The answer to an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The variant, where there is one.
    pub variant: Option<String>,
    /// Its value; without one the caller's own default applies.
    pub value: Option<Value>,
    /// Why.
    pub reason: Reason,
    /// What went wrong, if anything did.
    pub fault: Option<Fault>,
}

// === impl Value ===

impl Value {
    /// The name of the type, which all variants of a flag share.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "boolean",
            Self::Int(_) | Self::Float(_) => "number",
            Self::String(_) => "string",
            Self::Json(_) => "object",
        }
    }

    /// The value as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Float(value) => (*value).into(),
            Self::String(value) => value.as_str().into(),
            Self::Json(value) => value.clone(),
        }
    }

    pub(crate) fn from_json(value: serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::Bool(value) => Some(Self::Bool(value)),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(value) => Some(Self::Int(value)),
                None => number.as_f64().map(Self::Float),
            },
            serde_json::Value::String(value) => Some(Self::String(value)),
            value @ serde_json::Value::Object(_) => Some(Self::Json(value)),
            serde_json::Value::Null | serde_json::Value::Array(_) => None,
        }
    }
}

// === impl Reason ===

impl Reason {
    /// The word that OpenFeature uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Default => "DEFAULT",
            Self::Disabled => "DISABLED",
            Self::Error => "ERROR",
        }
    }
}

// === impl Evaluation ===

impl Evaluation {
    pub(crate) fn failed(fault: Fault) -> Self {
        Self { variant: None, value: None, reason: Reason::Error, fault: Some(fault) }
    }

    pub(crate) fn disabled() -> Self {
        Self { variant: None, value: None, reason: Reason::Disabled, fault: None }
    }
}
