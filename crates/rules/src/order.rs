//! Five counters that must never be mixed, hence four types.

use core::fmt;
use serde::{Deserialize, Serialize};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The counter at this number.
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The number that follows.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// Counts the owners of a room; the fence of every append.
    Epoch
}
counter! {
    /// Counts the leaders of the control plane; the fence of everything that
    /// one stores.
    Term
}
counter! {
    /// Counts the events of a room, 1, 2, 3… without a gap.
    Seq
}
counter! {
    /// Counts the changes of a document.
    Version
}
counter! {
    /// Counts the histories of a room; rises only when history is lost.
    Generation
}

/// How far somebody knows a room's history; the default knows nothing of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Which history.
    pub generation: Generation,
    /// Its last event that is known.
    pub seq: Seq,
}
