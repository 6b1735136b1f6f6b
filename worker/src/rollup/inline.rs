//! Subqueries and CTEs that only compute columns or filter lines become part of the query around them.

use std::cell::Cell;
use std::collections::HashMap;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Ident, OrderByKind, Query, Select, SelectItem, SetExpr,
    TableFactor,
};

use super::aggregates::is_aggregate;
use super::one_row;
use super::parse::{column_of, has_window};
use super::reading::is_over_log_table;
use super::walk;

/// Takes the plain subqueries of a query into it, also where they are nested.
///
/// # Errors
///
/// If the query refers to a column that its subquery does not have.
pub(super) fn inline(query: &mut Query) -> Result<(), String> {
    loop {
        let mut is_changed = false;
        walk::change_queries(query, &mut |query| {
            is_changed |= name_nothing(query) || one_row::replace_one(query)? || take_in(query)?;
            Ok(())
        })?;
        if !is_changed {
            return Ok(());
        }
    }
}

/// Moves plain CTEs to where they are named.
fn name_nothing(query: &mut Query) -> bool {
    let Some(with) = &mut query.with else {
        return false;
    };
    let plain = with.cte_tables.iter().position(|cte| {
        !with.recursive && cte.alias.columns.is_empty() && plain_select(&cte.query).is_some()
    });
    let Some(place) = plain else {
        return false;
    };
    let cte = with.cte_tables.remove(place);
    if with.cte_tables.is_empty() {
        query.with = None;
    }
    let name = &cte.alias.name;
    let _ = walk::change_queries(query, &mut |query| {
        if let SetExpr::Select(select) = &mut *query.body {
            for from in &mut select.from {
                if let TableFactor::Table {
                    name: table, alias, ..
                } = &from.relation
                    && table.to_string().eq_ignore_ascii_case(&name.to_string())
                {
                    from.relation = TableFactor::Derived {
                        lateral: false,
                        subquery: cte.query.clone(),
                        alias: alias.clone(),
                        sample: None,
                    };
                }
            }
        }
        Ok(())
    });
    true
}

/// The SELECT of a query over a log table that has nothing but columns and a condition.
fn plain_select(query: &Query) -> Option<&Select> {
    let SetExpr::Select(select) = &*query.body else {
        return None;
    };
    let is_bare = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none();
    let has_no_keys = matches!(&select.group_by, GroupByExpr::Expressions(keys, modifiers) if keys.is_empty() && modifiers.is_empty());
    let is_plain = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            !is_aggregate(expr) && !has_window(expr)
        }
        SelectItem::Wildcard(_) => true,
        _ => false,
    };
    let is_plain = is_bare
        && has_no_keys
        && select.having.is_none()
        && select.distinct.is_none()
        && is_over_log_table(query)
        && select.projection.iter().all(is_plain);
    is_plain.then_some(select)
}

/// Takes the plain subquery in FROM into the query. Returns whether there was one.
fn take_in(query: &mut Query) -> Result<bool, String> {
    let Query { body, order_by, .. } = query;
    let SetExpr::Select(select) = &mut **body else {
        return Ok(false);
    };
    let [from] = select.from.as_slice() else {
        return Ok(false);
    };
    let TableFactor::Derived {
        lateral: false,
        subquery,
        alias,
        sample: None,
    } = &from.relation
    else {
        return Ok(false);
    };
    let has_names = alias
        .as_ref()
        .is_some_and(|alias| !alias.columns.is_empty());
    let inner = match plain_select(subquery) {
        Some(inner) if from.joins.is_empty() && !has_names => inner.clone(),
        _ => return Ok(false),
    };
    let mut columns: Vec<(String, Expr)> = Vec::new();
    let mut has_all = false;
    for item in &inner.projection {
        match item {
            SelectItem::ExprWithAlias { expr, alias } => {
                columns.push((alias.value.to_ascii_lowercase(), expr.clone()));
            }
            SelectItem::UnnamedExpr(expr) => {
                columns.extend(column_of(expr).map(|name| (name, expr.clone())));
            }
            _ => has_all = true,
        }
    }
    let mut items = Vec::with_capacity(select.projection.len());
    for item in std::mem::take(&mut select.projection) {
        match item {
            SelectItem::Wildcard(_) if !has_all => {
                items.extend(columns.iter().map(|(name, _)| named(name)))
            }
            SelectItem::UnnamedExpr(expr) => items.push(match column_of(&expr) {
                Some(name) => named(&name),
                None => SelectItem::UnnamedExpr(expr),
            }),
            item => items.push(item),
        }
    }
    select.projection = items;
    // The subquery itself is replaced afterwards.
    select.from = Vec::new();
    let columns: HashMap<String, Expr> = columns.into_iter().collect();
    // A subquery has columns of its own.
    let subqueries = Cell::new(0_usize);
    let mut enter = |expr: &mut Expr| {
        subqueries.set(subqueries.get() + usize::from(matches!(expr, Expr::Subquery(_))));
        Ok(())
    };
    let mut put_in = |expr: &mut Expr| {
        if matches!(expr, Expr::Subquery(_)) {
            subqueries.set(subqueries.get() - 1);
        }
        if subqueries.get() > 0 {
            return Ok(());
        }
        let is_column = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        let Some(name) = column_of(expr).filter(|_| is_column) else {
            return Ok(());
        };
        match columns.get(&name) {
            Some(inner @ (Expr::Identifier(_) | Expr::Function(_))) => *expr = inner.clone(),
            Some(inner) => *expr = Expr::Nested(Box::new(inner.clone())),
            None if has_all => *expr = Expr::Identifier(Ident::new(name)),
            None => return Err(format!("the subquery in FROM has no column {name}")),
        }
        Ok(())
    };
    // After its parts, so that what has been put in is not looked at again.
    walk::change_exprs(&mut **select, &mut enter, &mut put_in)?;
    if let Some(OrderByKind::Expressions(order_by)) = order_by.as_mut().map(|by| &mut by.kind) {
        let names: Vec<&Ident> = select.projection.iter().filter_map(alias_of).collect();
        let is_output = |expr: &Expr| {
            let name = column_of(expr);
            name.is_some_and(|name| {
                names
                    .iter()
                    .any(|other| other.value.eq_ignore_ascii_case(&name))
            })
        };
        for by in order_by {
            match column_of(&by.expr).filter(|_| is_output(&by.expr)) {
                // Without the name of the subquery, which is gone.
                Some(name) => by.expr = Expr::Identifier(Ident::with_quote('"', name)),
                None => walk::change_exprs(&mut by.expr, &mut enter, &mut put_in)?,
            }
        }
    }
    select.selection = match (inner.selection, select.selection.take()) {
        (Some(inner), Some(outer)) => Some(Expr::BinaryOp {
            left: Box::new(Expr::Nested(Box::new(inner))),
            op: BinaryOperator::And,
            right: Box::new(Expr::Nested(Box::new(outer))),
        }),
        (inner, outer) => inner.or(outer),
    };
    select.from = inner.from;
    Ok(true)
}

fn alias_of(item: &SelectItem) -> Option<&Ident> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias),
        _ => None,
    }
}

fn named(name: &str) -> SelectItem {
    SelectItem::ExprWithAlias {
        expr: Expr::Identifier(Ident::with_quote('"', name)),
        alias: Ident::with_quote('"', name),
    }
}
