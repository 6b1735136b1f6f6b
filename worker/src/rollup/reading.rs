//! The part of a rollup's SQL that is done when somebody reads the table, such as ORDER BY, LIMIT and HAVING. It becomes a view over
//! the table's groups. Where no group key is a time, the view also merges the rows of all days.

use std::sync::Arc;

use arrow::datatypes::DataType;
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, OrderByOptions, Query, SelectItem, SetExpr, Statement, TableFactor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::aggregates::{function_name, is_aggregate};
use super::athena::in_athena;
use super::conditions::NOW;
use super::desugar::over_rows;
use super::outer;
use super::parse::expr_of;
use super::results::{parsed, quoted, scalar_column};
use super::scalars::Scalar;
use super::walk;
use crate::engine;
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
    /// Subqueries with one value over all lines.
    pub(super) scalars: Vec<Scalar>,
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
            outer::take(&mut outer)?;
            *query = core;
            return Ok(Some(outer));
        }
        Ok(None)
    }
}

/// Whether the query groups the lines of a log table.
pub(super) fn is_core(query: &Query) -> bool {
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
    /// The values of subqueries, each over the rows of the table that meet its conditions.
    pub(super) scalars: Vec<(Expr, Vec<Expr>)>,
    /// The conditions on rows of the table.
    pub(super) filters: Vec<Expr>,
    /// The condition on groups, of HAVING.
    pub(super) condition: Option<Expr>,
    /// The columns of the group keys, if rows of several days are merged. If not, each group is one row.
    pub(super) merged_by: Option<Vec<String>>,
    pub(super) order_by: Vec<SortedBy>,
    /// LIMIT and OFFSET.
    pub(super) limit: Option<String>,
    pub(super) outer: Option<Query>,
    /// The places of the outer query's output columns that are a `timestamp with time zone`.
    pub(super) outer_instants: Vec<usize>,
}

/// An item of a view's ORDER BY.
#[derive(Debug, Clone)]
pub(super) struct SortedBy {
    /// Computed from columns of the table, or the number of an output column.
    pub(super) expr: Expr,
    /// Its direction, and the place of NULL.
    pub(super) direction: String,
}

