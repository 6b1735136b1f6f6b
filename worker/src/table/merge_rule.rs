//! How rows of the same group become one: the rule of each column, and from the rules the SQL that merges.
//! It is derived once, and serves wherever rows of a table meet.

use std::fmt;

/// How an output column of a rollup is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeRule {
    /// Rows with equal group keys are merged.
    GroupKey,
    /// Counts and sums add up.
    Sum,
    /// A sum of integers, which is computed anew of its exact state: NULL where a bigint can't hold it.
    BigintSum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// True if any is.
    BoolOr,
    /// True if all are.
    BoolAnd,
    /// Sketches of distinct values unite.
    HyperLogLog,
    /// Sketches of a distribution unite.
    TDigest,
}

impl MergeRule {
    fn function(self) -> Option<&'static str> {
        match self {
            Self::GroupKey | Self::BigintSum => None,
            Self::Sum => Some("sum"),
            Self::Min => Some("min"),
            Self::Max => Some("max"),
            Self::BoolOr => Some("bool_or"),
            Self::BoolAnd => Some("bool_and"),
            Self::HyperLogLog | Self::TDigest => Some("merge"),
        }
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
            Self::HyperLogLog => "merge (HyperLogLog)",
            Self::TDigest => "merge (tdigest)",
        })
    }
}

/// The name of the column that holds the exact state of a sum of integers.
pub(crate) fn sum_state(column: &str) -> String {
    format!("{column}__sum")
}

/// The SQL that makes one row per group of the rows of `table`, whose columns have these rules.
pub(crate) fn merge_sql<'a>(
    columns: impl IntoIterator<Item = (&'a str, MergeRule)>,
    table: &str,
) -> String {
    let mut outputs = Vec::new();
    let mut keys = Vec::new();
    for (name, rule) in columns {
        match rule.function() {
            _ if rule == MergeRule::BigintSum => outputs.push(format!(
                "TRY_CAST(sum(\"{}\") AS BIGINT) AS \"{name}\"",
                sum_state(name)
            )),
            Some(function) => outputs.push(format!("{function}(\"{name}\") AS \"{name}\"")),
            None => {
                outputs.push(format!("\"{name}\""));
                keys.push(format!("\"{name}\""));
            }
        }
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
