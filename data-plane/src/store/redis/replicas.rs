//! How far the replicas of a Redis are: asked behind each append where the settings want it, and
//! now and then for all rooms where it has any.
//!
//! Only a server that has been seen with replicas costs anything: one question each
//! [`ASK_INTERVAL`] with appends since the last one, on the connection of the appends. While
//! replicas lag it is asked seldom, since appends wait behind it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gavel_runtime::clock;
use gavel_runtime::redis::{
    Cmd, Invocation, RESPONSE_TIMEOUT, Redis, RedisError, ToRedisArgs, cmd, pipe,
};
use parking_lot::Mutex;

use super::{class, reply};
use crate::store::{Durability, StoreError, Watermark};

/// How long an append waits for replicas.
const APPEND_WAIT: Duration = Duration::from_millis(150);
/// How long a question in the background waits; appends of all rooms wait with it.
const ASK_WAIT: Duration = Duration::from_millis(20);
/// Between two questions while events are appended and replicas keep up.
const ASK_INTERVAL: Duration = Duration::from_millis(100);
/// Between two questions else: replicas may have come, or have to catch up.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

const _: () = assert!(APPEND_WAIT.as_millis() < RESPONSE_TIMEOUT.as_millis());
const _: () = assert!(ASK_WAIT.as_millis() < APPEND_WAIT.as_millis());

/// Written before a wait that is to cover what other connections wrote: a server waits for what
/// the asking connection wrote.
const MARK: &str = "gavel:watermark";
/// It is of no use a moment later.
const MARK_KEPT: Duration = Duration::from_secs(60);

/// What is known of a server's replicas.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    /// How many have to have an event before it counts as stored.
    min: u32,
    /// Whether something was appended since the last question.
    appended: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    watermark: Watermark,
    /// The name of the server's replication history; another one tells of a failover.
    history: String,
    /// The most that were seen at once: one that is away may come back and be promoted.
    replicas: u32,
    /// Not all of them had everything when they were asked last.
    lag: bool,
    asked_at: Option<Instant>,
}

/// An answer of the server.
struct Seen {
    /// The connection it was asked over.
    connection: u64,
    asked_at: Instant,
    history: String,
    replicas: u32,
    /// Replicas that have everything from before the question.
    confirmed: u32,
}

// === impl Replicas ===

impl Replicas {
    pub(super) fn at_least(min: u32) -> Self {
        Self { min, ..Self::default() }
    }

    pub(super) fn durability(&self) -> Durability {
        if self.min == 0 { Durability::Primary } else { Durability::Replicated }
    }

    pub(super) fn watermark(&self) -> Watermark {
        self.known.lock().watermark
    }

    /// Runs a script that appends, and waits for the replicas in the same trip. Where too few have
    /// it in time, a failover may take it back, and nobody knows.
    pub(super) async fn store(
        &self,
        call: Invocation<'_>,
        keys: impl ToRedisArgs,
        args: impl ToRedisArgs,
    ) -> Result<reply::Append, RedisError> {
        let stored = if self.min == 0 {
            call.invoke(keys, args).await.map(|reply| (reply, Ok(0)))
        } else {
            call.invoke_then(keys, args, &wait(self.min, APPEND_WAIT)).await
        };
        self.appended.store(true, Ordering::Relaxed);
        let (reply, confirmed): (reply::Append, _) = stored?;
        // What is told of an append that changed nothing needs no replica.
        if reply.0 == "stored" { self.enough(confirmed?).map(|()| reply) } else { Ok(reply) }
    }

    /// Makes sure that the replicas have what was read.
    pub(super) async fn confirm(&self, redis: &Redis) -> Result<(), StoreError> {
        if self.min == 0 {
            return Ok(());
        }
        let mut both = pipe();
        both.add_command(mark()).ignore().add_command(wait(self.min, APPEND_WAIT));
        let confirmed = redis.pipeline::<(u32,)>(&both).await;
        confirmed.and_then(|(confirmed,)| self.enough(confirmed)).map_err(|error| class(&error))
    }

    fn enough(&self, confirmed: u32) -> Result<(), RedisError> {
        if confirmed >= self.min {
            return Ok(());
        }
        let text = format!("{confirmed} of {} replicas have it", self.min);
        Err(RedisError::Unknown(text))
    }

    /// Asks how far the replicas are, if it is time to. The servers of a cluster are not asked.
    pub(super) async fn ask(&self, redis: &Redis) -> Result<(), RedisError> {
        let Some(connection) = redis.connections() else { return Ok(()) };
        let asked_at = clock::monotonic();
        let appended = self.appended.load(Ordering::Relaxed);
        let Some(replicas) = self.known.lock().due(asked_at, connection, appended) else {
            return Ok(());
        };
        self.appended.store(false, Ordering::Relaxed);
        let mut info = cmd("INFO");
        info.arg("replication");
        let (info, confirmed): (String, u32) = if replicas == 0 {
            (redis.cmd(&info).await?, 0)
        } else {
            let mut all = pipe();
            all.add_command(info).add_command(mark()).ignore();
            redis.pipeline(all.add_command(wait(replicas, ASK_WAIT))).await?
        };
        // Between two connections nobody knows who answered; the first one has no other.
        let now = redis.connections();
        if let Some(connection) =
            now.filter(|now| *now == connection || (connection, *now) == (0, 1))
        {
            let (history, replicas) = read(&info);
            let seen = Seen { connection, asked_at, history, replicas, confirmed };
            self.known.lock().take(seen);
        }
        Ok(())
    }
}

