//! Conditions in WHERE that belong to reading: on the day of delivery, and on times relative to now. A table under such a condition
//! would stop growing, or keep what has left the window. So the table keeps the day or the time, and the view has the condition.

use datafusion::sql::sqlparser::ast::{BinaryOperator, DataType, Expr, Value};

use super::aggregates::{Part, function_name};
use super::desugar::call;
use super::parse::{Output, column_of, free_name};
use super::results::{arguments, quoted, replace, without_parentheses};
use super::walk;
use crate::engine::functions::zoned::AT_TIMEZONE;
use crate::format::DELIVERY_DAY;

/// Functions whose result depends on when they are computed.
pub(super) const NOW: [&str; 4] = ["current_date", "current_timestamp", "localtimestamp", "now"];

/// A condition that belongs to reading.
#[derive(Debug)]
pub(super) struct Condition {
    expr: Expr,
    /// The one expression over log lines in it.
    time: Expr,
    /// Whether the time is finer than an hour, the grain at which groups keep it.
    is_fine: bool,
}

/// Takes the conditions that belong to reading out of WHERE.
///
/// # Errors
///
/// If a condition depends on now, but not in a way that a table can keep.
pub(super) fn take(selection: &mut Option<Expr>) -> Result<Vec<Condition>, String> {
    let mut all = Vec::new();
    if let Some(condition) = selection.take() {
        split(condition, &mut all);
    }
    let mut taken = Vec::new();
    for condition in all {
        match of_reading(&condition)? {
            Some(of_reading) => taken.push(of_reading),
            None => {
                *selection = Some(match selection.take() {
                    None => condition,
                    Some(left) => Expr::BinaryOp {
                        left: Box::new(left),
                        op: BinaryOperator::And,
                        right: Box::new(condition),
                    },
                });
            }
        }
    }
    Ok(taken)
}

fn split(condition: Expr, all: &mut Vec<Expr>) {
    match condition {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            split(*left, all);
            split(*right, all);
        }
        Expr::Nested(inner)
            if matches!(
                &*inner,
                Expr::BinaryOp {
                    op: BinaryOperator::And,
                    ..
                } | Expr::Nested(_)
            ) =>
        {
            split(*inner, all);
        }
        other => all.push(other),
    }
}

fn of_reading(condition: &Expr) -> Result<Option<Condition>, String> {
    let columns = columns(condition);
    if !columns.is_empty() && columns.iter().all(|column| column == DELIVERY_DAY) {
        return Ok(Some(Condition {
            expr: condition.clone(),
            time: Expr::Identifier(DELIVERY_DAY.into()),
            is_fine: false,
        }));
    }
    if !is_relative(condition) {
        return Ok(None);
    }
    let refused = || {
        Err(format!(
            "{condition}: a condition on now must compare the line's own time with it, as in \
             from_iso8601_timestamp(time) > current_timestamp - INTERVAL '6' HOUR"
        ))
    };
    let sides: Vec<&Expr> = match without_parentheses(condition) {
        Expr::BinaryOp {
            left,
            op:
                BinaryOperator::Gt
                | BinaryOperator::GtEq
                | BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Eq,
            right,
        } => vec![left, right],
        Expr::Between {
            expr,
            negated: false,
            low,
            high,
        } => vec![expr, low, high],
        _ => return refused(),
    };
    let (times, nows): (Vec<&Expr>, Vec<&Expr>) = sides
        .into_iter()
        .partition(|side| !self::columns(side).is_empty());
    let [time] = times[..] else {
        return refused();
    };
    if self::columns(time) != ["time"] || is_relative(time) || nows.is_empty() {
        return refused();
    }
    let time = without_parentheses(time).clone();
    Ok(Some(Condition {
        expr: without_parentheses(condition).clone(),
        is_fine: !is_coarse(&time),
        time,
    }))
}

/// The names of the columns in an expression, each once.
pub(super) fn columns(expr: &Expr) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    walk::any(expr, &mut |expr| {
        if let Expr::Identifier(name) = expr
            && !names.contains(&name.value)
            && !NOW.contains(&name.value.as_str())
        {
            names.push(name.value.clone());
        }
        false
    });
    names
}

