//! The closed label sets: nothing a user typed becomes a label.

use gavel_rules::RejectReason;

use crate::limit::{Action, Exceeded};
use crate::store::StoreError;

/// A closed set of label values.
pub trait Labels: Copy + Send + Sync + 'static {
    /// Every value, in order of [`Labels::index`].
    const ALL: &'static [Self];

    /// The position in [`Labels::ALL`].
    fn index(self) -> usize;

    /// Label names and values.
    fn pairs(self) -> &'static [(&'static str, &'static str)];

    /// What was counted.
    fn meaning(self) -> &'static str;
}

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident {
        $(#[doc = $meaning:literal] $variant:ident: $($key:ident = $value:literal),+;)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = $meaning] $variant,)+
        }

        impl Labels for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn index(self) -> usize {
                self as usize
            }

            fn pairs(self) -> &'static [(&'static str, &'static str)] {
                match self {
                    $(Self::$variant => &[$((stringify!($key), $value)),+],)+
                }
            }

            fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning.trim_ascii(),)+
                }
            }
        }
    };
}

labels! {
    /// What became of an upgrade request.
    Opened {
        /// A session began.
        Accepted: result = "accepted";
        /// No WebSocket handshake.
        BadHandshake: result = "bad_handshake";
        /// A bad or missing token.
        Unauthenticated: result = "unauthenticated";
        /// A page of an origin that may not use the node.
        Forbidden: result = "forbidden";
        /// Too many sockets or handshakes of one address or user.
        Limited: result = "limited";
        /// The node is full.
        Shed: result = "shed";
        /// The node stops or drains.
        Draining: result = "draining";
    }
}

labels! {
    /// How a socket ended.
    Closed {
        /// The client wanted it.
        Normal: code = "normal";
        /// The node stopped, drained or restarted.
        GoingAway: code = "going_away";
        /// The client broke the protocol.
        Protocol: code = "protocol";
        /// Too many sockets of one address, user or room, or too many rooms.
        Policy: code = "policy";
        /// The node was full, or another limit sheds.
        Overloaded: code = "overloaded";
        /// The token expired or was missing.
        Unauthenticated: code = "unauthenticated";
        /// The client read too slowly.
        Slow: code = "slow";
        /// The client said too much.
        Rate: code = "rate";
        /// No close frame: the transport ended or the heartbeat was not answered.
        Lost: code = "lost";
        /// Any other code.
        Other: code = "other";
    }
}

labels! {
    /// How a bid was answered.
    BidOutcome {
        /// Accepted, now or before: a retry gets the same answer.
        Accepted: outcome = "accepted";
        /// Rejected: below the minimum.
        TooLow: outcome = "too_low";
        /// Rejected: at or after the close.
        Closed: outcome = "closed";
        /// Rejected: the auction is paused.
        Paused: outcome = "paused";
        /// Rejected: before the opening.
        NotOpen: outcome = "not_open";
        /// Rejected: the bidder holds the high bid already.
        OwnBid: outcome = "own_bid";
        /// Rejected: an amount that no bid can have.
        InvalidAmount: outcome = "invalid_amount";
        /// Rejected: the seller may not bid.
        Seller: outcome = "seller";
        /// Rejected: the round has as many bids as it may have.
        TooManyBids: outcome = "too_many_bids";
        /// Rejected: over the limit of bids of a user.
        RateLimited: outcome = "rate_limited";
        /// Rejected: guests may not bid there.
        Forbidden: outcome = "forbidden";
        /// Not decided: there is no such auction.
        UnknownRoom: outcome = "unknown_room";
        /// Not decided: the auction could not decide in time.
        Unavailable: outcome = "unavailable";
    }
}

labels! {
    /// What became of a token of a user.
    TokenOutcome {
        /// It proves who its user is.
        Ok: outcome = "ok";
        /// Refused: no token, too long, or with what nobody here understands.
        Malformed: outcome = "malformed";
        /// Refused: signed with a key that is not there.
        Key: outcome = "key";
        /// Refused: another algorithm than that of its key.
        Algorithm: outcome = "algorithm";
        /// Refused: not signed with its key.
        Signature: outcome = "signature";
        /// Refused: its time is over.
        Expired: outcome = "expired";
        /// Refused: its time has not come.
        Early: outcome = "early";
        /// Refused: it does not say what a token must say.
        Claims: outcome = "claims";
    }
}

labels! {
    /// Why the store gave no answer.
    StoreFailure {
        /// Whether it happened is not known.
        Unknown: kind = "unknown";
        /// It did not happen; later it may.
        Unavailable: kind = "unavailable";
        /// What is stored cannot be read.
        Corrupt: kind = "corrupt";
    }
}

labels! {
    /// What the circuit breakers to what a node depends on let through.
    Breaker {
        /// To a server of the store: every call.
        StoreClosed: dependency = "store", state = "closed";
        /// To a server of the store: no call.
        StoreOpen: dependency = "store", state = "open";
        /// To a server of the store: no call, and one tries to connect.
        StoreHalfOpen: dependency = "store", state = "half_open";
        /// To a node that owns rooms with sockets here: every bid.
        RelayClosed: dependency = "relay", state = "closed";
        /// To such a node: none, its rooms are decided here.
        RelayOpen: dependency = "relay", state = "open";
        /// To the leader of the control plane: every report.
        ControlClosed: dependency = "control", state = "closed";
        /// To the leader: none, this node goes by what it knows.
        ControlOpen: dependency = "control", state = "open";
    }
}

