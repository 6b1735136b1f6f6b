//! Takes a rollup's SQL apart: the log format that it reads, its group keys and output columns, and what is left to be done when
//! somebody reads the table. SQL that can't merge is refused here, before any engine sees it, in words for someone who writes their
//! first rollup.

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident,
    ObjectNamePart, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, Spanned,
    Statement, TableFactor, TableWithJoins, Value, VisitMut, WindowType,
};

use super::aggregates::{Part, function_name, is_aggregate, part};
use super::allow::{self, ONE_GROUPING, Scope};
use super::conditions;
use super::inline::inline;
use super::joins::{self, Joined, is_join};
use super::lookups::Lookups;
use super::reading::{Order, Reading, Sorted, is_core, is_over_log_table};
use super::results::{self, placed, replace};
use super::scalars::{self, Scalar, has_scalar};
use super::syntax::parse_sql;
use super::unmerged::WINDOW_FUNCTIONS;
use super::walk;
use crate::format::{DELIVERY_DAY, FORMATS, LogFormat, OfFile};

/// A parsed rollup.
#[derive(Debug)]
pub(super) struct ParsedRollup {
    pub(super) format: &'static LogFormat,
    /// The SELECT over the log table. Only its FROM and WHERE count.
    pub(super) query: Query,
    /// Whether rows are merged. If not, the table keeps every row.
    pub(super) merges: bool,
    /// The columns of the table that the user has named or that are needed to read it.
    pub(super) outputs: Vec<Output>,
    pub(super) reading: Reading,
    /// The conditions in WHERE, as the user has written them, of the query and its subqueries, if reading decides a part of them.
    pub(super) conditions: Vec<Expr>,
    /// The lookups that are joined with the lines.
    pub(super) joined: Joined,
}

/// An output column.
#[derive(Debug, Clone)]
pub(super) struct Output {
    /// Its name in the query's result. `None` if the query does not select it: a group key, or a value to sort rows by.
    pub(super) name: Option<String>,
    /// The column of the table that holds it.
    pub(super) column: String,
    pub(super) expr: Expr,
    pub(super) part: Part,
    /// Whether it is a group key of a condition on time, which the query does not group by.
    pub(super) is_of_condition: bool,
}

impl ParsedRollup {
    /// Whether rows of the table are merged when somebody reads them, even if one of the query's keys is a time.
    pub(super) fn has_keys_of_conditions(&self) -> bool {
        self.merges && self.outputs.iter().any(|output| output.is_of_condition)
    }

    /// The group keys, with the columns that hold them.
    pub(super) fn keys(&self) -> Vec<(Expr, String)> {
        let keys = self
            .outputs
            .iter()
            .filter(|output| output.part == Part::Key);
        keys.map(|key| (key.expr.clone(), key.column.clone()))
            .collect()
    }
}

