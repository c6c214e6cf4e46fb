//! A table of text: Markdown that is also pleasant to read as it is.

use std::fmt;

/// Rows of cells; the first row is the head. Every column but the first is of figures, and is set to the right.
#[derive(Debug)]
pub(crate) struct Grid {
    rows: Vec<Vec<String>>,
}

impl Grid {
    pub(crate) fn new<S: Into<String>>(head: impl IntoIterator<Item = S>) -> Self {
        Self { rows: vec![head.into_iter().map(Into::into).collect()] }
    }

    /// A shorter row is filled up with empty cells.
    pub(crate) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width =
            |column: usize| self.rows.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max();
        // Markdown needs three characters below each head.
        (0..columns).map(|column| width(column).unwrap_or(0).max(3)).collect()
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (number, row) in self.rows.iter().enumerate() {
            for (column, &width) in widths.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                if column == 0 {
                    write!(f, "| {cell:<width$} |")?;
                } else {
                    write!(f, " {cell:>width$} |")?;
                }
            }
            f.write_str("\n")?;
            if number == 0 {
                for (column, width) in widths.iter().enumerate() {
                    let (open, close) = if column == 0 { ("|", "|") } else { ("", ":|") };
                    let dashes = "-".repeat(width + if column == 0 { 2 } else { 1 });
                    write!(f, "{open}{dashes}{close}")?;
                }
                f.write_str("\n")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_each_other() {
        let mut grid = Grid::new(["work", "µs"]);
        grid.row(["small", "6.2"]);
        grid.row(["1m"]);
        let text = "| work  |  µs |\n|-------|----:|\n| small | 6.2 |\n| 1m    |     |\n";
        assert_eq!(grid.to_string(), text);
    }
}
