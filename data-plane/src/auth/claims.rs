//! What a token says, once its signature is known to be good.

use super::{Grants, GuestToken, Identity, Pass, Refusal, json};
use crate::config::AuthConfig;
use gavel_rules::{
    id::UserId,
    time::{Millis, Timestamp},
};
use gavel_runtime::config::Form;
use serde::{Deserialize, Deserializer, de};
use std::{fmt, sync::Arc, time::Duration};

/// How far the clock of who signs may be from ours.
pub(crate) const LEEWAY: Millis = Millis::new(5_000);

/// The end of the year 9999. A date beyond it is in other units than seconds, and a token that
/// never expires would come of it.
const SECONDS_MAX: u64 = 253_402_300_799;

/// The claims that are looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    sub: UserId,
    exp: Date,
    nbf: Option<Date>,
    iat: Option<Date>,
    #[serde(default, deserialize_with = "token_id")]
    jti: Option<String>,
    iss: Option<String>,
    aud: Option<Audience>,
    #[serde(default)]
    grants: Grants,
}

/// What tokens must say besides.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    issuer: Option<String>,
    audience: Option<String>,
}

/// A moment as tokens write it: seconds since the Unix epoch, perhaps with a fraction.
#[derive(Debug, Clone, Copy)]
struct Date(Timestamp);

/// For whom a token is.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Any(Vec<String>),
}

// === impl Claims ===

impl Claims {
    pub(super) fn read(claims: &[u8]) -> Result<Self, Refusal> {
        json::object(claims).map_err(|_| Refusal::Claims)
    }

    /// Who the user is, if the token is good at `now`.
    pub(super) fn identity(self, expected: &Expected, now: Timestamp) -> Result<Identity, Refusal> {
        if self.exp.0.saturating_add(LEEWAY) <= now {
            return Err(Refusal::Expired);
        }
        let begins = [self.nbf, self.iat].into_iter().flatten().map(|date| date.0).max();
        if begins.is_some_and(|begins| now.saturating_add(LEEWAY) < begins) {
            return Err(Refusal::Early);
        }
        // Nobody signs for guests: their ids are hashes of what they alone know.
        if !expected.fits(&self) || GuestToken::names(&self.sub) {
            return Err(Refusal::Claims);
        }
        let pass = Pass {
            grants: self.grants,
            token_id: self.jti,
            issued_at: self.iat.map(|iat| iat.0),
            expires_at: self.exp.0,
        };
        Ok(Identity { user: self.sub, pass: Some(Arc::new(pass)) })
    }
}

// === impl Expected ===

impl Expected {
    pub(super) fn new(config: &AuthConfig) -> Self {
        let set = |text: &String| (!text.is_empty()).then(|| text.clone());
        Self { issuer: set(&config.issuer), audience: set(&config.audience) }
    }

    fn fits(&self, claims: &Claims) -> bool {
        let from = self.issuer.is_none() || self.issuer == claims.iss;
        let to = |ours: &String| claims.aud.as_ref().is_some_and(|aud| aud.names(ours));
        from && self.audience.as_ref().is_none_or(to)
    }
}

// === impl Audience ===

impl Audience {
    fn names(&self, ours: &String) -> bool {
        match self {
            Self::One(one) => one == ours,
            Self::Any(any) => any.contains(ours),
        }
    }
}

// === impl Date ===

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DateVisitor)
    }
}

struct DateVisitor;

impl de::Visitor<'_> for DateVisitor {
    type Value = Date;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("seconds since the Unix epoch")
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Date, E> {
        if seconds > SECONDS_MAX {
            return Err(E::custom("a date that nobody means"));
        }
        Ok(Date(Timestamp::new(seconds * 1_000)))
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Date, E> {
        // Whole seconds are exact enough beside the leeway.
        let since = Duration::try_from_secs_f64(seconds).map_err(E::custom)?;
        self.visit_u64(since.as_secs())
    }
}

/// A token's id is held to what all ids are: it may become a key in a store.
fn token_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let id = Option::<String>::deserialize(deserializer)?;
    let fine = id.as_ref().is_none_or(|id| Form::Id.fits(id));
    fine.then_some(id).ok_or_else(|| de::Error::custom("no id"))
}
