//! The tables of docs/configuration.md.

use super::table::{Table, code, sentence};
use gavel_flags::own::{ALL, ATTRIBUTES, AskedFor, Declaration, Values};
use gavel_proto::limits::{ACTIONS, LIMITS, UNBOUNDED, word};
use gavel_runtime::{
    config::{self, Setting},
    disk::DataConfig,
    telemetry::VARIABLES,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;

/// The settings of a plane, a table for each section.
pub(super) fn settings<T: JsonSchema>() -> String {
    let sections = config::sections::<T>().expect("bounds that somebody checks");
    sections.into_iter().fold(String::new(), |mut text, section| {
        let mut table = Table::new(["Key", "Variable", "Default", "Unit", "Bounds", "Meaning"]);
        for setting in section.settings {
            table.row([
                code(&setting.key),
                code(config::variable_of(&setting.key)),
                default(&setting.default),
                unit(&setting.key).to_owned(),
                bounds(&setting),
                setting.meaning,
            ]);
        }
        let (name, about) = (section.name, section.meaning);
        write!(text, "### {name}\n\n{about}\n\n{}\n", table.end()).expect("a String takes it");
        text
    })
}

/// The settings that only `gavel serve` has, and the defaults that are others there.
pub(super) fn serve() -> String {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is asked for")]
    struct Own {
        data: DataConfig,
    }
    let mut table = Table::new(["Key", "Variable", "Default", "In a process of its own"]);
    let alone = (gavel_control_plane::Config::default(), gavel_data_plane::Config::default());
    let [control_plane, data_plane] = [
        differences(&gavel_control_plane::Config::for_one_process(), &alone.0),
        differences(&gavel_data_plane::Config::for_one_process(), &alone.1),
    ];
    for (plane, differences) in [("control_plane", control_plane), ("data_plane", data_plane)] {
        for (key, here, there) in differences {
            let key = format!("{plane}.{key}");
            table.row([
                code(&key),
                code(config::variable_of(&key)),
                default(&here),
                default(&there),
            ]);
        }
    }
    let about = "Where the two planes have other defaults than in processes of their own.";
    format!("{}### control_plane, data_plane\n\n{about}\n\n{}", settings::<Own>(), table.end())
}

/// The keys that have different values, with both.
fn differences<T: JsonSchema + Serialize>(here: &T, there: &T) -> Vec<(String, Value, Value)> {
    let [here, there] = [here, there].map(|config| serde_json::to_value(config).expect("JSON"));
    let sections = config::sections::<T>().expect("bounds that somebody checks");
    let settings = sections.into_iter().flat_map(|section| section.settings);
    settings
        .filter_map(|Setting { key, .. }| {
            let path = format!("/{}", key.replace('.', "/"));
            let value = |config: &Value| config.pointer(&path).expect("each has a value").clone();
            let (here, there) = (value(&here), value(&there));
            (here != there).then_some((key, here, there))
        })
        .collect()
}

fn default(value: &Value) -> String {
    match value.as_str() {
        Some("") => "empty".to_owned(),
        Some(text) => code(text),
        None => code(value),
    }
}

fn bounds(setting: &Setting) -> String {
    let bounds: Vec<_> = setting.bounds.iter().map(ToString::to_string).collect();
    let or_empty = if setting.default == "" && !bounds.is_empty() { "empty or " } else { "" };
    format!("{or_empty}{}", bounds.join("; "))
}

fn unit(name: &str) -> &'static str {
    let words: Vec<_> = name.split(['.', '_']).collect();
    let of = [("ms", "ms"), ("bytes", "bytes"), ("rate", "a second")];
    of.into_iter().find(|(word, _)| words.contains(word)).map_or("", |(_, unit)| unit)
}

/// The variables that are no settings.
pub(super) fn variables() -> String {
    let mut table = Table::new(["Variable", "Default", "Meaning"]);
    for variable in VARIABLES {
        let default = variable.default.to_owned();
        table.row([code(variable.name), default, variable.meaning.to_owned()]);
    }
    table.end()
}

/// What may be chosen to happen at a limit.
pub(super) fn actions() -> String {
    let mut table = Table::new(["Action", "Of", "Default", "Or"]);
    for action in ACTIONS {
        let others: Vec<_> = action.others.iter().map(|other| code(word(*other))).collect();
        table.row([
            code(action.name),
            code(action.limit),
            code(word(action.default)),
            others.join(", "),
        ]);
    }
    table.end()
}

/// The limits document.
pub(super) fn limits() -> String {
    let mut table =
        Table::new(["Limit", "Default", "Unit", "Bounds", "Meaning", "What exceeds it"]);
    for limit in LIMITS {
        let bounds = match (limit.least, limit.most) {
            (0, UNBOUNDED) => "none".to_owned(),
            (least, most) => format!("{least} to {most}"),
        };
        table.row([
            code(limit.name),
            code(limit.default),
            unit(limit.name).to_owned(),
            bounds,
            limit.meaning.to_owned(),
            limit.over.to_owned(),
        ]);
    }
    table.end()
}

/// The flags that something asks for, and what they may look at.
pub(super) fn flags() -> String {
    let mut table = Table::new(["Flag", "Variants may be", "Default", "For", "What it decides"]);
    for Declaration { key, asked_for, values, meaning } in ALL {
        let (may_be, default) = match values {
            Values::Switch(default) => ("`true`, `false`".to_owned(), code(default)),
            Values::Limit { name, least, most, .. } => (
                format!("whole numbers from {least} to {most}"),
                format!("the limit {}", code(name)),
            ),
            Values::Share => ("numbers from 0 to 1".to_owned(), code(1)),
            Values::Words(words) => {
                let words: Vec<_> = words.iter().map(code).collect();
                (words.join(", "), words.first().expect("a word").clone())
            }
        };
        let whom = match asked_for {
            AskedFor::Session => "a socket",
            AskedFor::Seat => "a socket in a room",
            AskedFor::Room => "a room",
        };
        table.row([code(key), may_be, default, whom.to_owned(), (*meaning).to_owned()]);
    }
    let mut attributes = Table::new(["Attribute", "What it holds", "Known for"]);
    for (name, what) in ATTRIBUTES {
        let kinds = [
            (AskedFor::Session, "sockets"),
            (AskedFor::Seat, "sockets in rooms"),
            (AskedFor::Room, "rooms"),
        ];
        let known = kinds.iter().filter(|(kind, _)| kind.attributes().contains(&name));
        let known: Vec<_> = known.map(|(_, word)| *word).collect();
        attributes.row([code(name), sentence(what), known.join(", ")]);
    }
    format!("{}\nA rule may look at these:\n\n{}", table.end(), attributes.end())
}
