//! Names as Prometheus reads them, so that a node's report cannot spoil the
//! page of the whole cluster.

/// The longest name, labels included, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// Whether this is a family with or without labels: `gavel_bids{outcome="accepted"}`.
pub(super) fn is_series(name: &str) -> bool {
    let Some((family, labels)) = name.split_once('{') else { return is_family(name) };
    let Some(labels) = labels.strip_suffix('}') else { return false };
    name.len() <= NAME_BYTES_MAX && is_family(family) && labels.split(',').all(is_label)
}

/// Whether this is a name without labels.
pub(super) fn is_family(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX && is_word(name)
}

/// Label values are words of closed lists, so none needs escaping, or a comma.
fn is_label(label: &str) -> bool {
    let Some((key, value)) = label.split_once('=') else { return false };
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let plain = |c: char| c == ' ' || (c.is_ascii_graphic() && !matches!(c, '"' | '\\'));
    is_word(key) && value.is_some_and(|value| value.chars().all(plain))
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_prometheus_reads_is_a_name() {
        for good in ["gavel_bids", "_a1", r#"a{b="c"}"#, r#"a{b="",c="d-e f"}"#, &"x".repeat(200)] {
            assert!(is_series(good), "{good}");
        }
        let long = "x".repeat(201);
        for bad in [
            "",
            "1a",
            "a b",
            "a\n",
            "ä",
            "a{}",
            "a{",
            "a}",
            r#"a{b="c"#,
            r#"a{b=c}"#,
            r#"a{="c"}"#,
            r#"a{b="c",}"#,
            r#"a{b="c"d"}"#,
            r#"a{b="c\"}"#,
            "a{b=\"c\n\"}",
            r#"{a="b"}"#,
            r#"a{b="}"#,
            &long,
        ] {
            assert!(!is_series(bad), "{bad:?}");
        }
        assert!(!is_family(r#"a{b="c"}"#));
    }
}
