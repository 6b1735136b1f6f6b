//! The part of a rollup's SQL that is done when somebody reads the table, such as ORDER BY, LIMIT and HAVING. It becomes a view over
//! the table's groups. Where no group key is a time, the view also merges the rows of all days.

use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, OrderByOptions, Query, Select, SelectItem, SetExpr, Statement,
    TableFactor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use regex::Regex;

use super::aggregates::{function_name, is_aggregate};
use super::allow;
use super::conditions::NOW;
use super::desugar::over_rows;
use super::parse::expr_of;
use super::results::{parsed, quoted};
use super::walk;
use crate::engine;
use crate::engine::functions::distinct::{DISTINCT_COUNT, UNITE_HASHES};
use crate::format::LogFormat;

/// The reading part of a rollup's SQL.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The query around the one over the log table. A SELECT over [`CORE`] takes the place of the latter.
    pub(super) outer: Option<Query>,
    pub(super) distinct: bool,
    /// Conditions on days and times that depend on when somebody reads.
    pub(super) filters: Vec<Expr>,
    pub(super) having: Option<Expr>,
    pub(super) order_by: Vec<Order>,
    /// LIMIT and OFFSET as text.
    pub(super) limit: Option<String>,
}

/// A sort key and its direction.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) by: Sorted,
    pub(super) options: OrderByOptions,
}

/// An item of ORDER BY.
#[derive(Debug)]
pub(super) enum Sorted {
    /// The position of an output column of the query.
    Output(usize),
    Expr(Box<Expr>),
}

/// The name of the table of groups while a view is planned.
const GROUPS: &str = "groups";

/// Stands for the query over the log table. No table has a space in its name.
const CORE: &str = "the groups";

impl Reading {
    /// Takes the query that surrounds the grouped query over a log table, and leaves the latter.
    pub(super) fn around(query: &mut Query) -> Result<Option<Query>, String> {
        if is_over_log_table(query) || !matches!(&*query.body, SetExpr::Select(_)) {
            return Ok(None);
        }
        let mut outer = query.clone();
        let mut cores = Vec::new();
        walk::change_queries(&mut outer, &mut |query| {
            if is_core(query) {
                let placeholder = parsed_query(&format!("SELECT * FROM \"{CORE}\""))?;
                cores.push(std::mem::replace(query, placeholder));
            }
            Ok(())
        })?;
        if let (Some(core), true) = (cores.pop(), cores.is_empty()) {
            walk::change_queries(&mut outer.clone(), &mut |query| allow::check_around(query))?;
            *query = core;
            return Ok(Some(outer));
        }
        Ok(None)
    }
}

/// Whether the query groups the lines of a log table.
fn is_core(query: &Query) -> bool {
    let SetExpr::Select(select) = &*query.body else {
        return false;
    };
    let has_keys =
        !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    is_over_log_table(query)
        && (has_keys
            || select.distinct.is_some()
            || select.projection.iter().any(|item| {
                matches!(
                    item,
                    SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
                ) && is_aggregate(expr_of(item))
            }))
}

/// Whether the query is over a log table itself.
pub(super) fn is_over_log_table(query: &Query) -> bool {
    let SetExpr::Select(select) = &*query.body else {
        return false;
    };
    let [from] = select.from.as_slice() else {
        return false;
    };
    match &from.relation {
        TableFactor::Table { name, .. } => {
            let name = name
                .0
                .last()
                .map(|part| part.to_string().to_ascii_lowercase());
            name.is_some_and(|name| LogFormat::of_table(name.trim_matches('"')).is_some())
        }
        _ => false,
    }
}

fn parsed_query(sql: &str) -> Result<Query, String> {
    let parser = Parser::new(&GenericDialect {}).try_with_sql(sql);
    let parsed = parser.and_then(|mut parser| parser.parse_query());
    parsed
        .map(|query| *query)
        .map_err(|error| error.to_string())
}

/// A query over a table of groups. Its columns are those of the rollup's own result.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(super) distinct: bool,
    pub(super) outputs: Vec<Shown>,
    /// The conditions on rows of the table.
    pub(super) filters: Vec<Expr>,
    /// The condition on groups, of HAVING.
    pub(super) condition: Option<Expr>,
    /// The columns of the group keys, if rows of several days are merged. If not, each group is one row.
    pub(super) merged_by: Option<Vec<String>>,
    /// ORDER BY's items.
    pub(super) order_by: Vec<String>,
    /// LIMIT and OFFSET.
    pub(super) limit: Option<String>,
    pub(super) outer: Option<Query>,
}

/// An output column of a view.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) name: String,
    /// Computed from columns of the table.
    pub(super) expr: Expr,
    /// Whether it is a `timestamp with time zone`.
    pub(super) is_instant: bool,
}

/// Who reads a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// `logmill query`.
    Logmill,
    /// Athena, whose views can't have columns of the type `timestamp with time zone`:
    /// <https://docs.aws.amazon.com/athena/latest/ug/data-types.html>.
    Athena,
}

impl View {
    /// Plans the view over a table of groups.
    ///
    /// # Errors
    ///
    /// If the SQL is not understood.
    pub(crate) async fn plan(
        &self,
        groups: Arc<dyn TableProvider>,
    ) -> Result<LogicalPlan, DataFusionError> {
        let sql = self.sql(GROUPS, Reader::Logmill);
        let plan = |sql: &str| {
            let mut query = parsed_query(sql)?;
            set_now(&mut query, SystemTime::now().into())?;
            over_rows(&mut query)?;
            Ok::<_, String>(Statement::Query(Box::new(query)))
        };
        let statement = plan(&sql).map_err(DataFusionError::Plan)?;
        engine::plan_over_table(statement, GROUPS, groups).await
    }