labels! {
    /// What is refused because of load.
    Shed {
        /// Pages of the node and of rooms: `/api/websocket/metrics` and `/api/rooms`.
        Pages: what = "pages";
        /// Sockets, before they are opened.
        Sockets: what = "sockets";
        /// Sockets that enter a room.
        Joins: what = "joins";
        /// Bids that waited for too long.
        Bids: what = "bids";
    }
}

/// A limit that was exceeded, and what happened then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hit {
    /// The limit.
    pub limit: Exceeded,
    /// What happened.
    pub action: Action,
}

const HITS_LEN: usize = Exceeded::ALL.len() * Action::ALL.len();

#[expect(clippy::indexing_slicing, reason = "an index out of bounds would not compile")]
const HITS: [Hit; HITS_LEN] = {
    let mut hits = [Hit { limit: Exceeded::SocketsPerIp, action: Action::Refuse }; HITS_LEN];
    let mut n = 0;
    while n < hits.len() {
        let limit = Exceeded::ALL[n / Action::ALL.len()];
        hits[n] = Hit { limit, action: Action::ALL[n % Action::ALL.len()] };
        n += 1;
    }
    hits
};

#[expect(clippy::indexing_slicing, reason = "an index out of bounds would not compile")]
const HIT_PAIRS: [[(&str, &str); 2]; HITS_LEN] = {
    let mut pairs = [[("", ""); 2]; HITS_LEN];
    let mut n = 0;
    while n < HITS.len() {
        pairs[n] = [("limit", HITS[n].limit.word()), ("action", HITS[n].action.word())];
        n += 1;
    }
    pairs
};

impl Labels for Hit {
    const ALL: &'static [Self] = &HITS;

    fn index(self) -> usize {
        self.limit as usize * Action::ALL.len() + self.action as usize
    }

    fn pairs(self) -> &'static [(&'static str, &'static str)] {
        HIT_PAIRS.get(self.index()).map_or(&[], |pairs| pairs)
    }

    fn meaning(self) -> &'static str {
        self.limit.meaning()
    }
}

/// Every label with each of its values and what was counted under it.
pub fn values() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    fn of<L: Labels>() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        let meant = L::ALL.iter().map(|one| (one.pairs(), one.meaning()));
        meant.flat_map(|(pairs, meaning)| {
            pairs.iter().map(move |(key, value)| (*key, *value, meaning))
        })
    }
    let limits = Exceeded::ALL.iter().map(|limit| ("limit", limit.word(), limit.meaning()));
    let actions = Action::ALL.iter().map(|action| ("action", action.word(), action.meaning()));
    let of_events = of::<Opened>().chain(of::<Closed>()).chain(of::<BidOutcome>());
    let of_events = of_events.chain(of::<TokenOutcome>()).chain(of::<Shed>());
    let of_others = of::<StoreFailure>().chain(of::<Breaker>()).chain(limits).chain(actions);
    of_events.chain(of_others)
}

impl Shed {
    /// Its word in metrics and logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.pairs().first().map_or("", |(_, word)| word)
    }
}

impl Closed {
    /// The kind of a close code; `None` for a socket that ended without one.
    #[must_use]
    pub const fn of(code: Option<u16>) -> Self {
        match code {
            Some(1000) => Self::Normal,
            Some(1001 | 1012) => Self::GoingAway,
            Some(1002 | 1003 | 1007 | 1009) => Self::Protocol,
            Some(1008) => Self::Policy,
            Some(1013) => Self::Overloaded,
            Some(4401 | 4403) => Self::Unauthenticated,
            Some(4408) => Self::Slow,
            Some(4429) => Self::Rate,
            Some(1005 | 1006) | None => Self::Lost,
            Some(_) => Self::Other,
        }
    }
}

impl From<RejectReason> for BidOutcome {
    fn from(reason: RejectReason) -> Self {
        match reason {
            RejectReason::TooLow => Self::TooLow,
            RejectReason::Closed => Self::Closed,
            RejectReason::Paused => Self::Paused,
            RejectReason::NotOpen => Self::NotOpen,
            RejectReason::OwnBid => Self::OwnBid,
            RejectReason::InvalidAmount => Self::InvalidAmount,
            RejectReason::Seller => Self::Seller,
            RejectReason::TooManyBids => Self::TooManyBids,
            RejectReason::RateLimited => Self::RateLimited,
            RejectReason::Forbidden => Self::Forbidden,
            RejectReason::UnknownRoom => Self::UnknownRoom,
            RejectReason::Unavailable => Self::Unavailable,
        }
    }
}

impl From<&StoreError> for StoreFailure {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Unknown => Self::Unknown,
            StoreError::Unavailable => Self::Unavailable,
            StoreError::Corrupt(_) => Self::Corrupt,
        }
    }
}
