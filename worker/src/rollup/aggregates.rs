//! The aggregates that merge, and what to write instead of others.

use datafusion::sql::sqlparser::ast::{DuplicateTreatment, Expr, Function, FunctionArguments};

use super::{results, walk};
use crate::table::MergeRule;

/// Aggregates whose results can be merged, and how.
const MERGEABLE: &[(&str, MergeRule)] = &[
    ("count", MergeRule::Sum),
    ("count_if", MergeRule::Sum),
    ("sum", MergeRule::Sum),
    ("min", MergeRule::Min),
    ("max", MergeRule::Max),
    ("bool_or", MergeRule::BoolOr),
    ("bool_and", MergeRule::BoolAnd),
    ("every", MergeRule::BoolAnd),
    ("approx_set", MergeRule::HyperLogLog),
    ("tdigest_agg", MergeRule::TDigest),
];

/// Aggregates whose results are computed from states that merge.
const FROM_STATES: &[&str] = &[
    "approx_percentile",
    "avg",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "var_pop",
    "var_samp",
    "variance",
];

/// Aggregates of Trino that can't be merged, with what to write instead.
const UNMERGEABLE: &[(&str, &str)] = &[
    (
        "geometric_mean",
        "keep its values' states in columns of their own, and compute the mean when you query the table",
    ),
    ("approx_distinct", DISTINCT_ADVICE),
    ("arbitrary", VALUE_ADVICE),
    ("any_value", VALUE_ADVICE),
    ("max_by", VALUE_ADVICE),
    ("min_by", VALUE_ADVICE),
    ("array_agg", VALUE_ADVICE),
    ("listagg", VALUE_ADVICE),
    ("histogram", VALUE_ADVICE),
    ("map_agg", VALUE_ADVICE),
    (
        "merge",
        "merge takes sketches, which log lines do not have; write approx_set(x) or tdigest_agg(x)",
    ),
];
const DISTINCT_ADVICE: &str =
    "keep approx_set(x) AS name, and read it with cardinality(merge(cast(name AS HyperLogLog)))";
const VALUE_ADVICE: &str = "make the value a group key, or keep its min(x) or max(x)";

/// Whether the call is of distinct values.
pub(super) fn is_distinct(function: &Function) -> bool {
    matches!(&function.args, FunctionArguments::List(list) if list.duplicate_treatment == Some(DuplicateTreatment::Distinct))
}

pub(super) fn function_name(function: &Function) -> String {
    function.name.to_string().to_ascii_lowercase()
}

/// The names of aggregates that rollups may use.
pub(super) fn aggregate_names() -> impl Iterator<Item = &'static str> {
    let mergeable = MERGEABLE.iter().map(|(name, _)| *name);
    mergeable.chain(FROM_STATES.iter().copied())
}

/// Why an aggregate of Trino can't be merged, and what to write instead.
pub(super) fn unmergeable(name: &str) -> Option<String> {
    let (_, advice) = UNMERGEABLE.iter().find(|(other, _)| *other == name)?;
    Some(format!(
        "the {name} of all log files cannot be computed from the {name} of each log file; {advice}"
    ))
}

pub(super) fn is_aggregate_name(name: &str) -> bool {
    MERGEABLE.iter().any(|(other, _)| *other == name)
        || FROM_STATES.contains(&name)
        || UNMERGEABLE.iter().any(|(other, _)| *other == name)
}

/// Whether the expression contains an aggregate call.
pub(super) fn is_aggregate(expr: &Expr) -> bool {
    walk::any(
        expr,
        &mut |expr| matches!(expr, Expr::Function(function) if is_aggregate_name(&function_name(function))),
    )
}

/// The role of an output column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    /// A value of each line, in a rollup that keeps every row.
    Line,
    /// A group key.
    Key,
    /// An aggregate that merges.
    State(MergeRule),
    /// Computed from aggregates.
    Result,
    /// Computed from several groups, when somebody reads the table.
    Reading,
}

/// The role of an output column that is no group key.
pub(super) fn part(column: &str, expr: &Expr, keys: &[Expr]) -> Result<Part, String> {
    let refused = |reason: &str| {
        Err(format!(
            "the output column '{column}' cannot be merged: {reason}"
        ))
    };
    if let Some(ungrouped) = results::ungrouped_column(expr, keys) {
        return refused(&format!(
            "the column {ungrouped} is neither a group key nor in an aggregate; add it to GROUP BY"
        ));
    }
    let rule = match expr {
        // A distinct count has states of its own.
        Expr::Function(function) if !is_distinct(function) => {
            let name = function_name(function);
            MERGEABLE.iter().find(|(other, _)| *other == name)
        }
        _ => None,
    };
    Ok(rule.map_or(Part::Result, |(_, rule)| Part::State(rule.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollup::parse::parse;

    fn refusal(sql: &str) -> String {
        parse(sql).expect_err(sql)
    }

    #[test]
    fn columns_get_merge_rules() {
        let parsed = parse(
            "SELECT elb_status_code AS status, date_trunc('hour', from_iso8601_timestamp(time)) AS hour, \
             count(*) AS n, count_if(sent_bytes > 5) AS big, sum(sent_bytes) AS sent, min(time) AS first, \
             max(time) AS last, bool_or(user_agent = '-') AS any_silent, every(sent_bytes > 0) AS all_sent, \
             approx_set(client_ip) AS clients, tdigest_agg(target_processing_time) AS latency \
             FROM alb_access_logs GROUP BY elb_status_code, 2",
        )
        .unwrap();
        use MergeRule::*;
        let states = [
            Sum,
            Sum,
            Sum,
            Min,
            Max,
            BoolOr,
            BoolAnd,
            HyperLogLog,
            TDigest,
        ];
        let parts = [Part::Key, Part::Key].into_iter();
        let parts: Vec<_> = parts.chain(states.map(Part::State)).collect();
        let found: Vec<_> = parsed
            .outputs
            .into_iter()
            .map(|output| output.part)
            .collect();
        assert_eq!(found, parts);
    }

    #[test]
    fn what_cannot_merge_is_refused_with_advice() {
        let with =
            |select: &str| refusal(&format!("SELECT {select} FROM alb_access_logs GROUP BY 1"));
        assert!(with("elb, sum(DISTINCT sent_bytes) AS c").contains("several log files"));
        assert!(with("elb, approx_distinct(client_ip) AS c").contains("approx_set"));
        assert!(with("elb, client_ip").contains("add it to GROUP BY"));
        assert!(with("elb, count(*) AS elb").contains("two output columns"));
        assert!(
            with("frobnicate(elb) AS x, count(*) AS n").contains("frobnicate is not supported")
        );
    }
}
