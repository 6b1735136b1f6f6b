//! Calls of functions and aggregates.

use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, ObjectNamePart,
};

use super::{foreign, missing, nearest, subquery};
use crate::engine;
use crate::rollup::aggregates::{aggregate_names, function_name, is_aggregate_name, unmergeable};
use crate::rollup::conditions::NOW;
use crate::rollup::joins::is_join;
use crate::rollup::parts::parts;
use crate::rollup::unmerged::{AGGREGATES, WINDOW_FUNCTIONS};
use crate::rollup::walk;

/// Functions whose result differs each time.
const UNREPEATABLE: [&str; 5] = ["rand", "random", "random_string", "shuffle", "uuid"];

/// Refuses functions that neither Athena's functions here nor its aggregates have.
fn check_known(name: &str) -> Result<(), String> {
    if is_aggregate_name(name) || engine::has_function(name) || NOW.contains(&name) {
        return Ok(());
    }
    if UNREPEATABLE.contains(&name) {
        return Err(format!(
            "{name} gives another value each time, and a table depends on its log lines alone: a log file that is counted again must \
             give the same rows. Take a part of the lines by a hash of a column, as in crc32(to_utf8(trace_id)) % 100 = 0"
        ));
    }
    if let Some(advice) = instead_of_function(name) {
        return Err(format!("{name} {advice}"));
    }
    let names = engine::function_names().iter().map(String::as_str);
    let names = names.chain(aggregate_names());
    Err(match nearest(name, names) {
        Some(question) => format!("the function {name} is not supported{question}"),
        None => format!("the function {name} is not supported; docs/sql.md lists those that are"),
    })
}

/// Checks a call in the query around the one over the log table: there, nothing has to merge.
pub(super) fn check_outer(function: &Function) -> Result<(), String> {
    let name = function_name(function);
    check_name(function)?;
    if !AGGREGATES.contains(&name.as_str()) {
        return match is_aggregate_name(&name) || unmergeable(&name).is_some() {
            true => Err(format!(
                "{function}: {name} is not supported around a grouped query"
            )),
            false => check_known(&name),
        };
    }
    if WINDOW_FUNCTIONS.contains(&name.as_str()) && function.over.is_none() {
        return Err(format!(
            "{function}: {name} is a window function: write OVER (…) after it"
        ));
    }
    Ok(())
}

/// Advice for functions that Athena has and logmill does not: the reason, and the SQL to write.
pub(crate) fn instead_of_function(name: &str) -> Option<&'static str> {
    Some(match name {
        "json_array_get" => {
            "gives a string without its quotes, which is not JSON: write json_extract(x, '$[0]')"
        }
        "format" | "format_number" => {
            "is not supported: write round(x, 2), or join texts with ||, as in cast(round(x, 2) AS varchar) || ' %'"
        }
        "split_to_map" | "split_to_multimap" => {
            "is not supported, because it makes a map: write url_extract_parameter(url, 'name'), or \
             regexp_extract(x, '(^|&)name=([^&]*)', 2)"
        }
        "regexp_split" => {
            "is not supported: write split(regexp_replace(x, pattern, ','), ','), with a delimiter that x does not have"
        }
        // In rollups, the reasons why tables cannot keep them come first.
        "listagg" => "is not supported: write array_join(array_agg(x), ',')",
        "histogram" | "map_agg" | "multimap_agg" => {
            "is not supported, because it makes a map: write its key in GROUP BY, and count(*) or another aggregate"
        }
        "all_match" | "any_match" | "filter" | "none_match" | "reduce" | "transform"
        | "zip_with" => {
            "is not supported, because it takes a lambda: write CROSS JOIN UNNEST(array) AS t (x), and an expression of x"
        }
        "parse_duration" => {
            "is supported with a literal of a whole number and a unit, as in parse_duration('1d'): write that, or INTERVAL '1' DAY"
        }
        name if WINDOW_FUNCTIONS.contains(&name) => {
            "is a window function: write OVER (ORDER BY …) after the call"
        }
        _ => return None,
    })
}

/// Refuses a qualified or quoted name. Calls that represent SQL syntax have names that can only be written in quotes.
fn check_name(function: &Function) -> Result<(), String> {
    match function.name.0.as_slice() {
        [
            ObjectNamePart::Identifier(Ident {
                value: _,
                quote_style: None,
                span: _,
            }),
        ] => Ok(()),
        _ => Err(format!(
            "{function} is not supported: write the function's name without a qualifier and without quotes"
        )),
    }
}