// === impl Known ===

impl Known {
    /// How many replicas to ask for, if it is time to ask. A new connection is looked at at once.
    fn due(&mut self, now: Instant, connection: u64, appended: bool) -> Option<u32> {
        let is_new = connection != self.watermark.connections.1;
        let is_urgent = appended && self.replicas > 0 && !self.lag;
        let interval = if is_urgent { ASK_INTERVAL } else { LOOK_INTERVAL };
        if !is_new && self.asked_at.is_some_and(|at| now < at + interval) {
            return None;
        }
        self.asked_at = Some(now);
        Some(self.replicas)
    }

    fn take(&mut self, seen: Seen) {
        let mark = &mut self.watermark;
        let (first, last) = mark.connections;
        // A connection in between that was never asked may have led elsewhere.
        let is_same = self.history == seen.history && seen.connection <= last + 1;
        if is_same {
            mark.connections = (first, seen.connection);
        } else {
            mark.server += 1;
            mark.connections = (seen.connection, seen.connection);
            mark.covers_until = None;
            self.history = seen.history;
        }
        self.replicas = self.replicas.max(seen.replicas);
        self.lag = seen.confirmed < self.replicas;
        mark.has_replicas = self.replicas > 0;
        if mark.has_replicas && !self.lag {
            mark.covers_until = Some(seen.asked_at);
        }
    }
}

fn mark() -> Cmd {
    let mut mark = cmd("SET");
    mark.arg(MARK).arg(1).arg("PX").arg(millis(MARK_KEPT));
    mark
}

fn wait(replicas: u32, most: Duration) -> Cmd {
    let mut wait = cmd("WAIT");
    wait.arg(replicas).arg(millis(most));
    wait
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The name of the replication history and the number of replicas, as `INFO replication` tells.
fn read(info: &str) -> (String, u32) {
    let field = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default()
    };
    (field("master_replid").to_owned(), field("connected_slaves").parse().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(asked_at: Instant, connection: u64, history: &str, confirmed: u32) -> Seen {
        Seen { connection, asked_at, history: history.to_owned(), replicas: 2, confirmed }
    }

    #[test]
    fn the_mark_rises_only_when_every_replica_that_was_ever_seen_confirms() {
        let (start, mut known) = (clock::monotonic(), Known::default());
        let at = |ms| start + Duration::from_millis(ms);
        known.take(seen(at(0), 1, "a", 0));
        assert!(known.watermark.has_replicas && known.watermark.covers_until.is_none());
        known.take(seen(at(100), 1, "a", 2));
        assert_eq!(known.watermark.covers_until, Some(at(100)));
        // One is away, and may come back to be promoted.
        known.take(Seen { replicas: 1, ..seen(at(200), 1, "a", 1) });
        assert_eq!(known.watermark.covers_until, Some(at(100)));
        known.take(seen(at(300), 2, "a", 2));
        assert_eq!(known.watermark.connections, (1, 2), "the same server over a new connection");
        assert_eq!((known.watermark.server, known.watermark.covers_until), (1, Some(at(300))));
    }

    #[test]
    fn another_server_and_a_connection_that_was_never_asked_begin_anew() {
        let (start, mut known) = (clock::monotonic(), Known::default());
        known.take(seen(start, 1, "a", 2));
        known.take(seen(start, 2, "b", 0));
        let Watermark { server, connections, covers_until, .. } = known.watermark;
        assert_eq!((server, connections, covers_until), (2, (2, 2), None));
        known.take(seen(start, 4, "b", 2));
        let Watermark { server, connections, .. } = known.watermark;
        assert_eq!((server, connections), (3, (4, 4)));
    }

    #[test]
    fn it_is_asked_when_there_is_something_to_learn() {
        let (start, mut known) = (clock::monotonic(), Known::default());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(known.due(at(0), 1, false), Some(0), "a new connection");
        known.take(seen(at(0), 1, "a", 2));
        assert_eq!(known.due(at(50), 1, true), None, "it was asked just now");
        assert_eq!(known.due(at(100), 1, false), None, "nothing was appended");
        assert_eq!(known.due(at(100), 1, true), Some(2));
        assert_eq!(known.due(at(150), 2, true), Some(2), "a new connection");
        known.take(seen(at(150), 2, "a", 1));
        assert_eq!(known.due(at(900), 2, true), None, "appends would wait behind it");
        assert_eq!(known.due(at(1_150), 2, false), Some(2));
        known.take(seen(at(1_150), 2, "a", 2));
        assert_eq!(known.due(at(2_300), 2, false), Some(2), "now and then in any case");
    }

    #[test]
    fn the_servers_words_are_understood() {
        let info = "# Replication\r\nrole:master\r\nconnected_slaves:2\r\nslave0:ip=h,port=1\r\n\
                    master_replid:ab12\r\nmaster_replid2:0000\r\n";
        assert_eq!(read(info), ("ab12".to_owned(), 2));
        assert_eq!(read(""), (String::new(), 0));
    }
}
