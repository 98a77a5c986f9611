//! The Redis that a cluster keeps its state in: one server, a primary with
//! replicas and sentinels, or a Redis cluster.

use crate::place::{Member, Place};
use gavel_testkit::blocking::{free_port, until};
use rustix::process::Signal;
use std::fmt::Write as _;

/// What Redis consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Alone,
    /// Three servers, of which three sentinels choose the primary.
    Sentinels,
    /// Three primaries with a third of the slots each, and their replicas.
    Cluster,
}

/// Names of servers, and the hosts that they have in a network of namespaces.
const SERVERS: [&str; 6] = ["redis", "redis-2", "redis-3", "redis-4", "redis-5", "redis-6"];
const SENTINELS: [(&str, &str); 3] =
    [("sentinel-1", "redis-2"), ("sentinel-2", "redis-3"), ("sentinel-3", "sentinel")];
/// The hosts of all that the first server is cut off from, for sentinels to
/// choose another.
pub(crate) const OTHERS: [&str; 3] = ["redis-2", "redis-3", "sentinel"];
const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;
/// After how long sentinels take a silent server for down, while it may be.
const DOWN_AFTER_MS: u32 = 1_000;
/// And at all other times: where tests compete for the machine, any server may
/// be silent for a second, and a fault must come alone to be judged alone.
const NEVER_DOWN_MS: u32 = 600_000;
/// The first, of the servers of a Redis cluster; also while they get to know
/// each other.
const NODE_TIMEOUT_MS: u32 = 2_000;

/// The ports of one shape.
#[derive(Debug)]
pub(crate) struct Ports {
    shape: Shape,
    servers: Vec<u16>,
    /// On which servers of a Redis cluster talk to each other.
    buses: Vec<u16>,
    sentinels: Vec<u16>,
}

/// What runs of it.
#[derive(Debug)]
pub(crate) struct Redis {
    servers: Vec<Member>,
    sentinels: Vec<Member>,
}

// === impl Ports ===

impl Ports {
    pub(crate) fn new(shape: Shape) -> Self {
        let (servers, sentinels) = match shape {
            Shape::Alone => (1, 0),
            Shape::Sentinels => (3, SENTINELS.len()),
            Shape::Cluster => (2 * PRIMARIES, 0),
        };
        let ports = |count: usize| (0..count).map(|_| free_port()).collect::<Vec<_>>();
        Self { shape, servers: ports(servers), buses: ports(servers), sentinels: ports(sentinels) }
    }

    pub(crate) fn url(&self, address: impl Fn(&str) -> String) -> String {
        let servers = SERVERS.iter().zip(&self.servers);
        let servers = servers.map(|(host, port)| format!("{}:{port}", address(host)));
        let sentinels = SENTINELS.iter().zip(&self.sentinels);
        let sentinels = sentinels.map(|((_, host), port)| format!("{}:{port}", address(host)));
        let listed =
            |addresses: &mut dyn Iterator<Item = String>| addresses.collect::<Vec<_>>().join(",");
        match self.shape {
            Shape::Alone => format!("redis://{}", listed(&mut { servers })),
            Shape::Sentinels => format!("redis+sentinel://{}/main", listed(&mut { sentinels })),
            Shape::Cluster => format!("redis+cluster://{}", listed(&mut { servers })),
        }
    }

    fn server(&self, number: usize) -> u16 {
        *self.servers.get(number).expect("a server")
    }
}

// === impl Redis ===

impl Redis {
    /// Starts all of it, and waits until it would stand a fault.
    pub(crate) fn start(place: &Place) -> Self {
        let ports = &place.redis;
        let servers = (0..ports.servers.len()).map(|number| server(place, number)).collect();
        let sentinels = match ports.shape {
            Shape::Sentinels => SENTINELS.iter().zip(&ports.sentinels).collect(),
            Shape::Alone | Shape::Cluster => Vec::new(),
        };
        let sentinels = sentinels.into_iter().map(|(who, port)| sentinel(place, *who, *port));
        let mut redis = Self { servers, sentinels: sentinels.collect() };
        for member in &mut redis.servers {
            member.start(place, "redis-server");
            member.process().says("Ready to accept connections");
        }
        match ports.shape {
            Shape::Alone => {}
            Shape::Sentinels => redis.watch(place),
            Shape::Cluster => redis.join(place),
        }
        redis
    }

