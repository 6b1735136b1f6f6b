//! Erased lines: conditions that a person has given. Lines that meet one are left out of a rollup, as if nobody had sent them.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, SelectItem, Statement};

use super::lookups::Lookups;
use super::parse::{ParsedRollup, parse, select_of};
use super::results::parsed as expression;
use super::syntax::parse_sql;

/// The text of a condition that a person has written, if it is one expression and nothing else.
///
/// # Errors
///
/// It is none. The error says why.
pub(crate) fn condition(text: &str) -> Result<String, String> {
    let mut statements = parse_sql(&format!("SELECT {text}"))?;
    let none = || format!("{text} is no condition: write an expression, as in WHERE");
    let statement = statements.pop().filter(|_| statements.is_empty());
    let Statement::Query(mut query) = statement.ok_or_else(none)? else {
        return Err(none());
    };
    let whole = query.to_string();
    let outputs = select_of(&mut query).map(|select| std::mem::take(&mut select.projection));
    match outputs.unwrap_or_default().as_slice() {
        [SelectItem::UnnamedExpr(expr)] if format!("SELECT {expr}") == whole => {
            Ok(format!("({expr})"))
        }
        _ => Err(none()),
    }
}

/// Leaves the lines out that meet one of these conditions.
///
/// # Errors
///
/// A condition is none on the values of a line. The error says why.
pub(super) fn leave_out(
    rollup: &mut ParsedRollup,
    conditions: &[String],
    lookups: &Lookups,
) -> Result<(), String> {
    let format = rollup.format;
    for condition in conditions {
        let (time, table) = (format.time_column, format.table);
        let sql = format!("SELECT {time} FROM {table} WHERE {condition}");
        let mut checked =
            parse(&sql, lookups).map_err(|error| format!("the condition {condition}: {error}"))?;
        if !checked.conditions.is_empty() {
            return Err(format!(
                "the condition {condition} depends on the day or on now: say with --from and --to of which lines"
            ));
        }
        let met = select_of(&mut checked.query).and_then(|select| select.selection.take());
        let (Some(met), Some(select)) = (met, select_of(&mut rollup.query)) else {
            return Err(format!("the condition {condition} is none"));
        };
        // A line for which the condition is NULL stays.
        let kept = expression(&format!("NOT coalesce(({met}), false)"))?;
        select.selection = Some(match select.selection.take() {
            None => kept,
            Some(own) => Expr::BinaryOp {
                left: Box::new(kept),
                op: BinaryOperator::And,
                right: Box::new(Expr::Nested(Box::new(own))),
            },
        });
    }
    Ok(())
}
