//! Lua scripts by their digest, sent whole only when the server forgot them.

use ::redis::{Cmd, FromRedisValue, ToRedisArgs, cmd};

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
    /// them pass `&[""; 0]`. In a cluster all keys must be of one slot.
    pub async fn invoke<T: FromRedisValue>(
        &self,
        keys: impl ToRedisArgs,
        args: impl ToRedisArgs,
    ) -> Result<T, RedisError> {
        self.redis.run(&self.call(keys, args), Some(self.script)).await
    }

    /// The same, with another command right behind it on the same connection,
    /// whose reply is read as `U`. A cluster refuses that.
    pub async fn invoke_then<T: FromRedisValue, U: FromRedisValue>(
        &self,
        keys: impl ToRedisArgs,
        args: impl ToRedisArgs,
        then: &Cmd,
    ) -> Result<(T, Result<U, RedisError>), RedisError> {
        self.redis.run_then(&self.call(keys, args), self.script, then).await
    }

    fn call(&self, keys: impl ToRedisArgs, args: impl ToRedisArgs) -> Cmd {
        let mut call = cmd("EVALSHA");
        call.arg(&self.script.sha).arg(keys.num_of_args()).arg(keys).arg(args);
        call
    }
}
