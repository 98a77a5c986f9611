//! Keys in a file, which may be replaced at any time.

use crate::auth::{KeySet, KeySetRefused};
use gavel_runtime::config::ConfigError;
use parking_lot::Mutex;
use std::{io, time::Duration};

/// How often the file is looked at.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// A file of keys, and what it held when it was read last, good or bad.
#[derive(Debug)]
pub(super) struct KeysFile {
    path: String,
    read: Mutex<Option<Vec<u8>>>,
}

/// Why a file gives no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileRefused {
    #[error("cannot be read")]
    Unreadable(#[source] io::Error),
    #[error(transparent)]
    Refused(#[from] KeySetRefused),
}

// === impl KeysFile ===

impl KeysFile {
    pub(super) fn open(path: &str) -> Result<(Self, KeySet), ConfigError> {
        let read = read("auth.keys_file", path)?;
        let set = KeySet::read(&read)
            .map_err(|error| ConfigError::invalid("auth.keys_file", error.to_string()))?;
        Ok((Self { path: path.to_owned(), read: Mutex::new(Some(read)) }, set))
    }

    /// What is new in the file. What cannot be used is told once, until it changes again: it may
    /// be written just now.
    pub(super) fn look(&self) -> Option<Result<KeySet, FileRefused>> {
        let fresh = std::fs::read(&self.path);
        let mut read = self.read.lock();
        if *read == fresh.as_ref().ok().cloned() {
            return None;
        }
        *read = fresh.as_ref().ok().cloned();
        drop(read);
        let fresh = fresh.map_err(FileRefused::Unreadable);
        Some(fresh.and_then(|fresh| Ok(KeySet::read(&fresh)?)))
    }
}

/// The content of a file that a setting names.
pub(super) fn read(key: &str, path: &str) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path)
        .map_err(|error| ConfigError::invalid(key, format!("cannot read {path}: {error}")))
}
