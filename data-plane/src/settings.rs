//! What the control plane may change while the node runs: limits, flags and
//! denials.
//! Each use reads the newest value at the moment it needs it.

use crate::{limit::Actions, trials::Trials};
use gavel_flags::Flags;
use gavel_proto::{
    config::v1 as wire,
    denials::Denials,
    limits::{self, LimitsError},
};
use gavel_rules::{order::Version, time::Millis};
use std::sync::Arc;
use tokio::sync::watch;

/// The limits in force; 0 means no limit where a maximum is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Sockets of one address without a token.
    pub sockets_per_ip_max: u32,
    /// Sockets of one user with a token.
    pub sockets_per_user_max: u32,
    /// Sockets in one room.
    pub sockets_per_room_max: u32,
    /// Sockets on this node.
    pub sockets_per_node_max: u32,
    /// Handshakes a second of one address.
    pub handshakes_per_ip_rate: u32,
    /// Handshakes that one address may ask for at once.
    pub handshakes_per_ip_burst: u32,
    /// Bids of one user within [`Self::bids_window`].
    pub bids_per_user_max: u32,
    /// The window of [`Self::bids_per_user_max`].
    pub bids_window: Millis,
    /// Messages a second that one session may send.
    pub messages_per_session_rate: u32,
    /// Messages that a session may send at once.
    pub messages_per_session_burst: u32,
    /// Times within [`Self::refusals_window`] that one session may exceed a limit.
    pub refusals_per_session_max: u32,
    /// The window of [`Self::refusals_per_session_max`].
    pub refusals_window: Millis,
    /// Size of one message in bytes.
    pub message_bytes_max: usize,
    /// Rooms that one session may join.
    pub rooms_per_session_max: usize,
    /// Time between two heartbeats of a socket.
    pub heartbeat_interval: Millis,
    /// How long a pong may take.
    pub pong_deadline: Millis,
    /// Messages that one batch holds at most.
    pub batch_messages_max: usize,
    /// How long a batch waits.
    pub batch_window: Millis,
    /// How long work may wait before some of it is refused.
    pub shed_target: Millis,
    /// How long all of it must have waited longer than that.
    pub shed_interval: Millis,
    /// What happens to whoever exceeds them.
    pub actions: Actions,
}

/// The documents in force on a node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The limits.
    pub limits: Limits,
    /// Their version; zero are the built-in defaults.
    pub limits_version: Version,
    /// The flags.
    pub flags: Arc<Flags>,
    /// Their version; zero is the empty document.
    pub flags_version: Version,
    /// What is being rolled out by them.
    pub trials: Trials,
    /// Who may not take part.
    pub denials: Arc<Denials>,
    /// Their version; zero is that there are none.
    pub denials_version: Version,
}

/// The node's one copy of the settings.
#[derive(Debug, Clone)]
pub struct Live {
    sender: Arc<watch::Sender<Arc<Settings>>>,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self::of(limits::defaults())
    }
}

impl TryFrom<wire::Limits> for Limits {
    type Error = LimitsError;

    fn try_from(wire: wire::Limits) -> Result<Self, LimitsError> {
        limits::check(&wire)?;
        Ok(Self::of(wire))
    }
}

impl Limits {
    fn of(wire: wire::Limits) -> Self {
        let size = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
        Self {
            sockets_per_ip_max: wire.sockets_per_ip_max,
            sockets_per_user_max: wire.sockets_per_user_max,
            sockets_per_room_max: wire.sockets_per_room_max,
            sockets_per_node_max: wire.sockets_per_node_max,
            handshakes_per_ip_rate: wire.handshakes_per_ip_rate,
            handshakes_per_ip_burst: wire.handshakes_per_ip_burst,
            bids_per_user_max: wire.bids_per_user_max,
            bids_window: Millis::new(wire.bids_window_ms),
            messages_per_session_rate: wire.messages_per_session_rate,
            messages_per_session_burst: wire.messages_per_session_burst,
            refusals_per_session_max: wire.refusals_per_session_max,
            refusals_window: Millis::new(wire.refusals_window_ms),
            message_bytes_max: size(wire.message_bytes_max),
            rooms_per_session_max: size(wire.rooms_per_session_max),
            heartbeat_interval: Millis::new(wire.heartbeat_interval_ms),
            pong_deadline: Millis::new(wire.pong_deadline_ms),
            batch_messages_max: size(wire.batch_messages_max),
            batch_window: Millis::new(wire.batch_window_ms),
            shed_target: Millis::new(wire.shed_target_ms),
            shed_interval: Millis::new(wire.shed_interval_ms),
            actions: Actions::of(&wire),
        }
    }
}

// === impl Live ===

impl Default for Live {
    fn default() -> Self {
        let settings = Settings {
            limits: Limits::default(),
            limits_version: Version::new(0),
            flags: Arc::new(Flags::empty()),
            flags_version: Version::new(0),
            trials: Trials::default(),
            denials: Arc::default(),
            denials_version: Version::new(0),
        };
        Self { sender: Arc::new(watch::Sender::new(Arc::new(settings))) }
    }
}

impl Live {
    /// The settings as of now.
    #[must_use]
    pub fn get(&self) -> Arc<Settings> {
        self.sender.borrow().clone()
    }

    /// Tells of each change from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Settings>> {
        self.sender.subscribe()
    }

    /// Puts new limits in force.
    pub fn set_limits(&self, limits: Limits, version: Version) {
        self.sender.send_modify(|settings| {
            let settings = Arc::make_mut(settings);
            settings.limits = limits;
            settings.limits_version = version;
        });
    }

    /// Puts new flags in force.
    pub fn set_flags(&self, flags: Flags, version: Version) {
        self.sender.send_modify(|settings| {
            let settings = Arc::make_mut(settings);
            settings.trials = settings.trials.next(&flags);
            settings.flags = Arc::new(flags);
            settings.flags_version = version;
        });
    }

    /// Puts new denials in force.
    pub fn set_denials(&self, denials: Denials, version: Version) {
        self.sender.send_modify(|settings| {
            let settings = Arc::make_mut(settings);
            settings.denials = Arc::new(denials);
            settings.denials_version = version;
        });
    }
}
