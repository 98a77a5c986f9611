//! How a session comes to act for somebody, and how that ends.

use super::{
    Action, Session,
    proof::{self, Over},
};
use crate::{
    auth::{Grant, Identity, TokenRefused},
    codec::json::{ClientError, ErrorCode},
    settings::Settings,
};
use gavel_rules::{id::RoomId, time::Timestamp};

// === impl Session ===

impl Session {
    /// Tells why the session is over, and closes it.
    pub(super) fn end(&self, over: Over, actions: &mut Vec<Action>) {
        self.refuse(&over.error(), actions);
        actions.push(Action::Close(over.close_code()));
    }

    /// A token was checked: that of a guest who says who they are, or a newer one.
    pub(super) fn identified(
        &mut self,
        identified: Result<Identity, TokenRefused>,
        now: Timestamp,
        settings: &Settings,
        actions: &mut Vec<Action>,
    ) {
        let refused = match identified {
            Ok(identity) if !self.proof.may_become(&identity) => {
                ClientError::new(ErrorCode::Forbidden, "the socket is another user's")
            }
            Ok(identity) => match proof::denied(&identity, None, settings, now) {
                Some(over) => over.error(),
                None => return self.sign_in(identity, now, settings, actions),
            },
            Err(refused) => ClientError::new(ErrorCode::Unauthenticated, refused.to_string()),
        };
        self.refuse(&refused, actions);
        self.refused(1, now, &settings.limits, actions);
    }

    fn sign_in(
        &mut self,
        identity: Identity,
        now: Timestamp,
        settings: &Settings,
        actions: &mut Vec<Action>,
    ) {
        self.proof.turn_into(identity, now);
        actions.push(Action::SignedIn);
        actions.push(Action::WakeAt(self.proof.next()));
        actions.push(Action::Send(self.welcome(None, &settings.limits, now)));
        self.leave_forbidden(now, settings, actions);
    }

    /// Leaves the rooms that the session may not be in any more.
    pub(super) fn leave_forbidden(
        &mut self,
        now: Timestamp,
        settings: &Settings,
        actions: &mut Vec<Action>,
    ) {
        for room in std::mem::take(&mut self.joined) {
            match self.barred(&room, Grant::View, now, settings) {
                None => self.joined.push(room),
                Some(error) => {
                    self.refuse(&error, actions);
                    actions.push(Action::Leave(room));
                }
            }
        }
    }

    /// Why the session may not do this in a room, as far as the room is not needed to know.
    pub(super) fn barred(
        &self,
        room: &RoomId,
        what: Grant,
        now: Timestamp,
        settings: &Settings,
    ) -> Option<ClientError> {
        let identity = self.identity();
        let (may, why) = match what {
            Grant::View => (identity.may_view(room), "the token does not open this room"),
            Grant::Bid => (identity.may_bid(room), "the token does not allow bids here"),
            Grant::Auctioneer => {
                (identity.may_conduct(room), "the token makes nobody an auctioneer here")
            }
        };
        let message = match self.proof.is_banned(room, now, settings) {
            true => "banned from this auction",
            false if may => return None,
            false => why,
        };
        Some(ClientError::new(ErrorCode::Forbidden, message).in_room(room))
    }
}
