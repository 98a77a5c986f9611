//! What a token that was signed as it must be says.

use super::{Grants, Identity, LEEWAY, Pass, TokenRefused};
use gavel_rules::{id::UserId, time::Timestamp};
use serde::{Deserialize, Deserializer, de};
use std::{fmt, sync::Arc};

/// The claims that are looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    sub: UserId,
    exp: Date,
    nbf: Option<Date>,
    iat: Option<Date>,
    jti: Option<String>,
    #[serde(default)]
    grants: Grants,
}

/// A moment as tokens write it: seconds since the Unix epoch, perhaps with a fraction.
#[derive(Debug, Clone, Copy)]
struct Date(Timestamp);

// === impl Claims ===

impl Claims {
    /// Who the user is, if the token is good at `now`.
    pub(super) fn identity(self, now: Timestamp) -> Result<Identity, TokenRefused> {
        if self.exp.0.saturating_add(LEEWAY) <= now {
            return Err(TokenRefused);
        }
        if self.nbf.is_some_and(|nbf| now.saturating_add(LEEWAY) < nbf.0) {
            return Err(TokenRefused);
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
        let ms = seconds.checked_mul(1_000).ok_or_else(|| E::custom("too far away"))?;
        Ok(Date(Timestamp::new(ms)))
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Date, E> {
        // A fraction of a second changes nothing that matters, and floats are no dates here.
        let whole = std::time::Duration::try_from_secs_f64(seconds).map_err(E::custom)?.as_secs();
        self.visit_u64(whole)
    }
}
