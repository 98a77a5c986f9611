//! Answers that are kept until the document changes.

use crate::Flags;

/// What was worked out for one subject from one document.
#[derive(Debug, Clone)]
pub struct Cached<T> {
    answers: Option<(Flags, T)>,
}

// === impl Cached ===

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self { answers: None }
    }
}

impl<T: Copy> Cached<T> {
    /// The answers from `flags`, worked out anew only if they are from another
    /// document.
    pub fn get(&mut self, flags: &Flags, work_out: impl FnOnce() -> T) -> T {
        match &self.answers {
            Some((of, answers)) if of.is(flags) => *answers,
            Some(_) | None => {
                let answers = work_out();
                self.answers = Some((flags.clone(), answers));
                answers
            }
        }
    }
}
