//! The flags document: what it is before an operator writes one, and what is
//! refused before it is stored.

use gavel_flags::{Context, Draw, Flags, own};
use gavel_proto::admin::v1 as wire;
use gavel_rules::order::Version;
use gavel_runtime::clock;

/// The document of a new cluster: nothing is other than without one.
#[must_use]
pub fn default_document() -> String {
    own::default_document()
}

/// Refuses a document that nodes would refuse.
///
/// # Errors
/// The path of the first fault and what is wrong there.
pub fn check(document: &str) -> Result<(), String> {
    own::load(document).map(drop).map_err(|error| error.to_string())
}

/// Why somebody gets what a flag answers. Of our own flags it is told as nodes
/// have it, whatever else is known of the subject.
pub(crate) fn explain(
    flags: &Flags,
    version: Version,
    key: &str,
    known: &Context,
) -> wire::ExplainFlagResponse {
    let context = match own::Declaration::named(key) {
        Some(declaration) => declaration.context_of(known),
        None => known.clone().at(clock::now_ms() / 1_000),
    };
    let explained = flags.explain(key, &context);
    let answer = explained.evaluation;
    wire::ExplainFlagResponse {
        variant: answer.variant,
        value: answer.value.map(|value| value.to_json().to_string()).unwrap_or_default(),
        reason: answer.reason.as_str().to_owned(),
        fault: answer.fault.map(|fault| fault.to_string()).unwrap_or_default(),
        path: explained.path,
        draws: explained.draws.into_iter().map(draw).collect(),
        targeting_key: context.targeting_key,
        version: version.get(),
    }
}

fn draw(Draw { subject, bucket, total, from, to, .. }: Draw) -> wire::FlagDraw {
    wire::FlagDraw { subject, bucket, total, from, to }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_with_its_path() {
        assert_eq!(check(&default_document()), Ok(()));
        let wrong = default_document().replacen("ENABLED", "PERHAPS", 1);
        let error = check(&wrong).unwrap_err();
        assert!(error.starts_with("$.flags.batch"), "{error}");
        assert!(check("{").is_err());
        let wrong = default_document().replacen("30000", "\"soon\"", 1);
        let error = check(&wrong).unwrap_err();
        assert!(error.starts_with("$.flags.heartbeat-interval.variants.usual: "), "{error}");
    }
}
