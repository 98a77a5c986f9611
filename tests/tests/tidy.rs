//! What holds for the whole source tree, as absences: see ARCHITECTURE.md.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy knows tests by their attribute and not by their directory"
)]

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

const FILE_LINES_MAX: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every file of the repository, tracked or about to be, by its path from the root.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "the tests need git");
    let list = String::from_utf8(output.stdout).unwrap();
    list.lines().map(PathBuf::from).filter(|file| root().join(file).is_file()).collect()
}

/// Every Rust file with its text.
fn sources() -> Vec<(String, String)> {
    let rust = files().into_iter().filter(|file| file.extension().is_some_and(|e| e == "rs"));
    let sources: Vec<_> = rust
        .map(|file| {
            let text = std::fs::read_to_string(root().join(&file)).unwrap();
            (file.to_str().unwrap().to_owned(), text)
        })
        .collect();
    assert!(sources.len() > 50, "the tree is not where it should be");
    sources
}

/// What each of our packages depends on outside of tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter().map(|package| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let normal = dependencies.filter(|dependency| dependency["kind"] != "dev");
        (text(&package["name"]), normal.map(|dependency| text(&dependency["name"])).collect())
    });
    packages.collect()
}

fn refuse(what: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{what}:\n{}", offences.join("\n"));
}

#[test]
fn packages_import_along_the_arrow() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("gavel-rules", &[] as &[_]),
        ("gavel-testkit", &[]),
        (
            "gavel",
            &[
                "gavel-control-plane",
                "gavel-data-plane",
                "gavel-flags",
                "gavel-proto",
                "gavel-rules",
                "gavel-runtime",
            ],
        ),
        ("gavel-flags", &[]),
        ("gavel-runtime", &[]),
        ("gavel-proto", &["gavel-rules"]),
        ("gavel-control-plane", &["gavel-flags", "gavel-proto", "gavel-rules", "gavel-runtime"]),
        ("gavel-data-plane", &["gavel-flags", "gavel-proto", "gavel-rules", "gavel-runtime"]),
    ]);
    let dependencies = dependencies();
    let mut offences = Vec::new();
    for (package, allowed) in &allowed {
        let ours = dependencies[*package].iter().filter(|name| name.starts_with("gavel-"));
        offences.extend(
            ours.filter(|name| !allowed.contains(&name.as_str()))
                .map(|name| format!("{package} -> {name}")),
        );
    }
    refuse("imports against the arrow", &offences);
}

#[test]
fn rules_are_pure() {
    let rules = &dependencies()["gavel-rules"];
    let expected = BTreeSet::from(["serde".to_owned(), "thiserror".to_owned()]);
    assert_eq!(*rules, expected);
    let lib = std::fs::read_to_string(root().join("crates/rules/src/lib.rs")).unwrap();
    assert!(lib.contains("#![no_std]"));
    let offences: Vec<_> = sources()
        .into_iter()
        .filter(|(file, text)| file.starts_with("crates/rules/src/") && text.contains("tracing::"))
        .map(|(file, _)| file)
        .collect();
    refuse("rules that log", &offences);
}

#[test]
fn files_are_short() {
    let offences: Vec<_> = sources()
        .into_iter()
        .map(|(file, text)| (file, text.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(file, lines)| format!("{file}: {lines} lines"))
        .collect();
    refuse("files that are too long", &offences);
    // The lint that keeps functions short is clippy's; here only its threshold.
    let clippy = std::fs::read_to_string(root().join(".clippy.toml")).unwrap();
    assert!(clippy.contains("too-many-lines-threshold = 70"));
}

#[test]
fn databases_are_named_only_at_the_store() {
    let at_home = |file: &str| {
        file.starts_with("crates/runtime/src/redis")
            || file.starts_with("crates/runtime/src/disk")
            // Tells a URL of Redis from other texts.
            || file == "crates/runtime/src/config/form.rs"
            || file.starts_with("tests/")
            || file.contains("/src/store/")
            || file.ends_with("/src/store.rs")
    };
    let needles = [
        concat!("redis", "::"),
        concat!("use ", "redis"),
        concat!("redb", "::"),
        concat!("use ", "redb"),
    ];
    let offences: Vec<_> = sources()
        .into_iter()
        .filter(|(file, text)| !at_home(file) && needles.iter().any(|needle| text.contains(needle)))
        .map(|(file, _)| file)
        .collect();
    refuse("databases outside of the store", &offences);
}

#[test]
fn flags_and_variables_are_read_where_they_are_listed() {
    let homes = [
        (concat!("bool_", "value("), "crates/flags/src/own.rs"),
        (concat!("int_", "value("), "crates/flags/src/own.rs"),
        (concat!("float_", "value("), "crates/flags/src/own.rs"),
        (concat!("string_", "value("), "crates/flags/src/own.rs"),
        (concat!("config::", "variable("), "crates/runtime/src/telemetry/environment.rs"),
    ];
    let listed = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let mut offences = Vec::new();
    for (file, text) in sources() {
        let shipped = text.split("#[cfg(test)]").next().unwrap();
        let is_test = file.contains("tests/") || file.starts_with("crates/flags/");
        for (needle, home) in homes {
            if !is_test && file != home && shipped.contains(needle) {
                offences.push(format!("{file}: {needle}"));
            }
        }
        // Those that the command line reads by itself.
        let named = shipped.split(concat!("env = ", '"')).skip(1);
        let names = named.filter_map(|rest| rest.split('"').next());
        offences.extend(
            names
                .filter(|name| !listed.contains(&format!("`{name}`")))
                .map(|name| format!("{file}: {name} is not in docs/configuration.md")),
        );
    }
    refuse("flags or variables that no list has", &offences);
}

#[test]
fn nothing_is_left_open() {
    let needles = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
    ];
    let offences: Vec<_> = sources()
        .into_iter()
        .flat_map(|(file, text)| {
            let found = needles.into_iter().filter(move |needle| text.contains(needle));
            found.map(move |needle| format!("{file}: {needle}")).collect::<Vec<_>>()
        })
        .collect();
    refuse("unfinished work", &offences);
}

#[test]
fn every_source_says_what_it_is_for() {
    let offences: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(file, _)| file)
        .collect();
    refuse("sources without a doc comment at their beginning", &offences);
}

#[test]
fn no_path_of_a_machine_is_kept() {
    let needles = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let mut offences = Vec::new();
    for file in files() {
        let Ok(text) = std::fs::read_to_string(root().join(&file)) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            if needles.iter().any(|needle| line.contains(needle)) {
                offences.push(format!("{}:{number}: {}", file.display(), line.trim()));
            }
        }
    }
    refuse("paths of a machine", &offences);
}
