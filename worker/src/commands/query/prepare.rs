//! Rewrites a query: replaces Trino's aggregates with those that the engine has, exposes conditions to the scan of log lines, and
//! gives output columns Athena's names.

use chrono::{DateTime, Utc};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    ObjectName, ObjectNamePart, OrderByKind, Query, Select, SelectItem, SetExpr, Statement,
    TableFactor,
};

use crate::format::{FORMATS, LogFormat};
use crate::rollup;

/// The prefix of the name of an output column without a name. The final name depends on the column's position in the result, which `*`
/// changes.
const UNNAMED: &str = "?column";

const FROM_ISO8601: &str = "from_iso8601_timestamp";

/// Prepares a statement for a session of queries. `now()` is this time.
///
/// # Errors
///
/// The engine can't compute some syntax as Trino does.
pub(super) fn prepare(mut statement: Statement, now: DateTime<Utc>) -> Result<Statement, String> {
    if let Statement::Query(query) = &mut statement {
        rollup::take_unnest(query)?;
        name_outputs(query);
        rollup::set_now(query, now)?;
        rollup::change_queries(query, &mut |query| {
            each_select(&mut query.body, &mut show_conditions);
            Ok(())
        })?;
    }
    rollup::spell_aggregates(&mut statement)?;
    rollup::over_rows(&mut statement)?;
    Ok(statement)
}

/// The name of an output column at this position of the result. Athena numbers columns without a name.
pub(super) fn output_name(name: &str, place: usize) -> String {
    match name.starts_with(UNNAMED) {
        true => format!("_col{place}"),
        false => name.to_owned(),
    }
}

/// Gives output columns without a name one that [`output_name`] replaces.
fn name_outputs(query: &mut Query) {
    let mut named = Vec::new();
    each_select(&mut query.body, &mut |select| {
        for (number, item) in select.projection.iter_mut().enumerate() {
            let SelectItem::UnnamedExpr(expr) = item else {
                continue;
            };
            if is_column(expr) {
                continue;
            }
            let alias = Ident::with_quote('"', format!("{UNNAMED}{number}"));
            named.push((expr.clone(), alias.clone()));
            *item = SelectItem::ExprWithAlias {
                expr: expr.clone(),
                alias,
            };
        }
    });
    // With DISTINCT, the engine sorts only by output columns, and knows them by their names.
    let order_by = query.order_by.as_mut().map(|order_by| &mut order_by.kind);
    if let Some(OrderByKind::Expressions(order_by)) = order_by {
        for by in order_by {
            if let Some((_, alias)) = named.iter().find(|(expr, _)| *expr == by.expr) {
                by.expr = Expr::Identifier(alias.clone());
            }
        }
    }
}

/// Calls this for each SELECT of a query, except those of its subqueries.
fn each_select(body: &mut SetExpr, each: &mut dyn FnMut(&mut Select)) {
    match body {
        SetExpr::Select(select) => each(select),
        SetExpr::SetOperation { left, right, .. } => {
            each_select(left, each);
            each_select(right, each);
        }
        SetExpr::Query(query) => {
            let Query { body, .. } = &mut **query;
            each_select(body, each);
        }
        _ => {}
    }
}

/// Repeats the conditions that can't fail next to a WHERE that has others, for a SELECT from log tables.
///
/// Conditions that may fail are evaluated in order, in one call that the scan can't look into. The repeated conditions do not change
/// the result, but the scan sees them, and uses them to decide which log files and lines it reads.
fn show_conditions(select: &mut Select) {
    let is_log_table = |factor: &TableFactor| match factor {
        TableFactor::Table {
            name, args: None, ..
        } => log_format(name).is_some(),
        _ => false,
    };
    let only_logs = select.from.iter().all(|from| {
        is_log_table(&from.relation) && from.joins.iter().all(|join| is_log_table(&join.relation))
    });
    let Some(condition) = select.selection.take_if(|_| only_logs) else {
        return;
    };
    let mut each = Vec::new();
    conjuncts(&condition, &mut each);
    let shown: Vec<Expr> = each.iter().filter_map(|each| shown(each)).collect();
    let condition = match shown.is_empty() || shown.len() == each.len() {
        // There are no such conditions, or nothing in this WHERE can fail.
        true => condition,
        false => shown
            .into_iter()
            .fold(nested(condition), |all, one| and(all, nested(one))),
    };
    select.selection = Some(condition);
}

fn log_format(name: &ObjectName) -> Option<&'static LogFormat> {
    match name.0.last() {
        Some(ObjectNamePart::Identifier(name)) => {
            LogFormat::of_table(&name.value.to_ascii_lowercase())
        }
        _ => None,
    }
}

fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

fn and(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    }
}

/// The conditions that AND joins. A chain is parsed from the left, and may be of any length.
fn conjuncts<'e>(condition: &'e Expr, each: &mut Vec<&'e Expr>) {
    let mut rest = vec![condition];
    while let Some(condition) = rest.pop() {
        match condition {
            Expr::BinaryOp {
                left,
                op: BinaryOperator::And,
                right,
            } => rest.extend([&**right, &**left]),
            Expr::Nested(inner) => rest.push(inner),
            other => each.push(other),
        }
    }
}

