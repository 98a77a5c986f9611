//! Whether a Redis has an append on its disk before it answers: it says so in its settings, which
//! may change while it runs, and another server may have others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use gavel_runtime::clock;
use gavel_runtime::redis::{Redis, RedisError, cmd};
use parking_lot::Mutex;

/// Between two questions over one connection.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// What the server that is connected to was seen to do.
#[derive(Debug, Default)]
pub(super) struct Syncs(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// The connection over which it was asked last, and when.
    asked: Option<(u64, Instant)>,
    each: bool,
}

// === impl Syncs ===

impl Syncs {
    /// Whether the server syncs each append; not known over a connection that is new.
    pub(super) fn each(&self, redis: &Redis) -> bool {
        let seen = self.0.lock();
        let asked = seen.asked.map(|(connection, _)| connection);
        seen.each && asked.is_some() && asked == redis.connections()
    }

    /// Asks, if it is time to. The servers of a cluster are not asked.
    pub(super) async fn ask(&self, redis: &Redis) -> Result<(), RedisError> {
        let asked_at = clock::monotonic();
        let Some(connection) = redis.connections().filter(|it| self.is_due(*it, asked_at)) else {
            return Ok(());
        };
        let mut settings = cmd("CONFIG");
        settings.arg("GET").arg("append*");
        let each = match redis.cmd::<HashMap<String, String>>(&settings).await {
            Ok(settings) => syncs_each(&settings),
            // Whoever hides its settings cannot be taken at its word.
            Err(RedisError::Refused(_)) => false,
            Err(error) => return Err(error),
        };
        // Between two connections nobody knows who answered; the first one has no other.
        let now = redis.connections();
        if let Some(now) = now.filter(|now| *now == connection || (connection, *now) == (0, 1)) {
            *self.0.lock() = Seen { asked: Some((now, asked_at)), each };
        }
        Ok(())
    }

    fn is_due(&self, connection: u64, now: Instant) -> bool {
        let asked = self.0.lock().asked;
        asked.is_none_or(|(over, at)| over != connection || now >= at + ASK_INTERVAL)
    }
}

fn syncs_each(settings: &HashMap<String, String>) -> bool {
    let is = |name: &str, value: &str| settings.get(name).is_some_and(|it| it == value);
    is("appendonly", "yes") && is("appendfsync", "always")
}
