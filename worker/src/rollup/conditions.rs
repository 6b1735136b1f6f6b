//! Conditions in WHERE that belong to reading: on the day of delivery, and on times relative to now. A table under such a condition
//! would stop growing, or keep what has left the window. So the table keeps the day or the time, and the view has the condition.

use datafusion::sql::sqlparser::ast::{BinaryOperator, DataType, Expr, Value};

use super::aggregates::{Part, function_name};
use super::desugar::{binary, call, literal, nested};
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
    grain: Grain,
}

/// The kind of an expression over a line's time. It decides how groups keep the time, so that an hour has few groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grain {
    /// The day of delivery, or a part of the time of at least an hour, such as the hour, the day or the year.
    Coarse,
    /// The text of the time itself.
    Text,
    /// Seconds since 1970.
    Seconds,
    /// A timestamp.
    Timestamp,
    /// A number or a text that differs within an hour.
    Other,
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
            grain: Grain::Coarse,
        }));
    }
    if !is_relative(condition) {
        return Ok(None);
    }
    let refused = || Err(refusal(condition));
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
        grain: grain(&time),
        time,
    }))
}

/// Whether reading decides a part of the condition.
pub(super) fn depends_on_reading(condition: &Expr) -> bool {
    is_relative(condition)
        || columns(condition)
            .iter()
            .any(|column| column == DELIVERY_DAY)
}

fn refusal(condition: &Expr) -> String {
    if let Expr::BinaryOp {
        left,
        op: BinaryOperator::Or,
        right,
    } = without_parentheses(condition)
    {
        return format!(
            "{condition}: a condition on now cannot be a part of OR. AND binds more than OR: if all lines are to be of that time, write \
             parentheses around the OR, as in {}",
            parenthesised(left, right)
        );
    }
    format!(
        "{condition}: a condition on now must compare the line's own time with it, as in \
         from_iso8601_timestamp(time) > current_timestamp - INTERVAL '6' HOUR"
    )
}

