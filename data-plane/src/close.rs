//! Why a socket is closed, and what the client may do next. The table of
//! docs/protocol.md is made of this list.

macro_rules! close_codes {
    ($($variant:ident = $code:literal, $reason:literal, $when:literal, $next:literal;)+) => {
        /// A close code with its reason.
        ///
        /// The ranges tell a client what to do without knowing each code:
        /// 4000-4399 reconnect, 4400-4499 mend something first.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum CloseCode {
            $(#[doc = concat!(stringify!($code), ": ", $when, ".")] $variant,)+
        }

        impl CloseCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The number on the wire.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            /// The reason on the wire; the seed's words where the seed has them.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Self::$variant => $reason,)+
                }
            }

            /// When a socket is closed with it.
            #[must_use]
            pub const fn when(self) -> &'static str {
                match self {
                    $(Self::$variant => $when,)+
                }
            }

            /// Whether and how a client comes back.
            #[must_use]
            pub const fn next(self) -> &'static str {
                match self {
                    $(Self::$variant => $next,)+
                }
            }
        }
    };
}

close_codes! {
    Normal = 1000, "",
        "the client closed", "";
    GoingAway = 1001, "Going away",
        "the node stops", "yes, with jitter";
    Protocol = 1002, "Protocol error",
        "a frame against RFC 6455, such as an unmasked one", "no, mend the client";
    Unsupported = 1003, "Text messages only",
        "a binary message", "no, mend the client";
    Invalid = 1007, "Invalid text",
        "not UTF-8, or `bad_json` five times", "no, mend the client";
    ConnectionLimit = 1008, "Connection limit exceeded",
        "too many sockets of one address, user or room, or too many rooms", "later";
    TooBig = 1009, "Message too big",
        "over `message_bytes_max`", "no, mend the client";
    Restart = 1012, "Node restarts",
        "the node is about to stop; its rooms are elsewhere already", "yes, with jitter";
    Overloaded = 1013, "Overloaded",
        "as many sockets as the node may have, or another limit that sheds", "later, another node";
    Unauthenticated = 4401, "Token missing, expired or revoked",
        "the token has expired or was revoked, or none came in time", "with a new token";
    Forbidden = 4403, "Forbidden",
        "the user is banned, or an operator closed the socket", "no";
    TooSlow = 4408, "Too slow",
        "over 64 KiB or 256 frames wait for the client", "yes, and join again";
    MessageRate = 4429, "Too many messages",
        "`refusals_per_session_max`, or a rate that closes", "later";
}