/// Parses a rollup's SQL. The error explains the problem and what to do about it.
pub(super) fn parse(sql: &str, lookups: &Lookups) -> Result<ParsedRollup, String> {
    allow::check_comments(sql)?;
    let mut statements = parse_sql(sql)?;
    let statement = match statements.len() {
        1 => statements.remove(0),
        0 => return Err("the rollup has no SQL: write one SELECT statement".to_owned()),
        n => {
            return Err(format!(
                "the rollup has {n} statements: write one SELECT statement, and one file for each rollup"
            ));
        }
    };
    let Statement::Query(query) = statement else {
        return Err("the statement is not a query: write one SELECT statement".to_owned());
    };
    let mut query = *query;
    let joined = joins::take(&mut query, lookups)?;
    inline(&mut query)?;
    let mut scalars = scalars::take(&mut query)?;
    scalars::name_table(&mut query, &scalars);
    let outer = Reading::around(&mut query)?;
    let mut reading = Reading {
        outer,
        ..Reading::default()
    };
    let order_by = query.order_by.take();
    reading.limit = reading_limit(&mut query)?;
    let select = allow::check_query(&mut query)?;
    let format = format_of(select)?;
    let table = table_of(select)?.clone();
    expand_wildcard(select, format)?;
    let is_distinct = matches!(select.distinct, Some(Distinct::Distinct));
    select.distinct = None;

    let names = output_names(select)?;
    let mut order_by = match order_by.map(|order_by| order_by.kind) {
        None => Vec::new(),
        Some(OrderByKind::Expressions(order_by)) => order_by,
        Some(OrderByKind::All(_)) => {
            return Err("ORDER BY ALL is not Athena SQL: name the columns to sort by".to_owned());
        }
    };
    name_sorted_outputs(select, &names, &mut order_by)?;
    let mut having = select.having.take();
    let keys = group_keys(select, &names, format);
    let exprs = select
        .projection
        .iter()
        .map(|item| expr_of(item).to_string());
    let aliases: Vec<_> = names
        .iter()
        .map(|names| names.name.clone())
        .zip(exprs)
        .collect();
    let scope = Scope {
        table: &table,
        format,
        aliases: &aliases,
        lambda_parameters: Vec::new(),
    };
    let mut checked = select.clone();
    if keys.is_err() {
        checked.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
    }
    let checked = check_expressions(checked, having.as_ref(), &order_by, &scalars, scope);
    let problems = [keys.err(), checked.err()].into_iter().flatten();
    allow::in_the_way(&problems.collect::<Vec<_>>())?;
    // From here on, equal columns have equal names.
    simplify_names(select);
    having.iter_mut().for_each(simplify_names);
    order_by
        .iter_mut()
        .for_each(|by| simplify_names(&mut by.expr));

    let mut written: Vec<Expr> = select.selection.iter().cloned().collect();
    let conditions = conditions::take(&mut select.selection)?;
    let mut of_scalars = Vec::with_capacity(scalars.len());
    for scalar in &mut scalars {
        simplify_names(&mut scalar.expr);
        scalar.selection.iter_mut().for_each(simplify_names);
        written.extend(scalar.selection.clone());
        of_scalars.push(conditions::take(&mut scalar.selection)?);
    }
    check_now(select, having.as_ref(), &order_by, &scalars)?;
    let keys = group_keys(select, &names, format)?;
    scalars::share_lines(select, &mut having, &mut order_by, &keys, &mut scalars)?;
    let (merges, outputs) = outputs(select, &names, having.as_ref(), is_distinct, format)?;
    if !merges && !scalars.is_empty() {
        return Err(
            "a subquery over all lines beside the columns of each line cannot be kept: write two rollups"
                .to_owned(),
        );
    }
    let mut parsed = ParsedRollup {
        format,
        query,
        merges,
        outputs,
        reading,
        conditions: written
            .into_iter()
            .filter(conditions::depends_on_reading)
            .collect(),
        joined,
    };
    parsed.reading.distinct = is_distinct && parsed.outputs.iter().any(|o| o.part != Part::Key);
    parsed.reading.having = having;
    for condition in conditions {
        let filter = condition.over_columns(&mut parsed.outputs, parsed.merges)?;
        parsed.reading.filters.push(filter);
    }
    for (mut scalar, conditions) in scalars.into_iter().zip(of_scalars) {
        let filters = conditions.iter();
        let filters = filters.map(|filter| filter.over_columns(&mut parsed.outputs, merges));
        scalar.filters = filters.collect::<Result<_, _>>()?;
        parsed.reading.scalars.push(scalar);
    }
    for by in order_by {
        let sorted = parsed.sorted(&by.expr)?;
        parsed.reading.order_by.push(Order {
            by: sorted,
            options: by.options,
        });
    }
    Ok(parsed)
}

impl ParsedRollup {
    /// Resolves a sort key. If it is a value of each line and not selected, adds a column to the table.
    fn sorted(&mut self, expr: &Expr) -> Result<Sorted, String> {
        let selected = self
            .outputs
            .iter()
            .filter(|output| output.name.is_some())
            .position(|output| output.expr == *results::without_parentheses(expr));
        if let Some(position) = selected {
            return Ok(Sorted::Output(position));
        }
        if self.reading.distinct {
            return Err(format!(
                "ORDER BY {expr}: with SELECT DISTINCT, rows can be sorted by output columns only"
            ));
        }
        if self.merges {
            let keys: Vec<Expr> = self.keys().into_iter().map(|(key, _)| key).collect();
            check_grouped("ORDER BY", expr, &keys)?;
            return Ok(Sorted::Expr(Box::new(expr.clone())));
        }
        let number = self.outputs.iter().filter(|o| o.name.is_none()).count() + 1;
        let column = format!("order__{number}");
        self.outputs.push(Output {
            name: None,
            column: column.clone(),
            expr: expr.clone(),
            part: Part::Line,
            is_of_condition: false,
        });
        Ok(Sorted::Expr(Box::new(results::quoted(&column))))
    }
}

