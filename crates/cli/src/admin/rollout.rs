//! Editing one boolean flag of a flagd document into a percentage rollout.

use serde_json::{Value, json};
use std::fmt;

/// What the percentage is counted over; the same subject keeps its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Subject {
    /// Each user.
    User,
    /// Each room, with everybody in it.
    Room,
}

// === impl Subject ===

impl Subject {
    /// The attribute that evaluation finds the subject under.
    const fn attribute(self) -> &'static str {
        match self {
            Self::User => "userId",
            Self::Room => "roomId",
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Room => "room",
        })
    }
}

/// Makes `flag` answer `true` to `percent` of the subjects.
///
/// The flag's name is part of what is hashed, so that two flags at 10 % do not
/// pick the same tenth.
pub(crate) fn set(
    document: &mut Value,
    flag: &str,
    percent: u8,
    by: Subject,
) -> Result<(), String> {
    let flags = document.get_mut("flags").and_then(Value::as_object_mut);
    let flags = flags.ok_or("the document holds no flags")?;
    let names: Vec<String> = flags.keys().cloned().collect();
    let flag_body = flags.get_mut(flag).and_then(Value::as_object_mut);
    let flag_body = flag_body
        .ok_or_else(|| format!("there is no flag {flag:?}; there are {}", names.join(", ")))?;
    let variant = |wanted: bool| {
        let variants = flag_body.get("variants")?.as_object()?;
        variants.iter().find(|(_, value)| **value == wanted).map(|(name, _)| name.clone())
    };
    let (Some(on), Some(off)) = (variant(true), variant(false)) else {
        return Err(format!("{flag} is not a boolean flag"));
    };
    let subject = json!({"cat": [{"var": "$flagd.flagKey"}, {"var": by.attribute()}]});
    let rest = 100_u8.saturating_sub(percent);
    let targeting = json!({"fractional": [subject, [on, percent], [off, rest]]});
    flag_body.insert("targeting".to_owned(), targeting);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        json!({"flags": {
            "batching": {
                "state": "ENABLED", "defaultVariant": "off",
                "variants": {"on": true, "off": false},
            },
            "color": {"state": "ENABLED", "defaultVariant": "a", "variants": {"a": "red"}},
        }})
    }

    #[test]
    fn a_rollout_names_its_subject_and_shares() {
        let mut edited = document();
        set(&mut edited, "batching", 10, Subject::Room).unwrap();
        let fractional = &edited["flags"]["batching"]["targeting"]["fractional"];
        assert_eq!(fractional[0]["cat"][1]["var"], "roomId");
        assert_eq!(fractional[1], json!(["on", 10]));
        assert_eq!(fractional[2], json!(["off", 90]));
        assert_eq!(edited["flags"]["color"], document()["flags"]["color"]);
    }

    #[test]
    fn only_a_known_boolean_flag_is_edited() {
        let error = set(&mut document(), "nope", 10, Subject::User).unwrap_err();
        assert_eq!(error, "there is no flag \"nope\"; there are batching, color");
        assert!(set(&mut document(), "color", 10, Subject::User).is_err());
        assert!(set(&mut json!([]), "batching", 10, Subject::User).is_err());
    }
}
