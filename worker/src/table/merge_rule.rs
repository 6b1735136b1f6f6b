//! How rows of the same group are merged: a rule for each column, and the SQL that is derived from the rules. It is derived
//! once, and used wherever rows of a table are merged.

use std::fmt;
use std::sync::Arc;

use crate::engine::functions::distinct::UNITE_HASHES;
use crate::engine::functions::histogram::UNITE_HISTOGRAMS;

/// How an output column of a rollup is merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeRule {
    /// Rows with equal group keys are merged.
    GroupKey,
    /// Counts and sums add up.
    Sum,
    /// A sum of integers, computed anew from its exact state: NULL if it does not fit into a bigint.
    BigintSum,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// True if any value is true.
    BoolOr,
    /// True if all values are true.
    BoolAnd,
    /// The bitwise AND of all values.
    BitAnd,
    /// The bitwise OR of all values.
    BitOr,
    /// The value of the row with the least or the greatest value in another column.
    Paired {
        /// `min_by` or `max_by`.
        function: &'static str,
        /// The column with the least or the greatest value.
        with: Arc<str>,
    },
    /// Merges sketches of distinct values.
    HyperLogLog,
    /// Merges sketches of a distribution.
    TDigest,
    /// Unites histograms of at most this many buckets.
    Histogram(usize),
    /// Unites sets of hashes.
    Hashes,
    /// Computed anew from merged columns, by this SQL expression over the rows of a group.
    Result(Arc<str>),
}

impl MergeRule {
    fn function(&self) -> Option<&'static str> {
        match self {
            Self::GroupKey | Self::BigintSum | Self::Result(_) => None,
            Self::Sum => Some("sum"),
            Self::Min => Some("min"),
            Self::Max => Some("max"),
            Self::BoolOr => Some("bool_or"),
            Self::BoolAnd => Some("bool_and"),
            Self::BitAnd => Some("bitwise_and_agg"),
            Self::BitOr => Some("bitwise_or_agg"),
            Self::Paired { function, .. } => Some(function),
            Self::HyperLogLog | Self::TDigest => Some("merge"),
            Self::Hashes => Some(UNITE_HASHES),
            Self::Histogram(_) => Some(UNITE_HISTOGRAMS),
        }
    }

    /// The SQL that merges the rows of a group in a column that merges by itself.
    pub(crate) fn merge_call(&self, column: &str) -> Option<String> {
        let function = self.function()?;
        let quote = if function.contains(' ') { "\"" } else { "" };
        let argument = match self {
            Self::Paired { with, .. } => format!(", \"{with}\""),
            Self::Histogram(buckets) => format!(", {buckets}"),
            _ => String::new(),
        };
        Some(format!("{quote}{function}{quote}(\"{column}\"{argument})"))
    }
}

impl fmt::Display for MergeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::GroupKey => "group key",
            Self::Sum | Self::BigintSum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::BoolOr => "bool_or",
            Self::BoolAnd => "bool_and",
            Self::BitAnd => "bitwise_and_agg",
            Self::BitOr => "bitwise_or_agg",
            Self::Paired { function, .. } => function,
            Self::HyperLogLog => "merge (HyperLogLog)",
            Self::TDigest => "merge (tdigest)",
            Self::Hashes => "union of hashes",
            Self::Histogram(_) => "union of histograms",
            Self::Result(_) => "computed from the columns below",
        })
    }
}

/// The name of the column that holds the exact state of a sum of integers.
pub(crate) fn sum_state(column: &str) -> String {
    format!("{column}__sum")
}

/// The SQL that merges the rows of `table` into one row per group. `columns` are its columns and their rules.
pub(crate) fn merge_sql<'a>(
    columns: impl IntoIterator<Item = (&'a str, MergeRule)>,
    table: &str,
) -> String {
    let mut outputs = Vec::new();
    let mut keys = Vec::new();
    for (name, rule) in columns {
        let merged = match rule {
            MergeRule::GroupKey => {
                outputs.push(format!("\"{name}\""));
                keys.push(format!("\"{name}\""));
                continue;
            }
            MergeRule::BigintSum => {
                format!("TRY_CAST(sum(\"{}\") AS BIGINT)", sum_state(name))
            }
            MergeRule::Result(expression) => expression.to_string(),
            rule => rule.merge_call(name).unwrap_or_default(),
        };
        outputs.push(format!("{merged} AS \"{name}\""));
    }
    format!(
        "SELECT {} FROM {table} GROUP BY {}",
        outputs.join(", "),
        keys.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_sql_follows_the_rules() {
        let columns = [
            ("minute", MergeRule::GroupKey),
            ("events", MergeRule::Sum),
            ("users", MergeRule::HyperLogLog),
            ("bytes", MergeRule::BigintSum),
        ];
        assert_eq!(
            merge_sql(columns, "parts"),
            "SELECT \"minute\", sum(\"events\") AS \"events\", merge(\"users\") AS \"users\", \
             TRY_CAST(sum(\"bytes__sum\") AS BIGINT) AS \"bytes\" FROM parts GROUP BY \"minute\""
        );
    }
}