/// The rows to which LIMIT, OFFSET and FETCH restrict the result, as Athena writes it.
fn reading_limit(query: &mut Query) -> Result<Option<String>, String> {
    use datafusion::sql::sqlparser::ast::{Fetch, LimitClause};
    let number = |expr: &Expr| match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.parse::<u64>().ok(),
            _ => None,
        },
        _ => None,
    };
    let whole = |expr: &Expr| {
        number(expr).ok_or_else(|| format!("LIMIT {expr}: write a whole number of rows"))
    };
    let mut text = Vec::new();
    match query.limit_clause.take() {
        None => {}
        Some(LimitClause::LimitOffset {
            limit,
            offset,
            limit_by,
        }) if limit_by.is_empty() => {
            if let Some(offset) = offset {
                text.push(format!("OFFSET {}", whole(&offset.value)?));
            }
            if let Some(limit) = limit {
                text.push(format!("LIMIT {}", whole(&limit)?));
            }
        }
        Some(other) => {
            return Err(format!(
                "{other} is not Athena SQL: write LIMIT and a number of rows"
            ));
        }
    }
    match query.fetch.take() {
        None => {}
        Some(Fetch {
            with_ties: false,
            percent: false,
            quantity: Some(quantity),
        }) => text.push(format!("LIMIT {}", whole(&quantity)?)),
        Some(_) => {
            return Err(
                "FETCH is supported only as FETCH FIRST n ROWS ONLY: write LIMIT n".to_owned(),
            );
        }
    }
    Ok((!text.is_empty()).then(|| text.join(" ")))
}

/// Replaces the numbers and names of output columns in ORDER BY by the columns' expressions.
fn name_sorted_outputs(
    select: &Select,
    names: &[Names],
    order_by: &mut [OrderByExpr],
) -> Result<(), String> {
    let items = &select.projection;
    for by in order_by {
        if by.with_fill.is_some() {
            return Err("WITH FILL is not Athena SQL: leave it out".to_owned());
        }
        if let Some(position) = ordinal("ORDER BY", &by.expr, items.len())? {
            by.expr = expr_of(&items[position]).clone();
            continue;
        }
        replace(&mut by.expr, &mut |expr| {
            let Expr::Identifier(name) = expr else {
                return Ok(None);
            };
            let alias = name.value.to_ascii_lowercase();
            let output = names.iter().position(|names| names.name == alias);
            Ok(output.map(|output| match expr_of(&items[output]) {
                expr @ (Expr::Identifier(_) | Expr::Function(_)) => expr.clone(),
                expr => Expr::Nested(Box::new(expr.clone())),
            }))
        })?;
        by.expr = results::without_parentheses(&by.expr).clone();
    }
    Ok(())
}

/// Refuses functions that depend on when they are computed, where no condition on time is left to reading.
fn check_now(
    select: &Select,
    having: Option<&Expr>,
    order_by: &[OrderByExpr],
    scalars: &[Scalar],
) -> Result<(), String> {
    let outputs = select.projection.iter().map(expr_of);
    let of_scalars = scalars.iter().map(|scalar| &scalar.expr);
    let of_scalars = of_scalars.chain(scalars.iter().flat_map(|scalar| &scalar.selection));
    let exprs = outputs
        .chain(&select.selection)
        .chain(having)
        .chain(of_scalars);
    let mut exprs = exprs.chain(order_by.iter().map(|by| &by.expr));
    match exprs.find(|expr| conditions::is_relative(expr)) {
        Some(expr) => Err(format!(
            "{expr} depends on when it is computed, and a rollup is computed as log files arrive. Compare the line's own time with \
             now in WHERE, joined with other conditions by AND"
        )),
        None => Ok(()),
    }
}

