//! Why a socket is closed, and what the client may do next.

/// A close code with its reason.
///
/// The ranges tell a client what to do without knowing each code: 4000-4399
/// reconnect, 4400-4499 mend something first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 1000: the client asked for it.
    Normal,
    /// 1001: the node stops.
    GoingAway,
    /// 1002: the peer broke the WebSocket protocol.
    Protocol,
    /// 1003: a binary message in a text dialect.
    Unsupported,
    /// 1007: text that is not UTF-8, or bad JSON again and again.
    Invalid,
    /// 1008: too many sockets of one address.
    ConnectionLimit,
    /// 1009: a message over the limit.
    TooBig,
    /// 1012: the node drains.
    Restart,
    /// 1013: the node holds as many sockets as it may.
    Overloaded,
    /// 4401: the token expired.
    Unauthenticated,
    /// 4408: the client reads too slowly; it may resume.
    TooSlow,
    /// 4429: too many messages, again and again.
    MessageRate,
}

// === impl CloseCode ===

impl CloseCode {
    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::Protocol => 1002,
            Self::Unsupported => 1003,
            Self::Invalid => 1007,
            Self::ConnectionLimit => 1008,
            Self::TooBig => 1009,
            Self::Restart => 1012,
            Self::Overloaded => 1013,
            Self::Unauthenticated => 4401,
            Self::TooSlow => 4408,
            Self::MessageRate => 4429,
        }
    }

    /// The reason on the wire; the seed's words where the seed has them.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::GoingAway => "Going away",
            Self::Protocol => "Protocol error",
            Self::Unsupported => "Text messages only",
            Self::Invalid => "Invalid text",
            Self::ConnectionLimit => "Connection limit exceeded",
            Self::TooBig => "Message too big",
            Self::Restart => "Node restarts",
            Self::Overloaded => "Node is full",
            Self::Unauthenticated => "Token expired",
            Self::TooSlow => "Too slow",
            Self::MessageRate => "Too many messages",
        }
    }
}
