//! What operators write: settings, limits, flags.

use super::choice_and_text;
use gavel_flags::{Context, Flags, Reason};
use gavel_proto::{
    config::v1 as wire,
    limits::{self, LIMITS},
};
use gavel_runtime::config::{self, ConfigError};
use prost::Message;
use std::{io::Write, path::Path};

/// A flags document; one that loads answers for every flag and anybody, and always alike.
pub(crate) fn flags(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let flags = match Flags::parse(text) {
        Ok(flags) => flags,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    let someone = Context::new("u1").with("userId", "u1").with("roomId", "7").with("n", 1.5);
    for context in [Context::default(), someone.at(1_700_000_000)] {
        for key in flags.keys() {
            let answer = flags.evaluate(key, &context);
            assert_eq!(answer, flags.evaluate(key, &context), "{key}");
            assert_eq!(answer.fault.is_some(), answer.reason == Reason::Error, "{key}");
            let chosen = matches!(answer.reason, Reason::Static | Reason::TargetingMatch);
            assert!(!chosen || answer.value.is_some(), "{key}");
        }
    }
    assert!(flags.evaluate("no such flag", &Context::default()).value.is_none());
    !flags.is_empty()
}

/// A limits document; one that is taken is within its bounds.
pub(crate) fn limits(bytes: &[u8]) -> bool {
    let Ok(document) = wire::Limits::decode(bytes) else { return false };
    let bounds = |limit: &limits::Limit| limit.least..=limit.most;
    let within = LIMITS.iter().all(|limit| bounds(limit).contains(&limit.get(&document)));
    let taken = gavel_data_plane::settings::Limits::try_from(document).is_ok();
    assert!(within || !taken, "{document:?}");
    let stored = limits::from_values(&limits::values(&document));
    assert!(
        !taken || stored.is_ok_and(|stored| limits::values(&stored) == limits::values(&document))
    );
    taken
}

/// A configuration file of either plane, and one flag behind a line of three dots.
pub(crate) fn config(bytes: &[u8]) -> bool {
    let Some((choice, text)) = choice_and_text(bytes) else { return false };
    let (file, flag) = text.split_once("\n...\n").unwrap_or((text, ""));
    let mut kept = tempfile::NamedTempFile::new().expect("a file");
    kept.write_all(file.as_bytes()).expect("it is written");
    let read = if choice.is_multiple_of(2) {
        load::<gavel_data_plane::Config>(kept.path(), flag).and_then(|config| config.check())
    } else {
        load::<gavel_control_plane::Config>(kept.path(), flag).and_then(|config| config.check())
    };
    match read {
        Ok(()) => true,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

fn load<T>(file: &Path, flag: &str) -> Result<T, ConfigError>
where
    T: serde::de::DeserializeOwned + serde::Serialize + Default,
{
    let flags: Vec<_> = flag.split_once('=').into_iter().collect();
    let flags: Vec<_> = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    // No variable begins like this.
    config::load(Some(file), "GAVEL_FUZZ_NOTHING_", &flags)
}
