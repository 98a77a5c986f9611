//! The flags that Gavel itself goes by, each declared here and nowhere else:
//! both planes, the document of a new cluster and docs/configuration.md go by
//! these declarations. A document may hold any other flags beside them, for
//! whoever asks over OpenFeature.

use serde_json::{Map, Value as Json, json};

use crate::error::{At, FlagError};
use crate::{Context, Flags, Subject, Value};

/// A flag with a type.
#[derive(Debug)]
pub struct Flag<T: 'static> {
    /// What is told of it.
    pub declaration: Declaration,
    /// What it is where the document gives no answer.
    default: T,
}

/// What is told of a flag.
#[derive(Debug)]
pub struct Declaration {
    /// Its key in the document.
    pub key: &'static str,
    /// Whom it is asked for.
    pub asked_for: AskedFor,
    /// What its variants may be.
    pub values: Values,
    /// What it decides.
    pub meaning: &'static str,
}

/// What the variants of a flag may be.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// On or off; the default is on or off.
    Switch(bool),
    /// A whole number within bounds; without an answer the limit of this name
    /// counts, which is `usual` in a new cluster.
    Limit {
        /// The limit's name.
        name: &'static str,
        /// The least that is taken.
        least: i64,
        /// The most that is taken.
        most: i64,
        /// The limit's default.
        usual: i64,
    },
    /// A share, from 0 to 1; the default is 1.
    Share,
    /// One of these words, of which the first is the default.
    Words(&'static [&'static str]),
}

/// Whom a flag is asked for, which says what its rules may look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedFor {
    /// One socket; percentages are drawn by its user.
    Session,
    /// One socket in one room; percentages are drawn by its user.
    Seat,
    /// One room on one node; percentages are drawn by the room.
    Room,
}

/// Those that an answer is for, as far as they are known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Whom<'a> {
    /// The user.
    pub user: &'a str,
    /// The room.
    pub room: &'a str,
    /// The session.
    pub session: &'a str,
    /// The node.
    pub node: &'a str,
}

/// How a late bid moves the close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoftClose {
    /// By what the auction was created with.
    AsCreated,
    /// The close moves on.
    Add,
    /// The close is counted from the bid.
    ResetTo,
}

/// The attributes that rules may look at, and what each holds.
pub const ATTRIBUTES: [(&str, &str); 4] = [
    (USER, "the user"),
    (ROOM, "the auction"),
    (SESSION, "the socket's session"),
    (NODE, "the node"),
];

const USER: &str = Subject::User.attribute();
const ROOM: &str = Subject::Room.attribute();
const SESSION: &str = Subject::Session.attribute();
const NODE: &str = Subject::Node.attribute();

/// See its meaning.
pub static BATCHING: Flag<bool> = Flag {
    declaration: Declaration {
        key: "batching",
        asked_for: AskedFor::Seat,
        values: Values::Switch(true),
        meaning: "On: updates wait up to the batching window or for `batch_messages_max` of them; \
                  several come as a `batch`. Off: each update is sent at once.",
    },
    default: true,
};

/// See its meaning.
pub static CHANGED_FIELDS: Flag<bool> = Flag {
    declaration: Declaration {
        key: "changed-fields",
        asked_for: AskedFor::Seat,
        values: Values::Switch(true),
        meaning: "On: an `auctionUpdate` holds what changed. Off: it holds all of its fields.",
    },
    default: true,
};

/// See its meaning.
pub static STEERING: Flag<bool> = Flag {
    declaration: Declaration {
        key: "steering",
        asked_for: AskedFor::Seat,
        values: Values::Switch(false),
        meaning: "On: who joins an auction that another node owns is told that node's `http.public_url` \
                  as `suggested`, and may go there with its next socket. Off: nobody is told.",
    },
    default: false,
};

/// See its meaning.
pub static HEARTBEAT_INTERVAL: Flag<Option<u64>> = Flag {
    declaration: Declaration {
        key: "heartbeat-interval",
        asked_for: AskedFor::Session,
        values: Values::Limit {
            name: "heartbeat_interval_ms",
            least: 1_000,
            most: 300_000,
            usual: 30_000,
        },
        meaning: "Milliseconds between two pings of a socket. The user is the one that the socket \
                  was opened for.",
    },
    default: None,
};

