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

pub(super) const ONE_GROUPING: &str =
    "ROLLUP, CUBE and GROUPING SETS make several tables of one: write one rollup for each";
const NO_STRUCTURES: &str = "a rollup computes with numbers, texts, booleans and times only";

/// Refuses names in another engine's quotes.
pub(super) fn check_name(name: &Ident) -> Result<(), String> {
    let Ident {
        value,
        quote_style,
        span: _,
    } = name;
    match quote_style {
        None | Some('"') => Ok(()),
        Some(_) => Err(format!("{name}: names are quoted as \"{value}\" in Athena")),
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
    Err(format!("{construct} is not Athena's: {advice}"))
}

fn missing<T>(construct: impl Display, advice: &str) -> Result<T, String> {
    Err(format!("{construct} is not available here: {advice}"))
}

fn subquery(construct: impl Display) -> Result<(), String> {
    Err(format!(
        "the subquery in {construct} can't be merged: a rollup sees one log file at a time"
    ))
}

#[cfg(test)]
mod tests;
