//! Subqueries with one value over all lines, such as `count(*) * 100.0 / (SELECT count(*) FROM alb_access_logs)`. The table keeps their
//! states in its groups, and the view computes their value from all groups.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr,
    OrderByExpr, Query, Select, SelectItem, SetExpr, TableWithJoins, Value,
};

use super::aggregates::{function_name, is_aggregate, is_aggregate_name};
use super::conditions::columns;
use super::desugar::{binary, call, case, nested};
use super::reading::is_over_log_table;
use super::results::{place, placed, replace};
use super::walk;
use crate::format::DELIVERY_DAY;

/// A value over all lines.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    /// An expression over aggregates.
    pub(super) expr: Expr,
    /// The log table.
    from: Vec<TableWithJoins>,
    /// The lines that count.
    pub(super) selection: Option<Expr>,
    /// Conditions on rows of the table.
    pub(super) filters: Vec<Expr>,
}

/// Takes such subqueries out of the query, and leaves names in their places.
pub(super) fn take(query: &mut Query) -> Result<Vec<Scalar>, String> {
    let mut taken: Vec<Scalar> = Vec::new();
    walk::change_exprs(query, &mut |_| Ok(()), &mut |expr| {
        if let Expr::Subquery(inner) = expr
            && let Some(scalar) = scalar(inner)
        {
            let same =
                |other: &Scalar| other.expr == scalar.expr && other.selection == scalar.selection;
            let known = taken.iter().position(same);
            *expr = place("scalar", known.unwrap_or(taken.len()));
            if known.is_none() {
                taken.push(scalar);
            }
        }
        Ok(())
    })?;
    Ok(taken)
}

fn scalar(query: &Query) -> Option<Scalar> {
    let SetExpr::Select(select) = &*query.body else {
        return None;
    };
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] =
        select.projection.as_slice()
    else {
        return None;
    };
    let has_no_keys =
        matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let is_one = has_no_keys
        && is_aggregate(expr)
        && is_over_log_table(query)
        && query.with.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && select.having.is_none()
        && select.distinct.is_none();
    is_one.then(|| Scalar {
        expr: expr.clone(),
        from: select.from.clone(),
        selection: select.selection.clone(),
        filters: Vec::new(),
    })
}

/// Lets a query of subqueries alone, such as `SELECT (SELECT count(*) FROM alb_access_logs) AS n`, read their table.
pub(super) fn name_table(query: &mut Query, scalars: &[Scalar]) {
    if let (SetExpr::Select(select), Some(first)) = (&mut *query.body, scalars.first())
        && select.from.is_empty()
        && select.selection.is_none()
        && select.having.is_none()
    {
        select.from = first.from.clone();
        select.selection = first.selection.clone();
        // It makes one group of all lines.
        let none = Expr::value(Value::Number("0".to_owned(), false));
        select.having = Some(binary(count_of_lines(), BinaryOperator::GtEq, none));
    }
}

fn count_of_lines() -> Expr {
    let mut count = call("count", None, Vec::new());
    if let Expr::Function(Function {
        args: FunctionArguments::List(list),
        ..
    }) = &mut count
    {
        list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Wildcard)];
    }
    count
}

/// Whether the expression has a name in the place of a subquery.
pub(super) fn has_scalar(expr: &Expr) -> bool {
    walk::any(expr, &mut |expr| {
        matches!(placed(expr), Some(("scalar", _)))
    })
}

