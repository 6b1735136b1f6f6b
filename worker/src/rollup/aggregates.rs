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
    ("bitwise_and_agg", MergeRule::BitAnd),
    ("bitwise_or_agg", MergeRule::BitOr),
    ("approx_set", MergeRule::HyperLogLog),
    ("tdigest_agg", MergeRule::TDigest),
];

/// Aggregates whose results are computed from states that merge.
const FROM_STATES: &[&str] = &[
    "any_value",
    "approx_distinct",
    "approx_percentile",
    "arbitrary",
    "avg",
    "checksum",
    "corr",
    "covar_pop",
    "covar_samp",
    "geometric_mean",
    "max_by",
    "min_by",
    "numeric_histogram",
    "regr_intercept",
    "regr_slope",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "var_pop",
    "var_samp",
    "variance",
];

/// Aggregates of Trino that a table can't keep, with the reason and what to write instead.
const UNMERGEABLE: &[(&str, &str)] = &[
    ("array_agg", GROWS),
    ("listagg", GROWS),
    ("map_agg", GROWS),
    ("multimap_agg", GROWS),
    ("map_union", GROWS),
    ("set_agg", GROWS),
    ("histogram", COUNTS),
    ("approx_most_frequent", COUNTS),
    ("qdigest_agg", "tables keep t-digests. Write tdigest_agg(x)"),
    (
        "merge",
        "merge takes sketches, which log lines do not have. Write approx_set(x) or tdigest_agg(x)",
    ),
    (
        "reduce_agg",
        "a function of your own may depend on the order of lines. Write sum, min, max or another aggregate of docs/sql.md",
    ),
    (
        "entropy",
        "it is not supported. Make the value a group key with count(*), and compute it when you query the table",
    ),
    (
        "kurtosis",
        "it is not supported. Keep tdigest_agg(x), which describes the distribution",
    ),
    (
        "skewness",
        "it is not supported. Keep tdigest_agg(x), which describes the distribution",
    ),
];
const GROWS: &str = "its result would grow with every line. Make the value a group key, or keep its min(x), max(x) or max_by(x, y)";
const COUNTS: &str = "its result would grow with every value. Make the value a group key, with count(*), ORDER BY count(*) DESC and LIMIT";

/// Whether the call is of distinct values.
pub(crate) fn is_distinct(function: &Function) -> bool {
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

/// Why a table can't keep an aggregate of Trino, and what to write instead.
pub(super) fn unmergeable(name: &str) -> Option<String> {
    let (_, advice) = UNMERGEABLE.iter().find(|(other, _)| *other == name)?;
    Some(format!("a table cannot keep {name}: {advice}"))
}

pub(super) fn is_aggregate_name(name: &str) -> bool {
    MERGEABLE.iter().any(|(other, _)| *other == name)
        || FROM_STATES.contains(&name)
        || UNMERGEABLE.iter().any(|(other, _)| *other == name)
}

/// Whether the expression contains an aggregate. A call with OVER is a window function.
pub(super) fn is_aggregate(expr: &Expr) -> bool {
    walk::any(
        expr,
        &mut |expr| matches!(expr, Expr::Function(function) if function.over.is_none() && is_aggregate_name(&function_name(function))),
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
    let refused = |reason: &str| Err(format!("the output column '{column}': {reason}"));
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
    use crate::rollup::parse::parse_alone;

    fn refusal(sql: &str) -> String {
        parse_alone(sql).expect_err(sql)
    }

    #[test]
    fn columns_get_merge_rules() {
        let parsed = parse_alone(
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
        assert!(with("elb, histogram(client_ip) AS c").contains("group key"));
        assert!(with("elb, client_ip").contains("add it to GROUP BY"));
        assert!(with("elb, count(*) AS elb").contains("two output columns"));
        assert!(
            with("frobnicate(elb) AS x, count(*) AS n").contains("frobnicate is not supported")
        );
    }
}
