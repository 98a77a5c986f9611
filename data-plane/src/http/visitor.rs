//! Who opens a socket, by what the handshake shows.

use crate::{
    auth::{GuestToken, Identity, Ticket, TicketRefused, TokenRefused},
    codec::handshake::Selection,
    node::Shell,
    session::Visitor,
};
use axum::http::Uri;
use gavel_rules::time::Millis;

/// What a careless client calls its secret in a URL.
const SECRETS: [&str; 6] = ["access_token", "auth", "bearer", "jwt", "ticket", "token"];

/// Who opens a socket, and what a guest comes back with.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) visitor: Visitor,
    pub(super) guest: Option<GuestToken>,
}

/// What is shown proves nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unproven {
    /// A token.
    #[error(transparent)]
    Token(#[from] TokenRefused),
    /// A ticket.
    #[error(transparent)]
    Ticket(#[from] TicketRefused),
}

/// Finds out who it is.
///
/// # Errors
/// [`Unproven`] if what is shown proves nobody.
pub(super) async fn identify(shell: &Shell, shown: Selection<'_>) -> Result<Arrival, Unproven> {
    let now = shell.now();
    let proven = |identity: Identity| {
        let visitor = Visitor { identity, opened_at: now, proof_due: None };
        Arrival { visitor, guest: None }
    };
    if let Some(token) = shown.bearer {
        return Ok(proven(shell.verifier.identify(token, now).await?));
    }
    if let Some(ticket) = shown.ticket {
        let ticket: Ticket = ticket.parse()?;
        return Ok(proven(ticket.redeem(&*shell.store, now).await?));
    }
    let auth = &shell.config.auth;
    if !auth.guests {
        // Nobody yet: who it is has to be said, and what a guest would be is only counted.
        let identity = GuestToken::draw().identity();
        let due = now.saturating_add(Millis::new(auth.deadline_ms));
        let visitor = Visitor { identity, opened_at: now, proof_due: Some(due) };
        return Ok(Arrival { visitor, guest: None });
    }
    let token = shown.guest.map_or_else(|| Ok(GuestToken::draw()), str::parse)?;
    Ok(Arrival { guest: Some(token), ..proven(token.identity()) })
}

// === impl Unproven ===

impl Unproven {
    /// Whether that may change by itself.
    pub(super) fn is_passing(self) -> bool {
        matches!(self, Self::Ticket(TicketRefused::Unavailable))
    }
}

/// Whether a URL seems to hold a secret.
pub(super) fn shows_secret(uri: &Uri) -> bool {
    let pairs = uri.query().unwrap_or_default().split('&');
    let mut names = pairs.filter_map(|pair| pair.split('=').next());
    names.any(|name| SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret)))
}
