//! Compares the rows of a rollup with the expected ones.

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::csv::{Cell, Csv, written};
use crate::commands::query::output::csv_cells;
use crate::rollup::Rollup;
use crate::terminal::escaped;

/// Maximum number of rows that are shown for each kind of difference.
const SHOWN_ROWS: usize = 10;

/// The allowed relative error of a double: the sum of doubles depends on their order.
const TOLERANCE: f64 = 1e-9;

/// The rows of a rollup, in the columns that are compared.
pub(super) struct Comparison {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    /// Whether the order of the rows matters.
    is_ordered: bool,
    /// Whether rows with equal group keys are the same row.
    has_keys: bool,
}

struct Column {
    name: String,
    data_type: DataType,
    is_key: bool,
}

impl Comparison {
    /// Rows in the columns of a header.
    ///
    /// # Errors
    ///
    /// The header names a column that the rows don't have, or names one twice.
    pub(super) fn new(
        rollup: &Rollup,
        header: Vec<String>,
        rows: &RecordBatch,
    ) -> Result<Self, String> {
        let result = rollup.result_columns();
        let keys = result.iter().flatten().filter(|column| column.is_key);
        let keys: Vec<&str> = keys.map(|column| column.name).collect();
        let mut columns: Vec<Column> = Vec::with_capacity(header.len());
        let mut cells = Vec::with_capacity(header.len());
        for name in header {
            let Some(column) = rows.column_by_name(&name) else {
                let schema = rows.schema();
                let names = schema.fields().iter().map(|field| field.name().as_str());
                let names = names.collect::<Vec<_>>().join(", ");
                return Err(format!(
                    "line 1: there is no column '{name}' among those of {}: {names}",
                    rollup.definition().name
                ));
            };
            if columns.iter().any(|column| column.name == name) {
                return Err(format!("line 1: the column '{name}' appears twice"));
            }
            cells.push(csv_cells(column).map_err(|error| format!("{error:#}"))?);
            columns.push(Column {
                data_type: column.data_type().clone(),
                is_key: keys.contains(&name.as_str()),
                name,
            });
        }
        let row = |row: usize| {
            cells
                .iter()
                .map(|cells: &Vec<Cell>| cells[row].clone())
                .collect()
        };
        Ok(Self {
            is_ordered: rollup.is_ordered(),
            has_keys: rollup.definition().merges()
                && result.is_some()
                && (keys.is_empty() || columns.iter().any(|column| column.is_key)),
            columns,
            rows: (0..rows.num_rows()).map(row).collect(),
        })
    }

    /// Rows in all columns of the result, except sketches, which people can't read.
    ///
    /// # Errors
    ///
    /// The rows can't be written as text.
    pub(super) fn of_result(rollup: &Rollup, rows: &RecordBatch) -> Result<Self, String> {
        let result = rollup.result_columns();
        let is_result = |name: &str| match &result {
            Some(result) => result.iter().any(|column| column.name == name),
            None => true,
        };
        let schema = rows.schema();
        let fields = schema.fields().iter();
        let fields =
            fields.filter(|field| is_result(field.name()) && !field.data_type().is_binary());
        Self::new(
            rollup,
            fields.map(|field| field.name().clone()).collect(),
            rows,
        )
    }

    /// The rows as CSV, sorted unless they have an order.
    pub(super) fn got(&self) -> Csv {
        let mut rows = self.rows.clone();
        if !self.is_ordered {
            rows.sort();
        }
        Csv {
            header: self
                .columns
                .iter()
                .map(|column| column.name.clone())
                .collect(),
            rows,
        }
    }

    /// Describes how the rows differ from the expected ones.
    pub(super) fn differences(&self, expected: &[Vec<Cell>]) -> Vec<String> {
        let expected: Vec<Vec<Cell>> = expected.iter().map(|row| self.as_printed(row)).collect();
        let (mut missing, mut left) = (Vec::new(), self.rows.iter().collect::<Vec<_>>());
        for row in &expected {
            match left.iter().position(|got| self.is_equal(row, got)) {
                Some(place) => drop(left.remove(place)),
                None => missing.push(row),
            }
        }
        let mut differing = Vec::new();
        if self.has_keys {
            missing.retain(|row| {
                let Some(place) = left.iter().position(|got| self.has_same_keys(row, got)) else {
                    return true;
                };
                differing.push(self.difference(row, left.remove(place)));
                false
            });
        }
        let shown = |rows: Vec<&Vec<Cell>>| rows.into_iter().map(|row| as_line(row)).collect();
        let mut lines = some_of("differs", differing);
        lines.extend(some_of("missing", shown(missing)));
        lines.extend(some_of("too many", shown(left)));
        if lines.is_empty() && self.is_ordered {
            lines.extend(self.wrong_order(&expected));
        }
        lines
    }

    /// The first row that is out of place, if the rows are the expected ones in another order.
    fn wrong_order(&self, expected: &[Vec<Cell>]) -> Option<String> {
        let mut rows = (1..).zip(expected.iter().zip(&self.rows));
        let (number, (expected, got)) = rows.find(|(_, (row, got))| !self.is_equal(row, got))?;
        Some(format!(
            "other order: row {number} is {}, expected {}",
            as_line(got),
            as_line(expected)
        ))
    }

