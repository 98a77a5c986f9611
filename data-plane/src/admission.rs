//! Who may open a socket: how often an address may ask, how many sockets the
//! node has, and how many an address or a user has in the whole cluster.

use crate::{
    address::customer,
    auth::Identity,
    codec::json::{ClientError, ErrorCode},
    limit::{Action, Exceeded, PLACE_RETRY},
    node::Shell,
    places::{Bound, Outcome, Place},
    settings::Limits,
    store::Counted,
};
use gavel_rules::time::Millis;
use parking_lot::Mutex;
use std::{
    fmt::Display,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

mod handshakes;

use handshakes::Handshakes;

/// What one node counts by itself.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    sockets: Arc<AtomicU32>,
    handshakes: Mutex<Handshakes>,
}

/// An admitted socket's part of the node; dropping it gives that back.
#[derive(Debug)]
pub(crate) struct NodePlace {
    sockets: Arc<AtomicU32>,
}

/// Who was not admitted, and what happens to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TurnedAway {
    /// What they exceeded.
    pub exceeded: Exceeded,
    /// What happens then.
    pub action: Action,
    /// When they may ask again.
    pub retry_after: Millis,
}

// === impl Admission ===

impl Admission {
    /// Lets an address ask for a socket.
    ///
    /// # Errors
    /// [`TurnedAway`] if it asks too often.
    pub(crate) fn ask(&self, shell: &Shell, address: IpAddr) -> Result<(), TurnedAway> {
        let limits = &shell.live.get().limits;
        let address = customer(address);
        let taken = self.handshakes.lock().take(address, limits, shell.now());
        match taken {
            Ok(()) => Ok(()),
            Err(retry_after) => {
                shell.turn_away(limits, Exceeded::HandshakesPerIp, &address, retry_after)
            }
        }
    }

    /// Takes a place on the node, and one of the address or the user in the cluster.
    ///
    /// # Errors
    /// [`TurnedAway`] if a limit is reached.
    pub(crate) async fn admit(
        &self,
        shell: &Shell,
        address: IpAddr,
        identity: &Identity,
    ) -> Result<(NodePlace, Place), TurnedAway> {
        let settings = shell.live.get();
        let node = self.take(settings.limits.sockets_per_node_max);
        let node = match node {
            Ok(node) => node,
            Err(node) => {
                let exceeded = Exceeded::SocketsPerNode;
                shell.turn_away(&settings.limits, exceeded, &shell.id, PLACE_RETRY)?;
                node
            }
        };
        // Many signed-in users may share one address.
        let counted = if identity.is_guest() {
            Counted::Address(customer(address))
        } else {
            Counted::User(identity.user.clone())
        };
        let place = shell.take_place(&settings.limits, counted).await?;
        Ok((node, place))
    }

    /// Open sockets.
    #[must_use]
    pub(crate) fn sockets(&self) -> u32 {
        self.sockets.load(Ordering::Relaxed)
    }

    /// Takes a place, which is an error beyond `max`.
    fn take(&self, max: u32) -> Result<NodePlace, NodePlace> {
        let before = self.sockets.fetch_add(1, Ordering::Relaxed);
        let place = NodePlace { sockets: Arc::clone(&self.sockets) };
        if max > 0 && before >= max { Err(place) } else { Ok(place) }
    }
}

impl Drop for NodePlace {
    fn drop(&mut self) {
        self.sockets.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Shell ===

impl Shell {
    /// Takes a place that is counted over the whole cluster.
    ///
    /// # Errors
    /// [`TurnedAway`] if there is none.
    pub(crate) async fn take_place(
        &self,
        limits: &Limits,
        counted: Counted,
    ) -> Result<Place, TurnedAway> {
        let (exceeded, max) = match counted {
            Counted::Address(_) => (Exceeded::SocketsPerIp, limits.sockets_per_ip_max),
            Counted::User(_) => (Exceeded::SocketsPerUser, limits.sockets_per_user_max),
            Counted::Room(_) => (Exceeded::SocketsPerRoom, limits.sockets_per_room_max),
        };
        if max == 0 {
            return Ok(self.places.take_any(counted));
        }
        let dry_run = limits.actions.at(exceeded) == Action::DryRun;
        let refused = match self.places.take(counted.clone(), Bound { max, dry_run }).await {
            Outcome::Within(place) => return Ok(place),
            Outcome::Beyond(place) => place,
        };
        self.turn_away(limits, exceeded, &counted, PLACE_RETRY)?;
        // It is only tried, so there is a place.
        let none = TurnedAway { exceeded, action: Action::Refuse, retry_after: PLACE_RETRY };
        refused.ok_or(none)
    }

    /// Counts that somebody exceeds a limit.
    ///
    /// # Errors
    /// What happens to them, unless the limit is only tried.
    pub(crate) fn turn_away(
        &self,
        limits: &Limits,
        exceeded: Exceeded,
        whom: &dyn Display,
        retry_after: Millis,
    ) -> Result<(), TurnedAway> {
        let action = limits.actions.at(exceeded);
        self.metrics.exceeded(exceeded, action);
        if action == Action::DryRun {
            tracing::info!(limit = exceeded.word(), %whom, "a limit that is only tried is exceeded");
            return Ok(());
        }
        Err(TurnedAway { exceeded, action, retry_after })
    }
}

// === impl TurnedAway ===

impl TurnedAway {
    /// What a client is told.
    pub(crate) fn error(&self) -> ClientError {
        let (code, message) = match self.exceeded {
            Exceeded::SocketsPerIp => {
                (ErrorCode::TooManySockets, "too many sockets of one address")
            }
            Exceeded::SocketsPerUser => (ErrorCode::TooManySockets, "too many sockets of one user"),
            Exceeded::SocketsPerNode => (ErrorCode::TooManySockets, "the node is full"),
            Exceeded::SocketsPerRoom => (ErrorCode::RoomFull, "the room is full"),
            Exceeded::HandshakesPerIp => (ErrorCode::RateLimited, "too many handshakes"),
            Exceeded::BidsPerUser => (ErrorCode::RateLimited, "too many bids"),
            Exceeded::MessagesPerSession => (ErrorCode::RateLimited, "too many messages"),
            Exceeded::RoomsPerSession => (ErrorCode::TooManyRooms, "too many rooms"),
        };
        ClientError::new(code, message).retry_after(self.retry_after.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_on_the_node_is_given_back_when_dropped() {
        let admission = Admission::default();
        let first = admission.take(1).expect("first");
        assert!(admission.take(1).is_err());
        assert!(admission.take(0).is_ok());
        drop(first);
        assert!(admission.take(1).is_ok());
        assert_eq!(admission.sockets(), 0);
    }
}