    /// Kills a server, of which the first is the one or begins as the primary.
    pub(crate) fn kill(&mut self, server: usize) {
        self.servers.get_mut(server).expect("a server").take().kill();
    }

    /// Starts the first server again.
    pub(crate) fn restart(&mut self, place: &Place) {
        let first = self.first();
        first.start(place, "redis-server");
        first.process().says("Ready to accept connections");
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        self.first().process().signal(signal);
    }

    /// From here on, a primary that is silent has a successor.
    pub(crate) fn may_fail_over(&self, place: &Place) {
        match place.redis.shape {
            Shape::Alone => {}
            Shape::Sentinels => tell_sentinels(place, DOWN_AFTER_MS),
            Shape::Cluster => tell_servers(place, NODE_TIMEOUT_MS),
        }
    }

    /// Waits until the sentinels have made another server than the first the
    /// primary.
    pub(crate) fn has_another_primary(&self, place: &Place) {
        let first = format!("{}\n{}\n", place.address("redis"), place.redis.server(0));
        let words = "SENTINEL GET-MASTER-ADDR-BY-NAME main";
        until("another primary", || {
            let sentinels = SENTINELS.iter().zip(&place.redis.sentinels);
            let mut said = sentinels.map(|((_, host), port)| ask(place, host, *port, words));
            said.all(|said| said != first && !said.is_empty()).then_some(())
        });
        tell_sentinels(place, NEVER_DOWN_MS);
    }

    /// The server of a Redis cluster that a key began at.
    pub(crate) fn server_of(&self, place: &Place, key: &str) -> usize {
        let said = ask(place, "redis", place.redis.server(0), &format!("CLUSTER KEYSLOT {key}"));
        let slot: usize = said.trim().parse().expect("a slot");
        (0..PRIMARIES).rev().find(|number| first_slot(*number) <= slot).expect("a server")
    }

    fn first(&mut self) -> &mut Member {
        self.servers.first_mut().expect("a server")
    }

    fn watch(&mut self, place: &Place) {
        let ports = &place.redis;
        until("replicas", || {
            let info = ask(place, "redis", ports.server(0), "INFO replication");
            (info.matches("state=online").count() == 2).then_some(())
        });
        for member in &mut self.sentinels {
            member.start(place, "redis-server");
            member.process().says("+monitor master");
        }
        until("sentinels that know each other", || {
            let sentinels = SENTINELS.iter().zip(&ports.sentinels);
            let mut said =
                sentinels.map(|((_, host), port)| ask(place, host, *port, "SENTINEL MASTER main"));
            said.all(|said| {
                said.contains("num-slaves\n2\n") && said.contains("num-other-sentinels\n2\n")
            })
            .then_some(())
        });
    }

