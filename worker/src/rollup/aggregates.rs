//! The aggregates that merge, and what to write instead of others.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Function, visit_expressions};

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

/// Aggregates of Trino that can't be merged, with what to write instead.
const UNMERGEABLE: &[(&str, &str)] = &[
    (
        "avg",
        "keep sum(x) and count(x) as two columns, and divide one by the other when you query the table",
    ),
    (
        "geometric_mean",
        "keep sum(ln(x)) and count(x), and compute the mean when you query the table",
    ),
    ("approx_distinct", DISTINCT_ADVICE),
    (
        "approx_percentile",
        "keep tdigest_agg(x) AS name, and read it with \
         value_at_quantile(merge(cast(name AS tdigest)), 0.99)",
    ),
    ("stddev", VARIANCE_ADVICE),
    ("stddev_pop", VARIANCE_ADVICE),
    ("stddev_samp", VARIANCE_ADVICE),
    ("variance", VARIANCE_ADVICE),
    ("var_pop", VARIANCE_ADVICE),
    ("var_samp", VARIANCE_ADVICE),
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
const VARIANCE_ADVICE: &str =
    "keep sum(x), sum(x * x) and count(x), and compute the result when you query the table";
const VALUE_ADVICE: &str = "make the value a group key, or keep its min(x) or max(x)";

pub(super) fn function_name(function: &Function) -> String {
    function.name.to_string().to_ascii_lowercase()
}

pub(super) fn is_aggregate_name(name: &str) -> bool {
    MERGEABLE.iter().any(|(other, _)| *other == name)
        || UNMERGEABLE.iter().any(|(other, _)| *other == name)
}

/// Whether the expression contains an aggregate call.
pub(super) fn is_aggregate(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |expr| match expr {
        Expr::Function(function) if is_aggregate_name(&function_name(function)) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

/// The rule by which an output column that is no group key merges.
pub(super) fn merge_rule(column: &str, expr: &Expr) -> Result<MergeRule, String> {
    let refused = |reason: &str| {
        Err(format!(
            "the output column '{column}' cannot be merged: {reason}"
        ))
    };
    let expr = match expr {
        Expr::Nested(inner) => inner,
        expr => expr,
    };
    let no_aggregate = || match is_aggregate(expr) {
        true => refused(
            "it is computed from the results of aggregates; give each aggregate a column of its own, and \
             compute with these columns when you query the table",
        ),
        false => refused("it is neither a group key nor an aggregate; add it to GROUP BY"),
    };
    let Expr::Function(function) = expr else {
        return no_aggregate();
    };
    let name = function_name(function);
    if function.over.is_some() {
        return refused(
            "it is a window function, which would have the rows of one log file only; compute it when you query the table",
        );
    }
    if let Some((_, advice)) = UNMERGEABLE.iter().find(|(other, _)| *other == name) {
        return refused(&format!(
            "the {name} of all log files cannot be computed from the {name} of each log file; {advice}"
        ));
    }
    let Some((_, rule)) = MERGEABLE.iter().find(|(other, _)| *other == name) else {
        return no_aggregate();
    };
    Ok(*rule)
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
        let rules: Vec<_> = parsed
            .columns
            .into_iter()
            .map(|(_, rule)| rule.unwrap())
            .collect();
        use MergeRule::*;
        assert_eq!(
            rules,
            [
                GroupKey,
                GroupKey,
                Sum,
                Sum,
                Sum,
                Min,
                Max,
                BoolOr,
                BoolAnd,
                HyperLogLog,
                TDigest
            ]
        );
    }

    #[test]
    fn what_cannot_merge_is_refused_with_advice() {
        let with =
            |select: &str| refusal(&format!("SELECT {select} FROM alb_access_logs GROUP BY 1"));
        assert!(with("elb, avg(sent_bytes) AS a").contains("'a' cannot be merged"));
        assert!(with("elb, avg(sent_bytes) AS a").contains("sum(x) and count(x)"));
        assert!(with("elb, count(DISTINCT client_ip) AS c").contains("approx_set"));
        assert!(with("elb, approx_distinct(client_ip) AS c").contains("approx_set"));
        assert!(with("elb, approx_percentile(sent_bytes, 0.9) AS p").contains("tdigest_agg"));
        assert!(with("elb, sum(sent_bytes) / count(*) AS a").contains("column of its own"));
        assert!(with("elb, abs(sum(sent_bytes)) AS a").contains("column of its own"));
        assert!(with("elb, client_ip").contains("add it to GROUP BY"));
        assert!(with("elb, count(*)").contains("has no name"));
        assert!(with("elb, count(*) AS \"N°\"").contains("not supported by every engine"));
        assert!(with("elb, count(*) AS elb").contains("two output columns"));
        assert!(with("elb, row_number() OVER () AS r").contains("window"));
        assert!(
            with("frobnicate(elb) AS x, count(*) AS n").contains("frobnicate is not supported")
        );
    }
}
