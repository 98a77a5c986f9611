//! A primary with a replica, and an address that leads to whichever serves.

use crate::{RedisServer, Switch, until};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

/// Two servers behind one address.
#[derive(Debug)]
pub struct Failover {
    /// Serves first.
    pub primary: RedisServer,
    /// Follows it.
    pub replica: RedisServer,
    /// What the replica replicates from: the primary has a socket of a file only.
    source: Switch,
    address: Switch,
}

// === impl Failover ===

impl Failover {
    /// Starts both, and waits until the replica follows.
    ///
    /// # Panics
    /// If it does not.
    pub async fn start() -> Self {
        let (primary, replica) = (RedisServer::start().await, RedisServer::start().await);
        let source = Switch::to(primary.socket());
        let address = Switch::to(primary.socket());
        let pair = Self { primary, replica, source, address };
        tell(&pair.primary, "CONFIG SET repl-diskless-sync-delay 0").await;
        pair.follow().await;
        pair
    }

    /// Where clients connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address.listen())
    }

    /// Lets the replica have everything the primary has, and waits until it follows.
    ///
    /// # Panics
    /// If it does not.
    pub async fn follow(&self) {
        let from = self.source.listen();
        tell(&self.replica, &format!("REPLICAOF {} {}", from.ip(), from.port())).await;
        until("a replica that follows", async || {
            let told = tell(&self.replica, "INFO replication").await;
            told.contains("master_link_status:up").then_some(())
        })
        .await;
        // Something that it has to say it has: before it has said that once, no wait for it ends.
        tell(&self.primary, "SET gavel:test:followed 1").await;
        until("a primary that counts it", async || {
            let told = tell(&self.primary, "INFO replication").await;
            let said = told.lines().find(|line| line.starts_with("slave0:"))?.split(',');
            let said = said.filter_map(|field| field.strip_prefix("offset=")).next()?;
            (said.parse::<u64>().ok()? >= offset(&self.primary).await).then_some(())
        })
        .await;
    }

    /// Makes the replica a primary of its own, with all that the old one has so far. Clients are
    /// still led to that.
    ///
    /// # Panics
    /// If it does not get there, or refuses.
    pub async fn promote(&self) {
        let all = offset(&self.primary).await;
        until("a replica that has everything", async || {
            (offset(&self.replica).await >= all).then_some(())
        })
        .await;
        let told = tell(&self.replica, "REPLICAOF NO ONE").await;
        assert_eq!(told.trim(), "+OK");
    }

    /// Leads clients to what was the replica; their connections end.
    pub fn fail_over(&self) {
        self.address.lead_to(self.replica.socket());
    }
}

/// How far a server's replication has come.
async fn offset(server: &RedisServer) -> u64 {
    let told = tell(server, "INFO replication").await;
    let offset = told.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
    offset.and_then(|offset| offset.parse().ok()).expect("an offset")
}

/// What a server answers to a command in words.
async fn tell(server: &RedisServer, words: &str) -> String {
    let mut stream = UnixStream::connect(server.socket()).await.expect("it listens");
    stream.write_all(format!("{words}\r\n").as_bytes()).await.expect("it listens");
    let mut told = vec![0; 16 * 1024];
    let read = stream.read(&mut told).await.expect("it answers");
    told.truncate(read);
    String::from_utf8_lossy(&told).into_owned()
}