/// See its meaning.
pub static BATCH_WINDOW: Flag<Option<u64>> = Flag {
    declaration: Declaration {
        key: "batch-window",
        asked_for: AskedFor::Room,
        values: Values::Limit { name: "batch_window_ms", least: 0, most: 1_000, usual: 100 },
        meaning: "Milliseconds that updates wait for a batch; 0 sends each at once.",
    },
    default: None,
};

/// See its meaning.
pub static DEGRADED_PATH: Flag<bool> = Flag {
    declaration: Declaration {
        key: "degraded-path",
        asked_for: AskedFor::Room,
        values: Values::Switch(true),
        meaning: "On: a node that cannot reach an auction's owner decides its bids in the owner's \
                  place. Off: it answers them with `unavailable` until the owner is back or another \
                  one is named.",
    },
    default: true,
};

/// See its meaning.
pub static ROOM_TRACE_SAMPLING: Flag<f64> = Flag {
    declaration: Declaration {
        key: "room-trace-sampling",
        asked_for: AskedFor::Room,
        values: Values::Share,
        meaning: "The share of bids without a `tp` of their client that may begin a trace. The \
                  others count as parts of traces that are not sampled; an `OTEL_TRACES_SAMPLER` \
                  that asks for no parent, such as `always_on`, does not heed that.",
    },
    default: 1.0,
};

/// See its meaning.
pub static SOFT_CLOSE: Flag<SoftClose> = Flag {
    declaration: Declaration {
        key: "soft-close",
        asked_for: AskedFor::Room,
        values: Values::Words(&["as-created", "add", "reset_to"]),
        meaning: "How a late bid moves the close of an auction that has extensions: by what it was \
                  created with, on from the close, or counted from the bid. Pinned when bidding opens.",
    },
    default: SoftClose::AsCreated,
};

/// All of them.
pub static ALL: [&Declaration; 8] = [
    &BATCHING.declaration,
    &CHANGED_FIELDS.declaration,
    &BATCH_WINDOW.declaration,
    &HEARTBEAT_INTERVAL.declaration,
    &STEERING.declaration,
    &DEGRADED_PATH.declaration,
    &ROOM_TRACE_SAMPLING.declaration,
    &SOFT_CLOSE.declaration,
];

/// Loads a document as [`Flags::parse`] does, and refuses it as well where it
/// gives one of Gavel's own flags what that cannot be.
pub fn load(document: &str) -> Result<Flags, FlagError> {
    let flags = Flags::parse(document)?;
    let root = At::root().key("flags");
    for declaration in ALL {
        let Some(definition) = flags.definition(declaration.key) else { continue };
        let at = root.key(declaration.key);
        for (name, value) in &definition.variants {
            if !declaration.values.take(value) {
                return Err(at.key("variants").key(name).fault(declaration.values.to_string()));
            }
        }
        // Answers are kept until the document changes.
        if definition.rules.as_ref().is_some_and(|rules| rules.read_the_time()) {
            return Err(at.key("targeting").fault("rules of this flag may not look at the time"));
        }
    }
    Ok(flags)
}

/// The document of a new cluster: it changes nothing, and holds every flag for
/// whoever wants to edit one.
pub fn default_document() -> String {
    let flag = |declaration: &&Declaration| {
        let (state, default, variants) = declaration.values.in_new_cluster();
        let flag = json!({"state": state, "variants": variants, "defaultVariant": default});
        (declaration.key.to_owned(), flag)
    };
    let flags: Map<String, Json> = ALL.iter().map(flag).collect();
    format!("{:#}\n", json!({"flags": flags}))
}

// === impl Flag ===

impl<T: Answer> Flag<T> {
    /// What the document says, or the default.
    pub fn answer(&self, flags: &Flags, whom: Whom<'_>) -> T {
        // Most documents are silent on most flags: no context is made for those.
        if !flags.answers(self.declaration.key) {
            return self.default;
        }
        let context = self.declaration.asked_for.context(whom);
        flags.value(self.declaration.key, &context).and_then(T::of).unwrap_or(self.default)
    }
}

/// What a flag may answer.
pub trait Answer: Copy {
    /// The answer of a variant; none if it is of another type.
    fn of(value: &Value) -> Option<Self>;
}

impl Answer for bool {
    fn of(value: &Value) -> Option<Self> {
        if let Value::Bool(value) = value { Some(*value) } else { None }
    }
}

