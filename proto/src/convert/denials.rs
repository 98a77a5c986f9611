//! The denials on their way to operators and nodes.

use super::{ConvertError, parse, required};
use crate::{
    config::v1::{self as wire, denial},
    denials::{Denial, Denials, DenialsError, What},
};
use gavel_rules::{id::RoomId, time::Timestamp};

/// Reads a room id, of which the empty one stands for all rooms.
///
/// # Errors
/// [`ConvertError`] with the field's name.
pub fn room_or_all(field: &str, text: &str) -> Result<Option<RoomId>, ConvertError> {
    if text.is_empty() { Ok(None) } else { parse(field, text).map(Some) }
}

/// Reads the end of a denial, of which 0 stands for none.
#[must_use]
pub fn until(wire: u64) -> Option<Timestamp> {
    (wire > 0).then(|| Timestamp::new(wire))
}

impl From<DenialsError> for ConvertError {
    fn from(error: DenialsError) -> Self {
        Self::new(error.field, error.message)
    }
}

impl TryFrom<wire::Denials> for Denials {
    type Error = ConvertError;

    fn try_from(wire: wire::Denials) -> Result<Self, ConvertError> {
        let read = |(place, denial)| {
            Denial::try_from(denial)
                .map_err(|error: ConvertError| error.within(&format!("denials[{place}]")))
        };
        let denials = wire.denials.into_iter().enumerate().map(read);
        Ok(Self::new(denials.collect::<Result<Vec<_>, _>>()?)?)
    }
}

impl TryFrom<wire::Denial> for Denial {
    type Error = ConvertError;

    fn try_from(wire: wire::Denial) -> Result<Self, ConvertError> {
        let what = match required("what", wire.what)? {
            denial::What::Ban(ban) => What::Ban {
                user: parse("ban.user_id", &ban.user_id)?,
                room: room_or_all("ban.room_id", &ban.room_id)?,
                reason: parse("ban.reason", &ban.reason)?,
            },
            denial::What::Token(token) => {
                What::Token { token: parse("token.token_id", &token.token_id)? }
            }
            denial::What::User(user) => What::User {
                user: parse("user.user_id", &user.user_id)?,
                issued_before: Timestamp::new(user.issued_before),
            },
            denial::What::Kick(kick) => What::Kick {
                user: parse("kick.user_id", &kick.user_id)?,
                opened_before: Timestamp::new(kick.opened_before),
            },
        };
        Ok(Self { what, until: until(wire.until) })
    }
}

impl From<&Denials> for wire::Denials {
    fn from(denials: &Denials) -> Self {
        Self { denials: denials.iter(None).map(wire::Denial::from).collect() }
    }
}

impl From<&Denial> for wire::Denial {
    fn from(denial: &Denial) -> Self {
        let what = match &denial.what {
            What::Ban { user, room, reason } => denial::What::Ban(wire::Ban {
                user_id: user.to_string(),
                room_id: room.as_ref().map(RoomId::to_string).unwrap_or_default(),
                reason: reason.to_string(),
            }),
            What::Token { token } => {
                denial::What::Token(wire::RevokedToken { token_id: token.to_string() })
            }
            What::User { user, issued_before } => denial::What::User(wire::RevokedUser {
                user_id: user.to_string(),
                issued_before: issued_before.as_millis(),
            }),
            What::Kick { user, opened_before } => denial::What::Kick(wire::Kick {
                user_id: user.to_string(),
                opened_before: opened_before.as_millis(),
            }),
        };
        Self { what: Some(what), until: denial.until.map_or(0, Timestamp::as_millis) }
    }
}
