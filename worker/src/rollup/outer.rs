//! The query around the one that groups log lines. It is computed when somebody reads, so it may use more than the grouped query: window
//! functions, and aggregates that don't merge.

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Query, Select, SelectItem, SetExpr, TableFactor,
};

use super::allow;
use super::joins::has_join;
use super::parse::column_of;
use super::results::placed;
use super::unmerged::spell_aggregates;
use super::walk;

/// Checks the query, and writes its names as Athena reads them: in lower case, and `_col1` for an output column without a name.
///
/// # Errors
///
/// If it has anything that Athena does not understand, or that the engine can't compute.
pub(super) fn take(outer: &mut Query) -> Result<(), String> {
    if has_join(outer) {
        return Err(
            "a lookup or UNNEST is joined with groups: join it with the log table, inside the query that groups the lines"
                .to_owned(),
        );
    }
    walk::change_queries(outer, &mut |query| {
        allow::check_around(query)?;
        lower_names(query);
        Ok(())
    })?;
    walk::change_exprs(outer, &mut lower_name, &mut |expr| allow::check_outer(expr))?;
    name_outputs(&mut outer.body);
    spell_aggregates(&mut outer.clone())
}

/// The query as the engine computes it.
pub(super) fn for_engine(outer: &Query) -> Query {
    let mut spelled = outer.clone();
    // It was checked before.
    let _ = spell_aggregates(&mut spelled);
    spelled
}

/// Puts values of all lines into the query, in the place of their names. `value` is the SQL of a value, by its number.
pub(super) fn with_scalars(outer: &Query, value: &dyn Fn(usize) -> String) -> Query {
    let mut with = outer.clone();
    let _ = walk::change_exprs(&mut with, &mut |_| Ok(()), &mut |expr| {
        if let Some(("scalar", number)) = placed(expr) {
            // As text, which the parser need not understand.
            *expr = Expr::Identifier(Ident::new(format!("({})", value(number))));
        }
        Ok(())
    });
    with
}

/// Casts output columns that are times with a zone, which views in Athena can't have.
pub(super) fn without_zones(outer: &Query, instants: &[usize]) -> Query {
    let mut cast = outer.clone();
    let SetExpr::Select(select) = &mut *cast.body else {
        return cast;
    };
    for (_, item) in select
        .projection
        .iter_mut()
        .enumerate()
        .filter(|(place, _)| instants.contains(place))
    {
        let (expr, alias) = match &*item {
            SelectItem::ExprWithAlias { expr, alias } => (expr, alias.clone()),
            SelectItem::UnnamedExpr(expr) => match column_of(expr) {
                Some(name) => (expr, Ident::with_quote('"', name)),
                None => continue,
            },
            _ => continue,
        };
        let expr = Expr::Identifier(Ident::new(format!("CAST({expr} AS timestamp)")));
        *item = SelectItem::ExprWithAlias { expr, alias };
    }
    cast
}

/// Whether each output column has an expression of its own.
pub(super) fn has_wildcard(outer: &Query) -> bool {
    match &*outer.body {
        SetExpr::Select(select) => select.projection.iter().any(is_wildcard),
        _ => true,
    }
}

fn is_wildcard(item: &SelectItem) -> bool {
    matches!(
        item,
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
    )
}

fn lower(name: &mut Ident) {
    name.value = name.value.to_lowercase();
}

/// In Athena, names have no case, even in quotes.
fn lower_name(expr: &mut Expr) -> Result<(), String> {
    match expr {
        Expr::Identifier(name) => lower(name),
        Expr::CompoundIdentifier(names) => names.iter_mut().for_each(lower),
        _ => {}
    }
    Ok(())
}