/// The condition in a form that can't fail; `None` unless it compares a column or the line's time with constants.
fn shown(condition: &Expr) -> Option<Expr> {
    let mut condition = condition.clone();
    let is_shown = match &mut condition {
        Expr::BinaryOp { left, op, right } => {
            let is_comparison = matches!(
                op,
                BinaryOperator::Eq
                    | BinaryOperator::NotEq
                    | BinaryOperator::Lt
                    | BinaryOperator::LtEq
                    | BinaryOperator::Gt
                    | BinaryOperator::GtEq
            );
            is_comparison
                && (is_value(left) && is_constant(right) || is_value(right) && is_constant(left))
        }
        Expr::Between {
            expr, low, high, ..
        } => is_value(expr) && is_constant(low) && is_constant(high),
        Expr::InList { expr, list, .. } => is_value(expr) && list.iter_mut().all(is_constant),
        Expr::Like { expr, pattern, .. } => is_value(expr) && is_constant(pattern),
        _ => false,
    };
    is_shown.then_some(condition)
}

fn is_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

/// Whether the expression is a column, or the time of the line. The scan rejects lines whose time is not a timestamp, so
/// converting it can't fail.
fn is_value(expr: &mut Expr) -> bool {
    if is_column(expr) {
        return true;
    }
    let Some((function, time)) = from_iso8601(expr) else {
        return false;
    };
    let column = match time {
        Expr::Identifier(name) => name,
        Expr::CompoundIdentifier(names) => match names.last() {
            Some(name) => name,
            None => return false,
        },
        _ => return false,
    };
    let name = column.value.to_ascii_lowercase();
    let is_time = FORMATS.iter().any(|format| format.time_column == name);
    quote(function);
    is_time
}

/// Whether the expression has the same value for all lines.
fn is_constant(expr: &mut Expr) -> bool {
    if let Some((function, Expr::Value(_))) = from_iso8601(expr) {
        quote(function);
        return true;
    }
    match expr {
        Expr::Value(_) | Expr::TypedString(_) | Expr::Interval(_) => true,
        Expr::UnaryOp { expr, .. } => matches!(&**expr, Expr::Value(_)),
        Expr::Nested(inner) => is_constant(inner),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::Plus | BinaryOperator::Minus,
            right,
        } => {
            let is_interval =
                matches!(&**left, Expr::Interval(_)) || matches!(&**right, Expr::Interval(_));
            is_interval && is_constant(left) && is_constant(right)
        }
        _ => false,
    }
}

/// The call and its argument, if the expression is `from_iso8601_timestamp(x)`.
fn from_iso8601(expr: &mut Expr) -> Option<(&mut ObjectName, &Expr)> {
    let Expr::Function(Function { name, args, .. }) = expr else {
        return None;
    };
    let FunctionArguments::List(list) = args else {
        return None;
    };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(arg))]
            if name.to_string().eq_ignore_ascii_case(FROM_ISO8601) =>
        {
            Some((name, arg))
        }
        _ => None,
    }
}

/// Quotes the function's name, because a call with a quoted name is not treated as one that may fail.
fn quote(function: &mut ObjectName) {
    *function = vec![Ident::with_quote('"', FROM_ISO8601)].into();
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn where_of(condition: &str) -> String {
        let sql = format!("SELECT elb FROM logs.alb_access_logs AS a WHERE {condition}");
        let mut statements = Parser::parse_sql(&GenericDialect {}, &sql).unwrap();
        let Statement::Query(query) = &mut statements[0] else {
            panic!("{sql}");
        };
        each_select(&mut query.body, &mut show_conditions);
        let sql = query.to_string();
        sql.split_once(" WHERE ").unwrap().1.to_owned()
    }

    #[test]
    fn conditions_beside_others_are_shown_to_the_scan() {
        for whole in [
            "elb = 'x' AND day = '2026/11/20'",
            "length(elb) = 1",
            "day = elb",
            "elb = 'x' OR length(elb) = 1",
        ] {
            assert_eq!(where_of(whole), whole);
        }
        assert_eq!(
            where_of("length(elb) / 2 = 1 AND (a.day = '2026/11/20' AND elb LIKE 'x%')"),
            "(length(elb) / 2 = 1 AND (a.day = '2026/11/20' AND elb LIKE 'x%')) AND (a.day = '2026/11/20') AND (elb LIKE 'x%')"
        );
        assert_eq!(
            where_of(
                "length(elb) = 1 AND from_iso8601_timestamp(a.time) > TIMESTAMP '2026-11-20 10:00:00 UTC' - INTERVAL '1' HOUR"
            ),
            "(length(elb) = 1 AND from_iso8601_timestamp(a.time) > TIMESTAMP '2026-11-20 10:00:00 UTC' - INTERVAL '1' HOUR) \
             AND (\"from_iso8601_timestamp\"(a.time) > TIMESTAMP '2026-11-20 10:00:00 UTC' - INTERVAL '1' HOUR)"
        );
    }
}
