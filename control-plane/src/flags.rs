//! The flags document: what it is before an operator writes one, and what is
//! refused before it is stored.

use gavel_flags::Flags;

/// The document of a new cluster: everything the seed asks for is on.
pub const DEFAULT_DOCUMENT: &str = r#"{
  "flags": {
    "batching": {
      "state": "ENABLED",
      "variants": { "on": true, "off": false },
      "defaultVariant": "on"
    },
    "changed-fields": {
      "state": "ENABLED",
      "variants": { "on": true, "off": false },
      "defaultVariant": "on"
    }
  }
}
"#;

/// Refuses a document that nodes would refuse.
///
/// # Errors
/// The path of the first fault and what is wrong there.
pub fn check(document: &str) -> Result<(), String> {
    Flags::parse(document).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_flags::Context;

    #[test]
    fn the_default_document_switches_everything_on() {
        let flags = Flags::parse(DEFAULT_DOCUMENT).unwrap();
        let keys: Vec<_> = flags.keys().collect();
        assert_eq!(keys, ["batching", "changed-fields"]);
        for key in keys {
            assert!(flags.bool_value(key, &Context::new("anybody"), false), "{key}");
        }
    }

    #[test]
    fn a_fault_is_told_with_its_path() {
        assert_eq!(check(DEFAULT_DOCUMENT), Ok(()));
        let wrong = DEFAULT_DOCUMENT.replacen("ENABLED", "PERHAPS", 1);
        let error = check(&wrong).unwrap_err();
        assert!(error.starts_with("$.flags.batching.state: "), "{error}");
        assert!(check("{").is_err());
    }
}
