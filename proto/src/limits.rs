//! The limits document: what each limit means, its default and its bounds, and
//! what happens to whoever exceeds it. Both planes and the command line go by
//! [`LIMITS`] and [`ACTIONS`], and docs/configuration.md is made of them.

mod action;
#[cfg(test)]
mod tests;

use crate::config::v1::{LimitAction, Limits};
use std::collections::BTreeMap;

pub use action::{ActionOf, word};

/// One limit of the document.
#[derive(Debug)]
pub struct Limit {
    /// Its name, which is the field's.
    pub name: &'static str,
    /// What it limits.
    pub meaning: &'static str,
    /// What happens to whoever exceeds it.
    pub over: &'static str,
    /// What it is in a new cluster, and on a node without a control plane.
    pub default: u64,
    /// The least value that is taken.
    pub least: u64,
    /// The greatest value that is taken.
    pub most: u64,
    get: fn(&Limits) -> u64,
    set: fn(&mut Limits, u64) -> bool,
}

/// A value of the document, as it is written and stored.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// That of a limit.
    Number(u64),
    /// An action.
    Word(String),
}

/// A limit that is out of its bounds, or a document that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct LimitsError {
    /// The limit at fault; `limits` where it is the whole document.
    pub field: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// The bound of limits whose only one is their type.
pub const UNBOUNDED: u64 = u32::MAX as u64;

macro_rules! limits {
    (
        $($name:ident = $default:literal, $least:literal..=$most:expr, $meaning:literal, $over:literal;)+
        => $($action:ident of $limit:ident = $usual:ident, [$($other:ident),+];)+
    ) => {
        /// Every limit.
        pub const LIMITS: &[Limit] = &[$(Limit {
            name: stringify!($name),
            meaning: $meaning,
            over: $over,
            default: $default,
            least: $least,
            most: $most,
            get: |limits| limits.$name.into(),
            set: |limits, value| value.try_into().map(|value| limits.$name = value).is_ok(),
        }),+];

        /// What may be chosen to happen at a limit.
        pub const ACTIONS: &[ActionOf] = &[$(ActionOf {
            name: stringify!($action),
            limit: stringify!($limit),
            default: LimitAction::$usual,
            others: &[$(LimitAction::$other),+],
            get: |limits| limits.$action,
            set: |limits, value| limits.$action = value,
        }),+];

        /// The limits of a new cluster, and of a node without a control plane.
        #[must_use]
        pub const fn defaults() -> Limits {
            // Each field by its name: one that the lists lack does not compile.
            Limits { $($name: $default,)+ $($action: LimitAction::$usual as i32),+ }
        }
    };
}

limits! {
    sockets_per_ip_max = 5, 0..=UNBOUNDED,
        "Sockets of one address without a token, over all nodes. An IPv6 address counts as its /64.",
        "`sockets_per_ip_action`";
    sockets_per_user_max = 0, 0..=UNBOUNDED,
        "Sockets of one user with a token, over all nodes.",
        "`sockets_per_user_action`";
    sockets_per_room_max = 0, 0..=UNBOUNDED,
        "Sockets in one room, over all nodes.",
        "`sockets_per_room_action`";
    sockets_per_node_max = 50_000, 0..=UNBOUNDED,
        "Sockets of one node.",
        "`sockets_per_node_action`";
    handshakes_per_ip_rate = 100, 0..=UNBOUNDED,
        "Handshakes a second of one address at one node, with a token or without; 0 lifts the limit. \
         An IPv6 address counts as its /64.",
        "`handshakes_per_ip_action`";
    handshakes_per_ip_burst = 1_000, 0..=UNBOUNDED,
        "Handshakes that one address may ask of one node at once; 0 counts as 1.",
        "as above";
    bids_per_user_max = 5, 0..=UNBOUNDED,
        "Bids of one user within `bids_window_ms`, accepted or not, over all nodes.",
        "`bids_per_user_action`";
    bids_window_ms = 60_000, 1_000..=86_400_000,
        "The window of `bids_per_user_max`.",
        "";
    messages_per_session_rate = 20, 0..=UNBOUNDED,
        "Messages a second of one socket; 0 lifts the limit.",
        "not read; `messages_per_session_action`";
    messages_per_session_burst = 40, 0..=UNBOUNDED,
        "Messages that a socket may send at once; 0 counts as 1.",
        "as above";
    refusals_per_session_max = 100, 0..=UNBOUNDED,
        "Times within `refusals_window_ms` that one socket may exceed limits, or send what makes no sense.",
        "closed with 4429";
    refusals_window_ms = 10_000, 1_000..=3_600_000,
        "The window of `refusals_per_session_max`, from the first of them.",
        "";
    message_bytes_max = 16_384, 256..=1_048_576,
        "Size of one message. Taken by sockets opened after the change.",
        "closed with 1009";
    rooms_per_session_max = 64, 0..=UNBOUNDED,
        "Rooms that one socket may be in.",
        "`rooms_per_session_action`";
    heartbeat_interval_ms = 30_000, 1_000..=300_000,
        "Time between two pings of a socket.",
        "";
    pong_deadline_ms = 10_000, 500..=60_000,
        "How long a pong may take.",
        "the socket ends without a close frame";
    batch_messages_max = 10, 1..=256,
        "Updates that one batch holds.",
        "the batch goes out";
    batch_window_ms = 100, 0..=1_000,
        "How long updates wait for a batch; 0 sends each at once.",
        "the batch goes out";
    shed_target_ms = 100, 0..=60_000,
        "How long bids of a room, and threads of a node, may be late; 0 sheds nothing.",
        "after `shed_interval_ms` what matters least is refused";
    shed_interval_ms = 500, 100..=60_000,
        "For how long all of them must be later than `shed_target_ms` before more is refused, and in time before less is.",
        "";

    =>
    sockets_per_ip_action of sockets_per_ip_max = Close, [Refuse, Shed, DryRun];
    sockets_per_user_action of sockets_per_user_max = Close, [Refuse, Shed, DryRun];
    sockets_per_room_action of sockets_per_room_max = Refuse, [Close, Shed, DryRun];
    sockets_per_node_action of sockets_per_node_max = Shed, [Refuse, Close, DryRun];
    handshakes_per_ip_action of handshakes_per_ip_rate = Refuse, [DryRun];
    bids_per_user_action of bids_per_user_max = Refuse, [Close, Shed, DryRun];
    messages_per_session_action of messages_per_session_rate = Refuse, [Close, Shed, DryRun];
    rooms_per_session_action of rooms_per_session_max = Refuse, [Close, Shed, DryRun];
}

