//! Takes a rollup's SQL apart: the log format that it reads, its output columns, and how each of them merges. SQL that
//! can't merge is refused here, before any engine sees it, in words for someone who writes their first rollup.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, ObjectNamePart, Select, SelectItem, SetExpr, Statement, TableFactor,
    TableWithJoins, Value, VisitMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::aggregates::{is_aggregate, merge_rule};
use super::allow::{self, ONE_GROUPING};
use super::desugar::Desugar;
use crate::format::{FORMATS, LogFormat, ScanColumn};
use crate::table::MergeRule;

/// A parsed rollup.
#[derive(Debug)]
pub(super) struct ParsedRollup {
    pub(super) format: &'static LogFormat,
    /// The rewritten query.
    pub(super) statement: Statement,
    /// Each output column's name and merge rule. The rule is `None` in a rollup that keeps every row.
    pub(super) columns: Vec<(String, Option<MergeRule>)>,
    /// Values that the rewritten query takes from the scan, in addition to the table's columns.
    pub(super) computed: Vec<ScanColumn>,
}

/// Parses a rollup's SQL. The error explains the problem and what to do about it.
pub(super) fn parse(sql: &str) -> Result<ParsedRollup, String> {
    allow::check_comments(sql)?;
    let mut statements =
        Parser::parse_sql(&GenericDialect {}, sql).map_err(|error| error.to_string())?;
    let mut statement = match statements.len() {
        1 => statements.remove(0),
        0 => return Err("the rollup has no SQL: write one SELECT statement".to_owned()),
        n => {
            return Err(format!(
                "the rollup has {n} statements: write one SELECT statement, and one file for each rollup"
            ));
        }
    };
    let Statement::Query(query) = &mut statement else {
        return Err("the statement is not a query: write one SELECT statement".to_owned());
    };
    let select = allow::check_query(query)?;
    let format = format_of(select)?;
    let table = table_of(select)?.clone();
    expand_wildcard(select, format)?;

    let columns = output_columns(select, format)?;
    allow::check_expressions(select, &table, format)?;
    let mut desugar = Desugar::new(format);
    if let ControlFlow::Break(message) = select.visit(&mut desugar) {
        return Err(message);
    }
    let computed = desugar.by_scan.computed;
    Ok(ParsedRollup {
        format,
        statement,
        columns,
        computed,
    })
}

/// The name of each output column, and its merge rule if the rollup has aggregates.
fn output_columns(
    select: &Select,
    format: &LogFormat,
) -> Result<Vec<(String, Option<MergeRule>)>, String> {
    let mut columns = Vec::new();
    let keys = group_keys(select, format)?;
    let aggregates = !keys.is_empty()
        || select
            .projection
            .iter()
            .any(|item| is_aggregate(expr_of(item)));
    for (position, item) in select.projection.iter().enumerate() {
        let name = column_name(position, item)?;
        if columns.iter().any(|(other, _)| *other == name) {
            return Err(format!(
                "two output columns are named '{name}': rename one of them"
            ));
        }
        let rule = match aggregates {
            true if keys.contains(&position) => Some(MergeRule::GroupKey),
            true => Some(merge_rule(&name, expr_of(item))?),
            false => None,
        };
        columns.push((name, rule));
    }
    Ok(columns)
}

/// The SELECT of a parsed statement.
pub(super) fn select_of(statement: &mut Statement) -> Option<&mut Select> {
    let Statement::Query(query) = statement else {
        return None;
    };
    match &mut *query.body {
        SetExpr::Select(select) => Some(select),
        _ => None,
    }
}

