//! flagd's operators for `datalogic-rs`, and the engine that has them.
//!
//! An operand of the wrong kind yields null, as in flagd: the rules then
//! choose nothing and the default variant applies.

use std::sync::LazyLock;

use datalogic_rs::bumpalo::Bump;
use datalogic_rs::operator::EvalContext;
use datalogic_rs::{ArenaExt, CustomOperator, DataValue, Engine, EvaluationConfig, Result};

use crate::rollout::draw;
use crate::semver::Version;

/// The key under which rules find the flag and the time.
pub(crate) const FLAGD: &str = "$flagd";
/// The key under which rules find the subject.
pub(crate) const TARGETING_KEY: &str = "targetingKey";
/// The key within [`FLAGD`] of the flag's own key.
pub(crate) const FLAG_KEY: &str = "flagKey";
/// The key within [`FLAGD`] of the time.
pub(crate) const TIMESTAMP: &str = "timestamp";

/// The engine that all documents share; it holds no state of theirs.
pub(crate) static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    // Comparing a missing attribute with text is false, not a failure.
    let config = EvaluationConfig::default().with_loose_equality_errors(false);
    Engine::builder()
        .with_config(config)
        .add_operator("fractional", Fractional)
        .add_operator("starts_with", StartsWith)
        .add_operator("ends_with", EndsWith)
        .add_operator("sem_ver", SemVer)
        .build()
});

struct Fractional;
struct StartsWith;
struct EndsWith;
struct SemVer;

impl CustomOperator for Fractional {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        ctx: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> Result<&'a DataValue<'a>> {
        let (subject, buckets) = match args.split_first() {
            Some((first, rest)) if first.as_array().is_none() => (first.as_str(), rest),
            Some(_) | None => (None, args),
        };
        let own = subject.is_none().then(|| default_subject(ctx)).flatten();
        let subject = subject.or(own.as_deref());
        let chosen = subject.and_then(|subject| {
            let weights: Option<Vec<u32>> = buckets.iter().map(|b| weight(b)).collect();
            buckets.get(draw(subject, &weights?)?.share)
        });
        let variant = chosen.and_then(|bucket| bucket.as_array()?.first());
        Ok(match variant {
            Some(variant) => arena.alloc(*variant),
            None => arena.null(),
        })
    }
}

impl CustomOperator for StartsWith {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        _ctx: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> Result<&'a DataValue<'a>> {
        Ok(on_texts(args, arena, |text, part| text.starts_with(part)))
    }
}

impl CustomOperator for EndsWith {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        _ctx: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> Result<&'a DataValue<'a>> {
        Ok(on_texts(args, arena, |text, part| text.ends_with(part)))
    }
}

impl CustomOperator for SemVer {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        _ctx: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> Result<&'a DataValue<'a>> {
        let [version, operator, other] = args else {
            return Ok(arena.null());
        };
        let (version, other) = (version_text(version), version_text(other));
        let holds = Version::parse(&version)
            .zip(Version::parse(&other))
            .zip(operator.as_str())
            .and_then(|((version, other), operator)| version.holds(operator, &other));
        Ok(holds.map_or_else(|| arena.null(), |holds| arena.bool(holds)))
    }
}

/// The flag's key and the subject's, so that flags with equal percentages
/// choose different subjects.
fn default_subject(ctx: &EvalContext<'_, '_>) -> Option<String> {
    let root = ctx.root_input();
    let flag = root.get(FLAGD)?.get(FLAG_KEY)?.as_str()?;
    let subject = root.get(TARGETING_KEY)?.as_str()?;
    Some(format!("{flag}{subject}"))
}

/// The weight of a bucket `[variant, weight]`; without one it is 1, and below
/// zero it counts as zero.
fn weight(bucket: &DataValue<'_>) -> Option<u32> {
    match bucket.as_array()? {
        [_] => Some(1),
        [_, weight] => u32::try_from(weight.as_i64()?.max(0)).ok(),
        _ => None,
    }
}

fn on_texts<'a>(
    args: &[&'a DataValue<'a>],
    arena: &'a Bump,
    holds: impl Fn(&str, &str) -> bool,
) -> &'a DataValue<'a> {
    match args {
        [text, part] => match (text.as_str(), part.as_str()) {
            (Some(text), Some(part)) => arena.bool(holds(text, part)),
            _ => arena.null(),
        },
        _ => arena.null(),
    }
}

/// A version given as text, or as a number such as 1 or 1.2.
fn version_text(value: &DataValue<'_>) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_number() => value.to_json_string(),
        None => String::new(),
    }
}
