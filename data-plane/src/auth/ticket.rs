//! A token's stand-in for one handshake. Whoever cannot or will not put the token
//! itself into a handshake gets a ticket for it, which is good once and not for long.
//!
//! ```text
//! POST /api/tickets, Bearer <token> -> ticket -> `ticket.<ticket>` on any node -> the token's user
//! ```
//!
//! The store keeps what the token proved, under the ticket's hash.

use super::{
    Grants, Identity, Pass,
    secret::{NotDrawn, Secret},
};
use crate::store::{RoomStore, StoreError};
use gavel_rules::time::{Millis, Timestamp};
use serde::{Deserialize, Serialize};
use std::{str::FromStr, sync::Arc};

/// How long a ticket is good.
pub const TICKET_KEPT: Millis = Millis::new(30_000);

/// Proves once what a token has proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(Secret);

/// Why a ticket proves nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketRefused {
    /// It was never issued, is used, or is too old; or its token has expired.
    #[error("the ticket is not valid here")]
    Invalid,
    /// The store does not answer. The ticket may be used now.
    #[error("tickets cannot be looked at just now")]
    Unavailable,
}

/// What the store keeps of a token.
#[derive(Serialize, Deserialize)]
struct Kept {
    user: String,
    grants: Grants,
    token_id: Option<String>,
    issued_ms: Option<u64>,
    expires_ms: u64,
}

// === impl Ticket ===

impl Ticket {
    /// A ticket for whoever has shown a token; none for a guest.
    ///
    /// # Errors
    /// [`StoreError`] if it could not be stored.
    pub async fn issue(
        identity: &Identity,
        store: &dyn RoomStore,
    ) -> Result<Option<Self>, StoreError> {
        let Some(pass) = identity.pass.as_deref() else { return Ok(None) };
        let kept = Kept {
            user: identity.user.to_string(),
            grants: pass.grants.clone(),
            token_id: pass.token_id.clone(),
            issued_ms: pass.issued_at.map(Timestamp::as_millis),
            expires_ms: pass.expires_at.as_millis(),
        };
        let json =
            serde_json::to_string(&kept).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let ticket = Self(Secret::draw());
        store.keep_ticket(&ticket.key(), &json, TICKET_KEPT).await?;
        Ok(Some(ticket))
    }

    /// Whose ticket it is; from then on it is nobody's.
    ///
    /// # Errors
    /// [`TicketRefused`] if it proves nobody, or if nobody can say.
    pub async fn redeem(
        self,
        store: &dyn RoomStore,
        now: Timestamp,
    ) -> Result<Identity, TicketRefused> {
        let taken = store.take_ticket(&self.key()).await.map_err(|_| TicketRefused::Unavailable)?;
        let kept: Kept = taken
            .and_then(|json| serde_json::from_str(&json).ok())
            .ok_or(TicketRefused::Invalid)?;
        let pass = Pass {
            grants: kept.grants,
            token_id: kept.token_id,
            issued_at: kept.issued_ms.map(Timestamp::new),
            expires_at: Timestamp::new(kept.expires_ms),
        };
        if pass.expires_at <= now {
            return Err(TicketRefused::Invalid);
        }
        let user = kept.user.parse().map_err(|_| TicketRefused::Invalid)?;
        Ok(Identity { user, pass: Some(Arc::new(pass)) })
    }

    /// The ticket as its client sends it.
    #[must_use]
    pub fn secret(self) -> String {
        self.0.text()
    }

    /// Its name in the store, which does not tell the ticket.
    fn key(self) -> String {
        self.0.hash("gavel ticket ", 32)
    }
}

impl FromStr for Ticket {
    type Err = TicketRefused;

    fn from_str(text: &str) -> Result<Self, TicketRefused> {
        text.parse().map(Self).map_err(|_: NotDrawn| TicketRefused::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    const NOW: Timestamp = Timestamp::new(1_000);

    fn anna() -> Identity {
        let pass = Pass {
            grants: serde_json::from_str(r#"{"a": ["bid"], "*": ["view"]}"#).unwrap(),
            token_id: Some("t1".to_owned()),
            issued_at: Some(Timestamp::new(500)),
            expires_at: Timestamp::new(2_000),
        };
        Identity { user: "anna".parse().unwrap(), pass: Some(Arc::new(pass)) }
    }

    #[tokio::test]
    async fn a_ticket_proves_once_all_that_its_token_did() {
        let store = MemoryStore::new();
        let ticket = Ticket::issue(&anna(), &store).await.unwrap().unwrap();
        let shown: Ticket = ticket.secret().parse().unwrap();
        assert_eq!(shown.redeem(&store, NOW).await, Ok(anna()));
        assert_eq!(shown.redeem(&store, NOW).await, Err(TicketRefused::Invalid));
    }

    #[tokio::test]
    async fn a_ticket_outlives_its_token_by_nothing() {
        let store = MemoryStore::new();
        let ticket = Ticket::issue(&anna(), &store).await.unwrap().unwrap();
        let late = ticket.redeem(&store, Timestamp::new(2_000)).await;
        assert_eq!(late, Err(TicketRefused::Invalid));
    }

    #[tokio::test]
    async fn a_guest_gets_no_ticket() {
        let guest = Identity { pass: None, ..anna() };
        assert_eq!(Ticket::issue(&guest, &MemoryStore::new()).await, Ok(None));
    }
}