/// The position of an output column, if the expression is a number.
fn ordinal(clause: &str, expr: &Expr, outputs: usize) -> Result<Option<usize>, String> {
    let Expr::Value(value) = expr else {
        return Ok(None);
    };
    let Value::Number(number, _) = &value.value else {
        return Ok(None);
    };
    let position = number.parse::<usize>().ok();
    match position.filter(|n| (1..=outputs).contains(n)) {
        Some(position) => Ok(Some(position - 1)),
        None => Err(format!(
            "{clause} {number} does not refer to an output column: the number of output columns is {outputs}"
        )),
    }
}

/// Refuses expressions that use anything that is not allowed, also in HAVING, ORDER BY and window functions.
fn check_expressions(
    mut select: Select,
    having: Option<&Expr>,
    order_by: &[OrderByExpr],
    scalars: &[Scalar],
    mut scope: Scope<'_>,
) -> Result<(), String> {
    let outputs: Vec<Expr> = select
        .projection
        .iter()
        .map(|item| expr_of(item).clone())
        .collect();
    let mut checked = Vec::new();
    for expr in outputs
        .iter()
        .chain(having)
        .chain(order_by.iter().map(|by| &by.expr))
    {
        let mut expr = expr.clone();
        take_windows(&mut expr, &mut checked)?;
        checked.push(expr);
    }
    for scalar in scalars {
        checked.push(scalar.expr.clone());
        checked.extend(scalar.selection.clone());
    }
    select.projection = checked.into_iter().map(SelectItem::UnnamedExpr).collect();
    allow::check_expressions(&select, &mut scope)
}

/// Moves the parts of window functions and the names in the places of subqueries out of an expression.
fn take_windows(expr: &mut Expr, parts: &mut Vec<Expr>) -> Result<(), String> {
    const WITH_OVER: [&str; 5] = ["avg", "count", "max", "min", "sum"];
    replace(expr, &mut |expr| {
        if placed(expr).is_some() {
            return Ok(Some(Expr::value(Value::Null)));
        }
        let Expr::Function(function) = expr else {
            return Ok(None);
        };
        let name = function_name(function);
        let Some(window) = &function.over else {
            return Ok(None);
        };
        if !WITH_OVER.contains(&name.as_str()) && !WINDOW_FUNCTIONS.contains(&name.as_str()) {
            return Err(format!(
                "{function}: the window function {name} is not supported"
            ));
        }
        let WindowType::WindowSpec(window) = window else {
            return Err(format!(
                "{function}: named windows are not supported; write OVER (…)"
            ));
        };
        let arguments = results::arguments(function).into_iter().cloned();
        parts.extend(arguments.chain(window.partition_by.iter().cloned()));
        parts.extend(window.order_by.iter().map(|by| by.expr.clone()));
        Ok(Some(Expr::value(Value::Null)))
    })
}

/// Whether the expression contains a window function.
pub(super) fn has_window(expr: &Expr) -> bool {
    walk::any(expr, &mut |expr| {
        matches!(expr, Expr::Function(Function { over: Some(_), .. }))
    })
}

/// Writes the names of columns and functions in lower case, and columns without the name of their table. Writes `count()` as
/// `count(*)`.
fn simplify_names(part: &mut impl VisitMut) {
    let mut simplify = |expr: &mut Expr| {
        match expr {
            Expr::Identifier(name) => *name = Ident::new(name.value.to_ascii_lowercase()),
            Expr::CompoundIdentifier(names) => {
                if let Some(name) = names.pop() {
                    *expr = Expr::Identifier(Ident::new(name.value.to_ascii_lowercase()));
                }
            }
            Expr::Function(function) if !is_join(function) => {
                let name = function_name(function);
                if name == "count"
                    && let FunctionArguments::List(list) = &mut function.args
                    && list.args.is_empty()
                {
                    list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Wildcard)];
                }
                function.name = vec![Ident::new(name)].into();
            }
            _ => {}
        }
        Ok(())
    };
    let _ = walk::change_exprs(part, &mut simplify, &mut |_| Ok(()));
}

/// The names of an output column.
#[derive(Debug, Clone)]
struct Names {
    /// In the query's result.
    name: String,
    /// In the table.
    column: String,
}

