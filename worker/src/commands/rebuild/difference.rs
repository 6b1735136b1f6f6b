//! The difference between a table and the generation that should replace it, by day: rows, and the totals of columns that both have.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use crate::commands::query;
use crate::table::definition::DATE_COLUMN;
use crate::table::{Definition, MergeRule, Root, Version};

/// Number of differing days that are shown.
const SHOWN: usize = 20;

/// Totals of doubles count as equal if they differ by less than this share, because sums of doubles depend on the order of rows.
const TOLERANCE: f64 = 1e-9;

/// A generation: its location in the store of tables, its version and its definition.
type Generation<'g> = (&'g str, &'g Version, &'g Arc<Definition>);

/// The difference of two generations.
pub(super) struct Difference {
    /// The columns that are compared: `rows`, and totals.
    columns: Vec<String>,
    /// By day: the values before and after.
    days: BTreeMap<String, (Vec<String>, Vec<String>)>,
}

impl Difference {
    /// `None` if the rows of the old generation can't be read.
    pub(super) async fn between(
        root: &Root,
        old: Generation<'_>,
        new: Generation<'_>,
    ) -> Result<Option<Self>> {
        let totals = totals(old.2, new.2);
        let mut days: BTreeMap<String, (Vec<String>, Vec<String>)> = BTreeMap::new();
        let before = match by_day(root, old, &totals).await {
            Ok(before) => before,
            Err(error) if is_outage(&error) => return Err(error),
            Err(_) => return Ok(None),
        };
        for (day, values) in before {
            days.entry(day).or_default().0 = values;
        }
        for (day, values) in by_day(root, new, &totals).await? {
            days.entry(day).or_default().1 = values;
        }
        Ok(Some(Self {
            columns: ["rows".to_owned()].into_iter().chain(totals).collect(),
            days,
        }))
    }

    /// Whether each day has the same rows and totals.
    pub(super) fn is_equal(&self) -> bool {
        self.days.values().all(|(before, after)| {
            before.len() == after.len() && before.iter().zip(after).all(|(a, b)| is_equal(a, b))
        })
    }
}

/// Whether the store could not be reached. Nothing is damaged then.
fn is_outage(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
    causes.any(logmill_object_io::is_retryable)
}

/// Numeric columns that both have with the same type, and that are not group keys.
fn totals(old: &Definition, new: &Definition) -> Vec<String> {
    let columns = new.columns.iter().filter(|column| {
        // States, from which other columns are computed.
        if column.name.contains("__") {
            return false;
        }
        let is_number = column.data_type.is_numeric();
        let is_key = column.rule == Some(MergeRule::GroupKey);
        let same = old.columns.iter().find(|old| old.name == column.name);
        is_number && !is_key && same.is_some_and(|old| old.data_type == column.data_type)
    });
    columns.map(|column| column.name.clone()).collect()
}

/// The values of each day.
async fn by_day(
    root: &Root,
    (place, version, _): Generation<'_>,
    totals: &[String],
) -> Result<Vec<(String, Vec<String>)>> {
    let sums: String = totals
        .iter()
        .map(|column| format!(", sum(\"{column}\")"))
        .collect();
    let sql =
        format!("SELECT {DATE_COLUMN}, count(*){sums} FROM generation GROUP BY {DATE_COLUMN}");
    let rows = query::rows_of_version(root, place, version, "generation", &sql).await?;
    let columns = rows
        .columns()
        .iter()
        .map(|column| cast(column, &DataType::Utf8));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let value = |column: usize, row: usize| {
        let column = columns[column].as_string::<i32>();
        match column.is_null(row) {
            true => "NULL".to_owned(),
            false => column.value(row).to_owned(),
        }
    };
    let days = (0..rows.num_rows()).map(|row| {
        let values = (1..columns.len()).map(|column| value(column, row));
        (value(0, row), values.collect())
    });
    Ok(days.collect())
}

fn is_equal(before: &str, after: &str) -> bool {
    if before == after {
        return true;
    }
    let is_double = |text: &str| text.contains(['.', 'e', 'E']);
    match (before.parse::<f64>(), after.parse::<f64>()) {
        (Ok(a), Ok(b)) if is_double(before) || is_double(after) => {
            (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
        }
        _ => false,
    }
}

/// A number without the digits that are artefacts of adding doubles.
fn short(number: &str) -> String {
    match number.parse::<f64>() {
        Ok(value) if number.contains('.') => ((value * 1e9).round() / 1e9).to_string(),
        _ => number.to_owned(),
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut equal = 0;
        let mut different = 0;
        for (day, (before, after)) in &self.days {
            let value = |values: &[String], at: usize| {
                values.get(at).cloned().unwrap_or_else(|| "-".to_owned())
            };
            let columns = self.columns.iter().enumerate().filter_map(|(at, column)| {
                let (before, after) = (value(before, at), value(after, at));
                (!is_equal(&before, &after)).then(|| {
                    let (before, after) = (short(&before), short(&after));
                    format!("{column} {before} → {after}")
                })
            });
            let columns: Vec<String> = columns.collect();
            if columns.is_empty() {
                equal += 1;
                continue;
            }
            different += 1;
            if different <= SHOWN {
                writeln!(f, "  {day}  {}", columns.join(", "))?;
            }
        }
        if let Some(more @ 1..) = usize::checked_sub(different, SHOWN) {
            writeln!(f, "  and {more} more days that differ")?;
        }
        if equal == 0 {
            return Ok(());
        }
        let s = if equal == 1 { "" } else { "s" };
        writeln!(
            f,
            "  {equal} day{s} with the same rows and totals ({})",
            self.columns.join(", ")
        )
    }
}