fn format_of(select: &Select) -> Result<&'static LogFormat, String> {
    let tables = FORMATS.map(|format| format.table).join(", ");
    let [TableWithJoins { relation, joins }] = select.from.as_slice() else {
        return Err(format!(
            "FROM must name exactly one log table: one of {tables}"
        ));
    };
    if !joins.is_empty() {
        return Err(
            "JOIN cannot be merged: a rollup is computed for one log file at a time. \
             Write the rollup over the log table alone, and join when you query the table"
                .to_owned(),
        );
    }
    let TableFactor::Table { name, .. } = relation else {
        return Err(format!(
            "FROM must name a log table itself, and not a subquery or a function: one of {tables}"
        ));
    };
    let table = match name.0.as_slice() {
        [.., ObjectNamePart::Identifier(table)] => table.value.to_ascii_lowercase(),
        _ => name.to_string(),
    };
    LogFormat::of_table(&table)
        .ok_or_else(|| format!("there is no log table '{table}': FROM must name one of {tables}"))
}

/// The name by which the SELECT refers to its table.
fn table_of(select: &Select) -> Result<&Ident, String> {
    match select.from.as_slice() {
        [from] => allow::table_in_from(&from.relation),
        _ => Err("FROM must name exactly one log table".to_owned()),
    }
}

/// Replaces `*` with all columns of the log table.
fn expand_wildcard(select: &mut Select, format: &LogFormat) -> Result<(), String> {
    let mut items = Vec::with_capacity(select.projection.len());
    for item in select.projection.drain(..) {
        match item {
            SelectItem::Wildcard(options) => {
                allow::check_wildcard(&options)?;
                items.extend(format.columns.iter().map(|column| {
                    SelectItem::UnnamedExpr(Expr::Identifier(Ident::new(column.name)))
                }))
            }
            SelectItem::QualifiedWildcard(..) | SelectItem::ExprWithAliases { .. } => {
                return Err(format!("'{item}' is not supported: name the columns"));
            }
            item => items.push(item),
        }
    }
    select.projection = items;
    Ok(())
}

pub(super) fn expr_of(item: &SelectItem) -> &Expr {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr,
        _ => unreachable!("wildcards have been expanded, and other items refused"),
    }
}

/// The name of an output column. Trino folds it to lower case.
fn column_name(position: usize, item: &SelectItem) -> Result<String, String> {
    let name = match item {
        SelectItem::ExprWithAlias { alias, .. } => {
            allow::check_name(alias)?;
            alias.value.to_ascii_lowercase()
        }
        _ => column_of(expr_of(item)).ok_or_else(|| {
            format!(
                "output column {} ({}) has no name: write {} AS some_name",
                position + 1,
                expr_of(item),
                expr_of(item)
            )
        })?,
    };
    let plain = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !plain {
        return Err(format!(
            "the name of the output column '{name}' is not supported by every engine: begin with a letter, and use only \
             letters, digits and _"
        ));
    }
    Ok(name)
}

/// The column's name, if the expression is just a column.
pub(super) fn column_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(name.value.to_ascii_lowercase()),
        Expr::CompoundIdentifier(names) => names.last().map(|name| name.value.to_ascii_lowercase()),
        Expr::Nested(inner) => column_of(inner),
        _ => None,
    }
}

/// The positions of the output columns that are group keys.
fn group_keys(select: &Select, format: &LogFormat) -> Result<Vec<usize>, String> {
    let GroupByExpr::Expressions(expressions, modifiers) = &select.group_by else {
        return Err(
            "GROUP BY ALL is not Athena SQL: name the group keys, as in GROUP BY 1, 2".to_owned(),
        );
    };
    if !modifiers.is_empty() {
        return Err(ONE_GROUPING.to_owned());
    }
    let mut keys = Vec::new();
    for expression in expressions {
        keys.push(group_key(select, expression, format)?);
    }
    Ok(keys)
}