/// `a AND b OR c` as `a AND (b OR c)`, where `a` is the condition on now.
fn parenthesised(left: &Expr, right: &Expr) -> String {
    match left {
        Expr::BinaryOp {
            left: first,
            op: BinaryOperator::And,
            right: last,
        } if is_relative(first) => format!("{first} AND ({last} OR {right})"),
        _ => "time_condition AND (a OR b)".to_owned(),
    }
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

/// Parts of a time of at least an hour.
const COARSE_PARTS: [&str; 16] = [
    "date",
    "day",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "dow",
    "doy",
    "hour",
    "last_day_of_month",
    "month",
    "quarter",
    "week",
    "week_of_year",
    "year",
    "year_of_week",
    "yow",
];

fn grain(time: &Expr) -> Grain {
    let grain_if = |is_coarse: bool| match is_coarse {
        true => Grain::Coarse,
        false => Grain::Other,
    };
    match without_parentheses(time) {
        column if column_of(column).is_some() => Grain::Text,
        Expr::Extract { field, .. } => {
            grain_if(COARSE_PARTS.contains(&field.to_string().to_ascii_lowercase().as_str()))
        }
        Expr::Substring {
            substring_from,
            substring_for,
            ..
        } => grain_if(is_hour_of_text(
            substring_from.as_deref(),
            substring_for.as_deref(),
        )),
        Expr::Cast { data_type, .. } => match data_type {
            DataType::Date => Grain::Coarse,
            DataType::Timestamp(..) => Grain::Timestamp,
            _ => Grain::Other,
        },
        Expr::Function(function) => {
            let arguments = arguments(function);
            let second = arguments.get(1).and_then(|expr| literal(expr));
            match function_name(function).as_str() {
                part if COARSE_PARTS.contains(&part) => Grain::Coarse,
                "date_trunc" => match arguments.first().and_then(|unit| literal(unit)) {
                    Some(unit) if !unit.contains("second") && !unit.contains("minute") => {
                        Grain::Coarse
                    }
                    _ => Grain::Timestamp,
                },
                "to_unixtime" => Grain::Seconds,
                "substr" | "substring" => grain_if(
                    arguments
                        .first()
                        .is_some_and(|text| column_of(text).is_some())
                        && is_hour_of_text(arguments.get(1).copied(), arguments.get(2).copied()),
                ),
                "date_format" => grain_if(second.is_some_and(|form| is_hour_of_form(&form, "%"))),
                "format_datetime" => {
                    grain_if(second.is_some_and(|form| is_hour_of_form(&form, "")))
                }
                "concat" | "date_diff" | "length" | "millisecond" | "minute" | "regexp_extract"
                | "regexp_replace" | "replace" | "second" | "split_part" | "to_iso8601" => {
                    Grain::Other
                }
                _ => Grain::Timestamp,
            }
        }
        Expr::BinaryOp {
            op:
                BinaryOperator::StringConcat
                | BinaryOperator::Multiply
                | BinaryOperator::Divide
                | BinaryOperator::Modulo,
            ..
        } => Grain::Other,
        // Such as an hour plus a number.
        Expr::BinaryOp { left, op, right }
            if matches!(op, BinaryOperator::Plus | BinaryOperator::Minus)
                && !matches!(**left, Expr::Interval(_))
                && !matches!(**right, Expr::Interval(_)) =>
        {
            match (columns(left).is_empty(), columns(right).is_empty()) {
                (false, true) if grain(left) != Grain::Timestamp => grain(left),
                (true, false) if grain(right) != Grain::Timestamp => grain(right),
                _ => Grain::Other,
            }
        }
        _ => Grain::Timestamp,
    }
}

/// Whether a part of the text of a time ends with the hour or before it. In ISO 8601 the hour ends at character 13.
fn is_hour_of_text(from: Option<&Expr>, count: Option<&Expr>) -> bool {
    let number = |expr: Option<&Expr>| expr.and_then(|expr| expr.to_string().parse::<u8>().ok());
    match (number(from), number(count)) {
        (Some(from @ 1..), Some(count)) => from.saturating_add(count) <= 14,
        _ => false,
    }
}

/// Whether a form of a time has nothing smaller than an hour. In it, `before` is before each letter with a meaning.
fn is_hour_of_form(form: &str, before: &str) -> bool {
    let smaller = match before {
        "" => ["m", "s", "S"].as_slice(),
        _ => ["i", "s", "S", "f", "T", "r"].as_slice(),
    };
    smaller
        .iter()
        .all(|letter| !form.contains(&format!("{before}{letter}")))
}

impl Condition {
    /// The same over columns of the table. Adds a column to the table if none of `outputs` holds the time. Groups keep the time by the
    /// hour, so at its edges the window is widened to whole hours.
    ///
    /// # Errors
    ///
    /// Groups can't keep the time by the hour.
    pub(super) fn over_columns(
        &self,
        outputs: &mut Vec<Output>,
        merges: bool,
    ) -> Result<Expr, String> {
        if merges && self.grain == Grain::Other {
            return Err(refusal(&self.expr));
        }
        let truncate = |expr: Expr| {
            let number = |number: &str| Expr::value(Value::Number(number.to_owned(), false));
            match self.grain {
                // The hour is the first 13 characters of a time in ISO 8601.
                Grain::Text => return call("substr", None, vec![expr, number("1"), number("13")]),
                Grain::Seconds => {
                    let hours = binary(nested(expr), BinaryOperator::Divide, number("3600"));
                    return call("floor", None, vec![hours]);
                }
                _ => {}
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
        let is_widened = merges && self.grain != Grain::Coarse;
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
        Ok(expr)
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

#[cfg(test)]
mod tests {
    use crate::rollup::{Reader, Rollup};

    async fn view_of(condition: &str) -> Result<String, String> {
        let sql = format!(
            "SELECT elb, count(*) AS n FROM alb_access_logs WHERE {condition} GROUP BY elb"
        );
        let rollup = Rollup::from_sql("t", &sql).await?;
        Ok(rollup.view().unwrap().sql("groups", Reader::Athena))
    }

    #[tokio::test]
    async fn groups_keep_a_part_of_the_time_as_it_is_or_by_the_hour() {
        for (condition, says) in [
            (
                "from_iso8601_timestamp(time) > now() - parse_duration('1d')",
                "(\"window__time\" >= date_trunc('hour', now() - INTERVAL '1' DAY))",
            ),
            (
                "substr(time, 1, 10) = cast(current_date AS varchar)",
                "(\"window__time\" = CAST(current_date AS VARCHAR))",
            ),
            (
                "time >= to_iso8601(now() - INTERVAL '1' HOUR)",
                "(\"window__time\" >= substr(to_iso8601(now() - INTERVAL '1' HOUR), 1, 13))",
            ),
            (
                "to_unixtime(from_iso8601_timestamp(time)) > to_unixtime(now()) - 3600",
                "(\"window__time\" >= floor((to_unixtime(now()) - 3600) / 3600))",
            ),
            (
                "year(from_iso8601_timestamp(time)) = year(current_date)",
                "(\"window__time\" = year(current_date))",
            ),
            (
                "extract(HOUR FROM from_iso8601_timestamp(time)) + 1 < hour(now())",
                "(\"window__time\" < hour(now()))",
            ),
            (
                "date_format(from_iso8601_timestamp(time), '%Y-%m-%d') = date_format(now(), '%Y-%m-%d')",
                "(\"window__time\" = date_format(now(), '%Y-%m-%d'))",
            ),
        ] {
            let view = view_of(condition)
                .await
                .unwrap_or_else(|error| panic!("{condition}: {error}"));
            assert!(view.contains(says), "{condition}: {view}");
        }
    }

    #[tokio::test]
    async fn other_conditions_on_now_are_refused_with_what_to_write() {
        for (condition, says) in [
            (
                "time > now() - interval '1' day",
                "time > now() - INTERVAL '1' DAY compares varchar with timestamp with time zone, which Athena refuses: write \
                 from_iso8601_timestamp(time) > (now() - INTERVAL '1' DAY)",
            ),
            (
                "time > current_date - interval '1' day",
                "write from_iso8601_timestamp(time) > (current_date - INTERVAL '1' DAY)",
            ),
            (
                "time BETWEEN now() - interval '90' minute AND now()",
                "write from_iso8601_timestamp(time) instead of time",
            ),
            (
                "minute(from_iso8601_timestamp(time)) = minute(now())",
                "must compare the line's own time",
            ),
            (
                "date_format(from_iso8601_timestamp(time), '%H:%i') > date_format(now(), '%H:%i')",
                "must compare the line's own time",
            ),
            (
                "date_diff('hour', from_iso8601_timestamp(time), now()) < 6",
                "must compare the line's own time",
            ),
            (
                "from_iso8601_timestamp(time) > now() - interval '1' day AND type = 'h2' OR elb = 'x'",
                "write parentheses around the OR, as in from_iso8601_timestamp(time) > now() - INTERVAL '1' DAY AND (type = 'h2' OR elb = 'x')",
            ),
        ] {
            let refused = view_of(condition).await.expect_err(condition);
            assert!(refused.contains(says), "{condition}: {refused}");
        }
    }
}