fn output_names(select: &Select) -> Result<Vec<Names>, String> {
    let mut all: Vec<Names> = Vec::with_capacity(select.projection.len());
    let mut repeated: Vec<String> = Vec::new();
    for (position, item) in select.projection.iter().enumerate() {
        let name = match item {
            SelectItem::ExprWithAlias { alias, .. } => {
                allow::check_name(alias)?;
                alias.value.to_lowercase()
            }
            // Athena names such columns so.
            _ => column_of(expr_of(item)).unwrap_or_else(|| format!("_col{position}")),
        };
        if all.iter().any(|other| other.name == name) && !repeated.contains(&name) {
            repeated.push(name.clone());
        }
        let column = plain_name(position, &name);
        all.push(Names { name, column });
    }
    if !repeated.is_empty() {
        return Err(format!(
            "two output columns are named '{}': rename one with AS, or leave out what * has already",
            repeated.join("', and two '")
        ));
    }
    let mut taken: Vec<String> = Vec::new();
    for names in &mut all {
        names.column = free_name(&names.column, |name| {
            taken.iter().any(|other| other == name)
        });
        taken.push(names.column.clone());
    }
    Ok(all)
}

/// A name for a column of a table, which every engine accepts: letters, digits and _.
fn plain_name(position: usize, name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.chars().all(is_plain)
    {
        return name.to_owned();
    }
    let plain: String = name
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect();
    match plain.trim_matches('_') {
        "" => format!("_col{position}"),
        plain if plain.starts_with(|first: char| first.is_ascii_digit()) => format!("c_{plain}"),
        plain => plain.to_owned(),
    }
}

/// The name, or the first of `name_2`, `name_3` and so on that is not taken.
pub(super) fn free_name(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut free = name.to_owned();
    let mut number = 2;
    while is_taken(&free) {
        free = format!("{name}_{number}");
        number += 1;
    }
    free
}

const OVER_LINES: &str =
    "is a window function over log lines: all lines would have to be there, in order";

/// The columns of the table, and whether its rows merge.
fn outputs(
    select: &Select,
    names: &[Names],
    having: Option<&Expr>,
    is_distinct: bool,
    format: &LogFormat,
) -> Result<(bool, Vec<Output>), String> {
    let keys = group_keys(select, names, format)?;
    let exprs: Vec<&Expr> = select
        .projection
        .iter()
        .map(|item| results::without_parentheses(expr_of(item)))
        .collect();
    let merges = is_distinct
        || having.is_some()
        || !keys.is_empty()
        || exprs.iter().any(|expr| is_aggregate(expr));
    let only_distinct =
        is_distinct && keys.is_empty() && !exprs.iter().any(|expr| is_aggregate(expr));
    let mut outputs: Vec<Output> = Vec::with_capacity(exprs.len());
    let mut problems = Vec::new();
    for (expr, names) in exprs.into_iter().zip(names) {
        let part = match merges {
            false if has_window(expr) => {
                return Err(format!(
                    "the output column '{}' {OVER_LINES}. Keep its columns in a rollup, and compute it when you query the table",
                    names.name
                ));
            }
            false => Part::Line,
            true if only_distinct || keys.contains(expr) => Part::Key,
            true if has_window(expr) || has_scalar(expr) => {
                check_grouped(&format!("the output column '{}'", names.name), expr, &keys)?;
                Part::Reading
            }
            true => match part(&names.name, expr, &keys) {
                Ok(part) => part,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            },
        };
        outputs.push(Output {
            name: Some(names.name.clone()),
            column: names.column.clone(),
            expr: expr.clone(),
            part,
            is_of_condition: false,
        });
    }
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    if let Some(having) = having {
        check_grouped("HAVING", having, &keys)?;
    }
    for key in keys {
        if outputs.iter().all(|output| output.expr != key) {
            let name = column_of(&key).unwrap_or_else(|| "key".to_owned());
            let taken = |name: &str| outputs.iter().any(|output| output.column == name);
            outputs.push(Output {
                name: None,
                column: free_name(&name, taken),
                expr: key,
                part: Part::Key,
                is_of_condition: false,
            });
        }
    }
    Ok((merges, outputs))
}