    /// Rewrites expected times in the notation of printed ones.
    fn as_printed(&self, row: &[Cell]) -> Vec<Cell> {
        let cells = self.columns.iter().zip(row);
        let cells = cells.map(|(column, cell)| match column.data_type {
            DataType::Timestamp(..) => {
                let text = StringArray::from(vec![cell.as_deref()]);
                let time: Option<ArrayRef> = cast(&text, &column.data_type).ok();
                let printed = time.and_then(|time| csv_cells(&time).ok()?.pop().flatten());
                printed.or_else(|| cell.clone())
            }
            _ => cell.clone(),
        });
        cells.collect()
    }

    fn is_equal(&self, expected: &[Cell], got: &[Cell]) -> bool {
        let mut cells = self.columns.iter().zip(expected.iter().zip(got));
        cells.all(|(column, (expected, got))| is_equal(&column.data_type, expected, got))
    }

    fn has_same_keys(&self, expected: &[Cell], got: &[Cell]) -> bool {
        let cells = self.columns.iter().zip(expected.iter().zip(got));
        let mut keys = cells.filter(|(column, _)| column.is_key);
        keys.all(|(column, (expected, got))| is_equal(&column.data_type, expected, got))
    }

    /// Describes the cells in which rows with the same keys differ.
    fn difference(&self, expected: &[Cell], got: &[Cell]) -> String {
        let (mut keys, mut differences) = (Vec::new(), Vec::new());
        for (column, (expected, got)) in self.columns.iter().zip(expected.iter().zip(got)) {
            let name = escaped(&column.name);
            if column.is_key {
                keys.push(format!("{name}={}", shown(got)));
            } else if !is_equal(&column.data_type, expected, got) {
                differences.push(format!(
                    "{name} is {}, expected {}",
                    shown(got),
                    shown(expected)
                ));
            }
        }
        match keys.is_empty() {
            true => differences.join("; "),
            false => format!("{}: {}", keys.join(", "), differences.join("; ")),
        }
    }
}

/// Whether two cells have the same value.
fn is_equal(data_type: &DataType, expected: &Cell, got: &Cell) -> bool {
    let (Some(expected), Some(got)) = (expected, got) else {
        return expected == got;
    };
    match data_type {
        _ if expected == got => true,
        DataType::Float32 | DataType::Float64 => {
            let (Ok(expected), Ok(got)) = (expected.parse::<f64>(), got.parse::<f64>()) else {
                return false;
            };
            (expected - got).abs() <= TOLERANCE * expected.abs().max(got.abs())
        }
        // Exact numbers, which a double can't represent: 10 equals 10.00.
        data_type if data_type.is_numeric() => without_zeros(expected) == without_zeros(got),
        _ => false,
    }
}

/// A number without zeros at the end of its fraction.
fn without_zeros(number: &str) -> &str {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    }
}

/// A row in one line.
fn as_line(row: &[Cell]) -> String {
    let cells: Vec<String> = row
        .iter()
        .map(|cell| escaped(&written(cell)).into_owned())
        .collect();
    cells.join(",")
}

/// A cell in the form that people read.
fn shown(cell: &Cell) -> String {
    match cell {
        None => "NULL".to_owned(),
        some => escaped(&written(some)).into_owned(),
    }
}

/// The first lines, each with its difference, and the number of the others.
fn some_of(wrong: &str, mut lines: Vec<String>) -> Vec<String> {
    let others = lines.len().saturating_sub(SHOWN_ROWS);
    lines.truncate(SHOWN_ROWS);
    let mut shown: Vec<String> = lines
        .iter()
        .map(|line| format!("{wrong:8}  {line}"))
        .collect();
    if others > 0 {
        shown.push(format!("{wrong:8}  and {others} other rows"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_by_their_values() {
        let decimal = DataType::Decimal128(38, 2);
        for (data_type, expected, got, equal) in [
            (DataType::Int64, "10", "10", true),
            (DataType::Int64, "10.0", "10", true),
            (DataType::Int64, "100", "10", false),
            // A double can't represent the difference.
            (
                DataType::Int64,
                "9007199254740993",
                "9007199254740992",
                false,
            ),
            (decimal.clone(), "12.5", "12.50", true),
            (decimal, "12.51", "12.50", false),
            (DataType::Float64, "0.3", "0.30000000000000004", true),
            (DataType::Float64, "0.3", "0.3000001", false),
            (DataType::Float64, "1e3", "1000.0", true),
            (DataType::Float64, "0", "0.0", true),
            (DataType::Float64, "NaN", "NaN", true),
            (DataType::Float64, "x", "1.0", false),
            (DataType::Utf8, "1.0", "1", false),
        ] {
            let (expected, got) = (Some(expected.to_owned()), Some(got.to_owned()));
            assert_eq!(
                is_equal(&data_type, &expected, &got),
                equal,
                "{expected:?} {got:?}"
            );
        }
        assert!(is_equal(&DataType::Utf8, &None, &None));
        assert!(!is_equal(&DataType::Utf8, &None, &Some(String::new())));
    }
}
