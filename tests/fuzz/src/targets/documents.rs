//! What operators write: settings, limits, flags, denials.

use super::choice_and_text;
use gavel_flags::{Context, Flags, Reason};
use gavel_proto::{
    config::v1 as wire,
    denials::{Denial, Denials, Denied, Key, Subject},
    limits::{self, LIMITS},
};
use gavel_rules::{
    id::{RoomId, UserId},
    time::Timestamp,
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

/// Denials as they are stored or as nodes are told them; what is over denies nobody anything.
pub(crate) fn denials(bytes: &[u8]) -> bool {
    let Some((form, document)) = bytes.split_first() else { return false };
    let read = if form.is_multiple_of(2) { stored_denials } else { told_denials };
    let Some(denials) = read(document) else { return false };
    let dates = denials.iter(None).filter_map(|denial| denial.until).take(4);
    for now in dates.chain([Timestamp::new(0)]) {
        let mut lasting = denials.clone();
        lasting.prune(now);
        for denial in denials.iter(None).take(8) {
            denies_alike(&denials, &lasting, denial, now);
        }
    }
    !denials.is_empty()
}

fn stored_denials(document: &[u8]) -> Option<Denials> {
    let list: Vec<Denial> = serde_json::from_slice(document).ok()?;
    let denials = Denials::new(list).ok()?;
    let list: Vec<&Denial> = denials.iter(None).collect();
    let again: Vec<Denial> =
        serde_json::from_str(&serde_json::to_string(&list).expect("JSON")).expect("we wrote it");
    assert_eq!(Denials::new(again).as_ref(), Ok(&denials));
    Some(denials)
}

fn told_denials(document: &[u8]) -> Option<Denials> {
    let denials = Denials::try_from(wire::Denials::decode(document).ok()?).ok()?;
    let again = Denials::try_from(wire::Denials::from(&denials));
    assert_eq!(again.expect("we wrote it"), denials);
    Some(denials)
}

/// Whoever one of the denials is about is denied the same by those that last, and not by chance.
fn denies_alike(denials: &Denials, lasting: &Denials, one: &Denial, now: Timestamp) {
    let key = one.key();
    assert_eq!(key.to_string().parse(), Ok(key.clone()));
    let (user, token, room) = match key {
        Key::Ban(user, room) => (Some(user), None, room),
        Key::Token(token) => (None, Some(token.to_string()), None),
        Key::User(user) | Key::Kick(user) => (Some(user), None, None),
    };
    let user = user.unwrap_or_else(|| "ann".parse::<UserId>().expect("an id"));
    let room = room.unwrap_or_else(|| "vase".parse::<RoomId>().expect("an id"));
    let banned = denials.bans(&user, &room, now);
    assert_eq!(banned, lasting.bans(&user, &room, now), "{one:?}");
    for (guest, at) in [(false, None), (false, Some(now)), (true, Some(now))] {
        let token_id = token.as_deref().filter(|_| !guest);
        let who = Subject { user: &user, token_id, issued_at: at, guest, opened_at: at };
        let denied = denials.of_session(&who, now);
        assert_eq!(denied, lasting.of_session(&who, now), "{one:?}");
        assert!(!guest || denied != Some(Denied::Revoked), "a guest has no token: {one:?}");
        assert!(banned || denied != Some(Denied::Banned), "all rooms are this one, too: {one:?}");
        let void = token_id.is_some() && one.lasts(now);
        assert!(!void || denied.is_some(), "a token that is void is no way in: {one:?}");
    }
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
