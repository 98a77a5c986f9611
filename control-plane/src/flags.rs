//! The flags document.

use gavel_flags::Flags;

/// What is in force before an operator says otherwise.
pub const DEFAULT_DOCUMENT: &str = include_str!("flags/default.json");

/// Refuses a document that the nodes would refuse.
///
/// # Errors
/// The path of the fault and what it is.
pub fn check(document: &str) -> Result<(), String> {
    Flags::parse(document).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_document_is_good_and_a_bad_one_is_named() {
        assert_eq!(check(DEFAULT_DOCUMENT), Ok(()));
        let bad = DEFAULT_DOCUMENT.replacen("ENABLED", "MAYBE", 1);
        assert!(check(&bad).expect_err("a bad state").contains("state"));
    }
}
