//! A primary, two replicas and three sentinels.

use crate::{Member, until};

/// What the sentinels call the primary.
const NAME: &str = "main";
/// After how long sentinels take a silent server for down, once they may.
const DOWN_AFTER_MS: u32 = 1_000;
/// Until then: where tests compete for the machine, any server may be silent
/// for a second.
const NEVER_DOWN_MS: u32 = 600_000;

/// Servers of which one is the primary, and the sentinels that choose it; all
/// end with their test.
#[derive(Debug)]
pub struct Sentinels {
    /// The servers; the first begins as the primary.
    pub servers: Vec<Member>,
    /// The sentinels.
    pub sentinels: Vec<Member>,
}

// === impl Sentinels ===

impl Sentinels {
    /// Starts all of them, and waits until a failover would succeed; there is
    /// none before [`Self::may_fail_over`].
    ///
    /// # Panics
    /// If redis-server is not installed or they do not come up.
    pub async fn start() -> Self {
        let settings = "save \"\"\nrepl-diskless-sync-delay 0";
        let primary = Member::start(settings, &[]).await;
        let port = primary.port();
        let mut servers = vec![primary];
        for _ in 0..2 {
            let settings = format!("{settings}\nreplicaof 127.0.0.1 {port}");
            servers.push(Member::start(&settings, &[]).await);
        }
        until("two replicas", async || {
            let info = servers.first()?.ask("INFO replication");
            (info.matches("state=online").count() == 2).then_some(())
        })
        .await;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let settings = format!(
                "sentinel monitor {NAME} 127.0.0.1 {port} 2\n\
                 sentinel down-after-milliseconds {NAME} {NEVER_DOWN_MS}\n\
                 sentinel failover-timeout {NAME} 1000"
            );
            sentinels.push(Member::start(&settings, &["--sentinel"]).await);
        }
        let started = Self { servers, sentinels };
        until("sentinels that know each other", async || {
            started.sentinels.iter().all(knows_all).then_some(())
        })
        .await;
        started
    }

    /// The URL of whichever server is the primary.
    #[must_use]
    pub fn url(&self) -> String {
        let addresses: Vec<String> = self.sentinels.iter().map(Member::address).collect();
        format!("redis+sentinel://{}/{NAME}", addresses.join(","))
    }

    /// Forgets all keys.
    pub fn flush(&self) {
        for server in &self.servers {
            // A replica refuses, and is told by its primary.
            drop(server.ask("FLUSHALL"));
        }
    }

    /// The place in the list of the primary, as the first sentinel that runs
    /// says.
    #[must_use]
    pub fn primary(&self) -> Option<usize> {
        let sentinel = self.sentinels.iter().find(|sentinel| sentinel.runs())?;
        let said = sentinel.ask(&format!("SENTINEL GET-MASTER-ADDR-BY-NAME {NAME}"));
        let port: u16 = said.lines().nth(1)?.trim().parse().ok()?;
        self.servers.iter().position(|server| server.port() == port)
    }

    /// From here on, a primary that is silent has a successor.
    ///
    /// # Panics
    /// If a sentinel does not run.
    pub fn may_fail_over(&self) {
        for sentinel in &self.sentinels {
            sentinel.tell(&format!("SENTINEL SET {NAME} down-after-milliseconds {DOWN_AFTER_MS}"));
        }
    }

    /// Makes every sentinel call another server the primary, without asking
    /// either of them: so it looks to those who cannot see that the old one
    /// was cut off.
    ///
    /// # Panics
    /// If there is no such server.
    pub fn point_to(&self, server: usize) {
        let port = self.servers.get(server).expect("a server").port();
        for sentinel in &self.sentinels {
            sentinel.tell(&format!("SENTINEL REMOVE {NAME}"));
            sentinel.tell(&format!("SENTINEL MONITOR {NAME} 127.0.0.1 {port} 2"));
        }
    }
}

fn knows_all(sentinel: &Member) -> bool {
    let said = sentinel.ask(&format!("SENTINEL MASTER {NAME}"));
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    let told = |key: &str| {
        let at = lines.iter().position(|line| *line == key)?;
        lines.get(at + 1).copied()
    };
    told("num-slaves") == Some("2") && told("num-other-sentinels") == Some("2")
}
