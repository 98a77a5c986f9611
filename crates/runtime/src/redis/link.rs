//! One connection that is replaced when it breaks, and is a circuit breaker by
//! that: while there is none, calls fail at once and one caller at a time tries
//! to connect.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisResult, Value, cmd, pipe,
};
use tokio::sync::Mutex;

use super::error::{self, Failure};
use super::sentinel::{self, Sentinels};
use super::{CONNECT_TIMEOUT, RESPONSE_TIMEOUT, RedisError, Script};
use crate::backoff::Backoff;
use crate::breaker::BreakerState;
use crate::{clock, tasks};

/// Answers in a row that may time out before the connection is replaced: the
/// peer may be frozen, or the path may lead nowhere without a reset.
const TIMEOUTS_MAX: u32 = 4;

/// How long finding the server and connecting to it may take together.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(500);

/// Commands that may wait to be written; more wait at their callers. The
/// driver's own 50 would throttle a node with a thousand busy rooms.
const IN_FLIGHT_MAX: usize = 1_024;

/// Counts the connections of one link, so that a late failure of an old one
/// does not throw away its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Era(u64);

/// The connection and when to try for another.
pub(super) struct Link {
    source: Source,
    config: AsyncConnectionConfig,
    /// Held while connecting, so that only one caller connects at a time.
    connecting: Mutex<Retry>,
    state: Arc<parking_lot::Mutex<State>>,
}

/// Where a connection is to lead.
enum Source {
    Server(Box<Client>),
    Sentinels(Arc<Sentinels>),
}

/// A command for one server, with what that server may need for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) command: &'a Cmd,
    /// What to load where the server does not know it.
    pub(super) script: Option<&'a Script>,
    /// Whether the server is about to take over what the command is for.
    pub(super) asking: bool,
}

pub(super) struct State {
    connection: Option<MultiplexedConnection>,
    era: u64,
    timeouts: u32,
    /// The last attempt to connect failed. A connection that was lost is often
    /// there again at once, and worth waiting for.
    broken: bool,
}

struct Retry {
    backoff: Backoff,
    not_before: Option<Instant>,
    last_error: String,
}

// === impl Link ===

impl Link {
    pub(super) fn to_server(client: Client) -> Self {
        Self::new(Source::Server(Box::new(client)))
    }

    pub(super) fn to_primary_of(sentinels: Sentinels) -> Self {
        Self::new(Source::Sentinels(Arc::new(sentinels)))
    }

