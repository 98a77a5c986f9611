//! The parts of docs/ that are made from the code: each stands between two
//! marks, and `make docs` writes it anew. tests/tests/docs.rs compares.
//!
//! ```text
//!   <!-- made from the code: limits -->
//!   ...
//!   <!-- end of limits -->
//! ```

mod configuration;
mod metrics;
mod protocol;
mod table;

use std::path::{Path, PathBuf};

/// What writes everything anew.
pub const COMMAND: &str = "make docs";

const CONFIGURATION: &str = "docs/configuration.md";
const METRICS: &str = "docs/metrics.md";
const PROTOCOL: &str = "docs/protocol.md";

/// The files with such parts, from the root.
pub const FILES: [&str; 3] = [CONFIGURATION, METRICS, PROTOCOL];

/// One part: its file, its name, and what makes it.
type Part = (&'static str, &'static str, fn() -> String);

const PARTS: [Part; 12] = [
    (CONFIGURATION, "control-plane", configuration::settings::<gavel_control_plane::Config>),
    (CONFIGURATION, "data-plane", configuration::settings::<gavel_data_plane::Config>),
    (CONFIGURATION, "serve", configuration::serve),
    (CONFIGURATION, "variables", configuration::variables),
    (CONFIGURATION, "limits", configuration::limits),
    (CONFIGURATION, "actions", configuration::actions),
    (CONFIGURATION, "flags", configuration::flags),
    (METRICS, "nodes", metrics::of_a_node),
    (METRICS, "control plane", metrics::of_the_control_plane),
    (PROTOCOL, "reasons", protocol::reasons),
    (PROTOCOL, "errors", protocol::errors),
    (PROTOCOL, "close codes", protocol::close_codes),
];

/// Where a file of the repository is.
#[must_use]
pub fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

/// What a file must hold, given what it holds.
///
/// # Panics
/// If a part of it has lost its marks.
#[must_use]
pub fn renewed(file: &str, text: &str) -> String {
    let parts = PARTS.iter().filter(|(of, ..)| *of == file);
    parts.fold(text.to_owned(), |text, (_, name, make)| replaced(&text, name, &make()))
}

fn replaced(text: &str, name: &str, part: &str) -> String {
    let (start, end) =
        (format!("<!-- made from the code: {name} -->"), format!("<!-- end of {name} -->"));
    let marked = text.split_once(&start).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(&end)?;
        Some((before, after))
    });
    let (before, after) = marked.unwrap_or_else(|| panic!("there is no {start} .. {end}"));
    format!("{before}{start}\n\n{}\n\n{end}{after}", part.trim())
}