/// An output column of a view.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) name: String,
    /// Computed from columns of the table.
    pub(super) expr: Expr,
    /// Whether it is a `timestamp with time zone`.
    pub(super) is_instant: bool,
    /// Whether it is a group key.
    pub(super) is_key: bool,
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
    /// Whether the rows of the result have an order.
    pub(super) fn is_ordered(&self) -> bool {
        match &self.outer {
            Some(outer) => outer.order_by.is_some(),
            None => !self.order_by.is_empty(),
        }
    }

    /// Plans the view over a table of groups, as it is read at the time `now`.
    ///
    /// # Errors
    ///
    /// If the SQL is not understood.
    pub(crate) async fn plan(
        &self,
        groups: Arc<dyn TableProvider>,
        now: DateTime<Utc>,
    ) -> Result<LogicalPlan, DataFusionError> {
        let sql = self.sql(GROUPS, Reader::Logmill);
        let plan = |sql: &str| {
            let mut query = parsed_query(sql)?;
            set_now(&mut query, now)?;
            over_rows(&mut query)?;
            Ok::<_, String>(Statement::Query(Box::new(query)))
        };
        let statement = plan(&sql).map_err(DataFusionError::Plan)?;
        engine::plan_over_table(statement, GROUPS, groups).await
    }

    /// The SELECT over the table `groups`, whose name is quoted already if necessary.
    pub(crate) fn sql(&self, groups: &str, reader: Reader) -> String {
        let written = |expr: &Expr| match reader {
            Reader::Logmill => expr.clone(),
            Reader::Athena => in_athena(expr),
        };
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for Shown {
            name,
            expr,
            is_instant,
            ..
        } in &self.outputs
        {
            let (name, expr) = (quoted(name), written(expr));
            outputs.push(match (reader, is_instant) {
                (Reader::Athena, true) => format!("CAST({expr} AS timestamp) AS {name}"),
                _ if expr == name => name.to_string(),
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
        let all = |filters: &[&Expr]| {
            let filters = filters
                .iter()
                .map(|filter| format!("({})", written(filter)));
            filters.collect::<Vec<_>>().join(" AND ")
        };
        let of_all = |number: usize| {
            let name = scalar_column(number);
            let (expr, filters) = &self.scalars[number];
            let mut sql = format!("SELECT {} AS {name} FROM {groups}", written(expr));
            if !filters.is_empty() {
                let filters: Vec<&Expr> = filters.iter().collect();
                sql.push_str(&format!(" WHERE {}", all(&filters)));
            }
            sql
        };
        for number in (0..self.scalars.len()).filter(|number| self.uses_scalar(*number)) {
            let name = scalar_column(number);
            add(
                &mut sql,
                "CROSS JOIN",
                &format!("({}) AS {name}_", of_all(number)),
            );
        }
        let mut filters: Vec<&Expr> = self.filters.iter().collect();
        if self.merged_by.is_none() {
            filters.extend(&self.condition);
        }
        if !filters.is_empty() {
            add(&mut sql, "WHERE", &all(&filters));
        }
        if let Some(keys) = &self.merged_by {
            if !keys.is_empty() {
                let keys: Vec<String> = keys.iter().map(|key| quoted(key).to_string()).collect();
                add(&mut sql, "GROUP BY", &keys.join(", "));
            }
            if let Some(condition) = &self.condition {
                add(&mut sql, "HAVING", &written(condition).to_string());
            }
        }
        if !self.order_by.is_empty() {
            let order_by = self.order_by.iter();
            let order_by = order_by.map(|by| format!("{} {}", written(&by.expr), by.direction));
            add(
                &mut sql,
                "ORDER BY",
                &order_by.collect::<Vec<_>>().join(", "),
            );
        }
        if let Some(limit) = &self.limit {
            sql.push_str(&format!("\n{limit}"));
        }
        match &self.outer {
            None => sql,
            Some(outer) => {
                let outer = match reader {
                    Reader::Logmill => outer::for_engine(outer),
                    Reader::Athena => outer::without_zones(outer, &self.outer_instants),
                };
                around(&outer::with_scalars(&outer, &of_all), &sql)
            }
        }
    }

    /// Whether the query over the groups uses this value of all lines.
    fn uses_scalar(&self, number: usize) -> bool {
        let outputs = self.outputs.iter().map(|shown| &shown.expr);
        let order_by = self.order_by.iter().map(|by| &by.expr);
        let mut exprs = outputs.chain(&self.condition).chain(order_by);
        let name = scalar_column(number);
        exprs.any(|expr| {
            walk::any(
                expr,
                &mut |expr| matches!(expr, Expr::Identifier(column) if column.value == name),
            )
        })
    }

    /// Notes which output columns of the outer query are times with a zone. `schema` is that of its result.
    pub(super) fn note_instants(&mut self, schema: &DFSchema) {
        if self
            .outer
            .as_ref()
            .is_some_and(|outer| !outer::has_wildcard(outer))
        {
            let fields = schema.fields().iter().enumerate();
            let instants =
                fields.filter(|(_, field)| matches!(field.data_type(), DataType::Timestamp(..)));
            self.outer_instants = instants.map(|(place, _)| place).collect();
        }
    }
}

/// The literals in the place of functions that return the current time and the current day.
const TIME_OF_NOW: &str = "TIMESTAMP '%Y-%m-%d %H:%M:%S%.3f UTC'";
const DAY_OF_NOW: &str = "DATE '%Y-%m-%d'";

/// An error's text with the functions that return the current time again, in the place of the literals of [`set_now`].
pub(crate) fn with_now(message: &str, now: DateTime<Utc>) -> String {
    let time = now.format(TIME_OF_NOW).to_string();
    let day = now.format(DAY_OF_NOW).to_string();
    message
        .replace(&time, "now()")
        .replace(&day, "current_date")
}

/// Writes the current time in the place of functions that return it.
pub(crate) fn set_now(query: &mut Query, now: DateTime<Utc>) -> Result<(), String> {
    let [time, day] = [TIME_OF_NOW, DAY_OF_NOW].map(|form| now.format(form).to_string());
    let (time, day) = (parsed(&time)?, parsed(&day)?);
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
    // As text, because Athena's form of the query has lambdas, which the parser need not understand.
    let placeholder = format!("SELECT * FROM \"{CORE}\"");
    outer.to_string().replace(&placeholder, core)
}
