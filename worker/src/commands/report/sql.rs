//! The SQL of a report's figures, in the dialect of `logmill query`: a reader can run each query.

use anyhow::{Result, bail};
use arrow::datatypes::DataType;

use super::range::{Grain, Range, date_sql, timestamp_sql};
use super::shape::{Key, Kind, Measure, Shape};
use crate::table::definition::IS_OTHER_COLUMN;

/// Percentiles that are read from a distribution.
pub(super) const PERCENTILES: [(&str, &str); 4] = [
    ("p50", "0.5"),
    ("p90", "0.9"),
    ("p95", "0.95"),
    ("p99", "0.99"),
];

/// Maximum number of rows of a time series' query, whatever times are in the table.
const POINTS_MAX: usize = 3000;

/// The name of the column with the start of a bucket. No column of a table has a space in its name.
pub(super) const BUCKET: &str = "bucket start";

/// A value that a group key must have; `None` for NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The group key.
    pub column: String,
    /// Its value, as text.
    pub value: Option<String>,
}

/// A name in SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The rows of a table that a report is about, and the buckets of its time series.
#[derive(Debug, Clone)]
pub(super) struct Scope<'s> {
    pub(super) shape: &'s Shape,
    pub(super) range: Range,
    pub(super) grain: Grain,
    /// Conditions on keys.
    pub(super) conditions: Vec<String>,
}

impl Scope<'_> {
    /// The same for the previous range. With `later` seconds, its buckets get the starts of this range's buckets.
    pub(super) fn before(&self) -> Self {
        Self {
            range: self.range.before(),
            ..self.clone()
        }
    }

    fn rows(&self, more: &[&str]) -> String {
        let time = &self.shape.time;
        let column = quoted(&time.column);
        let literal = if time.is_date {
            date_sql
        } else {
            timestamp_sql
        };
        let mut conditions = vec![
            format!("{column} >= {}", literal(self.range.from)),
            format!("{column} < {}", literal(self.range.to)),
        ];
        conditions.extend(self.conditions.iter().cloned());
        conditions.extend(more.iter().map(|condition| (*condition).to_owned()));
        let conditions = conditions.join("\n  AND ");
        format!("FROM {}\nWHERE {conditions}", quoted(&self.shape.source))
    }

    /// The start of a row's bucket. `later` seconds are added to its time before.
    fn bucket(&self, later: i64) -> String {
        let time = &self.shape.time;
        let column = quoted(&time.column);
        let column = match (later, time.is_date) {
            (0, _) => column,
            (_, true) => format!(
                "date_add('day', {}, {column})",
                later / Grain::Day.seconds()
            ),
            (_, false) => format!("date_add('second', {later}, {column})"),
        };
        match time.is_date && self.grain == Grain::Day {
            true => column,
            false => self.grain.sql(&column),
        }
    }

    /// All figures of these measures over the whole range.
    pub(super) fn totals(&self, measures: &[Measure]) -> String {
        format!(
            "SELECT {}\n{}",
            columns(measures).join(",\n       "),
            self.rows(&[])
        )
    }

    /// All figures by bucket. `later` seconds are added to the buckets.
    pub(super) fn series(&self, measures: &[Measure], later: i64) -> String {
        let columns = columns(measures).join(",\n       ");
        format!(
            "SELECT {} AS \"{BUCKET}\",\n       {columns}\n{}\nGROUP BY 1\nORDER BY 1\nLIMIT {POINTS_MAX}",
            self.bucket(later),
            self.rows(&[]),
        )
    }

    /// The values of a key with the largest figure.
    pub(super) fn top(&self, key: &Key, measure: &Measure, rows_max: usize) -> String {
        let column = quoted(&key.column);
        let others = format!("\"{IS_OTHER_COLUMN}\" IS DISTINCT FROM true");
        let others: &[&str] = if self.shape.has_other {
            &[&others]
        } else {
            &[]
        };
        format!(
            "SELECT {column},\n       {} AS \"figure of key\"\n{}\nGROUP BY 1\nORDER BY 2 DESC, 1\nLIMIT {rows_max}",
            measure.sql,
            self.rows(others),
        )
    }

    /// A figure by bucket and key. The caller knows that the key has few values.
    pub(super) fn split(&self, key: &Key, measure: &Measure) -> String {
        format!(
            "SELECT {} AS \"{BUCKET}\",\n       {} AS \"key\",\n       {} AS \"figure of key\"\n{}\nGROUP BY 1, 2\nORDER BY 1, 2\nLIMIT {POINTS_MAX}",
            self.bucket(0),
            quoted(&key.column),
            measure.sql,
            self.rows(&[]),
        )
    }

    /// A figure over the rows whose time is NULL, which are in no range.
    pub(super) fn without_time(&self, measure: &Measure) -> String {
        let mut conditions = vec![format!("{} IS NULL", quoted(&self.shape.time.column))];
        conditions.extend(self.conditions.iter().cloned());
        format!(
            "SELECT {} AS \"figure\"\nFROM {}\nWHERE {}",
            measure.sql,
            quoted(&self.shape.source),
            conditions.join("\n  AND "),
        )
    }
}

