//! What a store keeps of changes, and the secret that its users share.

use super::StoreError;
use async_trait::async_trait;
use std::{fmt::Debug, ops::RangeInclusive};

/// The audit log: texts that are numbered as they come, of which the newest
/// are kept.
#[async_trait]
pub trait AuditStore: Debug + Send + Sync + 'static {
    /// Keeps an entry under the next number, which is returned, and of all
    /// entries only the `keep` newest. Whoever changes something has it written
    /// down before, under whatever term.
    async fn append_audit(&self, body: &str, keep: u64) -> Result<u64, StoreError>;

    /// Replaces an entry; one that is not kept any more stays away.
    async fn amend_audit(&self, id: u64, body: &str) -> Result<(), StoreError>;

    /// The entries with these numbers that are kept, in their order.
    async fn audit(&self, ids: RangeInclusive<u64>) -> Result<Vec<(u64, String)>, StoreError>;

    /// The newest number; zero if there never was an entry.
    async fn newest_audit(&self) -> Result<u64, StoreError>;

    /// A secret of all who share the store: this one, if there is none yet.
    async fn shared_secret(&self, drawn: &str) -> Result<String, StoreError>;
}