/// The same for the names that the query gives.
fn lower_names(query: &mut Query) {
    for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
        lower(&mut cte.alias.name);
        for column in &mut cte.alias.columns {
            lower(&mut column.name);
        }
    }
    let SetExpr::Select(select) = &mut *query.body else {
        return;
    };
    let Select {
        projection, from, ..
    } = &mut **select;
    for item in projection {
        if let SelectItem::ExprWithAlias { alias, .. } = item {
            lower(alias);
        }
    }
    for from in from {
        let joined = from.joins.iter_mut().map(|join| &mut join.relation);
        for relation in std::iter::once(&mut from.relation).chain(joined) {
            if let TableFactor::Table {
                alias: Some(alias), ..
            }
            | TableFactor::Derived {
                alias: Some(alias), ..
            } = relation
            {
                lower(&mut alias.name);
                for column in &mut alias.columns {
                    lower(&mut column.name);
                }
            }
        }
    }
}

/// Names output columns by their places, as Athena does: a view in Athena needs a name for each.
fn name_outputs(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            for (place, item) in select.projection.iter_mut().enumerate() {
                if let SelectItem::UnnamedExpr(expr) = item
                    && column_of(expr).is_none()
                {
                    *item = SelectItem::ExprWithAlias {
                        expr: expr.clone(),
                        alias: Ident::with_quote('"', format!("_col{place}")),
                    };
                }
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            name_outputs(left);
            name_outputs(right);
        }
        SetExpr::Query(query) => name_outputs(&mut query.body),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::rollup::{Reader, Rollup};

    const GROUPED: &str = "SELECT client_ip AS \"Client\", elb_status_code AS status, count(*) AS n, \
         date_trunc('hour', from_iso8601_timestamp(time)) AS hour FROM alb_access_logs GROUP BY 1, 2, 4";

    async fn in_athena(outputs: &str, rest: &str) -> Result<String, String> {
        let sql = format!("SELECT {outputs} FROM ({GROUPED}) AS g {rest}");
        let rollup = Rollup::from_sql("t", &sql).await?;
        Ok(rollup.view().unwrap().sql("groups", Reader::Athena))
    }

    #[tokio::test]
    async fn a_view_in_athena_has_names_and_times_without_zones() {
        for (outputs, rest, written) in [
            (
                "g.\"CLIENT\", max(n), sum(N)",
                "GROUP BY 1",
                "max(n) AS \"_col1\", sum(n) AS \"_col2\"",
            ),
            (
                "hour AT TIME ZONE 'Asia/Tokyo' AS Local, n",
                "",
                "CAST(hour AT TIME ZONE 'Asia/Tokyo' AS timestamp) AS local",
            ),
            ("\"Hour\", n", "", "CAST(\"hour\" AS timestamp) AS \"hour\""),
            (
                "approx_percentile(n, 0.9) AS p",
                "",
                "approx_percentile(n, 0.9) AS p",
            ),
            (
                "client, 100.0 * n / (SELECT count(*) FROM alb_access_logs) AS share",
                "WHERE n > (SELECT avg(sent_bytes) FROM alb_access_logs)",
                "100.0 * n / (SELECT coalesce(sum(\"n\"), 0) AS scalar__1 FROM groups) AS share",
            ),
        ] {
            let sql = in_athena(outputs, rest).await.unwrap();
            assert!(sql.contains(written), "{outputs}: {sql}");
        }
    }

    #[tokio::test]
    async fn what_athena_lacks_is_refused_around_a_grouped_query_too() {
        for (outputs, says) in [
            (
                "string_agg(client, ',')",
                "line 1, column 8: the function string_agg is not supported",
            ),
            ("median(n)", "the function median is not supported"),
            ("approx_percentile_cont(n, 0.5)", "is not supported"),
            ("bit_or(n)", "is not supported"),
            ("max(n)::varchar", "CAST(max(n) AS"),
            ("nth_value(n, 2)", "write OVER (…) after it"),
            ("client ILIKE 'a%'", "write lower(client) LIKE"),
            ("client IS TRUE", "coalesce"),
        ] {
            let refused = in_athena(outputs, "").await.unwrap_err();
            assert!(refused.contains(says), "{outputs}: {refused}");
        }
    }
}
