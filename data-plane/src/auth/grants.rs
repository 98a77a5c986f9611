//! What a token lets its user do.

use gavel_rules::id::RoomId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{collections::BTreeMap, fmt, ops::BitOr};

/// Rooms that a token may name; one with more is refused.
pub const ROOMS_PER_TOKEN_MAX: usize = 256;

/// What stands for every room.
const EVERYWHERE: &str = "*";

/// What the user may do where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    everywhere: Rights,
    by_room: BTreeMap<RoomId, Rights>,
}

/// What a user may do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Look.
    View,
    /// Bid; includes looking.
    Bid,
    /// Pause, resume and close; includes looking.
    Auctioneer,
}

/// All grants of a user in a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Rights {
    view: bool,
    bid: bool,
    conduct: bool,
}

// === impl Grants ===

impl Grants {
    /// Whether the user may look at the room.
    #[must_use]
    pub fn may_view(&self, room: &RoomId) -> bool {
        self.of(room).view
    }

    /// Whether the user may bid in the room.
    #[must_use]
    pub fn may_bid(&self, room: &RoomId) -> bool {
        self.of(room).bid
    }

    /// Whether the user may pause, resume and close the room's auction.
    #[must_use]
    pub fn may_conduct(&self, room: &RoomId) -> bool {
        self.of(room).conduct
    }

    fn of(&self, room: &RoomId) -> Rights {
        self.everywhere | self.by_room.get(room).copied().unwrap_or_default()
    }
}

impl Serialize for Grants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named = self.by_room.iter().map(|(room, rights)| (room.as_ref(), rights));
        serializer.collect_map(named.chain([(EVERYWHERE, &self.everywhere)]))
    }
}

impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(GrantsVisitor)
    }
}

struct GrantsVisitor;

impl<'de> de::Visitor<'de> for GrantsVisitor {
    type Value = Grants;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lists of words by room")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Grants, A::Error> {
        let mut rights_by_name = BTreeMap::<String, Rights>::new();
        while let Some((name, rights)) = map.next_entry()? {
            if rights_by_name.insert(name, rights).is_some() {
                return Err(de::Error::custom("a room stands there twice"));
            }
            let everywhere = usize::from(rights_by_name.contains_key(EVERYWHERE));
            if rights_by_name.len() - everywhere > ROOMS_PER_TOKEN_MAX {
                return Err(de::Error::custom("too many rooms"));
            }
        }
        let everywhere = rights_by_name.remove(EVERYWHERE).unwrap_or_default();
        // What no room can be called grants nothing.
        let by_room = rights_by_name
            .into_iter()
            .filter_map(|(name, rights)| Some((name.parse().ok()?, rights)));
        Ok(Grants { everywhere, by_room: by_room.collect() })
    }
}

// === impl Grant ===

impl Grant {
    const ALL: [Self; 3] = [Self::View, Self::Bid, Self::Auctioneer];

    /// What tokens call it.
    fn word(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Bid => "bid",
            Self::Auctioneer => "auctioneer",
        }
    }
}

// === impl Rights ===

impl Rights {
    /// What a word grants. One that is not known here grants nothing: an issuer may already give
    /// what only a later release understands.
    fn of_word(word: &str) -> Self {
        let grant = Grant::ALL.into_iter().find(|grant| grant.word() == word);
        grant.map_or_else(Self::default, Self::of)
    }

    fn of(grant: Grant) -> Self {
        Self { view: true, bid: grant == Grant::Bid, conduct: grant == Grant::Auctioneer }
    }

    /// The grants that together are these rights.
    fn grants(self) -> impl Iterator<Item = Grant> {
        Grant::ALL.into_iter().filter(move |grant| self | Self::of(*grant) == self)
    }
}

impl BitOr for Rights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            view: self.view || other.view,
            bid: self.bid || other.bid,
            conduct: self.conduct || other.conduct,
        }
    }
}

impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.grants().map(Grant::word))
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        Ok(words.iter().map(|word| Self::of_word(word)).fold(Self::default(), BitOr::bitor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(json: &str) -> Result<Grants, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// What may be done in `a`, as the first letters of view, bid and conduct.
    fn in_a(json: &str) -> String {
        let (grants, room) = (grants(json).unwrap(), "a".parse().unwrap());
        let rights = [
            (grants.may_view(&room), 'v'),
            (grants.may_bid(&room), 'b'),
            (grants.may_conduct(&room), 'c'),
        ];
        rights.into_iter().filter_map(|(may, letter)| may.then_some(letter)).collect()
    }

    #[test]
    fn a_word_grants_what_it_includes_and_an_unknown_one_nothing() {
        for (json, rights) in [
            ("{}", ""),
            (r#"{"a":[]}"#, ""),
            (r#"{"a":["view"]}"#, "v"),
            (r#"{"a":["bid"]}"#, "vb"),
            (r#"{"a":["auctioneer"]}"#, "vc"),
            (r#"{"a":["auctioneer","bid"]}"#, "vbc"),
            (r#"{"a":["paint"]}"#, ""),
            (r#"{"a":["paint","view","Bid"]}"#, "v"),
            (r#"{"b":["bid"]}"#, ""),
            (r#"{"*":["bid"]}"#, "vb"),
            (r#"{"*":["bid"],"a":["auctioneer"]}"#, "vbc"),
            (r#"{"*":["view"],"a":[]}"#, "v"),
            (r#"{"a b":["bid"],"":["bid"],"**":["bid"]}"#, ""),
        ] {
            assert_eq!(in_a(json), rights, "{json}");
            let kept = serde_json::to_string(&grants(json).unwrap()).unwrap();
            assert_eq!(in_a(&kept), rights, "{json} kept as {kept}");
            assert_eq!(grants(&kept).unwrap(), grants(json).unwrap());
        }
    }

    #[test]
    fn what_is_no_map_of_lists_of_words_is_refused() {
        for json in [
            "null",
            "[]",
            r#""bid""#,
            r#"{"a":"bid"}"#,
            r#"{"a":null}"#,
            r#"{"a":{"bid":true}}"#,
            r#"{"a":[1]}"#,
            r#"{"a":["view"],"a":["bid"]}"#,
        ] {
            assert!(grants(json).is_err(), "{json}");
        }
    }

    #[test]
    fn so_many_rooms_may_a_token_name() {
        let many = |rooms: usize| {
            let named: Vec<_> = (0..rooms).map(|room| format!(r#""{room}":["view"]"#)).collect();
            grants(&format!("{{{}}}", named.join(",")))
        };
        let most = many(ROOMS_PER_TOKEN_MAX).unwrap();
        assert!(grants(&serde_json::to_string(&most).unwrap()).unwrap() == most);
        assert!(many(ROOMS_PER_TOKEN_MAX + 1).is_err());
    }
}
