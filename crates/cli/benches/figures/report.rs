//! What was found, as the Markdown that docs/performance.md holds.

use std::fmt;

/// All sections of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    sections: Vec<Section>,
}

/// One table: the same thing measured of several servers.
#[derive(Debug)]
pub(crate) struct Section {
    title: String,
    unit: &'static str,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    figure: String,
    bar: String,
    within: bool,
}

// === impl Report ===

impl Report {
    pub(crate) fn add(&mut self, section: Section) {
        self.sections.push(section);
    }

    /// Whether no figure is over its bar.
    pub(crate) fn is_within_bars(&self) -> bool {
        self.sections.iter().flat_map(|section| &section.rows).all(|row| row.within)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Section { title, unit, rows } in &self.sections {
            writeln!(f, "\n### {title}\n\n| | {unit} | bar |\n|---|--:|--:|")?;
            for Row { what, figure, bar, within } in rows {
                let missed = if *within { "" } else { " (missed)" };
                writeln!(f, "| {what} | {figure} | {bar}{missed} |")?;
            }
        }
        Ok(())
    }
}

// === impl Section ===

impl Section {
    pub(crate) fn new(title: &str, unit: &'static str) -> Self {
        Self { title: title.to_owned(), unit, rows: Vec::new() }
    }

    /// A figure, and the most it may be.
    pub(crate) fn row(&mut self, what: &str, figure: f64, bar: Option<f64>) {
        self.rows.push(Row {
            what: what.to_owned(),
            figure: number(figure),
            bar: bar.map(number).unwrap_or_default(),
            within: bar.is_none_or(|bar| figure <= bar),
        });
    }
}

/// Three digits are more than a shared machine can promise.
fn number(figure: f64) -> String {
    if figure >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.2}") }
}
