//! Leading where one process holds the store alone: whoever asks leads, always
//! under the same term. So nothing of it has to be stored.

use super::{Candidate, Leadership, StoreError};
use gavel_rules::order::Term;

/// The term of the only leader.
const TERM: Term = Term::new(1);

/// Who leads, after this many changes of documents.
pub(super) fn lead(candidate: &Candidate, changes: u64) -> Leadership {
    Leadership { leader: candidate.clone(), term: TERM, changes }
}

/// Refuses an older term.
pub(super) fn fence(term: Term) -> Result<(), StoreError> {
    if term < TERM { Err(StoreError::Fenced { by: TERM }) } else { Ok(()) }
}
