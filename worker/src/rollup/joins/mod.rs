//! Joins of log lines with lookups and with `UNNEST` of their own values. The columns by which a lookup is joined are unique in it, so
//! such a join is a function of the line: it neither multiplies lines nor needs any other line. `JOIN` and `LEFT JOIN` are therefore
//! rewritten to calls of functions, before the rest of the rollup is taken apart. `UNNEST` multiplies lines, but needs no other line either.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, Ident, Join, JoinConstraint, JoinOperator, ObjectNamePart,
    OrderByKind, Query, Select, SelectItem, SetExpr, Statement, TableFactor, TableWithJoins,
};

use super::allow;
use super::desugar::{binary, nested};
use super::lookup_calls;
use super::lookups::{Lookup, Lookups};
use super::syntax::statements;
use super::walk;
use crate::engine::functions::lookup::PREFIX;
use crate::format::LogFormat;

mod scope;
mod unnest;

use scope::{Kind, Relation, Scope};
pub(super) use unnest::put_rows_first;
use unnest::{Unnest, is_unnest};

/// The lookups that a rollup joins, and the functions in their place.
#[derive(Debug, Default)]
pub(super) struct Joined {
    pub(super) lookups: Vec<Arc<Lookup>>,
    pub(super) functions: Vec<Arc<ScalarUDF>>,
    /// The names of each `UNNEST`.
    unnests: Vec<String>,
}

impl Joined {
    pub(super) fn add(&mut self, lookup: &Arc<Lookup>, function: ScalarUDF) {
        let mut lookups = self.lookups.iter();
        if lookups.all(|other| !Arc::ptr_eq(other, lookup)) {
            self.lookups.push(Arc::clone(lookup));
        }
        let mut functions = self.functions.iter();
        if functions.all(|other| other.name() != function.name()) {
            self.functions.push(Arc::new(function));
        }
    }
}

/// The tables that a SQL text names, other than log tables, and the files of calls. There is a lookup for some of them.
pub(super) fn names(sql: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    // `parse` refuses statements that are not queries.
    for statement in statements(sql).unwrap_or_default() {
        if let Statement::Query(mut query) = statement {
            names.extend(lookup_calls::names(&query));
            let _ = walk::change_queries(&mut query, &mut |query| {
                if let SetExpr::Select(select) = &*query.body {
                    let relations = select.from.iter().flat_map(|from| {
                        let joined = from.joins.iter().map(|join| &join.relation);
                        std::iter::once(&from.relation).chain(joined)
                    });
                    names.extend(relations.filter_map(table_name));
                }
                Ok(())
            });
        }
    }
    names.retain(|name| LogFormat::of_table(name).is_none());
    names
}

