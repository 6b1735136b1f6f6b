//! Relations of one row: constants such as `WITH span AS (SELECT current_timestamp - INTERVAL '1' DAY AS since)`, and aggregates of all
//! lines such as `WITH total AS (SELECT count(*) AS n FROM alb_access_logs)`. Where a query joins them or selects from them, their
//! columns are replaced by the expressions.

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, OrderByKind, Query, Select, SelectItem,
    SetExpr, TableFactor, TableWithJoins, Value,
};

use super::aggregates::is_aggregate;
use super::parse::column_of;
use super::reading::is_over_log_table;
use super::walk;
use crate::format::FORMATS;

/// A column of a relation of one row.
type Columns = Vec<(String, Expr)>;

/// Replaces the columns of one such relation. Returns whether there was one.
pub(super) fn replace_one(query: &mut Query) -> Result<bool, String> {
    Ok(replace_cte(query)? || replace_joined(query)?)
}

fn replace_cte(query: &mut Query) -> Result<bool, String> {
    let Some(with) = &mut query.with else {
        return Ok(false);
    };
    let mut ctes = with.cte_tables.iter().enumerate();
    let found = ctes.find_map(|(place, cte)| {
        let columns = one_row(&cte.query).filter(|_| cte.alias.columns.is_empty())?;
        Some((place, cte.alias.name.value.clone(), columns))
    });
    let Some((place, name, columns)) = found else {
        return Ok(false);
    };
    let mut rest = query.clone();
    if let Some(with) = &mut rest.with {
        with.cte_tables.remove(place);
        if with.cte_tables.is_empty() {
            rest.with = None;
        }
    }
    let mut names = vec![name.clone()];
    walk::change_queries(&mut rest, &mut |query| {
        if let SetExpr::Select(select) = &mut *query.body {
            let is_it = |relation: &TableFactor| {
                matches!(relation, TableFactor::Table { name: other, .. }
                if other.to_string().eq_ignore_ascii_case(&name))
            };
            leave(select, &is_it, &mut names);
        }
        Ok(())
    })?;
    put_in(&mut rest, &names, &columns)?;
    // `(SELECT since FROM span)` by itself.
    walk::change_exprs(&mut rest, &mut |_| Ok(()), &mut |expr| {
        if let Expr::Subquery(inner) = expr
            && let Some(value) = selected(inner, &name, &columns)
        {
            *expr = value;
        }
        Ok(())
    })?;
    let is_left = names_relation(&rest, &name);
    if !is_left {
        *query = rest;
    }
    Ok(!is_left)
}

/// Replaces a subquery in FROM that stands beside another relation.
fn replace_joined(query: &mut Query) -> Result<bool, String> {
    let SetExpr::Select(select) = &mut *query.body else {
        return Ok(false);
    };
    let joined = select.from.iter().flat_map(|from| {
        std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
    });
    let found = joined.cloned().find_map(|relation| match &relation {
        TableFactor::Derived {
            lateral: false,
            subquery,
            alias,
            sample: None,
        } => Some((one_row(subquery)?, alias.clone(), relation)),
        _ => None,
    });
    let Some((columns, alias, relation)) = found else {
        return Ok(false);
    };
    if !leave(select, &|other| *other == relation, &mut Vec::new()) {
        return Ok(false);
    }
    let names: Vec<String> = alias.into_iter().map(|alias| alias.name.value).collect();
    put_in(query, &names, &columns)?;
    Ok(true)
}

/// The columns of a query that returns one row.
fn one_row(query: &Query) -> Option<Columns> {
    let SetExpr::Select(select) = &*query.body else {
        return None;
    };
    let has_no_keys =
        matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let is_bare = query.with.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && select.having.is_none()
        && select.distinct.is_none()
        && has_no_keys;
    let is_constant = select.from.is_empty() && select.selection.is_none();
    if !is_bare || !(is_constant || is_over_log_table(query)) {
        return None;
    }
    let mut columns = Vec::with_capacity(select.projection.len());
    for item in &select.projection {
        let SelectItem::ExprWithAlias { expr, alias } = item else {
            return None;
        };
        let value = match is_constant {
            true => Expr::Nested(Box::new(expr.clone())),
            false if !is_aggregate(expr) => return None,
            false => {
                let mut of_item = query.clone();
                if let SetExpr::Select(select) = &mut *of_item.body {
                    select.projection = vec![item.clone()];
                }
                Expr::Subquery(Box::new(of_item))
            }
        };
        columns.push((alias.value.to_ascii_lowercase(), value));
    }
    Some(columns)
}

