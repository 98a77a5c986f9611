//! Soft close: a late leading bid moves the closing time.

use crate::time::{Millis, Timestamp};
use serde::{Deserialize, Serialize};

/// How a late bid moves the closing time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// What the new closing time is counted from.
    pub mode: ExtensionMode,
    /// A leading bid this near the close extends.
    pub window: Millis,
    /// By how much.
    pub by: Millis,
    /// How often within one round at most.
    pub extensions_max: u32,
}

/// What the new closing time is counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtensionMode {
    /// The closing time as it was.
    Add,
    /// The time of the bid.
    ResetTo,
}

// === impl Extension ===

impl Extension {
    /// The same, counted from what the round is pinned to, if it is to anything.
    #[must_use]
    pub fn pinned_to(self, mode: Option<ExtensionMode>) -> Self {
        Self { mode: mode.unwrap_or(self.mode), ..self }
    }

    /// The new closing time after a leading bid at `now`, if it moves. It
    /// never moves back.
    #[must_use]
    pub fn extended(
        &self,
        closes_at: Timestamp,
        now: Timestamp,
        extensions: u32,
    ) -> Option<Timestamp> {
        let late = closes_at.since(now) <= self.window;
        if !late || extensions >= self.extensions_max {
            return None;
        }
        let from = match self.mode {
            ExtensionMode::Add => closes_at,
            ExtensionMode::ResetTo => now,
        };
        from.checked_add(self.by).filter(|extended| *extended > closes_at)
    }
}
