//! The only place that writes to standard output and standard error.

use crate::failure::Failure;
use serde_json::Value;
use std::io::{self, ErrorKind, Write as _};

/// Columns, left-aligned and two spaces apart.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

// === impl Table ===

impl Table {
    /// A table with these headings.
    pub(crate) fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(str::to_owned).to_vec()] }
    }

    /// Rows without headings.
    pub(crate) fn plain() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:width$}  "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Writes text as it is.
pub(crate) fn text(text: impl std::fmt::Display) -> Result<(), Failure> {
    write(&text.to_string())
}

/// Writes one JSON value on one line.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    write(&format!("{value}\n"))
}

/// Writes a complaint to standard error.
pub(crate) fn complain(line: &str) {
    // Where standard error is closed there is nobody left to tell.
    drop(writeln!(io::stderr().lock(), "{line}"));
}

fn write(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has seen enough, as with `| head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::internal("cannot write the output", error)),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_without_trailing_space() {
        let mut table = Table::new(["ID", "TITLE"]);
        table.row(["long-id".to_owned(), "é".to_owned()]);
        assert_eq!(table.to_string(), "ID       TITLE\nlong-id  é\n");
        assert_eq!(Table::plain().to_string(), "");
    }
}