fn group_key(select: &Select, expression: &Expr, format: &LogFormat) -> Result<usize, String> {
    let items = &select.projection;
    if let Expr::Value(value) = expression
        && let Value::Number(number, _) = &value.value
    {
        let position = number
            .parse::<usize>()
            .ok()
            .filter(|n| (1..=items.len()).contains(n));
        return position.map(|position| position - 1).ok_or_else(|| {
            format!(
                "GROUP BY {number} does not refer to an output column: the number of output columns is {}",
                items.len()
            )
        });
    }
    if matches!(
        expression,
        Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_)
    ) {
        return Err(ONE_GROUPING.to_owned());
    }
    let same = |item: &SelectItem| {
        let other = expr_of(item);
        other == expression
            || (column_of(other).is_some() && column_of(other) == column_of(expression))
    };
    if let Some(position) = items.iter().position(same) {
        return Ok(position);
    }
    Err(not_in_select(items, expression, format))
}

/// Why an expression that is no output column can't be a group key.
fn not_in_select(items: &[SelectItem], expression: &Expr, format: &LogFormat) -> String {
    let column = column_of(expression).filter(|name| format.columns.iter().all(|c| c.name != name));
    if let Some(name) = column {
        let aliased = items.iter().position(|item| {
            matches!(item, SelectItem::ExprWithAlias { alias, .. } if alias.value.eq_ignore_ascii_case(&name))
        });
        if let Some(position) = aliased {
            return format!(
                "GROUP BY {name}: Athena does not accept the alias of an output column there. Write GROUP BY {}",
                position + 1
            );
        }
    }
    format!(
        "GROUP BY {expression} is not an output column, and rows can only be merged by group keys that the table has: \
         add it to SELECT"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(sql: &str) -> String {
        parse(sql).expect_err(sql)
    }

    #[test]
    fn a_rollup_without_groups_keeps_rows() {
        let columns = |sql| parse(sql).unwrap().columns;
        assert_eq!(
            columns("SELECT time, client_ip FROM alb_access_logs WHERE elb_status_code >= 500"),
            [("time".to_owned(), None), ("client_ip".to_owned(), None)]
        );
        assert_eq!(columns("SELECT * FROM elb_logs").len(), 19);
    }

    #[test]
    fn whole_queries_that_cannot_merge_are_refused() {
        assert!(
            refusal("SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY 1 LIMIT 5")
                .contains("LIMIT")
        );
        assert!(
            refusal("SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY 1 ORDER BY 2")
                .contains("ORDER BY")
        );
        assert!(
            refusal(
                "SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY 1 HAVING count(*) > 1"
            )
            .contains("HAVING")
        );
        assert!(refusal("SELECT DISTINCT elb FROM alb_access_logs").contains("DISTINCT"));
        assert!(
            refusal("SELECT count(*) AS n FROM alb_access_logs GROUP BY elb")
                .contains("add it to SELECT")
        );
        assert!(
            refusal("SELECT lower(elb) AS e, count(*) AS n FROM alb_access_logs GROUP BY e")
                .contains("GROUP BY 1")
        );
        assert!(
            refusal("SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY 3")
                .contains("does not refer to an output column")
        );
        assert!(refusal("SELECT elb FROM alb_access_logs JOIN elb_logs ON true").contains("JOIN"));
        assert!(refusal("SELECT elb FROM (SELECT elb FROM alb_access_logs)").contains("subquery"));
        assert!(
            refusal("SELECT elb FROM alb_access_logs WHERE elb IN (SELECT 1)").contains("subquery")
        );
        assert!(refusal("SELECT 1 AS x FROM nginx_logs").contains("alb_access_logs, elb_logs"));
        assert!(
            refusal("SELECT elb FROM alb_access_logs UNION SELECT elb FROM alb_access_logs")
                .contains("UNION")
        );
        assert!(refusal("WITH a AS (SELECT 1) SELECT elb FROM alb_access_logs").contains("WITH"));
        assert!(refusal("").contains("no SQL"));
        assert!(refusal("SELECT 1; SELECT 2").contains("2 statements"));
        assert!(refusal("DROP TABLE x").contains("not a query"));
        assert!(refusal("SELEC elb").contains("Line: 1"));
    }
}
