//! The tokens of operators that are in force. Those of a file are read again as
//! it changes, and a file that cannot be used changes nothing.

mod listed;

use crate::config::AdminConfig;
use gavel_runtime::{config::ConfigError, tls::Role};
use listed::Listed;
use parking_lot::{Mutex, RwLock};
use sha2::{Digest as _, Sha256};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// The bearer of the token that has no name of its own.
const ADMIN: &str = "admin";
/// How often the file is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Every token there is.
#[derive(Clone, Default)]
pub(crate) struct Tokens {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    config: AdminConfig,
    in_force: RwLock<Listed>,
    /// What the file was like when it was looked at last.
    seen: Mutex<Seen>,
}

/// The digest of a file; none, where it could not be read.
type Seen = Option<[u8; 32]>;

// === impl Tokens ===

impl Tokens {
    /// Those of the settings and of the file that they name.
    pub(crate) fn new(config: &AdminConfig) -> Result<Self, ConfigError> {
        let file = read(config)?;
        let (in_force, seen) = (listed(config, &file)?, Mutex::new(seen(&file)));
        let shared = Shared { config: config.clone(), in_force: RwLock::new(in_force), seen };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Those of a text, for good.
    pub(crate) fn listed(key: &str, text: &str) -> Result<Self, ConfigError> {
        let in_force = RwLock::new(Listed::read(key, text)?);
        Ok(Self { shared: Arc::new(Shared { in_force, ..Shared::default() }) })
    }

    /// Whether no token is asked for. Where a file is named there always is: who
    /// empties it wants to let nobody in, and not everybody who is near.
    pub(crate) fn is_empty(&self) -> bool {
        self.shared.config.tokens_file.is_empty() && self.shared.in_force.read().len() == 0
    }

    /// Whose token this is. It takes as long whichever it is.
    pub(crate) fn bearer(&self, given: &str) -> Option<(String, Role)> {
        let in_force = self.shared.in_force.read();
        in_force.bearer(given).map(|(name, role)| (name.to_owned(), role))
    }

    /// Looks at the file until the process stops.
    pub(crate) async fn keep_fresh(self, stop: CancellationToken) {
        if self.shared.config.tokens_file.is_empty() {
            return;
        }
        let mut tick = tokio::time::interval(LOOK_INTERVAL);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            self.refresh();
        }
    }

    /// Puts a new file in force; one that cannot be used is left until it
    /// changes again.
    fn refresh(&self) {
        let Shared { config, in_force, seen: last } = &*self.shared;
        let file = read(config);
        let now = file.as_ref().map_or(None, |file| seen(file));
        if std::mem::replace(&mut *last.lock(), now) == now {
            return;
        }
        match file.and_then(|file| listed(config, &file)) {
            Ok(tokens) => {
                *in_force.write() = tokens;
                tracing::info!("new tokens of operators are in force");
            }
            Err(error) => {
                tracing::warn!(%error, "new tokens cannot be used; the old ones stay");
            }
        }
    }
}

// A digest of a short token tells the token.
impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("count", &self.shared.in_force.read().len()).finish()
    }
}

/// The text of the file; empty where none is named.
fn read(config: &AdminConfig) -> Result<String, ConfigError> {
    let path = &config.tokens_file;
    if path.is_empty() {
        return Ok(String::new());
    }
    std::fs::read_to_string(path).map_err(|error| {
        ConfigError::invalid("admin.tokens_file", format!("cannot read {path}: {error}"))
    })
}

fn seen(file: &str) -> Seen {
    Some(Sha256::digest(file).into())
}

fn listed(config: &AdminConfig, file: &str) -> Result<Listed, ConfigError> {
    let mut tokens = Listed::read("admin.tokens", &config.tokens)?;
    tokens.extend(Listed::read("admin.tokens_file", file)?);
    if !config.token.is_empty() {
        tokens.add(ADMIN, Role::Admin, &config.token);
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_is_in_force_and_one_that_cannot_be_used_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write("ann admin one");
        let tokens_file = path.to_str().unwrap().to_owned();
        let config =
            AdminConfig { tokens: "bob viewer two".to_owned(), tokens_file, ..Default::default() };
        let tokens = Tokens::new(&config).unwrap();
        let known = || {
            tokens.refresh();
            ["one", "two", "three"].map(|token| tokens.bearer(token).is_some())
        };
        assert_eq!(known(), [true, true, false]);
        write("ann admin three");
        assert_eq!(known(), [false, true, true]);
        for unusable in ["ann queen one", "ann"] {
            write(unusable);
            assert_eq!(known(), [false, true, true], "{unusable}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(known(), [false, true, true]);
        write("ann admin one");
        assert_eq!(known(), [true, true, false], "it is back");
        write("");
        assert_eq!(known(), [false, true, false]);
    }

    #[test]
    fn an_empty_file_lets_nobody_in_and_not_everybody() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens");
        std::fs::write(&path, "# nobody yet").unwrap();
        let tokens_file = path.to_str().unwrap().to_owned();
        let tokens = Tokens::new(&AdminConfig { tokens_file, ..Default::default() }).unwrap();
        assert!(!tokens.is_empty() && tokens.bearer("").is_none());
        assert!(Tokens::new(&AdminConfig::default()).unwrap().is_empty());
    }
}
