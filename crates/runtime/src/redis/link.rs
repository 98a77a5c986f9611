//! One connection that is replaced when it breaks.

use std::time::Instant;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, RedisResult};
use tokio::sync::Mutex;

use super::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT, RedisError};
use crate::backoff::Backoff;
use crate::clock;

/// Answers in a row that may time out before the connection is replaced: the
/// peer may be frozen, or the path may lead nowhere without a reset.
const TIMEOUTS_MAX: u32 = 4;

/// Commands that may wait to be written; more wait at their callers. The
/// driver's own 50 would throttle a node with a thousand busy rooms.
const IN_FLIGHT_MAX: usize = 1_024;

/// Counts the connections of one link, so that a late failure of an old one
/// does not throw away its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Era(u64);

/// The connection and when to try for another.
pub(super) struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    /// Held while connecting, so that only one caller connects at a time.
    connecting: Mutex<Retry>,
    state: parking_lot::Mutex<State>,
}

struct State {
    connection: Option<MultiplexedConnection>,
    era: u64,
    timeouts: u32,
}

struct Retry {
    backoff: Backoff,
    not_before: Option<Instant>,
    last_error: String,
}

// === impl Link ===

impl Link {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            config: AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT_TIMEOUT))
                .set_response_timeout(Some(RESPONSE_TIMEOUT))
                .set_pipeline_buffer_size(IN_FLIGHT_MAX),
            connecting: Mutex::new(Retry::new()),
            state: parking_lot::Mutex::new(State { connection: None, era: 0, timeouts: 0 }),
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The connection, made now if there is none and it is time to try.
    pub(super) async fn connection(&self) -> Result<(MultiplexedConnection, Era), RedisError> {
        if let Some(found) = self.current() {
            return Ok(found);
        }
        let mut retry = self.connecting.lock().await;
        // Another caller may have connected, or failed to, meanwhile.
        if let Some(found) = self.current() {
            return Ok(found);
        }
        retry.check(clock::monotonic())?;
        let connecting = self.client.get_multiplexed_async_connection_with_config(&self.config);
        match connecting.await {
            Ok(connection) => {
                *retry = Retry::new();
                Ok(self.install(connection))
            }
            Err(error) => {
                retry.failed(clock::monotonic(), error.to_string());
                Err(RedisError::unavailable(error))
            }
        }
    }

    /// Classes what came of a call, and drops the connection if it broke.
    pub(super) fn judge<T>(&self, era: Era, result: RedisResult<T>) -> Result<T, RedisError> {
        let mut state = self.state.lock();
        if state.era != era.0 {
            drop(state);
            return result.map_err(|error| RedisError::after_sending(&error));
        }
        match result {
            Ok(value) => {
                state.timeouts = 0;
                Ok(value)
            }
            Err(error) => {
                if error.is_timeout() {
                    state.timeouts += 1;
                }
                if error.is_unrecoverable_error() && !error.is_timeout()
                    || state.timeouts >= TIMEOUTS_MAX
                {
                    state.connection = None;
                }
                Err(RedisError::after_sending(&error))
            }
        }
    }

    fn current(&self) -> Option<(MultiplexedConnection, Era)> {
        let state = self.state.lock();
        let connection = state.connection.clone()?;
        Some((connection, Era(state.era)))
    }

    fn install(&self, connection: MultiplexedConnection) -> (MultiplexedConnection, Era) {
        let mut state = self.state.lock();
        state.era += 1;
        state.timeouts = 0;
        state.connection = Some(connection.clone());
        (connection, Era(state.era))
    }
}

// === impl Retry ===

impl Retry {
    fn new() -> Self {
        Self { backoff: super::reconnect_backoff(), not_before: None, last_error: String::new() }
    }

    /// Fails at once while the last failure is fresh: callers that queued
    /// behind a failed attempt must not each wait for their own.
    fn check(&self, now: Instant) -> Result<(), RedisError> {
        match self.not_before {
            Some(at) if now < at => Err(RedisError::Unavailable(self.last_error.clone())),
            Some(_) | None => Ok(()),
        }
    }

    fn failed(&mut self, now: Instant, error: String) {
        // At least half of the bound: a jitter of zero would let the whole
        // queue of callers try one after another.
        let least = self.backoff.bound() / 2;
        self.not_before = Some(now + least + self.backoff.next_delay() / 2);
        self.last_error = error;
    }
}
