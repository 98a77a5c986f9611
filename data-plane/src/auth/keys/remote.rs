//! Keys at a URL, as issuers publish them.
//!
//! ```text
//! fetch -> told -> rest (refresh with jitter | backoff after a failure | until somebody asks) -> fetch
//! ask:  a token names a key that is not there -> the next fetch comes now, but only each 10 s
//! wait: ask, and until the outcome of that fetch is told, 1 s at most
//! ```

use crate::{
    auth::{KeySet, KeySetRefused, key_set::KEY_SET_BYTES_MAX},
    config::AuthConfig,
};
use gavel_runtime::{backoff::Backoff, clock, config::ConfigError, http::fetch, tls::Tls};
use http::Uri;
use parking_lot::Mutex;
use std::{
    io,
    time::{Duration, Instant},
};
use tokio::sync::{Notify, watch};

/// How long an answer may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How often tokens may ask for keys before their time.
const ASK_INTERVAL: Duration = Duration::from_secs(10);
/// How long a token waits for keys.
const WAIT: Duration = Duration::from_secs(1);
/// Delays after a failure, from the first to the longest.
const RETRIES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Where keys are asked for, and when.
#[derive(Debug)]
pub(super) struct Remote {
    url: Uri,
    tls: Tls,
    refresh: Duration,
    /// How long to rest after failures.
    pub(super) retries: Backoff,
    asked: Mutex<Option<Asked>>,
    wake: Notify,
    fetches: watch::Sender<Fetches>,
    /// When keys were read last, or when the node started.
    good_at: Mutex<Instant>,
}

/// How many fetches there have been.
#[derive(Debug, Clone, Copy, Default)]
struct Fetches {
    begun: u64,
    /// And of how many the outcome is in force.
    ended: u64,
}

/// When somebody last asked for a fetch before its time, and for which one.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Instant,
    number: u64,
}

/// Why a fetch gave no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchRefused {
    #[error("no good answer: {0}")]
    Unreachable(io::Error),
    #[error(transparent)]
    Refused(#[from] KeySetRefused),
}

// === impl Remote ===

impl Remote {
    pub(super) fn open(config: &AuthConfig) -> Result<Self, ConfigError> {
        let invalid = |why: &str| ConfigError::invalid("auth.keys_url", why);
        let url: Uri = config.keys_url.parse().map_err(|_| invalid("is no URL"))?;
        let tls = if url.scheme_str() == Some("https") {
            Tls::of_others("auth.keys_ca_file", &config.keys_ca_file)?
        } else {
            Tls::default()
        };
        let refresh = Duration::from_millis(config.keys_refresh_ms);
        let (first, longest) = RETRIES;
        let retries = Backoff::try_new(first.min(refresh), longest.min(refresh))
            .map_err(|error| ConfigError::invalid("auth.keys_refresh_ms", error.to_string()))?;
        Ok(Self {
            url,
            tls,
            refresh,
            retries,
            asked: Mutex::default(),
            wake: Notify::new(),
            fetches: watch::Sender::default(),
            good_at: Mutex::new(clock::monotonic()),
        })
    }

    /// Asks for the keys; [`Self::told`] ends it.
    pub(super) async fn fetch(&self) -> Result<KeySet, FetchRefused> {
        self.fetches.send_modify(|fetches| fetches.begun += 1);
        self.tls.refresh();
        let fetched = fetch::get(&self.url, &self.tls, KEY_SET_BYTES_MAX, FETCH_TIMEOUT).await;
        let set = KeySet::read(&fetched.map_err(FetchRefused::Unreachable)?)?;
        *self.good_at.lock() = clock::monotonic();
        Ok(set)
    }

    /// Lets go who waits: the outcome of the last fetch is in force.
    pub(super) fn told(&self) {
        self.fetches.send_modify(|fetches| fetches.ended = fetches.begun);
    }

    /// Waits for so long, or until somebody asks.
    pub(super) async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.wake.notified() => {}
        }
    }

    /// How long to rest after a good fetch: not all nodes ask at once.
    pub(super) fn pause(&self) -> Duration {
        self.refresh.mul_f64(1.0 - 0.2 * rand::random::<f64>())
    }

    /// Asks for the next fetch now, as [`Self::ask`], and waits for its end; whether there was one.
    pub(super) async fn wait(&self) -> bool {
        let mut fetches = self.fetches.subscribe();
        let number = self.ask();
        let ended = fetches.wait_for(|fetches| fetches.ended >= number);
        tokio::time::timeout(WAIT, ended).await.is_ok_and(|ended| ended.is_ok())
    }

    /// Asks for the next fetch now, if that was not done lately; the number of that fetch.
    fn ask(&self) -> u64 {
        let (mut asked, now) = (self.asked.lock(), clock::monotonic());
        if let Some(last) = *asked
            && now.saturating_duration_since(last.at) < ASK_INTERVAL
        {
            return last.number;
        }
        // One that is under way may have been answered before the key was there.
        let number = self.fetches.borrow().begun + 1;
        *asked = Some(Asked { at: now, number });
        self.wake.notify_one();
        number
    }

    /// Whether [`Self::wait`] would wait: its fetch is not over, or is still to be asked for.
    pub(super) fn may_come(&self) -> bool {
        let (asked, now) = (*self.asked.lock(), clock::monotonic());
        asked.is_none_or(|last| {
            let over = self.fetches.borrow().ended >= last.number;
            !over || now.saturating_duration_since(last.at) >= ASK_INTERVAL
        })
    }

    /// For how long no keys have been read.
    pub(super) fn age(&self) -> Duration {
        clock::monotonic().saturating_duration_since(*self.good_at.lock())
    }
}
