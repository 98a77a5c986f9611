//! A rollout: a variant of one flag, given to more subjects step by step.
//!
//! It is written into the flag itself, as `rollout.*` in its metadata, beside
//! the targeting that it comes to. So a flag and its rollout always change
//! together, in one version of the document; an edit by hand that leaves the
//! metadata out ends the rollout; and whoever has the document knows which
//! variant is on trial.

mod edit;
mod subject;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{At, FlagError};

pub use self::edit::EditError;
pub use self::subject::Subject;

/// What each name in a flag's metadata begins with.
const PREFIX: &str = "rollout.";
/// Steps that a rollout may have.
const STEPS_MAX: usize = 20;

/// One rollout of one flag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rollout {
    /// The variant on trial; all others are the control group.
    pub treatment: String,
    /// The variant that everybody had before.
    pub control: String,
    /// Whose share is counted; the same subject keeps its answer.
    pub by: Subject,
    /// Shares in percent, rising.
    #[serde(with = "listed")]
    pub steps: Vec<u8>,
    /// Which of them is in force, from zero.
    pub step: usize,
    /// How long each step is held at least, in milliseconds.
    pub hold_ms: u64,
    /// Bids that the treatment must have had in a step before the next.
    pub bids_min: u64,
    /// How many times the rate of a fault in the control group is too much.
    pub ratio_max: f64,
    /// When it started, in milliseconds since the Unix epoch. Tells two
    /// rollouts of one flag apart.
    pub started_ms: u64,
    /// When the present step or state began, likewise.
    pub since_ms: u64,
    /// How far it has come.
    pub state: RolloutState,
    /// Why it ended or pauses; may be empty.
    pub reason: String,
    /// The targeting from before, as JSON; empty if there was none.
    pub before: String,
}

/// How far a rollout has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// It goes on by itself.
    Running,
    /// It stays at its step until somebody resumes it. It is watched still.
    Paused,
    /// Everybody has the treatment, which is the flag's default now.
    Completed,
    /// An operator ended it: the flag is as it was before.
    Aborted,
    /// A guard ended it: the flag is as it was before.
    RolledBack,
}

// === impl RolloutState ===

impl RolloutState {
    /// Whether two groups get different answers.
    #[must_use]
    pub const fn is_under_way(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Aborted => "aborted",
            Self::RolledBack => "rolled_back",
        }
    }
}

// === impl Rollout ===

impl Rollout {
    /// The share in force, in percent.
    #[must_use]
    pub fn percent(&self) -> u8 {
        match self.state {
            RolloutState::Running | RolloutState::Paused => {
                self.steps.get(self.step).copied().unwrap_or_default()
            }
            RolloutState::Completed => 100,
            RolloutState::Aborted | RolloutState::RolledBack => 0,
        }
    }

    /// Reads the rollout of a flag; none if it has had none.
    pub(crate) fn read(metadata: &Map<String, Value>, at: &At) -> Result<Option<Self>, FlagError> {
        let fields: Map<String, Value> = metadata
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?.to_owned(), value.clone())))
            .collect();
        if fields.is_empty() {
            return Ok(None);
        }
        let at = at.key("rollout");
        let rollout: Self = serde_json::from_value(Value::Object(fields))
            .map_err(|error| at.fault(error.to_string()))?;
        rollout.check().map_err(|message| at.fault(message))?;
        Ok(Some(rollout))
    }

    /// Writes it into a flag's metadata, in the place of an earlier one.
    fn write(&self, metadata: &mut Map<String, Value>) {
        metadata.retain(|key, _| !key.starts_with(PREFIX));
        if let Ok(Value::Object(fields)) = serde_json::to_value(self) {
            metadata
                .extend(fields.into_iter().map(|(key, value)| (format!("{PREFIX}{key}"), value)));
        }
    }

    fn check(&self) -> Result<(), String> {
        let rises = self.steps.is_sorted_by(|a, b| a < b);
        let within = self.steps.iter().all(|step| (1..=100).contains(step));
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX || !rises || !within {
            return Err(format!("steps must be 1 to {STEPS_MAX} rising shares from 1 to 100"));
        }
        if self.step >= self.steps.len() {
            return Err(format!("there is no step {}", self.step));
        }
        if self.treatment == self.control {
            return Err(format!("{:?} is what everybody has already", self.treatment));
        }
        if !(1.0..=100.0).contains(&self.ratio_max) {
            return Err("ratioMax must be from 1 to 100".to_owned());
        }
        Ok(())
    }
}

/// Numbers in one text, as metadata holds no lists.
mod listed {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(steps: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let steps: Vec<String> = steps.iter().map(u8::to_string).collect();
        serializer.serialize_str(&steps.join(","))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.split(',').map(|step| step.parse().map_err(D::Error::custom)).collect()
    }
}
