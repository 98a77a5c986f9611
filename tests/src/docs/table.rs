//! A table of Markdown.

/// Rows of so many cells, the head first. A column with nothing in it is not
/// shown.
pub(super) struct Table<const N: usize>(Vec<[String; N]>);

// === impl Table ===

impl<const N: usize> Table<N> {
    pub(super) fn new(head: [&str; N]) -> Self {
        Self(vec![head.map(str::to_owned)])
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.0.push(cells);
    }

    pub(super) fn end(self) -> String {
        let used: Vec<_> = (0..N)
            .map(|column| {
                let mut cells = self.0.iter().skip(1).filter_map(|row| row.get(column));
                cells.any(|cell| !cell.is_empty())
            })
            .collect();
        let line = |cells: [String; N]| {
            let cells = cells.into_iter().zip(&used).filter(|(_, used)| **used);
            cells.fold("|".to_owned(), |line, (cell, _)| {
                format!("{line} {} |", cell.replace('|', "\\|"))
            })
        };
        let rule = line([const { String::new() }; N]).replace("  ", " --- ");
        let mut lines: Vec<_> = self.0.into_iter().map(line).collect();
        lines.insert(1, rule);
        lines.join("\n") + "\n"
    }
}

/// Text as code; nothing stays nothing.
pub(super) fn code(text: impl std::fmt::Display) -> String {
    let text = text.to_string();
    if text.is_empty() { text } else { format!("`{text}`") }
}

/// Text as a sentence.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
