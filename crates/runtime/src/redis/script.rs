//! Lua scripts by their digest, sent whole only when the server forgot them.

use ::redis::{FromRedisValue, ToRedisArgs, cmd};

use super::error::read;
use super::{Redis, RedisError};

/// A Lua script and its digest.
#[derive(Debug, Clone)]
pub struct Script {
    source: String,
    sha: String,
}

/// A call of a script, not yet sent.
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing is sent before `invoke`"]
pub struct Invocation<'a> {
    redis: &'a Redis,
    script: &'a Script,
}

// === impl Script ===

impl Script {
    /// Keeps the source and computes its digest.
    pub fn new(source: impl Into<String>) -> Self {
        let source = source.into();
        let sha = ::redis::Script::new(&source).get_hash().to_owned();
        Self { source, sha }
    }

    /// The source in Lua.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The digest by which the server knows the script.
    pub fn sha(&self) -> &str {
        &self.sha
    }
}

// === impl Invocation ===

impl<'a> Invocation<'a> {
    pub(super) fn new(redis: &'a Redis, script: &'a Script) -> Self {
        Self { redis, script }
    }

    /// Runs the script and reads its reply as `T`.
    ///
    /// `keys` and `args` are slices, or tuples of mixed types; for none of
    /// them pass `&[""; 0]`. A server that does not know the script has run
    /// nothing, so loading it and trying again is safe.
    pub async fn invoke<T: FromRedisValue>(
        &self,
        keys: impl ToRedisArgs,
        args: impl ToRedisArgs,
    ) -> Result<T, RedisError> {
        let mut call = cmd("EVALSHA");
        call.arg(&self.script.sha).arg(keys.num_of_args()).arg(keys).arg(args);
        let mut reply = self.redis.send(&call).await?;
        if reply.no_script {
            self.load().await?;
            reply = self.redis.send(&call).await?;
        }
        read(reply.outcome?)
    }

    async fn load(&self) -> Result<(), RedisError> {
        let mut load = cmd("SCRIPT");
        load.arg("LOAD").arg(&self.script.source);
        match self.redis.cmd::<()>(&load).await {
            // Only the loading is in doubt, and it has no effect of its own.
            Err(RedisError::Unknown(text)) => Err(RedisError::Unavailable(text)),
            other => other,
        }
    }
}
