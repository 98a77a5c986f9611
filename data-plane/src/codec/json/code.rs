//! The words that tell a client why: closed lists, which docs/protocol.md is
//! made of.

use gavel_rules::auction::RejectReason;

macro_rules! error_codes {
    ($($variant:ident = $word:literal, $meaning:literal;)+) => {
        /// Why a message was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $(#[doc = $meaning] $variant,)+
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// What it tells a client.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)+
                }
            }
        }
    };
}

error_codes! {
    BadJson = "bad_json", "not a JSON object; the fifth on one socket closes it with 1007";
    UnknownType = "unknown_type", "no such message";
    BadField = "bad_field",
        "a field is missing or of the wrong kind; `message` begins with its name";
    BadId = "bad_id", "an `auctionId` or `bidId` that no id can be";
    BadAmount = "bad_amount", "no amount of this dialect";
    Unsupported = "unsupported",
        "`maxAmount`: maximum bids are not there yet, and no field may promise money and do nothing";
    UnknownRoom = "unknown_room", "no such auction";
    Forbidden = "forbidden",
        "the token does not grant it, the room is closed to guests, or the user is banned";
    Unauthenticated = "unauthenticated",
        "the token is not valid here, or none came; with `retryAfterMs` where that may change by itself";
    NotNow = "not_now", "an auctioneer's message that the auction's state does not allow";
    RateLimited = "rate_limited",
        "too many messages, said once, until one gets through again; too many bids, where that closes; \
         or over limits so often that the socket is closed next";
    TooManyRooms = "too_many_rooms", "the socket is in as many rooms as it may be";
    TooManySockets = "too_many_sockets",
        "the address, the user or the node has as many sockets as it may have; the socket is closed next";
    RoomFull = "room_full", "as many sockets are in the room as may be";
    Unavailable = "unavailable", "not just now; the same message may work after `retryAfterMs`";
}

/// What the reason of a `bidRejected` tells a client; none where the client is
/// told by an error instead.
#[must_use]
pub const fn meaning_of(reason: RejectReason) -> Option<&'static str> {
    Some(match reason {
        RejectReason::TooLow => "below `minimumBid`",
        RejectReason::NotOpen => "before the auction opens; `retryAfterMs` says when that is",
        RejectReason::Closed => {
            "at or after the closing time; with `retryAfterMs` where the auction opens again by itself"
        }
        RejectReason::Paused => "an operator paused the auction; nobody knows for how long",
        RejectReason::OwnBid => "the bidder holds the high bid already",
        RejectReason::InvalidAmount => "an amount that no bid can have",
        RejectReason::Seller => "the seller may not bid",
        RejectReason::TooManyBids => "the round has as many bids as it may have",
        RejectReason::RateLimited => {
            "over the user's bid limit; `retryAfterMs` says when to come again"
        }
        RejectReason::Forbidden => "guests may not bid here",
        RejectReason::UnknownRoom | RejectReason::Unavailable => return None,
    })
}