/// Refuses the first limit that is out of its bounds, or whose action it cannot have.
///
/// # Errors
/// [`LimitsError`] with its name.
pub fn check(limits: &Limits) -> Result<(), LimitsError> {
    for Limit { name: field, least, most, get, .. } in LIMITS {
        let value = get(limits);
        if !(*least..=*most).contains(&value) {
            let message = format!("{value} is not within {least} to {most}");
            return Err(LimitsError { field, message });
        }
    }
    ACTIONS.iter().try_for_each(|action| action.check(limits))
}

/// The values of a document by name, as it is stored.
#[must_use]
pub fn values(limits: &Limits) -> BTreeMap<String, Value> {
    entries(limits).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The same, in the order of the lists.
pub fn entries(limits: &Limits) -> impl Iterator<Item = (&'static str, Value)> {
    let numbers = LIMITS.iter().map(|limit| (limit.name, Value::Number(limit.get(limits))));
    numbers.chain(
        ACTIONS
            .iter()
            .map(|action| (action.name, Value::Word(word(action.get(limits)).to_owned()))),
    )
}

/// The document of these values. One of an earlier release lacks the newer
/// limits, which then have their defaults.
///
/// # Errors
/// [`LimitsError`] for a name that is none and a value out of range.
pub fn from_values(values: &BTreeMap<String, Value>) -> Result<Limits, LimitsError> {
    let mut limits = defaults();
    for (name, value) in values {
        set(&mut limits, name, value)?;
    }
    check(&limits)?;
    Ok(limits)
}

/// Changes one value in a document, without looking at its bounds.
///
/// # Errors
/// [`LimitsError`] for a name that is none, and a value that is not of its kind.
pub fn set(limits: &mut Limits, name: &str, value: &Value) -> Result<(), LimitsError> {
    if let Some(action) = ActionOf::named(name) {
        return action.read(limits, value);
    }
    let limit = Limit::named(name)
        .ok_or_else(|| LimitsError { field: "limits", message: format!("there is no {name:?}") })?;
    let message = match value {
        Value::Number(value) if limit.set(limits, *value) => return Ok(()),
        Value::Number(value) => format!("{value} is too large"),
        Value::Word(word) => format!("{word:?} is not a whole number"),
    };
    Err(LimitsError { field: limit.name, message })
}

// === impl Limit ===

impl Limit {
    /// The limit of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        LIMITS.iter().find(|limit| limit.name == name)
    }

    /// Its value in a document.
    #[must_use]
    pub fn get(&self, limits: &Limits) -> u64 {
        (self.get)(limits)
    }

    /// Changes it in a document, without looking at its bounds; false if the
    /// value is too large for the field.
    #[must_use]
    pub fn set(&self, limits: &mut Limits, value: u64) -> bool {
        (self.set)(limits, value)
    }
}
