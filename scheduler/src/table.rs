//! Tables for people: columns as wide as they must be, numbers to the right.

/// A table.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// With these headings; those that begin with `>` are of numbers.
    pub fn new(headings: &[&str]) -> Self {
        let right = headings.iter().map(|heading| heading.starts_with('>')).collect();
        let names = headings.iter().map(|heading| heading.trim_start_matches('>').to_owned());
        Table { rows: vec![names.collect()], right }
    }

    /// One more row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Its text, without a newline at the end.
    pub fn text(&self) -> String {
        let columns = self.right.len();
        let length = |row: &Vec<String>, column: usize| {
            row.get(column).map_or(0, |cell| cell.chars().count())
        };
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().map(|row| length(row, column)).max().unwrap_or(0))
            .collect();
        let line = |row: &Vec<String>| {
            let cells =
                row.iter().zip(widths.iter().zip(&self.right)).map(|(cell, (width, right))| {
                    if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let mut table = Table::new(&["APP", ">WANTED", "STATE"]);
        table.row(vec!["web".into(), "4".into(), "steady".into()]);
        table.row(vec!["image-view".into(), "120".into(), String::new()]);
        let expected = "APP         WANTED  STATE\nweb              4  steady\nimage-view     120";
        assert_eq!(table.text(), expected);
    }
}
