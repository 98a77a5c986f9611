//! A Redis cluster: three primaries with a third of the slots each, and a
//! replica for each of them.

use crate::{Member, blocking::free_port, until};

const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;
/// After how long a silent server counts as down, while the others get to know
/// it and once it may fail.
const NODE_TIMEOUT_MS: u32 = 2_000;
/// And between: where tests compete for the machine, any server may be silent
/// for two seconds.
const NEVER_DOWN_MS: u32 = 600_000;

/// Its servers, which end with their test.
#[derive(Debug)]
pub struct RedisCluster {
    /// The servers; the first three begin as primaries, the next three are
    /// their replicas in the same order.
    pub servers: Vec<Member>,
}

// === impl RedisCluster ===

impl RedisCluster {
    /// Starts all of it, and waits until a failover would succeed; there is
    /// none before [`Self::may_fail_over`].
    ///
    /// # Panics
    /// If redis-server is not installed or they do not come up.
    pub async fn start() -> Self {
        let mut servers = Vec::new();
        for number in 1..=2 * PRIMARIES {
            let settings = format!(
                "save \"\"\nrepl-diskless-sync-delay 0\ncluster-enabled yes\n\
                 cluster-node-timeout {NODE_TIMEOUT_MS}\ncluster-port {}",
                free_port()
            );
            let server = Member::start(&settings, &[]).await;
            server.tell(&format!("CLUSTER SET-CONFIG-EPOCH {number}"));
            servers.push(server);
        }
        let cluster = Self { servers };
        cluster.share_slots();
        cluster.meet().await;
        cluster.follow().await;
        cluster.take_for_down_after(NEVER_DOWN_MS);
        cluster
    }

    /// From here on, a primary that is silent has a successor.
    ///
    /// # Panics
    /// If a server does not run.
    pub fn may_fail_over(&self) {
        self.take_for_down_after(NODE_TIMEOUT_MS);
    }

    /// The URL of all of it.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses: Vec<String> = self.servers.iter().map(Member::address).collect();
        format!("redis+cluster://{}", addresses.join(","))
    }

    /// The place in the list of the primary that owns a key's slot, as a
    /// server that runs says.
    #[must_use]
    pub fn owner(&self, key: &str) -> Option<usize> {
        let server = self.servers.iter().find(|server| server.runs())?;
        let slot: u16 = server.ask(&format!("CLUSTER KEYSLOT {key}")).trim().parse().ok()?;
        let nodes = server.ask("CLUSTER NODES");
        let owns = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let bound = |text: &str| text.parse::<u16>().ok();
            bound(first).is_some_and(|first| first <= slot)
                && bound(last).is_some_and(|last| slot <= last)
        };
        let line = nodes
            .lines()
            .find(|line| !line.contains("fail") && line.split_whitespace().skip(8).any(owns))?;
        self.servers.iter().position(|server| line.contains(&format!("{}@", server.address())))
    }

    /// Forgets all keys.
    pub fn flush(&self) {
        for server in &self.servers {
            // A replica refuses, and is told by its primary.
            drop(server.ask("FLUSHALL"));
        }
    }

    fn take_for_down_after(&self, timeout_ms: u32) {
        for server in &self.servers {
            server.tell(&format!("CONFIG SET cluster-node-timeout {timeout_ms}"));
        }
    }

    fn share_slots(&self) {
        for (number, server) in self.servers.iter().take(PRIMARIES).enumerate() {
            let bound = |number: usize| number * SLOTS / PRIMARIES;
            let (first, last) = (bound(number), bound(number + 1) - 1);
            server.tell(&format!("CLUSTER ADDSLOTSRANGE {first} {last}"));
        }
    }

    async fn meet(&self) {
        let (first, others) = self.servers.split_first().expect("servers");
        for other in others {
            let bus = other.ask("CONFIG GET cluster-port");
            let bus = bus.lines().nth(1).expect("a port");
            first.tell(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", other.port()));
        }
        let all = format!("cluster_known_nodes:{}", self.servers.len());
        self.until("servers that know each other", "CLUSTER INFO", |said, _| said.contains(&all))
            .await;
    }

    async fn follow(&self) {
        let (primaries, replicas) = self.servers.split_at(PRIMARIES);
        for (primary, replica) in primaries.iter().zip(replicas) {
            replica.tell(&format!("CLUSTER REPLICATE {}", primary.ask("CLUSTER MYID").trim()));
        }
        self.until("replicas", "INFO replication", |said, number| {
            number < PRIMARIES || said.contains("master_link_status:up")
        })
        .await;
        self.until("a cluster", "CLUSTER INFO", |said, _| said.contains("cluster_state:ok")).await;
        self.until("known replicas", "CLUSTER NODES", |said, _| {
            said.matches(" slave ").count() + said.matches(",slave ").count()
                == self.servers.len() - PRIMARIES
        })
        .await;
    }

    /// Polls until each server says so.
    async fn until(&self, what: &str, question: &str, said: impl Fn(&str, usize) -> bool) {
        until(what, async || {
            let mut servers = self.servers.iter().enumerate();
            servers.all(|(number, server)| said(&server.ask(question), number)).then_some(())
        })
        .await;
    }
}
