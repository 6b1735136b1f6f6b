//! The syntax that a rollup's SQL may use.
//!
//! sqlparser accepts the SQL of a dozen engines, and DataFusion ignores part of what it accepts. An ignored construct
//! would silently make a table wrong, so a rollup may use only the syntax listed here; everything else is refused. Structs
//! are destructured without `..` and enums matched without `_`, so that a construct added by a new version of sqlparser
//! does not compile until it is decided on. What is refused in any case needs no such care.

use std::fmt::Display;

use datafusion::common::utils::datafusion_strsim::levenshtein;
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Ident, Select, Spanned};
use datafusion::sql::sqlparser::tokenizer::Location;

use super::walk;
use crate::format::{DELIVERY_DAY, LogFormat, OfFile};

mod query;
mod expressions;
mod operators;
mod functions;
mod values;

pub(super) use expressions::check_outer;
pub(crate) use functions::{check_inner, instead_of_function};
pub(super) use query::{check_around, check_comments, check_query, check_wildcard, table_in_from};

pub(super) const ONE_GROUPING: &str =
    "is not supported: a table has one grouping. Write a rollup for each grouping";
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
    /// The parameters of lambdas, which are refused as a whole.
    pub(super) lambda_parameters: Vec<String>,
}

impl Scope<'_> {
    fn has_column(&self, name: &str) -> bool {
        self.is_of_athena(name) || OfFile::named(&name.to_ascii_lowercase()).is_some()
    }

    /// Whether Athena's table has the column, too. The others give way to names that a rollup uses otherwise.
    fn is_of_athena(&self, name: &str) -> bool {
        let columns = self.format.columns.iter().map(|column| column.name);
        let mut columns = columns.chain([DELIVERY_DAY]);
        columns.any(|column| column.eq_ignore_ascii_case(name))
    }

    fn list_of_columns(&self) -> String {
        let columns: Vec<&str> = self
            .format
            .columns
            .iter()
            .map(|column| column.name)
            .collect();
        format!(": the columns are {}", columns.join(", "))
    }

    /// The names of the parameters, if the operands are those of a lambda.
    fn parameters(&self, expr: &Expr) -> Vec<String> {
        let Expr::BinaryOp {
            left,
            op: BinaryOperator::Arrow,
            ..
        } = expr
        else {
            return Vec::new();
        };
        let names: &[Expr] = match &**left {
            Expr::Tuple(names) => names,
            name => std::slice::from_ref(name),
        };
        let names = names.iter().map(|name| match name {
            Expr::Identifier(name) if !self.is_of_athena(&name.value) => Some(name.value.clone()),
            _ => None,
        });
        names.collect::<Option<_>>().unwrap_or_default()
    }
}

/// Refuses all expressions of the SELECT that use anything not listed here. The error has a line for each, with its place.
pub(super) fn check_expressions(select: &Select, scope: &mut Scope<'_>) -> Result<(), String> {
    let mut problems: Vec<(Location, String)> = Vec::new();
    let mut parameters = Vec::new();
    walk::any(select, &mut |expr| {
        parameters.extend(scope.parameters(expr));
        false
    });
    scope.lambda_parameters = parameters;
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
    // The list is long, and says the same each time.
    let list = scope.list_of_columns();
    let listed = problems
        .iter_mut()
        .filter(|(_, message)| message.ends_with(&list));
    for (_, message) in listed.skip(1) {
        message.truncate(message.len() - list.len());
    }
    let problems = problems
        .iter()
        .map(|(place, message)| placed(*place, message));
    in_the_way(&problems.collect::<Vec<_>>())
}

/// The message with the place of what it is about.
pub(super) fn placed(place: Location, message: &str) -> String {
    match place.line {
        // The parser does not know the place of every expression.
        0 => message.to_owned(),
        line => format!("line {line}, column {}: {message}", place.column),
    }
}

/// The error of these problems, if there are any.
pub(super) fn in_the_way(problems: &[String]) -> Result<(), String> {
    match problems {
        [] => Ok(()),
        [one] => Err(one.clone()),
        several => Err(format!(
            "{} parts of the SQL are in the way:\n{}",
            several.len(),
            several.join("\n")
        )),
    }
}

/// Advice for a column that log tables lack but other tables or engines have, such as `year`.
pub(crate) fn instead_of_column(name: &str, is_quoted: bool) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    match name {
        "year" | "month" => Some(
            ": logs are partitioned by the day. Write day = '2024/01/15', or day LIKE '2024/01/%' for a month".to_owned(),
        ),
        "$path" | "$file_size" | "$file_modified_time" | "$bucket" | "$partition" => Some(
            ": it is a column that Athena adds to each line, about its file, and logmill does not have it. Group by elb, or query the raw \
             logs in Athena"
                .to_owned(),
        ),
        // Names without quotes are in lower case.
        _ if is_quoted || !name.chars().all(is_plain) => Some(format!(
            ": a text is written in single quotes. Write '{}'",
            name.replace('\'', "''")
        )),
        _ => None,
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