/// Removes relations from FROM where others are left. Adds the aliases of those that were removed, and returns whether one was.
fn leave(
    select: &mut Select,
    is_it: &dyn Fn(&TableFactor) -> bool,
    aliases: &mut Vec<String>,
) -> bool {
    let mut any = false;
    let mut removed = |relation: &TableFactor| {
        let is_it = is_it(relation);
        any |= is_it;
        if let (
            true,
            TableFactor::Table {
                alias: Some(alias), ..
            },
        ) = (is_it, relation)
        {
            aliases.push(alias.name.value.clone());
        }
        is_it
    };
    for from in &mut select.from {
        from.joins.retain(|join| {
            let is_cross = match &join.join_operator {
                JoinOperator::CrossJoin(_) => true,
                JoinOperator::Join(on) | JoinOperator::Inner(on) => is_true(on),
                _ => false,
            };
            !(is_cross && removed(&join.relation))
        });
    }
    let is_alone = select.from.len() == 1;
    let others = select
        .from
        .iter()
        .filter(|from| !is_it(&from.relation))
        .count();
    if !is_alone && others > 0 {
        select
            .from
            .retain(|from| !(from.joins.is_empty() && removed(&from.relation)));
    }
    // The relation may stand first, with the others joined to it.
    if let [TableWithJoins { relation, joins }] = select.from.as_mut_slice()
        && !joins.is_empty()
        && is_it(relation)
        && matches!(joins[0].join_operator, JoinOperator::CrossJoin(_))
        && removed(relation)
    {
        *relation = joins.remove(0).relation;
    }
    any
}

fn is_true(constraint: &JoinConstraint) -> bool {
    matches!(constraint, JoinConstraint::On(Expr::Value(value)) if value.value == Value::Boolean(true))
}

/// Replaces the columns, which may be qualified by one of `names`. Group keys that were such columns are left out: they have one value.
fn put_in(query: &mut Query, names: &[String], columns: &Columns) -> Result<(), String> {
    let value = |expr: &Expr| {
        let (qualifier, name) = match expr {
            Expr::Identifier(name) => (None, &name.value),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [qualifier, name] => (Some(&qualifier.value), &name.value),
                _ => return None,
            },
            _ => return None,
        };
        let is_meant = match qualifier {
            Some(qualifier) => names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(qualifier)),
            None => !is_log_column(name),
        };
        let (_, value) = columns
            .iter()
            .find(|(column, _)| is_meant && column.eq_ignore_ascii_case(name))?;
        Some(value.clone())
    };
    walk::change_queries(query, &mut |query| {
        let Query { body, order_by, .. } = query;
        let SetExpr::Select(select) = &mut **body else {
            return Ok(());
        };
        if let Some(OrderByKind::Expressions(order_by)) = order_by.as_mut().map(|by| &mut by.kind) {
            order_by
                .iter_mut()
                .for_each(|by| by_position(&mut by.expr, select));
        }
        if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
            keys.retain(|key| value(key).is_none());
        }
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && value(expr).is_some()
                && let Some(name) = column_of(expr)
            {
                *item = SelectItem::ExprWithAlias {
                    expr: expr.clone(),
                    alias: Ident::with_quote('"', name),
                };
            }
        }
        Ok(())
    })?;
    walk::change_exprs(query, &mut |_| Ok(()), &mut |expr| {
        if let Some(value) = value(expr) {
            *expr = value;
        }
        Ok(())
    })
}

/// Names an output column by its number. Its name hides those of other columns in ORDER BY.
fn by_position(expr: &mut Expr, select: &Select) {
    let Expr::Identifier(name) = expr else {
        return;
    };
    let position = select.projection.iter().position(|item| {
        matches!(item, SelectItem::ExprWithAlias { alias, .. } if alias.value.eq_ignore_ascii_case(&name.value))
    });
    if let Some(position) = position {
        *expr = Expr::value(Value::Number((position + 1).to_string(), false));
    }
}

fn is_log_column(name: &str) -> bool {
    let columns = FORMATS.iter().flat_map(|format| format.columns);
    columns
        .into_iter()
        .any(|column| column.name.eq_ignore_ascii_case(name))
}

/// The value of `SELECT column FROM name`.
fn selected(query: &Query, name: &str, columns: &Columns) -> Option<Expr> {
    let SetExpr::Select(select) = &*query.body else {
        return None;
    };
    let ([from], [SelectItem::UnnamedExpr(expr)]) =
        (select.from.as_slice(), select.projection.as_slice())
    else {
        return None;
    };
    let is_it = from.joins.is_empty()
        && select.selection.is_none()
        && matches!(&from.relation, TableFactor::Table { name: other, .. } if other.to_string().eq_ignore_ascii_case(name));
    if !is_it {
        return None;
    }
    // The column may have been replaced already.
    match column_of(expr) {
        Some(column) => {
            let found = columns.iter().find(|(name, _)| *name == column);
            found.map(|(_, value)| value.clone())
        }
        None => Some(expr.clone()),
    }
}

fn names_relation(query: &Query, name: &str) -> bool {
    let mut found = false;
    // Only looks.
    let _ = walk::change_queries(&mut query.clone(), &mut |query| {
        if let SetExpr::Select(select) = &*query.body {
            let relations = select.from.iter().flat_map(|from| {
                std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation))
            });
            found |= relations.into_iter().any(|relation| {
                matches!(relation, TableFactor::Table { name: other, .. } if other.to_string().eq_ignore_ascii_case(name))
            });
        }
        Ok(())
    });
    found
}