pub(super) fn is_relative(expr: &Expr) -> bool {
    walk::any(
        expr,
        &mut |expr| matches!(expr, Expr::Function(function) if NOW.contains(&function_name(function).as_str())),
    )
}

/// Whether a time zone is named in the expression.
fn has_zone(expr: &Expr) -> bool {
    walk::any(expr, &mut |expr| match expr {
        Expr::AtTimeZone { .. } => true,
        Expr::Function(function) => match function_name(function).as_str() {
            AT_TIMEZONE | "with_timezone" => true,
            "from_unixtime" => arguments(function).len() > 1,
            _ => false,
        },
        _ => false,
    })
}

/// Whether the time is a day, or has been truncated already.
fn is_coarse(time: &Expr) -> bool {
    match time {
        Expr::Function(function) => match function_name(function).as_str() {
            "date" => true,
            "date_trunc" => arguments(function).first().is_some_and(|unit| {
                !unit.to_string().contains("second") && !unit.to_string().contains("minute")
            }),
            _ => false,
        },
        Expr::Cast { data_type, .. } => *data_type == DataType::Date,
        _ => false,
    }
}

impl Condition {
    /// The same over columns of the table. Adds a column to the table if none of `outputs` holds the time. Groups keep the time by the
    /// hour, so at its edges the window is widened to whole hours.
    pub(super) fn over_columns(&self, outputs: &mut Vec<Output>, merges: bool) -> Expr {
        let is_text = column_of(&self.time).is_some();
        let truncate = |expr: Expr| {
            if is_text {
                // The hour is the first 13 characters of a time in ISO 8601.
                let number = |number: &str| Expr::value(Value::Number(number.to_owned(), false));
                return call("substr", None, vec![expr, number("1"), number("13")]);
            }
            // The hours of some time zones don't begin with those of UTC.
            let utc = Expr::value(Value::SingleQuotedString("UTC".to_owned()));
            let expr = match has_zone(&expr) {
                true => call(AT_TIMEZONE, None, vec![expr, utc]),
                false => expr,
            };
            let hour = Expr::value(Value::SingleQuotedString("hour".to_owned()));
            call("date_trunc", None, vec![hour, expr])
        };
        let is_widened = merges && self.is_fine;
        let kept = match is_widened {
            true => truncate(self.time.clone()),
            false => self.time.clone(),
        };
        let part = if merges { Part::Key } else { Part::Line };
        let same = |output: &&Output| output.expr == kept && output.part == part;
        let column = match outputs.iter().find(same) {
            Some(output) => output.column.clone(),
            None => {
                let name = if self.time == Expr::Identifier(DELIVERY_DAY.into()) {
                    "day"
                } else {
                    "window__time"
                };
                let column = free_name(name, |name| {
                    outputs.iter().any(|output| output.column == name)
                });
                outputs.push(Output {
                    name: None,
                    column: column.clone(),
                    expr: kept,
                    part,
                    is_of_condition: true,
                });
                column
            }
        };
        let mut expr = self.expr.clone();
        if is_widened {
            widen(&mut expr, &self.time, truncate);
        }
        // The expressions in it were checked, so nothing is refused here.
        let _ = replace(&mut expr, &mut |expr| {
            Ok((*expr == self.time).then(|| quoted(&column)))
        });
        expr
    }
}

/// Truncates what the time is compared with, and lets the hours at the edges in.
fn widen(condition: &mut Expr, time: &Expr, truncate: impl Fn(Expr) -> Expr) {
    let edge = |expr: &mut Box<Expr>| {
        if without_parentheses(expr) != time {
            **expr = truncate((**expr).clone());
        }
    };
    match condition {
        Expr::BinaryOp { left, op, right } => {
            edge(left);
            edge(right);
            *op = match op {
                BinaryOperator::Gt => BinaryOperator::GtEq,
                BinaryOperator::Lt => BinaryOperator::LtEq,
                _ => op.clone(),
            };
        }
        Expr::Between { low, high, .. } => {
            edge(low);
            edge(high);
        }
        _ => {}
    }
}