/// Refuses an expression over groups with a column that has more than one value in a group.
fn check_grouped(place: &str, expr: &Expr, keys: &[Expr]) -> Result<(), String> {
    match results::ungrouped_column(expr, keys) {
        Some(column) => Err(format!(
            "{place}: the column {column} is neither a group key nor in an aggregate; add it to GROUP BY"
        )),
        None => Ok(()),
    }
}

/// A parsed rollup that joins nothing.
#[cfg(test)]
pub(super) fn parse_alone(sql: &str) -> Result<ParsedRollup, String> {
    parse(sql, &Lookups::default())
}

/// The SELECT of a query.
pub(super) fn select_of(query: &mut Query) -> Option<&mut Select> {
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
    if let Some(join) = joins.first() {
        let is_log = joins::table_name(&join.relation)
            .is_some_and(|name| LogFormat::of_table(&name).is_some());
        if is_log {
            return Err(format!(
                "JOIN {}: lines of logs cannot be joined with each other, because a rollup is computed for one log file at a time. Count \
                 both kinds of lines of a group in one SELECT, as in count_if(elb_status_code = 401) AS failed, count_if(elb_status_code = 200) AS passed, and \
                 compare the two in HAVING",
                join.relation
            ));
        }
        let name = joins::table_name(&join.relation).unwrap_or_else(|| "name".to_owned());
        return Err(format!(
            "JOIN cannot be merged: a rollup is computed for one log file at a time. A small table is joined if it is a file \
             beside the rollups, as {name} would be in {name}.csv or {name}.parquet. Join other tables when you query the table"
        ));
    }
    let TableFactor::Table { name, .. } = relation else {
        let windows = match relation {
            TableFactor::Derived { subquery, .. } => windows_over_lines(subquery),
            _ => None,
        };
        return Err(match windows {
            Some(reason) => reason,
            None => format!(
                "FROM must name a log table itself, and not a subquery or a function: one of {tables}"
            ),
        });
    };
    let table = match name.0.as_slice() {
        [.., ObjectNamePart::Identifier(table)] => table.value.to_ascii_lowercase(),
        _ => name.to_string(),
    };
    LogFormat::of_table(&table)
        .ok_or_else(|| format!("there is no log table '{table}': FROM must name one of {tables}"))
}

/// The error of a subquery that computes window functions over log lines, if there is one.
pub(super) fn windows_over_lines(query: &Query) -> Option<String> {
    let mut reason = None;
    // Only the walk that changes queries visits them as a whole.
    let _ = walk::change_queries(&mut query.clone(), &mut |query| {
        if let SetExpr::Select(select) = &*query.body
            && is_over_log_table(query)
            && !is_core(query)
        {
            walk::any(&select.projection, &mut |expr| {
                if let Expr::Function(function @ Function { over: Some(_), .. }) = expr {
                    reason = Some(format!(
                        "{function} {OVER_LINES}. Keep its columns in a rollup, and compute it when you query the table"
                    ));
                }
                reason.is_some()
            });
        }
        Ok(())
    });
    reason
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

/// The column's name, if the expression is just a column.
pub(super) fn column_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(name.value.to_ascii_lowercase()),
        Expr::CompoundIdentifier(names) => names.last().map(|name| name.value.to_ascii_lowercase()),
        Expr::Nested(inner) => column_of(inner),
        _ => None,
    }
}

