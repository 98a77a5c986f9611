//! Why a document is refused.

/// A fault of a document, by its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct FlagError {
    /// The JSON path of the fault, such as `$.flags.batching.variants`.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

/// A JSON path that grows on the way down.
#[derive(Debug, Clone)]
pub(crate) struct At(String);

// === impl At ===

impl At {
    pub(crate) fn root() -> Self {
        Self("$".to_owned())
    }

    pub(crate) fn key(&self, key: &str) -> Self {
        let plain = !key.is_empty()
            && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$'));
        Self(if plain { format!("{}.{key}", self.0) } else { format!("{}[{key:?}]", self.0) })
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    pub(crate) fn into_path(self) -> String {
        self.0
    }

    pub(crate) fn fault(&self, message: impl Into<String>) -> FlagError {
        FlagError { path: self.0.clone(), message: message.into() }
    }
}
