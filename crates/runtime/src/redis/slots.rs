//! The slots of a Redis cluster: which one a command is for, and who owns it.

use std::collections::BTreeMap;

use ::redis::{Arg, Cmd, FromRedisValue, Pipeline, Value};
use crc::{CRC_16_XMODEM, Crc};

use super::address::joined;

const SLOTS: u16 = 16_384;
const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// A part of all keys, which moves between servers as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(u16);

/// Who owns which slots, by address.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Owners {
    /// First slot and owner, by the last slot.
    ranges: BTreeMap<Slot, (Slot, String)>,
    /// Single slots that have moved since.
    moved: BTreeMap<Slot, String>,
}

// === impl Slot ===

impl Slot {
    pub(super) fn of_key(key: &[u8]) -> Self {
        Self(CRC.checksum(tag(key)) % SLOTS)
    }

    /// The slot of a command's first key; none if it has no key.
    ///
    /// Commands of ours have their key first, or say how many there are.
    pub(super) fn of(command: &Cmd) -> Option<Self> {
        let mut words = command.args_iter().map(|word| {
            let Arg::Simple(word) = word else { return &[][..] };
            word
        });
        let key = match words.next()? {
            b"EVALSHA" | b"EVAL" => {
                let keys = words.nth(1)?;
                if keys == b"0" { None } else { words.next() }
            }
            b"PING" | b"TIME" | b"INFO" | b"SCRIPT" | b"PUBLISH" | b"ROLE" | b"WAIT" => None,
            _ => words.next(),
        };
        key.map(Self::of_key)
    }

    /// The one slot of a pipeline; none if its commands have no key, and an
    /// error if they are of several.
    pub(super) fn of_all(pipeline: &Pipeline) -> Result<Option<Self>, ()> {
        let mut slots = pipeline.cmd_iter().filter_map(Self::of);
        let first = slots.next();
        if slots.all(|slot| Some(slot) == first) { Ok(first) } else { Err(()) }
    }
}

// === impl Owners ===

impl Owners {
    pub(super) fn owner(&self, slot: Slot) -> Option<&str> {
        if let Some(owner) = self.moved.get(&slot) {
            return Some(owner);
        }
        let (_, (first, owner)) = self.ranges.range(slot..).next()?;
        (*first <= slot).then_some(owner)
    }

    pub(super) fn moved(&mut self, slot: Slot, owner: String) {
        self.moved.insert(slot, owner);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Every server that owns a slot; some may come twice.
    pub(super) fn servers(&self) -> impl Iterator<Item = &String> {
        self.ranges.values().map(|(_, owner)| owner).chain(self.moved.values())
    }

    /// Reads the reply to CLUSTER SLOTS of a server at `host`.
    pub(super) fn read(reply: Value, host: &str) -> Result<Self, String> {
        let rows = Vec::<Vec<Value>>::from_redis_value(reply).map_err(|e| e.to_string())?;
        let mut ranges = BTreeMap::new();
        for row in rows {
            let mut row = row.into_iter();
            let (Some(first), Some(last), Some(owner)) = (row.next(), row.next(), row.next())
            else {
                return Err("a range of slots without an owner".to_owned());
            };
            let (first, last, owner) = (number(first)?, number(last)?, server(owner, host)?);
            ranges.insert(last, (first, owner));
        }
        Ok(Self { ranges, moved: BTreeMap::new() })
    }
}

/// The part of a key that its slot is made from: what stands in its first
/// braces, or all of it.
fn tag(key: &[u8]) -> &[u8] {
    let braced = || {
        let open = key.iter().position(|byte| *byte == b'{')?;
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    };
    braced().unwrap_or(key)
}

fn number(value: Value) -> Result<Slot, String> {
    u16::from_redis_value(value).map(Slot).map_err(|error| error.to_string())
}

/// A server that names no host of its own is where it was asked.
fn server(value: Value, asked: &str) -> Result<String, String> {
    let mut words = Vec::<Value>::from_redis_value(value).map_err(|e| e.to_string())?.into_iter();
    let (Some(host), Some(port)) = (words.next(), words.next()) else {
        return Err("a server without a port".to_owned());
    };
    let host = Option::<String>::from_redis_value(host).map_err(|error| error.to_string())?;
    let port = u16::from_redis_value(port).map_err(|error| error.to_string())?;
    Ok(at_host(host.as_deref(), port, asked))
}

/// The address behind a redirect of the server at `host`.
pub(super) fn redirected(to: &str, host: &str) -> Option<String> {
    let (named, port) = to.rsplit_once(':')?;
    Some(at_host(Some(named), port.parse().ok()?, host))
}

fn at_host(named: Option<&str>, port: u16, asked: &str) -> String {
    let named = named.filter(|host| !host.is_empty() && *host != "?");
    joined(named.unwrap_or(asked), port)
}

#[cfg(test)]
mod tests {
    use ::redis::{cmd, pipe};

    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // As CLUSTER KEYSLOT of a Redis 7 says.
        for (key, slot) in [
            ("", 0),
            ("123456789", 12_739),
            ("foo", 12_182),
            ("{foo}bar", 12_182),
            ("a{foo}{bar}", 12_182),
            ("{}foo", 9_500),
            ("foo{}", 5_542),
        ] {
            assert_eq!(Slot::of_key(key.as_bytes()), Slot(slot), "{key}");
        }
    }

    #[test]
    fn a_command_goes_where_its_first_key_is() {
        let foo = Some(Slot::of_key(b"foo"));
        assert_eq!(Slot::of(cmd("HGET").arg("foo").arg("bar")), foo);
        assert_eq!(Slot::of(cmd("EVALSHA").arg("sha").arg(1).arg("foo").arg("x")), foo);
        assert_eq!(Slot::of(cmd("EVALSHA").arg("sha").arg(0).arg("foo")), None);
        assert_eq!(Slot::of(&cmd("TIME")), None);
        let mut both = pipe();
        both.incr("foo", 1).incr("{foo}bar", 1).cmd("PING");
        assert_eq!(Slot::of_all(&both), Ok(foo));
        assert_eq!(Slot::of_all(both.incr("bar", 1)), Err(()));
    }

    #[test]
    fn a_slot_that_moved_has_its_new_owner_and_others_theirs() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let row = |first, last, host, port| {
            let server = Value::Array(vec![host, Value::Int(port), text("id")]);
            Value::Array(vec![Value::Int(first), Value::Int(last), server])
        };
        let reply = vec![row(0, 99, text("a"), 1), row(200, 16_383, Value::Nil, 2)];
        let mut owners = Owners::read(Value::Array(reply), "asked").unwrap();
        for (slot, owner) in
            [(0, Some("a:1")), (99, Some("a:1")), (100, None), (199, None), (200, Some("asked:2"))]
        {
            assert_eq!(owners.owner(Slot(slot)), owner, "{slot}");
        }
        owners.moved(Slot(99), redirected(":3", "asked").unwrap());
        assert_eq!(owners.owner(Slot(99)), Some("asked:3"));
        assert_eq!(owners.owner(Slot(98)), Some("a:1"));
        assert!(Owners::read(Value::Array(vec![Value::Array(vec![])]), "asked").is_err());
    }
}
