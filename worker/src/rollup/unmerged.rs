//! Aggregates and window functions where nothing has to merge: in queries, and in the part of a rollup that is computed when somebody reads.

use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArguments, Ident, VisitMut,
};

use super::aggregates::{function_name, is_distinct};
use super::allow;
use super::parts::from_states;
use super::walk;

/// Trino's aggregates and window functions that queries may use.
pub(crate) const AGGREGATES: [&str; 44] = [
    "any_value",
    "approx_distinct",
    "approx_percentile",
    "approx_set",
    "arbitrary",
    "array_agg",
    "avg",
    "bitwise_and_agg",
    "bitwise_or_agg",
    "bool_and",
    "bool_or",
    "checksum",
    "corr",
    "count",
    "count_if",
    "covar_pop",
    "covar_samp",
    "cume_dist",
    "dense_rank",
    "every",
    "first_value",
    "geometric_mean",
    "lag",
    "last_value",
    "lead",
    "max",
    "max_by",
    "min",
    "min_by",
    "nth_value",
    "ntile",
    "numeric_histogram",
    "percent_rank",
    "rank",
    "regr_intercept",
    "regr_slope",
    "row_number",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
];

/// Those that are nothing else than window functions.
pub(super) const WINDOW_FUNCTIONS: [&str; 11] = [
    "cume_dist",
    "dense_rank",
    "first_value",
    "lag",
    "last_value",
    "lead",
    "nth_value",
    "ntile",
    "percent_rank",
    "rank",
    "row_number",
];

/// Aggregates that are computed from others.
const FROM_OTHERS: [&str; 7] = [
    "any_value",
    "approx_distinct",
    "approx_percentile",
    "arbitrary",
    "checksum",
    "geometric_mean",
    "numeric_histogram",
];

/// Replaces Trino's aggregates that the engine lacks by those from which they are computed.
///
/// # Errors
///
/// If there is anything that the engine would compute otherwise than Trino.
pub(crate) fn spell_aggregates(part: &mut impl VisitMut) -> Result<(), String> {
    walk::change_exprs(part, &mut refuse, &mut spell_aggregate)
}

/// Refuses what the engine would compute otherwise than Trino.
fn refuse(expr: &mut Expr) -> Result<(), String> {
    if let Expr::Function(function @ Function { over: None, .. }) = expr
        && AGGREGATES.contains(&function_name(function).as_str())
    {
        allow::check_inner(function)?;
    }
    match expr {
        Expr::Cast { data_type, .. } => {
            let name = data_type.to_string().to_ascii_lowercase();
            let has_length = name.starts_with("varchar(") || name.starts_with("char");
            match has_length {
                true => Err(format!(
                    "{expr}: the type {name} is not supported; write varchar, and substr(x, 1, n) to shorten a text"
                )),
                false => Ok(()),
            }
        }
        Expr::Function(Function {
            name,
            args: FunctionArguments::List(list),
            ..
        }) => match (
            name.to_string().to_ascii_lowercase().as_str(),
            list.args.len(),
        ) {
            // It would overflow silently.
            ("sum", _) if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) => {
                Err(format!(
                    "{expr}: sum(DISTINCT x) is not supported; select the distinct values in a subquery, and sum them"
                ))
            }
            // The sketch of approx_distinct takes an error. Trino's approx_set does not.
            ("approx_set", 2..) => Err(format!("{expr}: approx_set takes one value")),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Replaces an aggregate of Trino that the engine lacks by those that a rollup would keep of it, and the result that follows from
/// them.
fn spell_aggregate(expr: &mut Expr) -> Result<(), String> {
    let Expr::Function(function) = expr else {
        return Ok(());
    };
    let name = function_name(function);
    if name == "variance" {
        function.name = vec![Ident::new("var_samp")].into();
    }
    if !FROM_OTHERS.contains(&name.as_str()) {
        return Ok(());
    }
    if function.over.is_some() {
        return Err(format!(
            "{function}: {name} is not supported as a window function"
        ));
    }
    // Of the others, equal values change nothing.
    let depends_on_equal = !["any_value", "approx_distinct", "arbitrary"].contains(&name.as_str());
    if depends_on_equal && is_distinct(function) {
        return Err(format!(
            "{function}: {name}(DISTINCT x) is not supported; select the distinct values in a subquery"
        ));
    }
    *expr = from_states(function)?;
    Ok(())
}
