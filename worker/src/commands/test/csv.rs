//! CSV with NULL: an empty cell is NULL, and `""` is an empty text.

use std::borrow::Cow;
use std::fmt;

/// A table in CSV.
#[derive(Debug, PartialEq)]
pub(super) struct Csv {
    pub(super) header: Vec<String>,
    pub(super) rows: Vec<Vec<Cell>>,
}

/// A cell's text; `None` for NULL.
pub(super) type Cell = Option<String>;

impl Csv {
    /// Parses a header and rows. An empty line is a row only if there is one column.
    ///
    /// # Errors
    ///
    /// It is not CSV, or a row and the header have different numbers of cells. The error has the line number.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.trim_start_matches('\u{feff}');
        let mut line = 1;
        let mut header: Option<Vec<String>> = None;
        let mut rows = Vec::new();
        while !rest.is_empty() {
            let before = rest;
            let (cells, after) = row(rest).map_err(|error| format!("line {line}: {error}"))?;
            match &header {
                None => header = Some(cells.into_iter().map(Option::unwrap_or_default).collect()),
                Some(header) if cells.len() == header.len() => rows.push(cells),
                Some(_) if cells == [None] => {}
                Some(header) => {
                    let (got, wanted) = (cells.len(), header.len());
                    return Err(format!(
                        "line {line}: {got} cells, but the header has {wanted} columns"
                    ));
                }
            }
            rest = after;
            line += before[..before.len() - after.len()].matches('\n').count();
        }
        let header = header.ok_or("line 1: the header with the names of the columns is missing")?;
        Ok(Self { header, rows })
    }
}

/// Parses the cells of a row. Also returns the text after it.
fn row(mut rest: &str) -> Result<(Vec<Cell>, &str), String> {
    let mut cells = Vec::new();
    loop {
        let cell;
        (cell, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_cell(quoted)?,
            None => {
                let end = rest.find([',', '\n']).unwrap_or(rest.len());
                let end =
                    end - usize::from(!rest[end..].starts_with(',') && rest[..end].ends_with('\r'));
                let (text, rest) = rest.split_at(end);
                ((!text.is_empty()).then(|| text.to_owned()), rest)
            }
        };
        cells.push(cell);
        let line_end = ["\r\n", "\n", "\r"];
        if let Some(after) = rest.strip_prefix(',') {
            rest = after;
        } else if let Some(after) = line_end.iter().find_map(|end| rest.strip_prefix(end)) {
            return Ok((cells, after));
        } else if rest.is_empty() {
            return Ok((cells, rest));
        } else {
            return Err(
                "after a closing quote, there must be a comma or the end of the line".to_owned(),
            );
        }
    }
}

/// Parses a cell after its opening quote.
fn quoted_cell(mut rest: &str) -> Result<(Cell, &str), String> {
    let mut text = String::new();
    while let Some((before, after)) = rest.split_once('"') {
        text.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                text.push('"');
                rest = after;
            }
            None => return Ok((Some(text), after)),
        }
    }
    Err("a quote is not closed".to_owned())
}

/// A cell as CSV.
pub(super) fn written(cell: &Cell) -> Cow<'_, str> {
    match cell {
        None => Cow::Borrowed(""),
        Some(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) => {
            Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
        }
        Some(text) => Cow::Borrowed(text),
    }
}

impl fmt::Display for Csv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.header.iter().cloned().map(Some).collect();
        for row in std::iter::once(&header).chain(&self.rows) {
            let cells: Vec<Cow<str>> = row.iter().map(written).collect();
            writeln!(f, "{}", cells.join(","))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(row: &[&str]) -> Vec<Cell> {
        row.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn null_and_an_empty_text_differ() {
        let csv = Csv::parse("a,b\n,\"\"\n\n1,2\r\n").unwrap();
        assert_eq!(csv.header, ["a", "b"]);
        assert_eq!(
            csv.rows,
            [vec![None, Some(String::new())], cells(&["1", "2"])]
        );
        let one = Csv::parse("a\n\n\"\"").unwrap();
        assert_eq!(one.rows, [vec![None], cells(&[""])]);
    }

    #[test]
    fn what_is_written_is_parsed_again() {
        let csv = Csv {
            header: ["a", "b, \"c\""].map(str::to_owned).to_vec(),
            rows: vec![
                cells(&["x,y", "say \"x\""]),
                cells(&["two\nlines", "\r"]),
                vec![None, Some(String::new())],
                cells(&["größer", " a "]),
            ],
        };
        assert_eq!(Csv::parse(&csv.to_string()).unwrap(), csv);
    }

    #[test]
    fn errors_name_the_line() {
        for (text, error) in [
            (
                "",
                "line 1: the header with the names of the columns is missing",
            ),
            (
                "a,b\n\"x\ny\",1\n2\n",
                "line 4: 1 cells, but the header has 2 columns",
            ),
            ("a\n1\n\"x", "line 3: a quote is not closed"),
            (
                "a\n\"x\"y",
                "line 2: after a closing quote, there must be a comma or the end of the line",
            ),
        ] {
            assert_eq!(Csv::parse(text).unwrap_err(), error, "{text}");
        }
    }
}
