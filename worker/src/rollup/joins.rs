//! Joins of log lines with lookups. The columns by which they are joined are unique in a lookup, so a join is a function of the line:
//! it neither multiplies lines nor needs any other line. `JOIN` and `LEFT JOIN` are therefore rewritten to calls of functions,
//! before the rest of the rollup is taken apart.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, Ident, Join, JoinConstraint, JoinOperator, ObjectNamePart,
    OrderByKind, Query, Select, SelectItem, SetExpr, Statement, TableFactor, VisitMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::allow;
use super::desugar::{binary, call, nested};
use super::lookup_calls;
use super::lookups::{Lookup, Lookups};
use super::parse::column_of;
use super::results::without_parentheses;
use super::walk;
use crate::engine::functions::lookup::{self, Index, PREFIX};
use crate::format::{DELIVERY_DAY, LogFormat};

/// The lookups that a rollup joins, and the functions in their place.
#[derive(Debug, Default)]
pub(super) struct Joined {
    pub(super) lookups: Vec<Arc<Lookup>>,
    pub(super) functions: Vec<Arc<ScalarUDF>>,
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
    // What is no query is refused when the rollup is parsed.
    for statement in Parser::parse_sql(&GenericDialect {}, sql).unwrap_or_default() {
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
pub(super) fn is_lookup(function: &Function) -> bool {
    matches!(function.name.0.as_slice(), [ObjectNamePart::Identifier(Ident { value, quote_style: Some('"'), .. })]
        if value.starts_with(PREFIX))
}

/// Whether a query has such calls.
pub(super) fn has_lookup(query: &Query) -> bool {
    walk::any(
        query,
        &mut |expr| matches!(expr, Expr::Function(function) if is_lookup(function)),
    )
}

/// Rewrites the joins with lookups in a query and in its subqueries.
///
/// # Errors
///
/// If a lookup can't be used, or a join is of another kind. The error says what to write.
pub(super) fn take(query: &mut Query, lookups: &Lookups) -> Result<Joined, String> {
    if has_lookup(query) {
        return Err(format!(
            "a function whose name begins with '{PREFIX}' is not supported: write JOIN and the name of the lookup"
        ));
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

fn take_from(query: &mut Query, lookups: &Lookups, joined: &mut Joined) -> Result<(), String> {
    let Query { body, order_by, .. } = query;
    let SetExpr::Select(select) = &mut **body else {
        return Ok(());
    };
    let mut scope = Scope::default();
    let mut joins = Vec::new();
    for from in &mut select.from {
        let name = table_name(&from.relation).unwrap_or_default();
        if lookups.has(&name) {
            return Err(format!(
                "FROM names the lookup {name}: begin FROM with the log table, and write JOIN {name} ON {name}.column = …"
            ));
        }
        for join in std::mem::take(&mut from.joins) {
            match table_name(&join.relation).and_then(|name| lookups.get(&name)) {
                Some(lookup) => {
                    let lookup = Arc::clone(lookup?);
                    lookup.check_table()?;
                    let alias = allow::table_in_from(&join.relation)?.value.clone();
                    let is_it = |other: &Relation| other.alias.eq_ignore_ascii_case(&alias);
                    if scope.relations.iter().any(is_it) {
                        return Err(format!(
                            "two tables are named {alias}: write JOIN {} AS another_name",
                            lookup.name
                        ));
                    }
                    scope.relations.push(Relation::new(alias, lookup));
                    joins.push(join);
                }
                None => from.joins.push(join),
            }
        }
    }
    if joins.is_empty() {
        return Ok(());
    }
    scope.format = match select.from.as_slice() {
        [from] => table_name(&from.relation).and_then(|name| LogFormat::of_table(&name)),
        _ => None,
    };
    for (place, join) in joins.iter().enumerate() {
        let is_inner = scope.resolve_join(place, join)?;
        let relation = &scope.relations[place];
        let index = relation.index.as_ref().ok_or("the lookup has no index")?;
        for column in 0..relation.lookup.width() {
            // Only a column that is named needs a type that rollups know.
            if let Ok((name, values)) = relation.lookup.column(column) {
                joined.add(&relation.lookup, lookup::column(index, name, values));
            }
        }
        if is_inner {
            let found = lookup::found(index);
            let condition = call(found.name(), Some('"'), relation.keys.clone());
            joined.add(&relation.lookup, found);
            select.selection = Some(match select.selection.take() {
                Some(other) => binary(condition, BinaryOperator::And, nested(other)),
                None => condition,
            });
        }
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

/// A lookup that a SELECT joins.
struct Relation {
    /// The name by which the SELECT refers to it.
    alias: String,
    lookup: Arc<Lookup>,
    /// The index by the columns of the join, once they are known.
    index: Option<Arc<Index>>,
    /// The values that the columns are compared with.
    keys: Vec<Expr>,
}

impl Relation {
    fn new(alias: String, lookup: Arc<Lookup>) -> Self {
        Self {
            alias,
            lookup,
            index: None,
            keys: Vec::new(),
        }
    }
}

/// The relations of a SELECT.
#[derive(Default)]
struct Scope {
    relations: Vec<Relation>,
    /// The format of the log table. `None` if the SELECT reads a subquery.
    format: Option<&'static LogFormat>,
}

impl Scope {
    /// Finds the keys of a join, and makes their index. Returns whether the join leaves lines out.
    fn resolve_join(&mut self, place: usize, join: &Join) -> Result<bool, String> {
        let Relation { alias, lookup, .. } = &self.relations[place];
        let advice = format!(
            "write JOIN {} ON {alias}.column = …, or LEFT JOIN",
            lookup.name
        );
        let Join {
            relation: _,
            global,
            join_operator,
        } = join;
        let (on, is_inner) = match join_operator {
            JoinOperator::Join(JoinConstraint::On(on))
            | JoinOperator::Inner(JoinConstraint::On(on)) => (on, true),
            JoinOperator::Left(JoinConstraint::On(on))
            | JoinOperator::LeftOuter(JoinConstraint::On(on)) => (on, false),
            _ => {
                return Err(format!(
                    "{join} is not supported: {advice}",
                    join = join.to_string().trim()
                ));
            }
        };
        if *global {
            return Err(format!("GLOBAL JOIN is not Athena SQL: {advice}"));
        }
        let mut conditions = Vec::new();
        split(on, &mut conditions);
        let mut columns = Vec::with_capacity(conditions.len());
        let mut keys = Vec::with_capacity(conditions.len());
        for condition in conditions {
            let (column, key) = self.equality(place, condition)?;
            columns.push(column);
            keys.push(key);
        }
        for key in &mut keys {
            self.put_in(key, &|_| false)?;
        }
        let relation = &mut self.relations[place];
        relation.index = Some(Arc::new(relation.lookup.index(&columns)?));
        relation.keys = keys;
        Ok(is_inner)
    }

    /// The lookup's column and the value in a condition `column = value`.
    fn equality(&self, place: usize, condition: &Expr) -> Result<(usize, Expr), String> {
        let alias = &self.relations[place].alias;
        let refused = || {
            format!(
                "ON {condition}: a lookup is joined by {alias}.column = value, several joined with AND; write other conditions in \
                 WHERE"
            )
        };
        let Expr::BinaryOp {
            left,
            op: BinaryOperator::Eq,
            right,
        } = condition
        else {
            return Err(refused());
        };
        let of_lookup = |expr: &Expr| -> Result<Option<usize>, String> {
            let found = self.find(without_parentheses(expr))?;
            Ok(found
                .filter(|(relation, _)| *relation == place)
                .map(|(_, column)| column))
        };
        let (column, value) = match (of_lookup(left)?, of_lookup(right)?) {
            (Some(column), None) => (column, right),
            (None, Some(column)) => (column, left),
            _ => return Err(refused()),
        };
        let mut is_own = false;
        walk::any(&**value, &mut |expr| {
            is_own |= matches!(self.find(expr), Ok(Some((relation, _))) if relation == place);
            is_own
        });
        match is_own {
            true => Err(refused()),
            false => Ok((column, (**value).clone())),
        }
    }

    /// The relation and the column that an expression names. `None` if it names no lookup's.
    ///
    /// # Errors
    ///
    /// The lookup has no such column, or the name may mean several columns.
    fn find(&self, expr: &Expr) -> Result<Option<(usize, usize)>, String> {
        let (qualifier, name) = match expr {
            Expr::Identifier(name) => (None, &name.value),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [qualifier, name] => (Some(&qualifier.value), &name.value),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        if let Some(qualifier) = qualifier {
            let is_meant = |relation: &Relation| relation.alias.eq_ignore_ascii_case(qualifier);
            let Some(place) = self.relations.iter().position(is_meant) else {
                return Ok(None);
            };
            let lookup = &self.relations[place].lookup;
            return match lookup.place(name) {
                Some(column) => Ok(Some((place, column))),
                None => Err(format!(
                    "there is no column {name} in {}: the columns are {}",
                    lookup.file.name,
                    lookup.column_names()
                )),
            };
        }
        let relations = self.relations.iter().enumerate();
        let found =
            relations.filter_map(|(place, relation)| Some((place, relation.lookup.place(name)?)));
        let found: Vec<(usize, usize)> = found.collect();
        let Some(&(place, column)) = found.first() else {
            return Ok(None);
        };
        // The columns of a subquery are not known here.
        let is_clear = self.format.is_some_and(|format| {
            let is_it = |column: &str| column.eq_ignore_ascii_case(name);
            !is_it(DELIVERY_DAY) && !format.columns.iter().any(|column| is_it(column.name))
        });
        match is_clear && found.len() == 1 {
            true => Ok(Some((place, column))),
            false => Err(format!(
                "the column {name} may be of several tables: write {}.{name}, or the name of another table before it",
                self.relations[place].alias
            )),
        }
    }

    /// Puts calls in the place of columns of lookups, except where an expression is to be left.
    fn put_in(
        &self,
        part: &mut impl VisitMut,
        is_left: &dyn Fn(&Expr) -> bool,
    ) -> Result<(), String> {
        // A subquery has columns of its own.
        let subqueries = Cell::new(0_usize);
        let is_subquery = |expr: &Expr| {
            usize::from(matches!(
                expr,
                Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. }
            ))
        };
        let mut enter = |expr: &mut Expr| {
            subqueries.set(subqueries.get() + is_subquery(expr));
            Ok(())
        };
        let mut leave = |expr: &mut Expr| {
            subqueries.set(subqueries.get() - is_subquery(expr));
            if subqueries.get() > 0 || is_left(expr) {
                return Ok(());
            }
            if let Some((place, column)) = self.find(expr)? {
                let Relation {
                    lookup,
                    index,
                    keys,
                    alias,
                } = &self.relations[place];
                let Some(index) = index else {
                    return Err(format!("{expr}: {alias} is joined later; join it first"));
                };
                let (name, values) = lookup.column(column)?;
                let function = lookup::column(index, name, values);
                *expr = call(function.name(), Some('"'), keys.clone());
            }
            Ok(())
        };
        walk::change_exprs(part, &mut enter, &mut leave)
    }

    fn put_in_select(&self, select: &mut Select) -> Result<(), String> {
        for item in &mut select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) if self.find(expr)?.is_some() => {
                    let name = column_of(expr).unwrap_or_default();
                    *item = SelectItem::ExprWithAlias {
                        expr: expr.clone(),
                        alias: Ident::with_quote('"', name),
                    };
                }
                SelectItem::Wildcard(_) => {
                    return Err("* beside a lookup is not supported: name the columns".to_owned());
                }
                _ => {}
            }
        }
        // The relations have no columns of lookups.
        let from = std::mem::take(&mut select.from);
        self.put_in(select, &|_| false)?;
        select.from = from;
        Ok(())
    }
}

/// The conditions that are joined with AND.
fn split<'e>(condition: &'e Expr, all: &mut Vec<&'e Expr>) {
    match without_parentheses(condition) {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            split(left, all);
            split(right, all);
        }
        other => all.push(other),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::rollup::Rollup;
    use crate::table::{Definition, LookupFile, LookupHashes};

    async fn rollup(sql: &str) -> Result<Rollup, String> {
        let countries = Bytes::from_static(b"code,region,n\nDE,Europe,1\nFR,Europe,2\n");
        let files = vec![LookupFile::new("countries.csv", countries)];
        Rollup::of_table("t", sql, files).await
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
                Definition::identity_of(sql, &LookupHashes::new())
            );
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
            ("SELECT \"lookup countries(code)\"(elb) AS x FROM alb_access_logs".to_owned(), "write JOIN"),
        ] {
            let refused = rollup(&sql).await.expect_err(&sql);
            assert!(refused.contains(says), "{sql}: {refused}");
        }
    }
}
