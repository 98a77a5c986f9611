//! The keys in force, from wherever they come.
//!
//! ```text
//! auth.secret, auth.secret_file   once
//! auth.keys_file                  looked at again and again
//! auth.keys_url                   asked again and again, and early for a token of an unknown key
//! ```
//!
//! What cannot be read or used changes nothing: the last good keys stay.

mod file;
mod remote;

use super::{KeySet, Refusal, key::Key};
use crate::config::AuthConfig;
use file::KeysFile;
use gavel_runtime::config::{ConfigError, SECRET_BYTES_MIN};
use parking_lot::RwLock;
use prometheus_client::metrics::counter::Counter;
use remote::Remote;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// All keys, and where new ones come from.
#[derive(Debug, Default)]
pub(super) struct Keys {
    secret: Option<Arc<Key>>,
    of_file: RwLock<KeySet>,
    of_url: RwLock<KeySet>,
    file: Option<KeysFile>,
    url: Option<Remote>,
    /// Sets that were not used.
    refused: Counter,
}

// === impl Keys ===

impl Keys {
    /// The key that both sides share; none if it is empty.
    pub(super) fn secret(secret: &[u8]) -> Self {
        let secret = (!secret.is_empty()).then(|| Arc::new(Key::secret(secret)));
        Self { secret, ..Self::default() }
    }

    fn secret_of_file(path: &str) -> Result<Self, ConfigError> {
        let key = "auth.secret_file";
        let held = file::read(key, path)?;
        // A line may end behind it.
        let secret = held.trim_ascii();
        if secret.len() < SECRET_BYTES_MIN {
            let short = format!("{path} must hold {SECRET_BYTES_MIN} bytes at least");
            return Err(ConfigError::invalid(key, short));
        }
        Ok(Self::secret(secret))
    }

    /// Reads what the settings name; what is at a URL comes later.
    ///
    /// # Errors
    /// [`ConfigError`] for the first file that cannot be used.
    pub(super) fn open(config: &AuthConfig, refused: Counter) -> Result<Self, ConfigError> {
        let mut keys = match config.secret_file.as_str() {
            "" => Self::secret(config.secret.as_bytes()),
            path => Self::secret_of_file(path)?,
        };
        if !config.keys_file.is_empty() {
            let (file, set) = KeysFile::open(&config.keys_file)?;
            (keys.file, keys.of_file) = (Some(file), RwLock::new(set));
        }
        if !config.keys_url.is_empty() {
            keys.url = Some(Remote::open(config)?);
        }
        keys.refused = refused;
        Ok(keys)
    }

    /// Believes these keys as if they stood in a file.
    pub(super) fn believe(&self, set: KeySet) {
        *self.of_file.write() = set;
    }

    /// The key that a token names. One that names none gets the only key without a name, or else
    /// the only key: which one it is must never be a matter of trying.
    pub(super) fn find(&self, id: Option<&str>) -> Result<Arc<Key>, Refusal> {
        let (of_file, of_url) = (self.of_file.read().clone(), self.of_url.read().clone());
        let all = || self.secret.iter().chain(of_file.iter()).chain(of_url.iter());
        let found = match id {
            Some(id) => all().find(|key| key.id.as_deref() == Some(id)),
            None => only(all().filter(|key| key.id.is_none())).or_else(|| only(all())),
        };
        found.cloned().ok_or(Refusal::Key)
    }

    /// Whether newer keys may come to who waits.
    pub(super) fn may_come(&self) -> bool {
        self.url.as_ref().is_some_and(Remote::may_come)
    }

    /// Asks for newer keys, where there is somebody to ask, and waits a moment for them; whether
    /// another look may find more.
    pub(super) async fn wait(&self) -> bool {
        match &self.url {
            Some(url) => url.wait().await,
            None => false,
        }
    }

    /// For how long the keys at the URL have not been read; zero without one.
    pub(super) fn age(&self) -> Duration {
        self.url.as_ref().map_or(Duration::ZERO, Remote::age)
    }

    /// Looks for new keys until told to stop.
    pub(super) async fn keep_fresh(&self, stop: CancellationToken) {
        let looking = async { tokio::join!(self.follow_file(), self.follow_url()) };
        stop.run_until_cancelled(looking).await;
    }

    async fn follow_file(&self) {
        let Some(file) = &self.file else { return };
        let mut tick = tokio::time::interval(file::LOOK_INTERVAL);
        loop {
            tick.tick().await;
            match file.look() {
                None => {}
                Some(Ok(set)) => {
                    tracing::info!(keys = set.len(), "auth.keys_file: new keys are in force");
                    self.believe(set);
                }
                Some(Err(error)) => self.refuse("auth.keys_file", &error),
            }
        }
    }

    async fn follow_url(&self) {
        let Some(url) = &self.url else { return };
        let mut retries = url.retries.clone();
        loop {
            let pause = match url.fetch().await {
                Ok(set) => {
                    tracing::debug!(keys = set.len(), "auth.keys_url: keys were read");
                    *self.of_url.write() = set;
                    retries.reset();
                    url.pause()
                }
                Err(error) => {
                    self.refuse("auth.keys_url", &error);
                    retries.next_delay()
                }
            };
            url.told();
            url.rest(pause).await;
        }
    }

    fn refuse(&self, key: &str, error: &dyn std::fmt::Display) {
        self.refused.inc();
        tracing::warn!(%error, "{key}: the keys cannot be used; the last good ones stay");
    }
}

fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.next().is_none().then_some(first)
}