/// The last part of a table's name, in lower case.
pub(super) fn table_name(relation: &TableFactor) -> Option<String> {
    match relation {
        TableFactor::Table { name, .. } => match name.0.last() {
            Some(ObjectNamePart::Identifier(name)) => Some(name.value.to_lowercase()),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a call is in the place of a join.
pub(super) fn is_join(function: &Function) -> bool {
    is_unnest(function)
        || matches!(function.name.0.as_slice(), [ObjectNamePart::Identifier(Ident { value, quote_style: Some('"'), .. })]
        if value.starts_with(PREFIX))
}

/// Whether a query has such calls.
pub(super) fn has_join(query: &Query) -> bool {
    walk::any(
        query,
        &mut |expr| matches!(expr, Expr::Function(function) if is_join(function)),
    )
}

/// Rewrites the joins with lookups and with `UNNEST` in a query and in its subqueries.
///
/// # Errors
///
/// If a lookup can't be used, or a join is of another kind. The error says what to write.
pub(super) fn take(query: &mut Query, lookups: &Lookups) -> Result<Joined, String> {
    if has_join(query) {
        return Err(
            "a function with a quoted name is not supported: write JOIN and the name of a lookup, or CROSS JOIN UNNEST".to_owned()
        );
    }
    let mut joined = Joined::default();
    walk::change_queries(query, &mut |query| {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = cte.alias.name.value.to_lowercase();
            if lookups.has(&name) {
                return Err(format!(
                    "WITH {name}: there is a lookup of this name; rename one of them"
                ));
            }
        }
        take_from(query, lookups, &mut joined)
    })?;
    lookup_calls::take(query, lookups, &mut joined)?;
    Ok(joined)
}

/// Rewrites `UNNEST` in a query of tables or log lines.
///
/// # Errors
///
/// It has another form than Trino's.
pub(crate) fn take_unnest(query: &mut Query) -> Result<(), String> {
    let (lookups, mut joined) = (Lookups::default(), Joined::default());
    walk::change_queries(query, &mut |query| take_from(query, &lookups, &mut joined))
}

fn take_from(query: &mut Query, lookups: &Lookups, joined: &mut Joined) -> Result<(), String> {
    let Query { body, order_by, .. } = query;
    let SetExpr::Select(select) = &mut **body else {
        return Ok(());
    };
    let joins = take_joins(select, lookups)?;
    if joins.is_empty() {
        return Ok(());
    }
    let mut scope = Scope {
        relations: Vec::with_capacity(joins.len()),
        format: match select.from.as_slice() {
            [from] => table_name(&from.relation).and_then(|name| LogFormat::of_table(&name)),
            _ => None,
        },
    };
    for join in &joins {
        let relation = relation_of(join, lookups, joined)?;
        let is_it = |other: &Relation| other.alias.eq_ignore_ascii_case(&relation.alias);
        if scope.relations.iter().any(is_it) {
            return Err(format!(
                "two tables are named {alias}: write {} AS another_name",
                join.relation,
                alias = relation.alias
            ));
        }
        scope.relations.push(relation);
    }
    let mut conditions = Vec::with_capacity(joins.len());
    for (place, join) in joins.iter().enumerate() {
        conditions.extend(scope.resolve(place, join, joined)?);
    }
    for condition in conditions.into_iter().rev() {
        select.selection = Some(match select.selection.take() {
            Some(other) => binary(condition, BinaryOperator::And, nested(other)),
            None => condition,
        });
    }
    scope.put_in_select(select)?;
    if let Some(OrderByKind::Expressions(order_by)) = order_by.as_mut().map(|by| &mut by.kind) {
        let is_output = |expr: &Expr| {
            let Expr::Identifier(name) = expr else {
                return false;
            };
            select.projection.iter().any(|item| {
                matches!(item, SelectItem::ExprWithAlias { alias, .. } if alias.value.eq_ignore_ascii_case(&name.value))
            })
        };
        for by in order_by.iter_mut() {
            scope.put_in(&mut by.expr, &is_output)?;
        }
    }
    Ok(())
}

/// Takes the joins with lookups and with `UNNEST` out of FROM.
fn take_joins(select: &mut Select, lookups: &Lookups) -> Result<Vec<Join>, String> {
    let mut taken = Vec::new();
    let mut kept: Vec<TableWithJoins> = Vec::with_capacity(select.from.len());
    for mut from in std::mem::take(&mut select.from) {
        let name = table_name(&from.relation).unwrap_or_default();
        if lookups.has(&name) {
            return Err(format!(
                "FROM names the lookup {name}: begin FROM with the log table, and write JOIN {name} ON {name}.column = …"
            ));
        }
        let joins = std::mem::take(&mut from.joins);
        match kept.last_mut() {
            // `FROM t, UNNEST(…)` is a cross join.
            Some(first) if is_unnest_of(&from.relation) => {
                taken.push(Join {
                    relation: from.relation,
                    global: false,
                    join_operator: JoinOperator::CrossJoin(JoinConstraint::None),
                });
                let joins = kept_joins(joins, lookups, &mut taken)?;
                first.joins.extend(joins);
            }
            _ => {
                from.joins = kept_joins(joins, lookups, &mut taken)?;
                kept.push(from);
            }
        }
    }
    select.from = kept;
    Ok(taken)
}

/// The joins with other tables.
fn kept_joins(
    joins: Vec<Join>,
    lookups: &Lookups,
    taken: &mut Vec<Join>,
) -> Result<Vec<Join>, String> {
    let mut kept = Vec::new();
    for join in joins {
        let is_lookup = table_name(&join.relation).is_some_and(|name| lookups.has(&name));
        if is_lookup || is_unnest_of(&join.relation) {
            taken.push(join);
            continue;
        }
        if let Some(unnest) = taken.iter().find(|join| is_unnest_of(&join.relation)) {
            return Err(format!(
                "{} stands before a join with another table: write it after all of them",
                unnest.relation
            ));
        }
        kept.push(join);
    }
    Ok(kept)
}

fn is_unnest_of(relation: &TableFactor) -> bool {
    matches!(relation, TableFactor::UNNEST { .. })
}

fn relation_of(join: &Join, lookups: &Lookups, joined: &mut Joined) -> Result<Relation, String> {
    let lookup = table_name(&join.relation).and_then(|name| lookups.get(&name));
    let Some(lookup) = lookup else {
        let (alias, unnest) =
            Unnest::new(&join.relation, &join.join_operator, &mut joined.unnests)?;
        let kind = Kind::Unnest(unnest);
        return Ok(Relation { alias, kind });
    };
    let lookup = Arc::clone(lookup?);
    lookup.check_table()?;
    let alias = allow::table_in_from(&join.relation)?.value.clone();
    Ok(Relation::of_lookup(alias, lookup))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::rollup::Rollup;
    use crate::table::{Definition, LookupFile, LookupHashes};

    async fn rollup(sql: &str) -> Result<Rollup, String> {
        let countries = Bytes::from_static(b"code,region,n\nDE,Europe,1\nFR,Europe,2\n");
        let files = vec![LookupFile::new("countries.csv", countries)];
        Rollup::of_table("t", sql, files, &[]).await
    }

    #[tokio::test]
    async fn a_join_is_a_function_of_the_line() {
        for sql in [
            "SELECT region, count(*) AS n FROM alb_access_logs JOIN countries ON code = elb GROUP BY region",
            "SELECT c.region, c.n FROM w.alb_access_logs AS l LEFT JOIN w.countries AS c ON (l.elb = c.code) AND ('1' = c.n) WHERE c.code IS NULL",
            "SELECT b.region FROM alb_access_logs l JOIN countries a ON a.code = l.elb LEFT JOIN countries b ON b.n = a.n",
            "SELECT region, count(*) FROM (SELECT c.region FROM alb_access_logs l JOIN countries c ON c.code = l.elb) GROUP BY 1",
            "WITH l AS (SELECT elb FROM alb_access_logs) SELECT c.region FROM l INNER JOIN countries c ON c.code = l.elb ORDER BY c.n",
            "SELECT upper(c.region), count_if(c.n = '1') * 100 / (SELECT count(*) FROM alb_access_logs) FROM alb_access_logs l \
             LEFT JOIN countries c ON c.code = l.elb GROUP BY 1 HAVING upper(c.region) <> 'X' ORDER BY max(c.code)",
        ] {
            let made = rollup(sql)
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert_eq!(
                made.lookups().collect::<Vec<_>>(),
                [("countries.csv", Some(2))]
            );
            let definition = made.definition();
            assert_ne!(
                definition.identity,
                Definition::identity_of(sql, &LookupHashes::new(), &[])
            );
        }
    }

    #[tokio::test]
    async fn elements_of_arrays_are_rows() {
        for sql in [
            "SELECT t.x, count(*) FROM alb_access_logs l CROSS JOIN UNNEST(split(l.elb, ',')) AS t (x) GROUP BY 1",
            "SELECT x, n FROM alb_access_logs, UNNEST(split(elb, ',')) WITH ORDINALITY AS t (x, n) WHERE n > 1 AND x <> ''",
            "SELECT * FROM alb_access_logs LEFT JOIN UNNEST(split(elb, ',')) AS t (x) ON true",
            "SELECT t.*, y FROM alb_access_logs CROSS JOIN UNNEST(split(elb, ','), ARRAY[1]) AS t (x, n) CROSS JOIN UNNEST(split(x, ':')) AS u (y)",
            "SELECT p, count(*) FROM (SELECT split(elb, ',') AS parts FROM alb_access_logs WHERE elb <> '') CROSS JOIN UNNEST(parts) AS t (p) GROUP BY p",
            "SELECT p FROM (SELECT x AS p FROM alb_access_logs CROSS JOIN UNNEST(split(elb, ',')) AS t (x) WHERE x <> '') WHERE p <> 'a'",
            "WITH a AS (SELECT upper(x) AS x FROM alb_access_logs CROSS JOIN UNNEST(split(elb, ',')) AS t (x)) \
             SELECT x, y, count(*) FROM a CROSS JOIN UNNEST(split(x, ':')) AS t (y) GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 5",
            "SELECT c.region, count(*) FROM alb_access_logs CROSS JOIN UNNEST(split(elb, ',')) AS t (x) JOIN countries c ON c.code = t.x GROUP BY 1",
            "SELECT x FROM alb_access_logs l JOIN countries c ON c.code = l.elb CROSS JOIN UNNEST(split(c.region, ',')) AS t (x)",
            "SELECT date_trunc('hour', try(from_iso8601_timestamp(x))) AS h, sum(try_cast(x AS bigint)) FROM alb_access_logs \
             CROSS JOIN UNNEST(split(elb, ',')) AS t (x) WHERE day = '2026/11/20' AND cast(x AS bigint) > 1 GROUP BY 1",
        ] {
            if let Err(error) = rollup(sql).await {
                panic!("{sql}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn other_joins_are_refused_with_what_to_write() {
        let join = |join: &str| format!("SELECT l.elb FROM alb_access_logs l {join}");
        for (sql, says) in [
            (join("JOIN countries c ON c.region = l.elb"), "the lines 2 and 3 have the same region"),
            (join("JOIN countries c ON c.code = l.elb_status_code"), "countries.code has the type varchar, and is compared with a value of the type integer: write try_cast(… AS varchar)"),
            (join("JOIN countries c ON c.code = l.elb OR c.n = '1'"), "several joined with AND"),
            (join("JOIN countries c ON c.code > l.elb"), "write other conditions in WHERE"),
            (join("JOIN countries c ON c.code = c.n"), "c.column = value"),
            (join("JOIN countries c ON c.code = upper(c.n)"), "c.column = value"),
            (join("JOIN countries c USING (code)"), "write JOIN countries ON c.column = …"),
            (join("RIGHT JOIN countries c ON c.code = l.elb"), "or LEFT JOIN"),
            (join("NATURAL JOIN countries"), "write JOIN countries ON countries.column"),
            (join("CROSS JOIN countries"), "write JOIN countries ON countries.column"),
            (join(", countries c"), "begin FROM with the log table"),
            (join("JOIN nothing n ON n.code = l.elb"), "nothing.csv"),
            (join("JOIN countries c ON c.code = l.elb WHERE c.x = ''"), "the columns are code, region, n"),
            (join("JOIN countries c ON c.code = l.elb JOIN countries c ON c.n = l.elb"), "two tables are named c"),
            (join("JOIN countries a ON a.code = b.n JOIN countries b ON b.code = l.elb"), "joined later"),
            ("SELECT * FROM alb_access_logs JOIN countries c ON c.code = elb".to_owned(), "name the columns"),
            ("SELECT region FROM (SELECT elb FROM alb_access_logs) l JOIN countries c ON c.code = l.elb".to_owned(), "write c.region"),
            ("SELECT g.n, c.region FROM (SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY 1) g JOIN countries c ON c.code = g.elb".to_owned(), "inside the query that groups"),
            ("WITH countries AS (SELECT 1) SELECT elb FROM alb_access_logs".to_owned(), "there is a lookup of this name"),
            (join("CROSS JOIN UNNEST(split(l.elb, ','))"), "AS t (x)"),
            (join("CROSS JOIN UNNEST(split(l.elb, ',')) AS t"), "has 1 columns"),
            (join("CROSS JOIN UNNEST(split(l.elb, ',')) AS t (x, y)"), "has 1 columns"),
            (join("JOIN UNNEST(split(l.elb, ',')) AS t (x) ON x = ''"), "ON true"),
            (join("RIGHT JOIN UNNEST(split(l.elb, ',')) AS t (x) ON true"), "LEFT JOIN UNNEST"),
            (join("CROSS JOIN UNNEST(l.elb) AS t (x)"), "UNNEST takes arrays, and this is a value of the type varchar"),
            (join("CROSS JOIN UNNEST(split(u.y, ',')) AS t (x) CROSS JOIN UNNEST(split(t.x, ',')) AS u (y)"), "u.y"),
            (join("CROSS JOIN UNNEST(split(l.elb, ',')) AS t (x) CROSS JOIN UNNEST(split(l.elb, ',')) AS t (y)"), "two tables are named t"),
            (join("CROSS JOIN UNNEST(split(l.elb, ',')) AS t (elb) WHERE elb = ''"), "write t.elb"),
            (join("CROSS JOIN UNNEST(split(l.elb, ',')) AS t (x) CROSS JOIN elb_logs e"), "after all of them"),
            ("SELECT x, n FROM (SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY 1) g CROSS JOIN UNNEST(split(g.elb, ',')) AS t (x)".to_owned(), "inside the query that groups"),
            ("SELECT x, count(*) * 1e0 / (SELECT count(*) FROM alb_access_logs) FROM alb_access_logs CROSS JOIN UNNEST(split(elb, ',')) AS t (x) GROUP BY 1".to_owned(), "beside another query"),
            ("SELECT \"element of\"('t', 'x', split(elb, ',')) AS x FROM alb_access_logs".to_owned(), "a quoted name"),
            ("SELECT \"lookup countries(code)\"(elb) AS x FROM alb_access_logs".to_owned(), "write JOIN"),
        ] {
            let refused = rollup(&sql).await.expect_err(&sql);
            assert!(refused.contains(says), "{sql}: {refused}");
        }
    }
}