/// Lets the grouped query and the subqueries share the lines of one table, where they select different ones. Each aggregate then counts
/// the lines of its own query. Lines that only subqueries need are in groups whose keys are NULL, and the view leaves these out.
pub(super) fn share_lines(
    select: &mut Select,
    having: &mut Option<Expr>,
    order_by: &mut [OrderByExpr],
    keys: &[Expr],
    scalars: &mut [Scalar],
) -> Result<(), String> {
    let own = select.selection.clone();
    if scalars.iter().all(|scalar| scalar.selection == own) {
        return Ok(());
    }
    let mut all = own.clone();
    for scalar in scalars.iter() {
        all = match (all, &scalar.selection) {
            (Some(all), Some(more)) if all != *more => Some(binary(
                nested(all),
                BinaryOperator::Or,
                nested(more.clone()),
            )),
            (Some(all), Some(_)) => Some(all),
            _ => None,
        };
    }
    for scalar in scalars.iter_mut() {
        if let Some(selection) = &scalar.selection {
            count_only(&mut scalar.expr, selection)?;
        }
    }
    if let Some(own) = &own {
        let items = select.projection.iter_mut().map(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Ok(expr),
            other => Err(format!("{other} is not supported beside a subquery")),
        });
        let items: Vec<&mut Expr> = items.collect::<Result<_, _>>()?;
        let order_by = order_by.iter_mut().map(|by| &mut by.expr);
        for expr in items.into_iter().chain(having.as_mut()).chain(order_by) {
            count_only(expr, own)?;
            key_only(expr, keys, own)?;
        }
        if let GroupByExpr::Expressions(expressions, _) = &mut select.group_by {
            for expr in expressions {
                key_only(expr, keys, own)?;
            }
        }
        if !keys.is_empty() {
            let none = Expr::value(Value::Number("0".to_owned(), false));
            let counted = call("count_if", None, vec![own.clone()]);
            let is_there = binary(counted, BinaryOperator::Gt, none);
            *having = Some(match having.take() {
                Some(having) => binary(is_there, BinaryOperator::And, nested(having)),
                None => is_there,
            });
        }
    }
    select.selection = all;
    Ok(())
}

/// Lets aggregates count only the lines where the condition holds.
fn count_only(expr: &mut Expr, condition: &Expr) -> Result<(), String> {
    replace(expr, &mut |expr| {
        Ok(match expr {
            Expr::Function(call)
                if call.over.is_none() && is_aggregate_name(&function_name(call)) =>
            {
                Some(Expr::Function(counting(call.clone(), condition)))
            }
            _ => None,
        })
    })
}

fn counting(mut call: Function, condition: &Expr) -> Function {
    if let Some(filter) = &mut call.filter {
        **filter = only_where(condition, filter);
    }
    let FunctionArguments::List(list) = &mut call.args else {
        return call;
    };
    let mut is_restricted = false;
    for arg in &mut list.args {
        let FunctionArg::Unnamed(arg) = arg else {
            continue;
        };
        match arg {
            FunctionArgExpr::Expr(expr) if !columns(expr).is_empty() => {
                *expr = only_where(condition, expr);
                is_restricted = true;
            }
            _ => {}
        }
    }
    // `count(*)` and the like.
    if !is_restricted && let Some(FunctionArg::Unnamed(first)) = list.args.first_mut() {
        let one = Expr::value(Value::Number("1".to_owned(), false));
        let counted = match first {
            FunctionArgExpr::Expr(expr) => &*expr,
            _ => &one,
        };
        *first = FunctionArgExpr::Expr(only_where(condition, counted));
    }
    call
}

/// Makes group keys NULL where the condition does not hold. Times stay: the table is divided by them.
fn key_only(expr: &mut Expr, keys: &[Expr], condition: &Expr) -> Result<(), String> {
    let is_time = |key: &Expr| {
        let columns = columns(key);
        let times = ["time", "request_creation_time", DELIVERY_DAY];
        !columns.is_empty()
            && columns
                .iter()
                .all(|column| times.contains(&column.as_str()))
    };
    replace(expr, &mut |expr| {
        Ok((keys.contains(expr) && !is_time(expr)).then(|| only_where(condition, expr)))
    })
}

fn only_where(condition: &Expr, value: &Expr) -> Expr {
    case(condition.clone(), value.clone(), None)
}
