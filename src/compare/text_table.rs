//! Tables of texts, for a terminal and for Markdown.

/// A table of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextTable {
    /// Headings.
    pub header: Vec<String>,
    /// Rows, each as long as the header.
    pub rows: Vec<Vec<String>>,
    /// Columns that are left-aligned; the others are right-aligned.
    pub left: Vec<usize>,
}

impl TextTable {
    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.header]).filter_map(|row| row.get(column));
            cells.map(|text| text.chars().count()).max().unwrap_or(0)
        };
        (0..self.header.len()).map(width).collect()
    }

    /// The table aligned by spaces and indented by two.
    pub fn plain(&self) -> String {
        let widths = self.widths();
        let line = |row: &Vec<String>| {
            let pad = |(column, (text, &width)): (usize, (&String, &usize))| match self.left.contains(&column) {
                true => format!("{text:<width$}"),
                false => format!("{text:>width$}"),
            };
            let cells: Vec<String> = row.iter().zip(&widths).enumerate().map(pad).collect();
            format!("  {}\n", cells.join("   ").trim_end())
        };
        [&self.header].into_iter().chain(&self.rows).map(line).collect()
    }

    /// The table as Markdown.
    pub fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let escaped =
            |row: &Vec<String>| line(row.iter().map(|text| text.replace('|', "\\|").replace('\n', " ")).collect());
        let rule =
            (0..self.header.len()).map(|i| if self.left.contains(&i) { "---".into() } else { "---:".into() }).collect();
        escaped(&self.header) + &line(rule) + &self.rows.iter().map(escaped).collect::<String>()
    }
}