/// The group keys, without duplicates.
fn group_keys(select: &Select, names: &[Names], format: &LogFormat) -> Result<Vec<Expr>, String> {
    let GroupByExpr::Expressions(expressions, modifiers) = &select.group_by else {
        return Err(
            "GROUP BY ALL is not Athena SQL: name the group keys, as in GROUP BY 1, 2".to_owned(),
        );
    };
    if !modifiers.is_empty() {
        let modifiers: Vec<String> = modifiers.iter().map(ToString::to_string).collect();
        return Err(format!("GROUP BY … {} {ONE_GROUPING}", modifiers.join(" ")));
    }
    let mut keys: Vec<Expr> = Vec::new();
    for expression in expressions {
        let key = match ordinal("GROUP BY", expression, select.projection.len())? {
            Some(position) => expr_of(&select.projection[position]),
            None => expression,
        };
        let key = results::without_parentheses(key).clone();
        check_key(select, names, &key, format)?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(keys)
}

fn check_key(
    select: &Select,
    names: &[Names],
    key: &Expr,
    format: &LogFormat,
) -> Result<(), String> {
    if matches!(
        key,
        Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) | Expr::Tuple(_)
    ) {
        let message = format!("GROUP BY {key} {ONE_GROUPING}");
        return Err(allow::placed(key.span().start, &message));
    }
    if is_aggregate(key) {
        return Err(format!(
            "GROUP BY {key} contains an aggregate, which has no value before lines are grouped"
        ));
    }
    let is_unknown =
        |name: &String| name != DELIVERY_DAY && format.columns.iter().all(|c| c.name != name);
    let Some(name) = column_of(key).filter(is_unknown) else {
        return Ok(());
    };
    let aliased = names
        .iter()
        .zip(&select.projection)
        .position(|(names, item)| {
            names.name == name && matches!(item, SelectItem::ExprWithAlias { .. })
        });
    match aliased {
        Some(position) => {
            let message = format!(
                "GROUP BY {name}: Athena does not accept the alias of an output column there. Write GROUP BY {}",
                position + 1
            );
            Err(allow::placed(key.span().start, &message))
        }
        None if OfFile::named(&name).is_some() => Ok(()),
        None => Err(format!(
            "GROUP BY {name}: there is no column {name} in {}",
            format.table
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(sql: &str) -> String {
        parse_alone(sql).expect_err(sql)
    }

    #[test]
    fn a_rollup_without_groups_keeps_rows() {
        let columns = |sql| {
            let parsed = parse_alone(sql).unwrap();
            assert!(!parsed.merges);
            let outputs = parsed.outputs.into_iter();
            outputs.map(|output| output.column).collect::<Vec<_>>()
        };
        assert_eq!(
            columns("SELECT time, client_ip FROM alb_access_logs WHERE elb_status_code >= 500"),
            ["time", "client_ip"]
        );
        assert_eq!(columns("SELECT * FROM elb_logs").len(), 19);
    }

    #[test]
    fn plain_subqueries_are_part_of_the_query() {
        let alone = "SELECT upper(elb) AS e, count(*) AS n FROM alb_access_logs WHERE (type = 'h2') AND (upper(elb) <> 'X') GROUP BY upper(elb)";
        let outputs = |parsed: &ParsedRollup| {
            let outputs = parsed.outputs.iter();
            let outputs = outputs.map(|o| (o.name.clone(), o.expr.to_string(), o.part.clone()));
            outputs.collect::<Vec<_>>()
        };
        let expected = outputs(&parse_alone(alone).unwrap());
        for sql in [
            "SELECT e, count(*) AS n FROM (SELECT upper(elb) AS e FROM alb_access_logs WHERE type = 'h2') AS t WHERE t.e <> 'X' GROUP BY e",
            "WITH t AS (SELECT upper(elb) AS e, elb FROM alb_access_logs WHERE type = 'h2') \
             SELECT e, count(*) AS n FROM t WHERE e <> 'X' GROUP BY 1",
            "WITH a AS (SELECT * FROM alb_access_logs WHERE type = 'h2'), b AS (SELECT upper(elb) AS e FROM a) \
             SELECT e, count(*) AS n FROM b WHERE e <> 'X' GROUP BY e",
        ] {
            let mut parsed = parse_alone(sql).unwrap();
            assert_eq!(outputs(&parsed), expected, "{sql}");
            let condition = select_of(&mut parsed.query).unwrap().selection.take();
            assert_eq!(
                condition.unwrap().to_string(),
                "(type = 'h2') AND (upper(elb) <> 'X')",
                "{sql}"
            );
        }
    }

    #[test]
    fn columns_of_the_table_have_names_that_every_engine_accepts() {
        let sql = "SELECT count(*), sum(sent_bytes) AS \"unter 1 KiB\", min(time) AS \"größer\", max(time) AS \"gr ßer\", \
                   count() AS \"1st\", count_if(true) AS \"%\" FROM logs.alb_access_logs";
        let names = parse_alone(sql)
            .unwrap()
            .outputs
            .into_iter()
            .map(|output| (output.name.unwrap(), output.column));
        let names: Vec<_> = names.collect();
        let expected = [
            ("_col0", "_col0"),
            ("unter 1 kib", "unter_1_kib"),
            ("größer", "gr__er"),
            ("gr ßer", "gr__er_2"),
            ("1st", "c_1st"),
            ("%", "_col5"),
        ];
        assert_eq!(
            names,
            expected.map(|(name, column)| (name.to_owned(), column.to_owned()))
        );
    }

    #[test]
    fn whole_queries_that_cannot_merge_are_refused() {
        for (sql, reason) in [
            (
                "SELECT lower(elb) AS e, count(*) AS n FROM alb_access_logs GROUP BY e",
                "GROUP BY 1",
            ),
            (
                "SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY 3",
                "does not refer to an output column",
            ),
            (
                "SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY 1 ORDER BY 3",
                "does not refer to an output column",
            ),
            (
                "SELECT elb FROM alb_access_logs LIMIT elb",
                "a whole number of rows",
            ),
            (
                "SELECT elb FROM alb_access_logs JOIN elb_logs ON true",
                "JOIN",
            ),
            (
                "SELECT elb FROM (SELECT elb FROM alb_access_logs LIMIT 5)",
                "subquery",
            ),
            (
                "SELECT type FROM (SELECT elb FROM alb_access_logs)",
                "no column type",
            ),
            (
                "SELECT elb FROM alb_access_logs WHERE elb IN (SELECT 1)",
                "subquery",
            ),
            ("SELECT 1 AS x FROM nginx_logs", "alb_access_logs, elb_logs"),
            (
                "SELECT elb FROM alb_access_logs UNION SELECT elb FROM alb_access_logs",
                "UNION",
            ),
            (
                "WITH a AS (SELECT 1) SELECT elb FROM alb_access_logs",
                "WITH",
            ),
            (
                "SELECT row_number() OVER (ORDER BY time) AS n FROM alb_access_logs",
                "window function",
            ),
            (
                "SELECT elb FROM alb_access_logs WHERE time > cast(current_timestamp AS varchar) OR elb = 'x'",
                "condition on now",
            ),
            (
                "SELECT *, count(*) OVER (PARTITION BY client_ip) AS n FROM alb_access_logs",
                "window function over log lines",
            ),
            (
                "WITH g AS (SELECT client_ip, lag(time) OVER (ORDER BY time) AS t FROM alb_access_logs) \
                 SELECT client_ip, count_if(t IS NULL) FROM g GROUP BY 1",
                "lag(time) OVER (ORDER BY time) is a window function over log lines",
            ),
            (
                "SELECT e, count(*) FROM (SELECT elb AS e, row_number() OVER (ORDER BY time) AS n FROM alb_access_logs) GROUP BY e",
                "row_number() OVER (ORDER BY time) is a window function over log lines",
            ),
            (
                "WITH a AS (SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY 1), \
                 b AS (SELECT type, count(*) AS m FROM alb_access_logs GROUP BY 1) SELECT * FROM a JOIN b ON a.n = b.m",
                "cannot be joined in a rollup",
            ),
            (
                "SELECT a.elb, count(*) FROM alb_access_logs a JOIN alb_access_logs b ON a.elb = b.elb GROUP BY 1",
                "lines of logs cannot be joined with each other",
            ),
            (
                "SELECT type, elb, *, elb FROM alb_access_logs",
                "two output columns are named 'type', and two 'elb'",
            ),
            (
                "SELECT lower(elb) AS e, avg(sent_bytes) AS mean\nFROM alb_access_logs\nWHERE mean > 1\nGROUP BY e",
                "2 parts of the SQL are in the way:\nline 4, column 10: GROUP BY e: Athena does not accept the alias of an output column \
                 there. Write GROUP BY 1\nline 3, column 7: mean is the name of an output column",
            ),
            ("", "no SQL"),
            ("SELECT 1; SELECT 2", "2 statements"),
            ("DROP TABLE x", "not a query"),
            ("SELEC elb", "line 1, column 1"),
        ] {
            let refusal = refusal(sql);
            assert!(refusal.contains(reason), "{sql}: {refusal}");
        }
    }
}
