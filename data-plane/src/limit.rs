//! Which limits may be exceeded, and what happens to whoever does.

use crate::close::CloseCode;
use gavel_proto::{
    config::v1::{self as wire, LimitAction},
    limits::ActionOf,
};
use gavel_rules::time::Millis;

/// When to ask again for a place that somebody else has to give back.
pub(crate) const PLACE_RETRY: Millis = Millis::new(5_000);

macro_rules! closed {
    ($(#[$doc:meta])* $name:ident { $(#[doc = $meaning:literal] $variant:ident = $word:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = $meaning] $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its word in settings and metrics.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// What it means.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning.trim_ascii(),)+
                }
            }
        }
    };
}

closed! {
    /// A limit that was exceeded.
    Exceeded {
        /// Sockets of one address.
        SocketsPerIp = "sockets_per_ip";
        /// Sockets of one user.
        SocketsPerUser = "sockets_per_user";
        /// Sockets in one room.
        SocketsPerRoom = "sockets_per_room";
        /// Sockets of the node.
        SocketsPerNode = "sockets_per_node";
        /// Handshakes of one address.
        HandshakesPerIp = "handshakes_per_ip";
        /// Bids of one user.
        BidsPerUser = "bids_per_user";
        /// Messages of one socket.
        MessagesPerSession = "messages_per_session";
        /// Rooms of one socket.
        RoomsPerSession = "rooms_per_session";
    }
}

closed! {
    /// What happens then.
    Action {
        /// What was asked for is refused.
        Refuse = "refuse";
        /// The socket is closed.
        Close = "close";
        /// The socket is sent away as for load.
        Shed = "shed";
        /// Nothing.
        DryRun = "dry_run";
    }
}

/// What happens at each limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actions([Action; Exceeded::ALL.len()]);

// === impl Action ===

impl Action {
    /// What a socket is closed with; none where it stays open. Who holds too much, and who asks
    /// too often, broke different rules.
    #[must_use]
    pub const fn close_code(self, exceeded: Exceeded) -> Option<CloseCode> {
        match (self, exceeded) {
            (Self::Refuse | Self::DryRun, _) => None,
            (Self::Shed, _) => Some(CloseCode::Overloaded),
            (
                Self::Close,
                Exceeded::HandshakesPerIp | Exceeded::BidsPerUser | Exceeded::MessagesPerSession,
            ) => Some(CloseCode::MessageRate),
            (
                Self::Close,
                Exceeded::SocketsPerIp
                | Exceeded::SocketsPerUser
                | Exceeded::SocketsPerRoom
                | Exceeded::SocketsPerNode
                | Exceeded::RoomsPerSession,
            ) => Some(CloseCode::ConnectionLimit),
        }
    }
}

// === impl Actions ===

impl Actions {
    /// What a document chooses.
    #[must_use]
    pub fn of(limits: &wire::Limits) -> Self {
        let mut actions = [Action::Refuse; Exceeded::ALL.len()];
        for (exceeded, action) in Exceeded::ALL.iter().zip(&mut actions) {
            let choice = ActionOf::named(&format!("{}_action", exceeded.word()));
            *action = match choice.map(|choice| choice.get(limits)) {
                Some(LimitAction::Close) => Action::Close,
                Some(LimitAction::Shed) => Action::Shed,
                Some(LimitAction::DryRun) => Action::DryRun,
                Some(LimitAction::Refuse | LimitAction::Unspecified) | None => Action::Refuse,
            };
        }
        Self(actions)
    }

    /// What happens at this limit.
    #[must_use]
    pub fn at(&self, exceeded: Exceeded) -> Action {
        self.0.get(exceeded as usize).copied().unwrap_or(Action::Refuse)
    }

    /// The same with something else at one limit.
    #[must_use]
    pub fn with(mut self, exceeded: Exceeded, action: Action) -> Self {
        if let Some(at) = self.0.get_mut(exceeded as usize) {
            *at = action;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_proto::limits::{ACTIONS, defaults, word};

    #[test]
    fn each_choice_is_that_of_its_limit() {
        let named: Vec<_> =
            Exceeded::ALL.iter().map(|one| format!("{}_action", one.word())).collect();
        assert_eq!(named.len(), ACTIONS.len());
        for choice in ACTIONS {
            let at = named.iter().position(|name| name == choice.name).expect(choice.name);
            let usual = Actions::of(&defaults()).at(Exceeded::ALL[at]);
            assert_eq!(usual.word(), word(choice.default), "{}", choice.name);
        }
        let dry_run = LimitAction::DryRun.into();
        let changed = wire::Limits { rooms_per_session_action: dry_run, ..defaults() };
        let usual = Actions::of(&defaults());
        assert_eq!(Actions::of(&changed), usual.with(Exceeded::RoomsPerSession, Action::DryRun));
    }
}
