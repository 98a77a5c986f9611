//! What a circuit breaker lets through. Every connection that is made anew by
//! itself is one: while it stands calls go through, once it is lost they fail
//! at once, and from time to time one caller tries to connect.
//!
//! ```text
//!            the connection breaks, or answers fail to come
//!   Closed ───────────────────────────▶ Open
//!     ▲                                  │ the time to try again has come
//!     │ it connects                      ▼
//!     └──────────────────────────── HalfOpen ──▶ Open (it does not)
//! ```

/// The state of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Every call goes through.
    Closed,
    /// No call does.
    Open,
    /// No call does, but somebody tries whether one would.
    HalfOpen,
}