pub(super) fn check_function(function: &Function) -> Result<(), String> {
    let Function {
        name: _,
        uses_odbc_syntax,
        parameters,
        args,
        filter,
        null_treatment,
        over,
        within_group,
    } = function;
    if is_join(function) {
        return Ok(());
    }
    check_name(function)?;
    if over.is_some() {
        return Err(format!(
            "{function} is a window function, which cannot be merged: compute it when you query the table"
        ));
    }
    if *uses_odbc_syntax {
        return foreign(function, "write the function without { fn … }");
    }
    if *parameters != FunctionArguments::None {
        return foreign(function, "write all arguments in one pair of parentheses");
    }
    let name = function_name(function);
    if let Some(reason) = unmergeable(&name) {
        return Err(reason);
    }
    if !within_group.is_empty() {
        return Err(format!(
            "{function}: WITHIN GROUP is not supported, because the order of rows has no effect on a merged result. Leave it out"
        ));
    }
    if null_treatment.is_some() {
        return Err(format!(
            "{function}: IGNORE NULLS and RESPECT NULLS apply only to window functions. Leave them out"
        ));
    }
    check_known(&name)?;
    let is_aggregate = is_aggregate_name(&name);
    if filter.is_some() && !is_aggregate {
        return foreign(
            function,
            "FILTER applies only to aggregates. Write CASE WHEN … THEN … END",
        );
    }
    match args {
        FunctionArguments::List(list) => check_arguments(function, list, &name, is_aggregate),
        FunctionArguments::Subquery(_) => subquery(function),
        // For example `current_date`, a function that rollups lack.
        FunctionArguments::None => Ok(()),
    }
}

fn check_arguments(
    function: &Function,
    list: &FunctionArgumentList,
    name: &str,
    is_aggregate: bool,
) -> Result<(), String> {
    let FunctionArgumentList {
        duplicate_treatment,
        args,
        clauses,
    } = list;
    match duplicate_treatment {
        Some(DuplicateTreatment::Distinct) if name == "count" && args.len() == 1 => {}
        Some(DuplicateTreatment::Distinct) if is_aggregate => {
            let instead = match name {
                "min" | "max" | "bool_and" | "bool_or" | "every" => {
                    "DISTINCT changes nothing here. Leave it out"
                }
                _ => {
                    "DISTINCT cannot be merged, because a value may occur in several log files. Make the value a group key, \
                     and use DISTINCT when you query the table"
                }
            };
            return Err(format!("{function}: {instead}"));
        }
        Some(_) if !is_aggregate => {
            return foreign(
                function,
                "DISTINCT and ALL apply only to aggregates. Leave them out",
            );
        }
        _ => {}
    }
    if !clauses.is_empty() {
        return Err(format!(
            "{function}: ORDER BY, LIMIT, HAVING and similar clauses in a call are not supported. Write nothing after the arguments"
        ));
    }
    for arg in args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(_)) => {}
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard) if name == "count" => {}
            FunctionArg::Unnamed(
                FunctionArgExpr::Wildcard
                | FunctionArgExpr::QualifiedWildcard(_)
                | FunctionArgExpr::WildcardWithOptions(_),
            ) => return foreign(function, "write * only in count(*)"),
            FunctionArg::Named {
                name: _,
                arg: _,
                operator: _,
            }
            | FunctionArg::ExprNamed {
                name: _,
                arg: _,
                operator: _,
            } => return missing(function, "write the arguments without their names"),
        }
    }
    if is_aggregate {
        check_inner(function)?;
        // The types of the arguments do not matter for what can be kept.
        parts(function, &[])?;
    }
    Ok(())
}

/// Refuses an aggregate over aggregates, in words for rollups and queries.
pub(crate) fn check_inner(aggregate: &Function) -> Result<(), String> {
    let is_inner = |call: &Function| {
        call != aggregate && call.over.is_none() && is_aggregate_name(&function_name(call))
    };
    let has_inner = walk::any(
        aggregate,
        &mut |expr| matches!(expr, Expr::Function(call) if is_inner(call)),
    );
    let has_subquery = walk::any(aggregate, &mut |expr| matches!(expr, Expr::Subquery(_)));
    match has_inner && !has_subquery {
        true => Err(format!(
            "{aggregate} is an aggregate of an aggregate: compute the inner one in a subquery that groups the lines, and the outer one \
             over its rows, as in SELECT max(n) FROM (SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY elb)"
        )),
        false => Ok(()),
    }
}
