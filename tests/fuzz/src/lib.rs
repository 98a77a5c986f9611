//! What strangers may send us, as functions of bytes that must not panic.
//!
//! ```text
//! make fuzz   libFuzzer, guided by coverage --+--> Target::run(bytes)
//! make test   corpus and mutations of it -----+
//! ```
//!
//! A target asserts what must hold of any input, beyond not panicking.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON answers null for a key that it lacks, and a panic is how a target tells"
)]

mod targets;

use targets::{
    address, auction, client, documents, frame, replies, session, stored, upgrade, wire,
};

/// One thing to be fuzzed; its seeds are in `corpus/<name>`.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What `make fuzz TARGETS=...` calls it.
    pub name: &'static str,
    /// Tries one input; tells whether it was one that is taken, rather than refused at the door.
    pub run: fn(&[u8]) -> bool,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "amounts", run: client::amounts },
    Target { name: "auction", run: auction::lives },
    Target { name: "client", run: client::messages },
    Target { name: "config", run: documents::config },
    Target { name: "denials", run: documents::denials },
    Target { name: "flags", run: documents::flags },
    Target { name: "forwarded", run: address::forwarded },
    Target { name: "frame", run: frame::decoder },
    Target { name: "handshake", run: upgrade::handshake },
    Target { name: "ids", run: client::ids },
    Target { name: "keys", run: upgrade::key_sets },
    Target { name: "limits", run: documents::limits },
    Target { name: "proxies", run: address::proxies },
    Target { name: "replies", run: replies::scripts },
    Target { name: "session", run: session::sockets },
    Target { name: "stored", run: stored::streams },
    Target { name: "tokens", run: upgrade::tokens },
    Target { name: "views", run: client::views },
    Target { name: "wire", run: wire::messages },
];

// === impl Target ===

impl Target {
    /// The target of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TARGETS.iter().find(|target| target.name == name).copied()
    }
}
