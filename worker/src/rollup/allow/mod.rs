//! The syntax that a rollup's SQL may use.
//!
//! sqlparser accepts the SQL of a dozen engines, and DataFusion ignores part of what it accepts. An ignored construct
//! would silently make a table wrong, so a rollup may use only the syntax listed here; everything else is refused. Structs
//! are destructured without `..` and enums matched without `_`, so that a construct added by a new version of sqlparser
//! does not compile until it is decided on. What is refused in any case needs no such care.

use std::fmt::Display;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Ident, Select, visit_expressions};

use crate::format::LogFormat;

mod query;
mod expressions;
mod operators;
mod functions;
mod values;

pub(super) use functions::check_known;
pub(super) use query::{check_comments, check_query, check_wildcard, table_in_from};

pub(super) const ONE_GROUPING: &str = "ROLLUP, CUBE, GROUPING SETS and WITH TOTALS are not supported: a table has one grouping. Write a rollup for each grouping";
const NO_STRUCTURES: &str = "a rollup computes only with numbers, text, booleans and times. \
     Leave out arrays, rows, maps, JSON, lambdas and binary values";

/// Refuses names in another engine's quotes.
pub(super) fn check_name(name: &Ident) -> Result<(), String> {
    let Ident {
        value,
        quote_style,
        span: _,
    } = name;
    match quote_style {
        None | Some('"') => Ok(()),
        Some(_) => Err(format!(
            "Athena does not support the quotes of {name}: write \"{value}\""
        )),
    }
}

/// Refuses any expression of the SELECT that uses anything not listed here. `table` is the name by which the SELECT refers
/// to its table.
pub(super) fn check_expressions(
    select: &Select,
    table: &Ident,
    format: &LogFormat,
) -> Result<(), String> {
    let found = visit_expressions(select, |expr| {
        match expressions::check(expr, table, format) {
            Ok(()) => ControlFlow::Continue(()),
            Err(message) => ControlFlow::Break(message),
        }
    });
    match found {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(message) => Err(message),
    }
}

fn foreign<T>(construct: impl Display, advice: &str) -> Result<T, String> {
    Err(format!("{construct} is not Athena SQL: {advice}"))
}

fn missing<T>(construct: impl Display, advice: &str) -> Result<T, String> {
    Err(format!(
        "{construct} is not supported in a rollup: {advice}"
    ))
}

fn subquery(construct: impl Display) -> Result<(), String> {
    Err(format!(
        "{construct} has a subquery, which cannot be merged: a rollup is computed for one log file at a time. \
         Write conditions on the log table's own columns, or use the subquery when you query the table"
    ))
}

#[cfg(test)]
mod tests;