fn columns(measures: &[Measure]) -> Vec<String> {
    let mut columns = Vec::new();
    for measure in measures {
        match measure.kind {
            Kind::Digest => columns.extend(PERCENTILES.iter().map(|(name, quantile)| {
                let alias = quoted(&format!("{} {name}", measure.name));
                format!("value_at_quantile({}, {quantile}) AS {alias}", measure.sql)
            })),
            _ => columns.push(format!("{} AS {}", measure.sql, quoted(&measure.name))),
        }
    }
    columns
}

impl Filter {
    /// The condition on a key.
    ///
    /// # Errors
    ///
    /// If the key can't have this value.
    pub(super) fn condition(&self, key: &Key) -> Result<String> {
        let column = quoted(&key.column);
        let Some(value) = &self.value else {
            return Ok(format!("{column} IS NULL"));
        };
        let literal = match &key.data_type {
            data_type if data_type.is_integer() => match value.trim().parse::<i64>() {
                Ok(number) => number.to_string(),
                Err(_) => bail!(
                    "the key {} has whole numbers, but {value:?} is not one",
                    self.column
                ),
            },
            DataType::Boolean => match value.trim() {
                "true" => "true".to_owned(),
                "false" => "false".to_owned(),
                _ => bail!(
                    "the key {} is true or false, but not {value:?}",
                    self.column
                ),
            },
            DataType::Date32 => match logmill_trino::cast::varchar_to_date(value.trim()) {
                Ok(days) => format!("DATE '{}'", logmill_trino::cast::date_to_varchar(days)),
                Err(_) => bail!(
                    "the key {} has dates, but {value:?} is not one",
                    self.column
                ),
            },
            _ => format!("'{}'", value.replace('\'', "''")),
        };
        Ok(format!("{column} = {literal}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_literals_whatever_is_in_them() {
        let condition = |data_type, value: Option<&str>| {
            let key = Key {
                column: "k".to_owned(),
                data_type,
            };
            Filter {
                column: "k".to_owned(),
                value: value.map(str::to_owned),
            }
            .condition(&key)
        };
        let text = condition(DataType::Utf8, Some("a' OR 1 = 1 --\\'")).unwrap();
        assert_eq!(text, "\"k\" = 'a'' OR 1 = 1 --\\'''");
        assert_eq!(condition(DataType::Utf8, None).unwrap(), "\"k\" IS NULL");
        assert_eq!(
            condition(DataType::Int64, Some(" 5 ")).unwrap(),
            "\"k\" = 5"
        );
        assert!(condition(DataType::Int64, Some("5 OR 1 = 1")).is_err());
        assert!(condition(DataType::Boolean, Some("maybe")).is_err());
        assert_eq!(
            condition(DataType::Date32, Some("2026-11-20")).unwrap(),
            "\"k\" = DATE '2026-11-20'"
        );
    }
}
