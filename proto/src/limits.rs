//! The limits document: what each limit means, its default and its bounds.
//! Both planes and the command line go by [`LIMITS`], and docs/configuration.md
//! is made of it.

use crate::config::v1::Limits;
use std::collections::BTreeMap;

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
    ($($name:ident = $default:literal, $least:literal..=$most:expr, $meaning:literal, $over:literal;)+) => {
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

        /// The limits of a new cluster, and of a node without a control plane.
        #[must_use]
        pub const fn defaults() -> Limits {
            // Each field by its name: one that LIMITS lacks does not compile.
            Limits { $($name: $default),+ }
        }
    };
}

limits! {
    sockets_per_ip_max = 5, 0..=UNBOUNDED,
        "Sockets of one address. Those whose handshake had a token do not count; an IPv6 address counts as its /64.",
        "closed with 1008";
    sockets_per_node_max = 50_000, 0..=UNBOUNDED,
        "Sockets of one node.",
        "closed with 1013";
    bids_per_user_max = 5, 0..=UNBOUNDED,
        "Bids of one user within `bids_window_ms`, accepted or not, over all nodes.",
        "rejected, `rate_limited`";
    bids_window_ms = 60_000, 1_000..=86_400_000,
        "The window of `bids_per_user_max`.",
        "";
    messages_per_session_rate = 20, 0..=UNBOUNDED,
        "Messages a second of one socket; 0 lifts the limit. Taken by sockets opened after the change.",
        "not read; `rate_limited`, and closed with 4429 if it goes on";
    messages_per_session_burst = 40, 0..=UNBOUNDED,
        "Messages that a socket may send at once; 0 counts as 1. Taken by sockets opened after the change.",
        "as above";
    message_bytes_max = 16_384, 256..=1_048_576,
        "Size of one message. Taken by sockets opened after the change.",
        "closed with 1009";
    rooms_per_session_max = 64, 0..=UNBOUNDED,
        "Rooms that one socket may be in.",
        "refused, `too_many_rooms`";
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
}

/// Refuses the first limit that is out of its bounds.
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
    Ok(())
}

/// The values of a document by name, as it is stored.
#[must_use]
pub fn values(limits: &Limits) -> BTreeMap<String, u64> {
    LIMITS.iter().map(|limit| (limit.name.to_owned(), limit.get(limits))).collect()
}

/// The document of these values. One of an earlier release lacks the newer
/// limits, which then have their defaults.
///
/// # Errors
/// [`LimitsError`] for a name that is none and a value out of range.
pub fn from_values(values: &BTreeMap<String, u64>) -> Result<Limits, LimitsError> {
    let mut limits = defaults();
    for (name, value) in values {
        let limit = Limit::named(name).ok_or_else(|| LimitsError {
            field: "limits",
            message: format!("there is no {name:?}"),
        })?;
        if !limit.set(&mut limits, *value) {
            let message = format!("{value} is too large");
            return Err(LimitsError { field: limit.name, message });
        }
    }
    check(&limits)?;
    Ok(limits)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_its_own_field() {
        let mut limits = Limits::default();
        for (n, limit) in (1..).zip(LIMITS) {
            assert!(limit.set(&mut limits, n), "{}", limit.name);
        }
        for (n, limit) in (1..).zip(LIMITS) {
            assert_eq!(limit.get(&limits), n, "{}", limit.name);
            assert_eq!(Limit::named(limit.name).unwrap().name, limit.name);
        }
        assert!(!LIMITS[0].set(&mut limits, UNBOUNDED + 1));
        assert!(Limit::named("sockets").is_none());
    }

    #[test]
    fn each_bound_is_held_by_its_name() {
        assert_eq!(check(&defaults()), Ok(()));
        for limit in LIMITS {
            let refused = |value| {
                let mut limits = defaults();
                assert!(limit.set(&mut limits, value));
                check(&limits).err().map(|error| error.field)
            };
            assert_eq!((refused(limit.least), refused(limit.most)), (None, None), "{}", limit.name);
            let beyond = [limit.least.checked_sub(1), Some(limit.most + 1)];
            for value in beyond.into_iter().flatten().filter(|value| *value <= UNBOUNDED) {
                assert_eq!(refused(value), Some(limit.name), "{value}");
            }
        }
        let limits = Limits { batch_messages_max: 0, ..defaults() };
        let error = check(&limits).unwrap_err();
        assert_eq!(error.to_string(), "batch_messages_max: 0 is not within 1 to 256");
    }
}
