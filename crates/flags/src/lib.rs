//! Feature flags: flagd's JSON documents, loaded strictly, compiled once and
//! evaluated without waiting.
//!
//! ```text
//!   text ──parse──▶ Value ──check──▶ Definition per flag ──┐
//!                     │                                    ├─▶ Flags::evaluate(key, context)
//!                     └─ $evaluators ─ resolved, compiled ─┘
//! ```
//!
//! A document is taken whole or refused with the path of its first fault; the
//! caller keeps the last good one. Buckets equal those of flagd's current
//! algorithm, which the vectors in `testdata/` pin down. The `flagd` feature
//! of `datalogic-rs` must stay off everywhere in the build: it would replace
//! the operators defined here.

mod cached;
mod context;
mod document;
mod error;
mod evaluation;
mod explain;
mod flags;
mod json;
mod operators;
pub mod own;
mod plan;
mod rollout;
mod semver;
mod targeting;
#[cfg(test)]
mod tests;

pub use cached::Cached;
pub use context::Context;
pub use error::FlagError;
pub use evaluation::{Evaluation, Fault, Reason, Value};
pub use explain::Explanation;
pub use flags::Flags;
pub use plan::{EditError, Rollout, RolloutState, Subject};
pub use rollout::{Draw, bucket, draw, murmur3_32};