    /// The SELECT over the table `groups`, whose name is quoted already if necessary.
    pub(crate) fn sql(&self, groups: &str, reader: Reader) -> String {
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for Shown {
            name,
            expr,
            is_instant,
        } in &self.outputs
        {
            let name = quoted(name);
            outputs.push(match (reader, is_instant) {
                (Reader::Athena, true) => format!("CAST({expr} AS timestamp) AS {name}"),
                _ if *expr == name => name.to_string(),
                _ => format!("{expr} AS {name}"),
            });
        }
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let mut sql = format!(
            "SELECT {distinct}{}\nFROM {groups}",
            outputs.join(",\n       ")
        );
        let add = |sql: &mut String, clause: &str, text: &str| {
            sql.push_str(&format!("\n{clause} {text}"));
        };
        let mut filters: Vec<&Expr> = self.filters.iter().collect();
        if self.merged_by.is_none() {
            filters.extend(&self.condition);
        }
        if !filters.is_empty() {
            let filters: Vec<String> = filters
                .into_iter()
                .map(|filter| format!("({filter})"))
                .collect();
            add(&mut sql, "WHERE", &filters.join(" AND "));
        }
        if let Some(keys) = &self.merged_by {
            if !keys.is_empty() {
                let keys: Vec<String> = keys.iter().map(|key| quoted(key).to_string()).collect();
                add(&mut sql, "GROUP BY", &keys.join(", "));
            }
            if let Some(condition) = &self.condition {
                add(&mut sql, "HAVING", &condition.to_string());
            }
        }
        if !self.order_by.is_empty() {
            add(&mut sql, "ORDER BY", &self.order_by.join(", "));
        }
        if let Some(limit) = &self.limit {
            sql.push_str(&format!("\n{limit}"));
        }
        let sql = match &self.outer {
            None => sql,
            Some(outer) => around(outer, &sql),
        };
        match reader {
            Reader::Logmill => sql,
            Reader::Athena => in_athena(&sql),
        }
    }
}

/// Writes distinct counts with functions that Athena has. It unites sets of hashes without a limit; where logmill has only a HyperLogLog,
/// so has it.
fn in_athena(sql: &str) -> String {
    static MERGED: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let sketch = r#"merge\(CAST\("(\w+)" AS HyperLogLog\)\)"#;
        Regex::new(&format!(
            r#""{DISTINCT_COUNT}"\("{UNITE_HASHES}"\("(\w+)"\), {sketch}\)"#
        ))
        .ok()
    });
    static OF_ROW: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let sketch = r#"CAST\("(\w+)" AS HyperLogLog\)"#;
        Regex::new(&format!(r#""{DISTINCT_COUNT}"\("(\w+)", {sketch}\)"#)).ok()
    });
    let replaced = |sql: &str, calls: &Option<Regex>, instead: &str| match calls {
        Some(calls) => calls.replace_all(sql, instead).into_owned(),
        None => sql.to_owned(),
    };
    let sql = replaced(
        sql,
        &MERGED,
        "CASE WHEN count_if(length(\"$1\") % 8 <> 0) = 0 \
         THEN coalesce(cardinality(array_distinct(flatten(array_agg(transform(sequence(1, length(\"$1\") / 8), \
         i -> substr(\"$1\", 8 * i - 7, 8))) FILTER (WHERE \"$1\" IS NOT NULL)))), 0) \
         ELSE cardinality(merge(CAST(\"$2\" AS HyperLogLog))) END",
    );
    replaced(
        &sql,
        &OF_ROW,
        "CASE WHEN \"$1\" IS NULL THEN 0 WHEN length(\"$1\") % 8 = 0 THEN length(\"$1\") / 8 \
         ELSE cardinality(CAST(\"$2\" AS HyperLogLog)) END",
    )
}

/// Writes the current time in the place of functions that return it.
pub(crate) fn set_now(query: &mut Query, now: DateTime<Utc>) -> Result<(), String> {
    let time = now.format("TIMESTAMP '%Y-%m-%d %H:%M:%S%.3f UTC'");
    let day = now.format("DATE '%Y-%m-%d'");
    let (time, day) = (parsed(&time.to_string())?, parsed(&day.to_string())?);
    walk::change_exprs(query, &mut |_| Ok(()), &mut |expr| {
        if let Expr::Function(function) = expr {
            match function_name(function).as_str() {
                "current_date" => *expr = day.clone(),
                name if NOW.contains(&name) => *expr = time.clone(),
                _ => {}
            }
        }
        Ok(())
    })
}

/// Puts the query over the groups into its place.
fn around(outer: &Query, core: &str) -> String {
    let mut outer = outer.clone();
    // Both were parsed before.
    let _ = walk::change_queries(&mut outer, &mut |query| {
        if is_placeholder(query) {
            *query = parsed_query(core)?;
        }
        Ok(())
    });
    outer.to_string()
}

fn is_placeholder(query: &Query) -> bool {
    let SetExpr::Select(select) = &*query.body else {
        return false;
    };
    let Select { from, .. } = &**select;
    matches!(from.as_slice(), [from] if matches!(
        &from.relation,
        TableFactor::Table { name, .. } if name.to_string() == Ident::with_quote('"', CORE).to_string()
    ))
}
