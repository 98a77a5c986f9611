//! What happens to whoever exceeds a limit.

use super::{LimitsError, Value};
use crate::config::v1::{LimitAction, Limits};

/// The choice of what happens at one limit.
#[derive(Debug)]
pub struct ActionOf {
    /// Its name, which is the field's.
    pub name: &'static str,
    /// The limit's name.
    pub limit: &'static str,
    /// What happens in a new cluster, and on a node without a control plane.
    pub default: LimitAction,
    /// What may happen instead.
    pub others: &'static [LimitAction],
    pub(super) get: fn(&Limits) -> i32,
    pub(super) set: fn(&mut Limits, i32),
}

/// Every action with its word.
const WORDS: [(LimitAction, &str); 4] = [
    (LimitAction::Refuse, "refuse"),
    (LimitAction::Close, "close"),
    (LimitAction::Shed, "shed"),
    (LimitAction::DryRun, "dry_run"),
];

/// The word of an action.
#[must_use]
pub fn word(action: LimitAction) -> &'static str {
    let found = WORDS.iter().find(|(one, _)| *one == action);
    found.map_or("unspecified", |(_, word)| word)
}

// === impl ActionOf ===

impl ActionOf {
    /// The choice of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        super::ACTIONS.iter().find(|action| action.name == name)
    }

    /// What a document chooses.
    #[must_use]
    pub fn get(&self, limits: &Limits) -> LimitAction {
        match LimitAction::try_from((self.get)(limits)) {
            Ok(LimitAction::Unspecified) | Err(_) => self.default,
            Ok(action) => action,
        }
    }

    /// What may be chosen, the default first.
    pub fn choices(&self) -> impl Iterator<Item = LimitAction> {
        std::iter::once(self.default).chain(self.others.iter().copied())
    }

    pub(super) fn check(&self, limits: &Limits) -> Result<(), LimitsError> {
        let number = (self.get)(limits);
        let message = match LimitAction::try_from(number) {
            Ok(LimitAction::Unspecified) => return Ok(()),
            Ok(action) if self.choices().any(|one| one == action) => return Ok(()),
            Ok(action) => format!("{} is not one of {}", word(action), self.words()),
            Err(_) => format!("{number} is no action"),
        };
        Err(LimitsError { field: self.name, message })
    }

    /// Chooses by a word.
    pub(super) fn read(&self, limits: &mut Limits, value: &Value) -> Result<(), LimitsError> {
        let said = match value {
            Value::Word(said) => said.clone(),
            Value::Number(number) => number.to_string(),
        };
        let action = self.choices().find(|action| word(*action) == said);
        let action = action.ok_or_else(|| LimitsError {
            field: self.name,
            message: format!("{said:?} is not one of {}", self.words()),
        })?;
        (self.set)(limits, action.into());
        Ok(())
    }

    fn words(&self) -> String {
        self.choices().map(word).collect::<Vec<_>>().join(", ")
    }
}
