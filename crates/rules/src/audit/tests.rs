//! Corruptions planted in good histories.