impl Answer for Option<u64> {
    fn of(value: &Value) -> Option<Self> {
        if let Value::Int(value) = value { Some(u64::try_from(*value).ok()) } else { None }
    }
}

impl Answer for f64 {
    fn of(value: &Value) -> Option<Self> {
        value.to_json().as_f64()
    }
}

impl Answer for SoftClose {
    fn of(value: &Value) -> Option<Self> {
        let Value::String(word) = value else { return None };
        match word.as_str() {
            "as-created" => Some(Self::AsCreated),
            "add" => Some(Self::Add),
            "reset_to" => Some(Self::ResetTo),
            _ => None,
        }
    }
}

// === impl Declaration ===

impl Declaration {
    /// The context in which nodes ask for this flag, of whatever is known.
    pub fn context_of(&self, known: &Context) -> Context {
        let text =
            |name: &str| known.attributes.get(name).and_then(Json::as_str).unwrap_or_default();
        let (user, room, session, node) = (text(USER), text(ROOM), text(SESSION), text(NODE));
        self.asked_for.context(Whom { user, room, session, node })
    }

    /// The one with this key.
    pub fn named(key: &str) -> Option<&'static Self> {
        ALL.into_iter().find(|declaration| declaration.key == key)
    }
}

// === impl Values ===

impl Values {
    /// Whether a variant may have this value.
    fn take(&self, value: &Value) -> bool {
        match self {
            Self::Switch(_) => matches!(value, Value::Bool(_)),
            Self::Limit { least, most, .. } => {
                matches!(value, Value::Int(value) if (least..=most).contains(&value))
            }
            Self::Share => f64::of(value).is_some_and(|share| (0.0..=1.0).contains(&share)),
            Self::Words(words) => {
                matches!(value, Value::String(word) if words.contains(&word.as_str()))
            }
        }
    }

    /// State, default variant and variants in the document of a new cluster.
    fn in_new_cluster(&self) -> (&'static str, &'static str, Json) {
        match self {
            Self::Switch(default) => {
                ("ENABLED", if *default { "on" } else { "off" }, json!({"on": true, "off": false}))
            }
            // Disabled, so that the limit counts until somebody enables it.
            Self::Limit { usual, .. } => ("DISABLED", "usual", json!({"usual": usual})),
            Self::Share => ("ENABLED", "all", json!({"all": 1, "none": 0})),
            Self::Words(words) => {
                let variants: Map<String, Json> =
                    words.iter().map(|word| ((*word).to_owned(), json!(word))).collect();
                ("ENABLED", words.first().copied().unwrap_or_default(), variants.into())
            }
        }
    }
}

impl std::fmt::Display for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Switch(_) => f.write_str("must be true or false"),
            Self::Limit { least, most, .. } => {
                write!(f, "must be a whole number from {least} to {most}")
            }
            Self::Share => f.write_str("must be a number from 0 to 1"),
            Self::Words(words) => write!(f, "must be one of {}", words.join(", ")),
        }
    }
}

// === impl AskedFor ===

impl AskedFor {
    /// What rules of such a flag may look at.
    pub fn attributes(self) -> &'static [&'static str] {
        match self {
            Self::Session => &[USER, SESSION, NODE],
            Self::Seat => &[USER, ROOM, SESSION, NODE],
            Self::Room => &[ROOM, NODE],
        }
    }

    /// The attribute that percentages are drawn by.
    pub fn drawn_by(self) -> &'static str {
        match self {
            Self::Session | Self::Seat => USER,
            Self::Room => ROOM,
        }
    }

    /// The context in which nodes ask for such a flag.
    pub fn context(self, whom: Whom<'_>) -> Context {
        let context = Context::new(whom.value(self.drawn_by()));
        let names = self.attributes().iter();
        names.fold(context, |context, name| context.with(*name, whom.value(name)))
    }
}

// === impl Whom ===

impl Whom<'_> {
    /// The context of all that is known, for a flag that may be anybody's.
    pub fn context(self) -> Context {
        let names = ATTRIBUTES.iter().filter(|(name, _)| !self.value(name).is_empty());
        let context = Context::new(self.user);
        names.fold(context, |context, (name, _)| context.with(*name, self.value(name)))
    }

    fn value(&self, attribute: &str) -> &str {
        match attribute {
            USER => self.user,
            ROOM => self.room,
            SESSION => self.session,
            _ => self.node,
        }
    }
}