    /// Makes a Redis cluster of the servers.
    fn join(&self, place: &Place) {
        let ports = &place.redis;
        let ask = |number: usize, words: &str| {
            let host = SERVERS.get(number).expect("a name");
            ask(place, host, ports.server(number), words)
        };
        let all = 0..self.servers.len();
        let every = |what: &str, words: &str, said: &dyn Fn(usize, &str) -> bool| {
            until(what, || {
                all.clone().all(|number| said(number, &ask(number, words))).then_some(())
            });
        };
        for number in all.clone() {
            ask(number, &format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
            if number < PRIMARIES {
                let (first, next) = (first_slot(number), first_slot(number + 1));
                ask(number, &format!("CLUSTER ADDSLOTSRANGE {first} {}", next - 1));
            }
            let (host, port) = (place.address("redis"), ports.server(number));
            let bus = ports.buses.get(number).expect("a bus");
            ask(0, &format!("CLUSTER MEET {host} {port} {bus}"));
        }
        let known = format!("cluster_known_nodes:{}", self.servers.len());
        every("servers that know each other", "CLUSTER INFO", &|_, said| said.contains(&known));
        for number in 0..PRIMARIES {
            let id = ask(number, "CLUSTER MYID");
            ask(number + PRIMARIES, &format!("CLUSTER REPLICATE {}", id.trim()));
        }
        every("replicas", "INFO replication", &|number, said| {
            number < PRIMARIES || said.contains("master_link_status:up")
        });
        every("a Redis cluster", "CLUSTER INFO", &|_, said| said.contains("cluster_state:ok"));
        every("known replicas", "CLUSTER NODES", &|_, said| {
            said.matches("slave ").count() == PRIMARIES
        });
        tell_servers(place, NEVER_DOWN_MS);
    }
}

/// Every write is synced before it is answered.
fn server(place: &Place, number: usize) -> Member {
    let ports = &place.redis;
    let name = SERVERS.get(number).expect("a name");
    let mut line = format!(
        "--port {} --bind {} --protected-mode no --appendonly yes --appendfsync always \
         --repl-diskless-sync-delay 0 --dir {}",
        ports.server(number),
        place.address(name),
        place.memory(name).display(),
    );
    let first = (place.address("redis"), ports.server(0));
    let more = match ports.shape {
        Shape::Sentinels if number > 0 => write!(line, " --replicaof {} {}", first.0, first.1),
        Shape::Cluster => write!(
            line,
            " --cluster-enabled yes --cluster-node-timeout {NODE_TIMEOUT_MS} --cluster-port {}",
            ports.buses.get(number).expect("a bus"),
        ),
        Shape::Alone | Shape::Sentinels => Ok(()),
    };
    more.expect("a longer line");
    Member::new(name, name, line)
}

/// A sentinel writes what it finds to its file.
fn sentinel(place: &Place, (name, host): (&'static str, &'static str), port: u16) -> Member {
    let settings = format!(
        "port {port}\nbind {}\nprotected-mode no\ndir {}\n\
         sentinel monitor main {} {} 2\n\
         sentinel down-after-milliseconds main {NEVER_DOWN_MS}\n\
         sentinel failover-timeout main 1000\n",
        place.address(host),
        place.path().display(),
        place.address("redis"),
        place.redis.server(0),
    );
    let file = place.path().join(format!("{name}.conf"));
    std::fs::write(&file, settings).expect("it can be written");
    Member::new(name, host, format!("{} --sentinel", file.display()))
}

fn tell_sentinels(place: &Place, down_after_ms: u32) {
    for ((_, host), port) in SENTINELS.iter().zip(&place.redis.sentinels) {
        let words = format!("SENTINEL SET main down-after-milliseconds {down_after_ms}");
        assert_eq!(ask(place, host, *port, &words), "OK\n");
    }
}

fn tell_servers(place: &Place, timeout_ms: u32) {
    for (host, port) in SERVERS.iter().zip(&place.redis.servers) {
        let words = format!("CONFIG SET cluster-node-timeout {timeout_ms}");
        assert_eq!(ask(place, host, *port, &words), "OK\n");
    }
}

fn first_slot(number: usize) -> usize {
    number * SLOTS / PRIMARIES
}

/// Sends a command given in words, and returns what it printed.
fn ask(place: &Place, host: &str, port: u16, words: &str) -> String {
    let mut command = place.command(host, "redis-cli");
    command.args(["-h", &place.address(host), "-p", &port.to_string()]).args(words.split(' '));
    let output = command.output().expect("apt-get install redis-tools");
    String::from_utf8_lossy(&output.stdout).replace('\r', "")
}