    fn new(source: Source) -> Self {
        Self {
            source,
            config: AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT_TIMEOUT))
                .set_response_timeout(Some(RESPONSE_TIMEOUT))
                .set_pipeline_buffer_size(IN_FLIGHT_MAX),
            connecting: Mutex::new(Retry::new()),
            state: Arc::new(parking_lot::Mutex::new(State {
                connection: None,
                era: 0,
                timeouts: 0,
                broken: false,
            })),
        }
    }

    /// For connections of the caller's own to the same server.
    pub(super) async fn client(&self) -> Result<Client, RedisError> {
        match &self.source {
            Source::Server(client) => Ok(Client::clone(client)),
            Source::Sentinels(sentinels) => sentinels.client(&sentinels.primary().await?),
        }
    }

    /// Sends a command. A server that does not know a script has run nothing,
    /// so loading it there and trying again is safe.
    pub(super) async fn call(&self, call: Call<'_>) -> Result<Value, Failure> {
        let reply = self.send(call).await;
        match (call.script, &reply) {
            (Some(script), Err(failure)) if failure.no_script => {
                self.load(script).await?;
                self.send(call).await
            }
            (Some(_) | None, _) => reply,
        }
    }

    /// The same, with another command right behind it in the same trip. That
    /// one's failure is not a failure of the call.
    pub(super) async fn call_then(
        &self,
        command: &Cmd,
        script: &Script,
        then: &Cmd,
    ) -> Result<(Value, Result<Value, RedisError>), Failure> {
        let replies = self.send_both(command, then).await;
        if !replies.as_ref().is_err_and(|failure| failure.no_script) {
            return replies;
        }
        self.load(script).await?;
        self.send_both(command, then).await
    }

    pub(super) async fn pipeline<T: FromRedisValue>(
        &self,
        pipeline: &Pipeline,
    ) -> Result<T, Failure> {
        let (mut connection, era) = self.connection().await?;
        let reply = pipeline.query_async::<T>(&mut connection).await;
        self.judge(era, reply)
    }

    async fn send(&self, call: Call<'_>) -> Result<Value, Failure> {
        if call.asking {
            // In one trip, or a command of somebody else could come between.
            let mut both = pipe();
            both.cmd("ASKING").ignore().add_command(call.command.clone());
            return self.pipeline::<(Value,)>(&both).await.map(|(value,)| value);
        }
        let (mut connection, era) = self.connection().await?;
        let reply = connection.send_packed_command(call.command).await;
        self.judge(era, reply.and_then(Value::extract_error))
    }

    async fn send_both(
        &self,
        first: &Cmd,
        second: &Cmd,
    ) -> Result<(Value, Result<Value, RedisError>), Failure> {
        let (mut connection, era) = self.connection().await?;
        let mut both = pipe();
        both.add_command(first.clone()).add_command(second.clone()).ignore_errors();
        let replies = both.query_async::<Vec<RedisResult<Value>>>(&mut connection).await;
        let (first, second) = match replies.map(<[RedisResult<Value>; 2]>::try_from) {
            Ok(Ok([first, second])) => (first, second),
            Ok(Err(_)) => return Err(RedisError::Unknown("a reply is missing".to_owned()).into()),
            Err(error) => (Err(error.clone()), Err(error)),
        };
        let first = self.judge(era, first)?;
        Ok((first, second.map_err(|error| Failure::after_sending(error).error)))
    }

    async fn load(&self, script: &Script) -> Result<(), Failure> {
        let mut command = cmd("SCRIPT");
        command.arg("LOAD").arg(script.source());
        match self.send(Call { command: &command, script: None, asking: false }).await {
            Ok(_) => Ok(()),
            // Only the loading is in doubt, and it has no effect of its own.
            Err(Failure { error: RedisError::Unknown(text), .. }) => {
                Err(RedisError::Unavailable(text).into())
            }
            Err(failure) => Err(failure),
        }
    }

    // === Its connection ===

    /// How many connections have been made.
    pub(super) fn connections(&self) -> u64 {
        self.state.lock().era
    }

    /// What it lets through now.
    pub(super) fn breaker(&self) -> BreakerState {
        if !self.state.lock().broken {
            return BreakerState::Closed;
        }
        // Who connects holds it.
        let tries = self.connecting.try_lock().is_err();
        if tries { BreakerState::HalfOpen } else { BreakerState::Open }
    }

    /// The connection, made now if there is none and it is time to try.
    async fn connection(&self) -> Result<(MultiplexedConnection, Era), RedisError> {
        if let Some(found) = self.current() {
            return Ok(found);
        }
        let mut retry = match self.connecting.try_lock() {
            Ok(retry) => retry,
            // Somebody tries already: nobody else waits for what may well fail.
            Err(_) if self.state.lock().broken => {
                let text = "the connection was lost, and another is not there yet";
                return Err(RedisError::Unavailable(text.to_owned()));
            }
            Err(_) => self.connecting.lock().await,
        };
        // Another caller may have connected, or failed to, meanwhile.
        if let Some(found) = self.current() {
            return Ok(found);
        }
        retry.check(clock::monotonic())?;
        let connected = match tokio::time::timeout(ATTEMPT_TIMEOUT, self.connect()).await {
            Ok(connected) => connected,
            Err(_) => Err(RedisError::Unavailable("connecting timed out".to_owned())),
        };
        match connected {
            Ok(found) => {
                *retry = Retry::new();
                Ok(found)
            }
            Err(error) => {
                self.state.lock().broken = true;
                retry.failed(clock::monotonic(), error.text().to_owned());
                Err(RedisError::Unavailable(error.text().to_owned()))
            }
        }
    }

    async fn connect(&self) -> Result<(MultiplexedConnection, Era), RedisError> {
        let sentinels = match &self.source {
            Source::Server(client) => return Ok(self.install(self.dial(client).await?)),
            Source::Sentinels(sentinels) => sentinels,
        };
        let primary = sentinels.primary().await?;
        let mut connection = self.dial(&sentinels.client(&primary)?).await?;
        sentinel::check_role(&mut connection, &primary).await?;
        let (connection, era) = self.install(connection);
        let state = Arc::downgrade(&self.state);
        tasks::spawn("redis.sentinels", Arc::clone(sentinels).watch(state, era, primary));
        Ok((connection, era))
    }

    async fn dial(&self, client: &Client) -> Result<MultiplexedConnection, RedisError> {
        let connecting = client.get_multiplexed_async_connection_with_config(&self.config);
        connecting.await.map_err(RedisError::unavailable)
    }

    /// Classes what came of a call, and drops the connection if it broke.
    fn judge<T>(&self, era: Era, result: RedisResult<T>) -> Result<T, Failure> {
        let mut state = self.state.lock();
        if state.is_in(era) {
            match &result {
                Ok(_) => state.timeouts = 0,
                Err(error) => {
                    if error.is_timeout() {
                        state.timeouts += 1;
                    }
                    if error.is_unrecoverable_error() && !error.is_timeout()
                        || state.timeouts >= TIMEOUTS_MAX
                        || self.has_moved(error)
                    {
                        state.end(era);
                    }
                }
            }
        }
        drop(state);
        result.map_err(Failure::after_sending)
    }

    /// Whether an answer is that of a server that is the primary no more.
    fn has_moved(&self, error: &::redis::RedisError) -> bool {
        matches!(self.source, Source::Sentinels(_)) && error::is_of_a_replica(error.kind())
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
        state.broken = false;
        state.connection = Some(connection.clone());
        (connection, Era(state.era))
    }
}

// === impl State ===

impl State {
    /// Whether the connection of an era is in use.
    pub(super) fn is_in(&self, era: Era) -> bool {
        self.era == era.0 && self.connection.is_some()
    }

    /// Drops the connection of an era.
    pub(super) fn end(&mut self, era: Era) {
        if self.era == era.0 {
            self.connection = None;
        }
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
