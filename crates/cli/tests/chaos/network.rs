//! A network of namespaces, in which hosts can be cut off from each other.
//!
//! ```text
//!   hub (bridge; clients and operators)
//!    |- redis   |- redis-2   |- redis-3   |- sentinel
//!    |- control   |- node-1   |- node-2   |- node-3
//! ```
//!
//! Needs root, `ip` and `nft`. Nothing of it can be seen outside of its
//! namespaces.

use std::{
    process::Command,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// Where `ip netns` finds what it runs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const HUB: &str = "hub";
const HOSTS: [(&str, u8); 8] = [
    ("redis", 2),
    ("control", 3),
    ("redis-2", 4),
    ("redis-3", 5),
    ("sentinel", 6),
    ("node-1", 11),
    ("node-2", 12),
    ("node-3", 13),
];

/// Which packets are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    BothWays,
    /// What the host sends arrives; what it is sent does not.
    Deaf,
}

/// The namespaces, which go with this value.
#[derive(Debug)]
pub(crate) struct Network {
    prefix: String,
}

// === impl Network ===

impl Network {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Relaxed);
        let network = Self { prefix: format!("gavel-{}-{count}", std::process::id()) };
        let hub = network.namespace(HUB);
        ip(&format!("netns add {hub}"));
        ip(&format!("-n {hub} link set lo up"));
        ip(&format!("-n {hub} link add bridge type bridge"));
        ip(&format!("-n {hub} addr add {}/24 dev bridge", Self::address(HUB)));
        ip(&format!("-n {hub} link set bridge up"));
        for (host, _) in HOSTS {
            let (namespace, address) = (network.namespace(host), Self::address(host));
            ip(&format!("netns add {namespace}"));
            ip(&format!("-n {namespace} link set lo up"));
            ip(&format!("-n {hub} link add {host} type veth peer name wire netns {namespace}"));
            ip(&format!("-n {hub} link set {host} master bridge up"));
            ip(&format!("-n {namespace} addr add {address}/24 dev wire"));
            ip(&format!("-n {namespace} link set wire up"));
        }
        network
    }

    pub(crate) fn address(host: &str) -> String {
        let last = HOSTS.into_iter().find_map(|(name, last)| (name == host).then_some(last));
        format!("10.99.0.{}", last.unwrap_or(1))
    }

    /// A command that runs on a host; any other name is the hub.
    pub(crate) fn command(&self, host: &str, program: &str) -> Command {
        let known = HOSTS.into_iter().any(|(name, _)| name == host);
        let mut command = Command::new("ip");
        command.env_clear().env("PATH", PATH).args(["netns", "exec"]);
        command.arg(self.namespace(if known { host } else { HUB })).arg(program);
        command
    }

    /// Loses packets between a host and another, until it is healed.
    pub(crate) fn cut(&self, host: &str, other: &str, cut: Cut) {
        let other = Self::address(other);
        let mut rules = format!(
            "add table inet cut; \
             add chain inet cut in {{ type filter hook input priority 0; }}; \
             add chain inet cut out {{ type filter hook output priority 0; }}; \
             add rule inet cut in ip saddr {other} drop;"
        );
        if cut == Cut::BothWays {
            rules += &format!("add rule inet cut out ip daddr {other} drop;");
        }
        done(self.command(host, "nft").arg(rules));
    }

    pub(crate) fn heal(&self, host: &str) {
        done(self.command(host, "nft").arg("delete table inet cut"));
    }

    fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in HOSTS.into_iter().map(|(host, _)| host).chain([HUB]) {
            drop(Command::new("ip").args(["netns", "del", &self.namespace(host)]).output());
        }
    }
}

fn ip(line: &str) {
    done(Command::new("ip").args(line.split_whitespace()));
}

fn done(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} (which needs root): {said}");
}
