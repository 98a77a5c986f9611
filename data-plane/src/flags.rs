//! What the flags decide on a node, for the sockets and the rooms here. Each
//! use reads the newest document at the moment it needs it; who asks often
//! keeps the answers until the document changes.

use crate::settings::Settings;
use gavel_flags::{
    Flags,
    own::{self, SoftClose, Whom},
};
use gavel_rules::{
    auction::ExtensionMode,
    id::{NodeId, RoomId, SessionId, UserId},
    time::Millis,
};

/// Which form of updates a member of a room gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// Only the changed fields, rather than the whole state.
    pub changed_fields: bool,
    /// Updates wait for company in a `batch`.
    pub batching: bool,
}

/// What the flags decide for a room on a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RoomFlags {
    /// How long updates wait for a batch, where that is not the limit's.
    pub batch_window: Option<Millis>,
    /// Whether the node decides in the place of an owner that it cannot reach.
    pub degraded_path: bool,
    /// What the next round is pinned to when it opens.
    pub soft_close: Option<ExtensionMode>,
}

/// How updates come together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batches {
    /// How many at most.
    pub messages_max: usize,
    /// How long they wait; zero is not at all.
    pub window: Millis,
}

// === impl Delivery ===

impl Delivery {
    /// How a socket gets the updates of a room.
    #[must_use]
    pub fn of(flags: &Flags, seat: Whom<'_>) -> Self {
        Self {
            changed_fields: own::CHANGED_FIELDS.answer(flags, seat),
            batching: own::BATCHING.answer(flags, seat),
        }
    }
}

// === impl RoomFlags ===

impl RoomFlags {
    /// The answers for a room.
    pub(crate) fn of(flags: &Flags, room: &RoomId, node: &NodeId) -> Self {
        let whom = Whom { room: room.as_ref(), node: node.as_ref(), ..Whom::default() };
        Self {
            batch_window: own::BATCH_WINDOW.answer(flags, whom).map(Millis::new),
            degraded_path: own::DEGRADED_PATH.answer(flags, whom),
            soft_close: match own::SOFT_CLOSE.answer(flags, whom) {
                SoftClose::AsCreated => None,
                SoftClose::Add => Some(ExtensionMode::Add),
                SoftClose::ResetTo => Some(ExtensionMode::ResetTo),
            },
        }
    }

    /// How the room's updates come together.
    pub(crate) fn batches(&self, settings: &Settings) -> Batches {
        Batches {
            messages_max: settings.limits.batch_messages_max,
            window: self.batch_window.unwrap_or(settings.limits.batch_window),
        }
    }
}

/// The time between two heartbeats of a socket, where that is not the limit's.
pub(crate) fn heartbeat_interval(
    flags: &Flags,
    user: &UserId,
    session: &SessionId,
    node: &NodeId,
) -> Option<Millis> {
    let (user, session, node) = (user.as_ref(), session.as_ref(), node.as_ref());
    let whom = Whom { user, session, node, ..Whom::default() };
    own::HEARTBEAT_INTERVAL.answer(flags, whom).map(Millis::new)
}

/// The share of a room's bids that begin a trace of their own.
pub(crate) fn trace_sampling(flags: &Flags, room: &RoomId, node: &NodeId) -> f64 {
    let whom = Whom { room: room.as_ref(), node: node.as_ref(), ..Whom::default() };
    own::ROOM_TRACE_SAMPLING.answer(flags, whom)
}

#[cfg(test)]
mod tests {
    use gavel_flags::own::{ALL, Values};
    use gavel_proto::limits::LIMITS;

    #[test]
    fn a_flag_that_wins_over_a_limit_has_its_bounds() {
        let mut found = 0;
        for declaration in ALL {
            let Values::Limit { name, least, most, usual } = declaration.values else { continue };
            let limit = LIMITS.iter().find(|limit| limit.name == name).expect("a limit");
            let bounds = [least, most, usual].map(|bound| u64::try_from(bound).expect("a bound"));
            assert_eq!(bounds, [limit.least, limit.most, limit.default], "{name}");
            found += 1;
        }
        assert_eq!(found, 2);
    }
}
