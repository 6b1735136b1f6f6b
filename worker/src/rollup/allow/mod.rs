//! The syntax that a rollup's SQL may use.
//!
//! sqlparser accepts the SQL of a dozen engines, and DataFusion ignores part of what it accepts. An ignored construct
//! would silently make a table wrong, so a rollup may use only the syntax listed here; everything else is refused. Structs
//! are destructured without `..` and enums matched without `_`, so that a construct added by a new version of sqlparser
//! does not compile until it is decided on. What is refused in any case needs no such care.

use std::fmt::Display;

use datafusion::common::utils::datafusion_strsim::levenshtein;
use datafusion::sql::sqlparser::ast::{Ident, Select, Spanned};
use datafusion::sql::sqlparser::tokenizer::Location;

use super::walk;
use crate::format::LogFormat;

mod query;
mod expressions;
mod operators;
mod functions;
mod values;

pub(super) use expressions::check_outer;
pub(super) use query::{check_around, check_comments, check_query, check_wildcard, table_in_from};

pub(super) const ONE_GROUPING: &str = "ROLLUP, CUBE, GROUPING SETS and WITH TOTALS are not supported: a table has one grouping. Write a rollup for each grouping";
const NO_STRUCTURES: &str = "a rollup computes only with numbers, text, booleans, times, binary values, arrays and JSON. \
     Leave out rows, maps and lambdas";

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

/// The names that a SELECT can refer to.
pub(super) struct Scope<'s> {
    /// The name by which the SELECT refers to its table.
    pub(super) table: &'s Ident,
    pub(super) format: &'s LogFormat,
    /// The names of output columns, each with its expression.
    pub(super) aliases: &'s [(String, String)],
}

/// Refuses all expressions of the SELECT that use anything not listed here. The error has a line for each, with its place.
pub(super) fn check_expressions(select: &Select, scope: &Scope<'_>) -> Result<(), String> {
    let mut problems: Vec<(Location, String)> = Vec::new();
    walk::any(select, &mut |expr| {
        if let Err(message) = expressions::check(expr, scope) {
            let place = expr.span().start;
            // An expression may stand in several places of the checked SELECT.
            let is_new = |(other, text): &(Location, String)| {
                *text != message && (*other != place || place.line == 0)
            };
            if problems.iter().all(is_new) {
                problems.push((place, message));
            }
        }
        false
    });
    problems.sort_by_key(|(place, _)| (place.line, place.column));
    let at = |(place, message): &(Location, String)| match place.line {
        // The parser does not know the place of every expression.
        0 => message.clone(),
        line => format!("line {line}, column {}: {message}", place.column),
    };
    match problems.as_slice() {
        [] => Ok(()),
        [one] => Err(at(one)),
        several => Err(format!(
            "{} parts of the SQL are in the way:\n{}",
            several.len(),
            several.iter().map(at).collect::<Vec<_>>().join("\n")
        )),
    }
}

/// A question with the names that are most like this one, if there are any.
fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<String> {
    let mut near: Vec<(usize, &str)> = names
        .map(|other| (levenshtein(name, other), other))
        .filter(|(distance, other)| *distance <= 2.max(other.len() / 3))
        .collect();
    near.sort_unstable();
    let near: Vec<&str> = near.into_iter().take(3).map(|(_, name)| name).collect();
    (!near.is_empty()).then(|| format!("; did you mean {}?", near.join(" or ")))
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
