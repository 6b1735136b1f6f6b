//! Expressions as SQL text, for error messages.

use arrow::datatypes::DataType;
use arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{Case, Cast, ScalarFunction, TryCast};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::functions::arithmetic;
use super::functions::arrays::{ARRAY_OF, CONCATENATION, SUBSCRIPT};
use super::functions::cast::{self, trino_name};
use super::functions::exact::{EXACT_DIVISION, EXACT_NUMBER};
use super::functions::in_order::{ALL_OF, ANY_OF};
use super::functions::named_cast::NAMED_CAST;
use super::functions::zoned::{AT_TIMEZONE, TIMESTAMP_LITERAL};

pub(crate) fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(
        op,
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
    )
}

fn list(exprs: &[Expr]) -> String {
    exprs.iter().map(sql).collect::<Vec<_>>().join(", ")
}

/// The expression as SQL, as a user may have written it.
pub(crate) fn sql(expr: &Expr) -> String {
    let not = |negated: bool| if negated { "NOT " } else { "" };
    match expr {
        Expr::Column(column) => column.name.clone(),
        Expr::Alias(alias) => sql(&alias.expr),
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => {
            interval_sql(*interval)
        }
        Expr::Literal(literal, _) => match literal.try_as_str() {
            Some(Some(text)) => format!("'{}'", text.replace('\'', "''")),
            _ => literal.to_string(),
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let side = |side: &Expr| match side {
                Expr::BinaryExpr(inner)
                    if inner.op.precedence() <= op.precedence()
                        || (is_comparison(inner.op) && is_comparison(*op)) =>
                {
                    format!("({})", sql(side))
                }
                side => sql(side),
            };
            format!("{} {op} {}", side(left), side(right))
        }
        Expr::Between(between) => format!(
            "{} {}BETWEEN {} AND {}",
            sql(&between.expr),
            not(between.negated),
            sql(&between.low),
            sql(&between.high)
        ),
        Expr::InList(in_list) => format!(
            "{} {}IN ({})",
            sql(&in_list.expr),
            not(in_list.negated),
            list(&in_list.list)
        ),
        Expr::Like(like) => format!(
            "{} {}LIKE {}",
            sql(&like.expr),
            not(like.negated),
            sql(&like.pattern)
        ),
        Expr::Not(inner) => format!("NOT {}", sql(inner)),
        Expr::IsNull(inner) => format!("{} IS NULL", sql(inner)),
        Expr::IsNotNull(inner) => format!("{} IS NOT NULL", sql(inner)),
        Expr::Negative(inner) => format!("-{}", sql(inner)),
        Expr::Cast(Cast { expr, field }) => match (&**expr, field.data_type()) {
            (Expr::Literal(..), DataType::Date32) => format!("DATE {}", sql(expr)),
            (_, to) => format!("cast({} AS {})", sql(expr), trino_name(to)),
        },
        Expr::TryCast(TryCast { expr, field }) => {
            format!(
                "try_cast({} AS {})",
                sql(expr),
                trino_name(field.data_type())
            )
        }
        Expr::Case(case) => case_sql(case),
        Expr::ScalarFunction(call) => call_sql(call),
        Expr::AggregateFunction(call) => {
            format!("{}({})", call.func.name(), list(&call.params.args))
        }
        other => other.human_display().to_string(),
    }
}

/// The interval with one unit, as SQL that rollups may use has it.
fn interval_sql(interval: IntervalMonthDayNano) -> String {
    const UNITS: [(i64, &str); 2] = [(3600, "HOUR"), (60, "MINUTE")];
    let IntervalMonthDayNano {
        months,
        days,
        nanoseconds,
    } = interval;
    let seconds = nanoseconds / 1_000_000_000;
    let (count, unit) = match (months, days) {
        (0, 0) => UNITS
            .into_iter()
            .find(|(length, _)| seconds % length == 0)
            .map_or((seconds, "SECOND"), |(length, unit)| {
                (seconds / length, unit)
            }),
        (0, days) => (days.into(), "DAY"),
        (months, _) if months % 12 == 0 => ((months / 12).into(), "YEAR"),
        (months, _) => (months.into(), "MONTH"),
    };
    format!("INTERVAL '{count}' {unit}")
}

fn case_sql(case: &Case) -> String {
    let operand = case
        .expr
        .as_ref()
        .map(|operand| format!(" {}", sql(operand)));
    let branches: String = case
        .when_then_expr
        .iter()
        .map(|(when, then)| format!(" WHEN {} THEN {}", sql(when), sql(then)))
        .collect();
    let otherwise = case
        .else_expr
        .as_ref()
        .map(|value| format!(" ELSE {}", sql(value)));
    format!(
        "CASE{}{branches}{} END",
        operand.unwrap_or_default(),
        otherwise.unwrap_or_default()
    )
}

/// A side of an operation, in parentheses if it is one itself.
fn operand(side: &Expr) -> String {
    match side {
        Expr::BinaryExpr(_) => format!("({})", sql(side)),
        Expr::ScalarFunction(call)
            if call.args.len() > 1 && arithmetic::operator(call).is_some() =>
        {
            format!("({})", sql(side))
        }
        side => sql(side),
    }
}

fn call_sql(call: &ScalarFunction) -> String {
    match (call.name(), call.args.as_slice()) {
        (NAMED_CAST, [cast, _]) => sql(cast),
        (TIMESTAMP_LITERAL, [text]) => format!("TIMESTAMP {}", sql(text)),
        (AT_TIMEZONE, [time, zone]) => format!("{} AT TIME ZONE {}", sql(time), sql(zone)),
        (EXACT_DIVISION, [left, right, op]) => {
            format!("{} {} {}", sql(left), sql(op).replace('\'', ""), sql(right))
        }
        (EXACT_NUMBER, [text]) => sql(text).replace('\'', ""),
        (name @ (ALL_OF | ANY_OF), args) => {
            let operator = if name == ALL_OF { " AND " } else { " OR " };
            let conditions: Vec<String> = args.iter().map(sql).collect();
            format!("({})", conditions.join(operator))
        }
        (ARRAY_OF, elements) => format!("ARRAY[{}]", list(elements)),
        (CONCATENATION, [left, right]) => format!("{} || {}", sql(left), sql(right)),
        (SUBSCRIPT, [array, index]) => format!("{}[{}]", sql(array), sql(index)),
        ("try", _) => "try(…)".to_owned(),
        (name, [value]) if let Some(to) = cast::target(call) => {
            format!("{name}({} AS {})", sql(value), trino_name(to))
        }
        (_, [value]) if arithmetic::operator(call).is_some() => format!("-{}", operand(value)),
        (_, [left, right]) if let Some(op) = arithmetic::operator(call) => {
            format!("{} {op} {}", operand(left), operand(right))
        }
        (name, args) => format!("{name}({})", list(args)),
    }
}
