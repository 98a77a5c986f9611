//! The stored form of the denials, and what of them nodes are told.

use gavel_proto::{
    config::v1::{self as wire, denial::What},
    denials::{Denial, Denials, DenialsError},
};

/// The stored form: a JSON array.
#[must_use]
pub(crate) fn to_json(denials: &Denials) -> String {
    let list: Vec<&Denial> = denials.iter(None).collect();
    serde_json::to_string(&list).expect("a list of texts and numbers is always JSON")
}

/// Reads denials from their stored form.
///
/// # Errors
/// [`DenialsError`] if the text is no such list.
pub(crate) fn from_json(text: &str) -> Result<Denials, DenialsError> {
    let list: Vec<Denial> = serde_json::from_str(text).map_err(|error| DenialsError {
        field: "denials".to_owned(),
        message: error.to_string(),
    })?;
    Denials::new(list)
}

/// The document without what is for operators alone.
#[must_use]
pub(crate) fn for_nodes(denials: &Denials) -> wire::Denials {
    let mut told = wire::Denials::from(denials);
    for denial in &mut told.denials {
        if let Some(What::Ban(ban)) = &mut denial.what {
            ban.reason.clear();
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fixed for good: a replica of another release has to read it, too.
    const STORED: &str = r#"[
        {"kind":"ban","user":"ann","room":null,"reason":"","until":null},
        {"kind":"ban","user":"ann","room":"vase","reason":"shill bids","until":9},
        {"kind":"token","token":"t:1","until":9},
        {"kind":"user","user":"ann","issued_before":7,"until":9},
        {"kind":"kick","user":"ann","opened_before":7,"until":9}
    ]"#;

    #[test]
    fn the_stored_form_reads_back() {
        let denials = from_json(STORED).unwrap();
        assert_eq!(denials.len(), 5);
        let packed: String = STORED.lines().map(str::trim).collect();
        assert_eq!(to_json(&denials), packed);
        assert_eq!(to_json(&Denials::default()), "[]");
    }

    #[test]
    fn nodes_are_told_all_but_the_reason() {
        let told = for_nodes(&from_json(STORED).unwrap());
        let expected = from_json(&STORED.replace("shill bids", "")).unwrap();
        assert_eq!(Denials::try_from(told), Ok(expected));
    }

    #[test]
    fn what_is_no_denial_is_refused() {
        for text in
            ["", "{}", r#"[{"kind":"ban"}]"#, r#"[{"kind":"spell","user":"ann","until":null}]"#]
        {
            assert_eq!(from_json(text).unwrap_err().field, "denials", "{text}");
        }
        let double = STORED.replace(r#""vase""#, "null");
        assert_eq!(from_json(&double).unwrap_err().field, "denials[1]");
    }
}
