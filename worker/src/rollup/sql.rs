//! Takes a rollup's SQL apart: the log format that it reads, its output columns, and how each of them merges. SQL that
//! can't merge is refused here, before any engine sees it, in words for someone who writes their first rollup.
//!
//! Some calls are rewritten. Calls that the scan can compute while it reads a line (a URL's parameter, as a text or a
//! number, and the line's time) become columns of the scan. Calls that are short for other SQL are spelled out.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, CaseWhen, CastKind, Distinct, DuplicateTreatment, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, GroupByExpr, Ident,
    ObjectNamePart, Query, Select, SelectItem, SetExpr, Statement, TableFactor, TableWithJoins,
    Value, VisitMut, VisitorMut, helpers::attached_token::AttachedToken,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::allow;
use crate::engine::functions::exact::EXACT_DIVISION;
use crate::engine::functions::in_order::{ALL_OF, ANY_OF};
use crate::engine::functions::named_cast::NAMED_CAST;
use crate::format::{FORMATS, LogFormat, ScanColumn};
use crate::table::definition::{DATE_COLUMN, IS_OTHER_COLUMN};
use crate::table::{MergeRule, sum_state};

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

/// The beginning of a line in a rollup's file that is not SQL but a setting of its table.
const DIRECTIVE: &str = "-- logmill:";

/// The maximum number of groups in a slot, if the rollup's file sets it: `-- logmill: groups_max = 500000`.
pub(super) fn groups_max(sql: &str) -> Result<Option<usize>, String> {
    let mut groups_max = None;
    for line in sql.lines() {
        let Some(directive) = line.trim_start().strip_prefix(DIRECTIVE) else {
            continue;
        };
        let directive = directive.trim();
        let number = match directive.split_once('=') {
            Some((name, number)) if name.trim() == "groups_max" => number.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(number @ 1..) => groups_max = Some(number),
            _ => {
                return Err(format!(
                    "'{DIRECTIVE} {directive}' is not understood: write '{DIRECTIVE} groups_max = 500000', the groups that \
                     an hour (or a day) has room for"
                ));
            }
        }
    }
    Ok(groups_max)
}

/// Parses a rollup's SQL. The error explains the problem and what to do about it.
pub(super) fn parse(sql: &str) -> Result<ParsedRollup, String> {
    allow::check_comments(sql)?;
    let mut statements =
        Parser::parse_sql(&GenericDialect {}, sql).map_err(|error| error.to_string())?;
    let mut statement = match statements.len() {
        1 => statements.remove(0),
        0 => return Err("there is no SQL in it: write one SELECT statement".to_owned()),
        n => {
            return Err(format!(
                "it has {n} statements: write one SELECT, and one file per rollup"
            ));
        }
    };
    let Statement::Query(query) = &mut statement else {
        return Err("it is no query: write one SELECT statement".to_owned());
    };
    let select = plain_select(query)?;
    let format = format_of(select)?;
    let table = table_of(select)?.clone();
    expand_wildcard(select, format)?;

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
                "two output columns are named '{name}': give one another name"
            ));
        }
        let rule = match aggregates {
            true if keys.contains(&position) => Some(MergeRule::GroupKey),
            true => Some(merge_rule(&name, expr_of(item))?),
            false => None,
        };
        columns.push((name, rule));
    }

    allow::check_expressions(select, &table, format)?;
    let mut rewrite = Rewrite {
        format,
        computed: Vec::new(),
    };
    if let ControlFlow::Break(message) = select.visit(&mut rewrite) {
        return Err(message);
    }
    let computed = rewrite.computed;
    Ok(ParsedRollup {
        format,
        statement,
        columns,
        computed,
    })
}

/// Adds the day of each line to the GROUP BY, or to the output columns of a rollup that keeps every row.
pub(super) fn add_day(parsed: &mut ParsedRollup) {
    let day = Expr::Identifier(Ident::with_quote('"', ScanColumn::Day.name(parsed.format)));
    let Some(select) = select_of(&mut parsed.statement) else {
        return;
    };
    select.projection.push(SelectItem::ExprWithAlias {
        expr: day.clone(),
        alias: Ident::with_quote('"', DATE_COLUMN),
    });
    let merges = parsed.columns.iter().any(|(_, rule)| rule.is_some());
    if merges && let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
        keys.push(day);
    }
    if !parsed.computed.contains(&ScanColumn::Day) {
        parsed.computed.push(ScanColumn::Day);
    }
    parsed.columns.push((
        DATE_COLUMN.to_owned(),
        merges.then_some(MergeRule::GroupKey),
    ));
}

/// Adds the exact state of each of these integer sums, a decimal of 38 digits, as a column beside it. So the sum of a
/// bigint is exact whatever visitors write, and it is NULL where a bigint can't hold it.
pub(super) fn keep_exact_sums(parsed: &mut ParsedRollup, sums: &[usize]) -> Result<(), String> {
    for &position in sums {
        let name = parsed.columns[position].0.clone();
        let state = sum_state(&name);
        if parsed.columns.iter().any(|(other, _)| *other == state) {
            return Err(format!(
                "the output column '{state}' would hide the exact sum that is kept of '{name}': give it another name"
            ));
        }
        let Some(select) = select_of(&mut parsed.statement) else {
            return Ok(());
        };
        let item = &mut select.projection[position];
        let mut sum = expr_of(item).clone();
        while let Expr::Nested(inner) = sum {
            sum = *inner;
        }
        if let Expr::Function(function) = &mut sum
            && let FunctionArguments::List(list) = &mut function.args
        {
            for arg in &mut list.args {
                if let FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)) = arg {
                    *arg = cast(CastKind::Cast, arg.clone(), exact_type());
                }
            }
        }
        *item = SelectItem::ExprWithAlias {
            expr: cast(CastKind::TryCast, sum.clone(), ast::DataType::BigInt(None)),
            alias: Ident::with_quote('"', &name),
        };
        select.projection.push(SelectItem::ExprWithAlias {
            expr: sum,
            alias: Ident::with_quote('"', &state),
        });
        parsed.columns[position].1 = Some(MergeRule::BigintSum);
        parsed.columns.push((state, Some(MergeRule::Sum)));
    }
    Ok(())
}

/// The type of a sum's exact state.
fn exact_type() -> ast::DataType {
    ast::DataType::Decimal(ast::ExactNumberInfo::PrecisionAndScale(38, 0))
}

fn cast(kind: CastKind, expr: Expr, data_type: ast::DataType) -> Expr {
    Expr::Cast {
        kind,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}

/// Refuses an output column with the name of the one that [`add_is_other`] adds. The table recognises that column by its
/// name, so the name is reserved in tables without it too.
pub(super) fn check_is_other(parsed: &ParsedRollup) -> Result<(), String> {
    let mut names = parsed.columns.iter().map(|(name, _)| name);
    match names.any(|name| name == IS_OTHER_COLUMN) {
        true => Err(format!(
            "the output column '{IS_OTHER_COLUMN}' would hide the one that says which row stands for the groups \
             that an hour has no room for: give it another name"
        )),
        false => Ok(()),
    }
}

/// Adds the column that marks the row for all groups that a full slot has no room for.
pub(super) fn add_is_other(parsed: &mut ParsedRollup) {
    if let Some(select) = select_of(&mut parsed.statement) {
        select.projection.push(SelectItem::ExprWithAlias {
            expr: Expr::value(Value::Boolean(false)),
            alias: Ident::with_quote('"', IS_OTHER_COLUMN),
        });
        let rule = Some(MergeRule::GroupKey);
        parsed.columns.push((IS_OTHER_COLUMN.to_owned(), rule));
    }
}

fn select_of(statement: &mut Statement) -> Option<&mut Select> {
    let Statement::Query(query) = statement else {
        return None;
    };
    match &mut *query.body {
        SetExpr::Select(select) => Some(select),
        _ => None,
    }
}

/// Whether an output column is a call of `sum`.
pub(super) fn is_sum(parsed: &mut ParsedRollup, position: usize) -> bool {
    let Some(select) = select_of(&mut parsed.statement) else {
        return false;
    };
    let mut expr = expr_of(&select.projection[position]);
    while let Expr::Nested(inner) = expr {
        expr = inner;
    }
    matches!(expr, Expr::Function(function) if function_name(function) == "sum")
}

/// The query's SELECT, if the query has nothing else.
fn plain_select(query: &mut Query) -> Result<&mut Select, String> {
    // All fields are listed, so that none can be overlooked.
    let Query {
        with,
        body,
        order_by,
        limit_clause,
        fetch,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    if with.is_some() {
        return Err("WITH can't be merged: write the SELECT over the log table itself".to_owned());
    }
    if let Some(operator) = pipe_operators.first() {
        return Err(format!(
            "|> {operator} is not Athena's: write the whole query as one SELECT"
        ));
    }
    if order_by.is_some() {
        return Err(
            "ORDER BY has no place here: the table is kept sorted by its group keys; \
                    order the rows when you query it"
                .to_owned(),
        );
    }
    if limit_clause.is_some() || fetch.is_some() {
        return Err(
            "LIMIT, OFFSET and FETCH can't be merged, as every log file would be cut on its own: \
                    limit the rows when you query the table"
                .to_owned(),
        );
    }
    if let Some(lock) = locks.first() {
        return Err(format!(
            "{lock} has no effect here, as log files are only read: leave it out"
        ));
    }
    if let Some(clause) = for_clause {
        return Err(format!("{clause} is not Athena's: leave it out"));
    }
    if settings.is_some() {
        return Err("SETTINGS is not Athena's: leave it out".to_owned());
    }
    if let Some(clause) = format_clause {
        return Err(format!(
            "{clause} is not Athena's: leave it out; a table is in Delta Lake's format"
        ));
    }
    let select = match &mut **body {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { op, .. } => {
            return Err(format!(
                "{op} can't be merged: make each SELECT a rollup of its own"
            ));
        }
        SetExpr::Query(_)
        | SetExpr::Values(_)
        | SetExpr::Insert(_)
        | SetExpr::Update(_)
        | SetExpr::Delete(_)
        | SetExpr::Merge(_)
        | SetExpr::Table(_) => {
            return Err("it is no SELECT: write one SELECT statement".to_owned());
        }
    };
    if let Some(distinct) = &select.distinct {
        return Err(match distinct {
            Distinct::All => "SELECT ALL is what SELECT is: leave ALL out".to_owned(),
            Distinct::Distinct | Distinct::On(_) => {
                "SELECT DISTINCT can't be merged: name the columns in GROUP BY instead".to_owned()
            }
        });
    }
    if select.having.is_some() {
        return Err(
            "HAVING can't be merged, as a group that is small in one log file may be large in \
                    all of them: filter the groups when you query the table"
                .to_owned(),
        );
    }
    if select.qualify.is_some() || !select.named_window.is_empty() {
        return Err("windows can't be merged: compute them when you query the table".to_owned());
    }
    allow::check_select(select)?;
    Ok(select)
}

fn format_of(select: &Select) -> Result<&'static LogFormat, String> {
    let tables = FORMATS.map(|format| format.table).join(", ");
    let [TableWithJoins { relation, joins }] = select.from.as_slice() else {
        return Err(format!(
            "it must read exactly one log table in FROM: one of {tables}"
        ));
    };
    if !joins.is_empty() {
        return Err(
            "JOIN can't be merged: roll up the log table, and join when you query".to_owned(),
        );
    }
    let TableFactor::Table { name, .. } = relation else {
        return Err(format!(
            "it must read a log table itself in FROM, no subquery: one of {tables}"
        ));
    };
    let table = match name.0.as_slice() {
        [.., ObjectNamePart::Identifier(table)] => table.value.to_ascii_lowercase(),
        _ => name.to_string(),
    };
    LogFormat::of_table(&table)
        .ok_or_else(|| format!("there is no log table '{table}': FROM takes one of {tables}"))
}

/// The name by which the SELECT refers to its table.
fn table_of(select: &Select) -> Result<&Ident, String> {
    match select.from.as_slice() {
        [from] => allow::table_in_from(&from.relation),
        _ => Err("it must read exactly one log table in FROM".to_owned()),
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
                return Err(format!("'{item}' is not understood: name the columns"));
            }
            item => items.push(item),
        }
    }
    select.projection = items;
    Ok(())
}

fn expr_of(item: &SelectItem) -> &Expr {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => expr,
        _ => unreachable!("wildcards were spelled out, and other items refused"),
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
            "the output column '{name}' has a name that not every engine takes: use a letter, then \
             letters, digits and _"
        ));
    }
    Ok(name)
}

/// The column's name, if the expression is just a column.
fn column_of(expr: &Expr) -> Option<String> {
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
            "GROUP BY ALL is not Athena's: name the group keys, as in GROUP BY 1, 2".to_owned(),
        );
    };
    if !modifiers.is_empty() {
        return Err(
            "ROLLUP, CUBE and GROUPING SETS make several tables of one: \
                    write one rollup for each"
                .to_owned(),
        );
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
                "GROUP BY {number} points at no output column: there are {}",
                items.len()
            )
        });
    }
    if matches!(
        expression,
        Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_)
    ) {
        return Err(
            "ROLLUP, CUBE and GROUPING SETS make several tables of one: \
                    write one rollup for each"
                .to_owned(),
        );
    }
    let same = |item: &SelectItem| {
        let other = expr_of(item);
        other == expression
            || (column_of(other).is_some() && column_of(other) == column_of(expression))
    };
    if let Some(position) = items.iter().position(same) {
        return Ok(position);
    }
    let column = column_of(expression).filter(|name| format.columns.iter().all(|c| c.name != name));
    if let Some(name) = column {
        let aliased = items.iter().position(|item| {
            matches!(item, SelectItem::ExprWithAlias { alias, .. } if alias.value.eq_ignore_ascii_case(&name))
        });
        if let Some(position) = aliased {
            return Err(format!(
                "GROUP BY {name}: Athena does not know output names there; write GROUP BY {}",
                position + 1
            ));
        }
    }
    Err(format!(
        "GROUP BY {expression} is not among the output columns, and rows can only be merged by keys that \
         the table has: add it to SELECT"
    ))
}

/// Aggregates whose results can be merged, and how.
const MERGEABLE: &[(&str, MergeRule)] = &[
    ("count", MergeRule::Sum),
    ("count_if", MergeRule::Sum),
    ("sum", MergeRule::Sum),
    ("min", MergeRule::Min),
    ("max", MergeRule::Max),
    ("bool_or", MergeRule::BoolOr),
    ("bool_and", MergeRule::BoolAnd),
    ("every", MergeRule::BoolAnd),
    ("approx_set", MergeRule::HyperLogLog),
    ("tdigest_agg", MergeRule::TDigest),
];

/// Aggregates of Trino that can't be merged, with what to write instead.
const UNMERGEABLE: &[(&str, &str)] = &[
    (
        "avg",
        "keep sum(x) and count(x) as two columns, and divide the one by the other when you query",
    ),
    (
        "geometric_mean",
        "keep sum(ln(x)) and count(x), and compute it when you query",
    ),
    ("approx_distinct", DISTINCT_ADVICE),
    (
        "approx_percentile",
        "keep tdigest_agg(x) AS name, and read it with \
         value_at_quantile(merge(cast(name AS tdigest)), 0.99)",
    ),
    ("stddev", VARIANCE_ADVICE),
    ("stddev_pop", VARIANCE_ADVICE),
    ("stddev_samp", VARIANCE_ADVICE),
    ("variance", VARIANCE_ADVICE),
    ("var_pop", VARIANCE_ADVICE),
    ("var_samp", VARIANCE_ADVICE),
    ("arbitrary", VALUE_ADVICE),
    ("any_value", VALUE_ADVICE),
    ("max_by", VALUE_ADVICE),
    ("min_by", VALUE_ADVICE),
    ("array_agg", VALUE_ADVICE),
    ("listagg", VALUE_ADVICE),
    ("histogram", VALUE_ADVICE),
    ("map_agg", VALUE_ADVICE),
    (
        "merge",
        "it merges sketches, and log lines have none: use approx_set(x) or tdigest_agg(x)",
    ),
];
const DISTINCT_ADVICE: &str =
    "keep approx_set(x) AS name, and read it with cardinality(merge(cast(name AS HyperLogLog)))";
const VARIANCE_ADVICE: &str = "keep sum(x), sum(x * x) and count(x), and compute it when you query";
const VALUE_ADVICE: &str = "make the value a group key, or keep its min(x) or max(x)";

pub(super) fn function_name(function: &Function) -> String {
    function.name.to_string().to_ascii_lowercase()
}

pub(super) fn is_aggregate_name(name: &str) -> bool {
    MERGEABLE.iter().any(|(other, _)| *other == name)
        || UNMERGEABLE.iter().any(|(other, _)| *other == name)
}

/// Whether the expression contains an aggregate call.
fn is_aggregate(expr: &Expr) -> bool {
    let found = datafusion::sql::sqlparser::ast::visit_expressions(expr, |expr| match expr {
        Expr::Function(function) if is_aggregate_name(&function_name(function)) => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

fn merge_rule(column: &str, expr: &Expr) -> Result<MergeRule, String> {
    let refused = |reason: &str| {
        Err(format!(
            "the output column '{column}' can't be merged: {reason}"
        ))
    };
    let expr = match expr {
        Expr::Nested(inner) => inner,
        expr => expr,
    };
    let Expr::Function(function) = expr else {
        if is_aggregate(expr) {
            return refused(
                "it computes with the results of aggregates; give each aggregate a column of its own, and \
                 compute with the columns when you query",
            );
        }
        return refused("it is neither a group key nor an aggregate; add it to GROUP BY");
    };
    let name = function_name(function);
    if function.over.is_some() {
        return refused("it is a window function; compute it when you query the table");
    }
    if let Some((_, advice)) = UNMERGEABLE.iter().find(|(other, _)| *other == name) {
        return refused(&format!(
            "the {name} of all log files can't be had from the {name} of each; {advice}"
        ));
    }
    let Some((_, rule)) = MERGEABLE.iter().find(|(other, _)| *other == name) else {
        return match is_aggregate(expr) {
            true => refused(
                "it computes with the results of aggregates; give each aggregate a column of its own, and \
                 compute with the columns when you query",
            ),
            false => refused("it is neither a group key nor an aggregate; add it to GROUP BY"),
        };
    };
    if let FunctionArguments::List(list) = &function.args {
        if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) {
            return refused(&format!(
                "{name}(DISTINCT …) of each log file does not add up; {DISTINCT_ADVICE}"
            ));
        }
        if !list.clauses.is_empty() {
            return refused(
                "ORDER BY inside an aggregate has no effect on one that merges; leave it out",
            );
        }
    }
    Ok(*rule)
}

/// Replaces calls with columns of the scan or with equivalent SQL.
struct Rewrite {
    format: &'static LogFormat,
    computed: Vec<ScanColumn>,
}

impl Rewrite {
    /// Lets the scan compute a value. Returns the column that holds it.
    fn take_from_scan(&mut self, computed: ScanColumn) -> Expr {
        let name = computed.name(self.format);
        if !self.computed.contains(&computed) {
            self.computed.push(computed);
        }
        Expr::Identifier(Ident::with_quote('"', name))
    }

    /// The scan column that computes this cast, if there is one.
    fn cast_by_scan(&self, cast: &Expr) -> Option<ScanColumn> {
        let Expr::Cast {
            kind: CastKind::TryCast,
            expr,
            data_type,
            ..
        } = cast
        else {
            return None;
        };
        let Expr::Identifier(column) = &**expr else {
            return None;
        };
        let parameter = self.computed.iter().find_map(|computed| match computed {
            ScanColumn::UrlParameter(name) if computed.name(self.format) == column.value => {
                Some(name.clone())
            }
            _ => None,
        })?;
        match data_type {
            ast::DataType::Double(_) => Some(ScanColumn::UrlDouble(parameter)),
            ast::DataType::BigInt(_) => Some(ScanColumn::UrlBigint(parameter)),
            _ => None,
        }
    }

    /// The scan column that computes this call, if there is one.
    fn call_by_scan(&self, name: &str, args: &[&Expr]) -> Option<ScanColumn> {
        let is_column = |expr: &Expr, column: &str| column_of(expr).as_deref() == Some(column);
        match (name, args) {
            ("from_iso8601_timestamp", [time]) if is_column(time, self.format.time_column) => {
                Some(ScanColumn::Time)
            }
            ("url_extract_parameter", [url, Expr::Value(name)])
                if is_column(url, self.format.url_column) =>
            {
                match &name.value {
                    Value::SingleQuotedString(name) => Some(ScanColumn::UrlParameter(name.clone())),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl VisitorMut for Rewrite {
    type Break = String;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        super::desugar::gather_conditions(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        if let Some(computed) = self.cast_by_scan(expr) {
            *expr = self.take_from_scan(computed);
            return ControlFlow::Continue(());
        }
        if let Expr::Cast { .. } = expr {
            *expr = named_cast(expr);
            return ControlFlow::Continue(());
        }
        if let Err(message) = super::desugar::spell_out(expr) {
            return ControlFlow::Break(message);
        }
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        if is_ours(function) {
            return ControlFlow::Continue(());
        }
        let name = function_name(function);
        if !is_aggregate_name(&name) && !crate::engine::has_function(&name) {
            return ControlFlow::Break(format!(
                "the function {name} is not known here; there are {}",
                crate::engine::function_names().join(", ")
            ));
        }
        let FunctionArguments::List(list) = &function.args else {
            return ControlFlow::Continue(());
        };
        let args: Vec<&Expr> = list
            .args
            .iter()
            .filter_map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            })
            .collect();
        if let Some(computed) = self.call_by_scan(&name, &args) {
            *expr = self.take_from_scan(computed);
        } else if name == "concat" && args.len() > 1 {
            // In Trino, `concat` is NULL if any part is NULL, like `||` and unlike DataFusion's `concat`.
            let mut parts = args.into_iter().cloned();
            if let Some(first) = parts.next() {
                *expr = Expr::Nested(Box::new(parts.fold(first, |left, right| Expr::BinaryOp {
                    left: Box::new(left),
                    op: BinaryOperator::StringConcat,
                    right: Box::new(right),
                })));
            }
        } else if name == "every" || name == "count_if" {
            let replacement = if name == "every" { "bool_and" } else { "count" };
            let counted = args.first().map(|condition| when_true(condition));
            function.name = vec![Ident::new(replacement)].into();
            if let (true, Some(counted), FunctionArguments::List(list)) =
                (name == "count_if", counted, &mut function.args)
            {
                list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(counted))];
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether the call is an internal placeholder until planning.
fn is_ours(function: &Function) -> bool {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => {
            [NAMED_CAST, EXACT_DIVISION, ALL_OF, ANY_OF].contains(&name.value.as_str())
        }
        _ => false,
    }
}

/// Wraps the cast in a call that has the target type among its arguments.
fn named_cast(cast: &Expr) -> Expr {
    let to = match cast {
        Expr::Cast {
            kind, data_type, ..
        } => format!("{kind:?} {data_type}"),
        other => other.to_string(),
    };
    let arg = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    Expr::Function(Function {
        name: vec![Ident::with_quote('"', NAMED_CAST)].into(),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![
                arg(cast.clone()),
                arg(Expr::value(Value::SingleQuotedString(to))),
            ],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// `CASE WHEN condition THEN 1 END`, so that `count` counts the lines where the condition is true.
fn when_true(condition: &Expr) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen {
            condition: condition.clone(),
            result: Expr::value(Value::Number("1".into(), false)),
        }],
        else_result: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(sql: &str) -> String {
        parse(sql).expect_err(sql)
    }

    fn rules(sql: &str) -> Vec<(String, Option<MergeRule>)> {
        parse(sql).unwrap().columns
    }

    #[test]
    fn columns_get_merge_rules() {
        let columns = rules(
            "SELECT elb_status_code AS status, date_trunc('hour', from_iso8601_timestamp(time)) AS hour, \
             count(*) AS n, count_if(sent_bytes > 5) AS big, sum(sent_bytes) AS sent, min(time) AS first, \
             max(time) AS last, bool_or(user_agent = '-') AS any_silent, every(sent_bytes > 0) AS all_sent, \
             approx_set(client_ip) AS clients, tdigest_agg(target_processing_time) AS latency \
             FROM alb_access_logs GROUP BY elb_status_code, 2",
        );
        let rules: Vec<_> = columns.into_iter().map(|(_, rule)| rule.unwrap()).collect();
        use MergeRule::*;
        assert_eq!(
            rules,
            [
                GroupKey,
                GroupKey,
                Sum,
                Sum,
                Sum,
                Min,
                Max,
                BoolOr,
                BoolAnd,
                HyperLogLog,
                TDigest
            ]
        );
    }

    #[test]
    fn a_rollup_without_groups_keeps_rows() {
        let columns =
            rules("SELECT time, client_ip FROM alb_access_logs WHERE elb_status_code >= 500");
        assert_eq!(
            columns,
            [("time".to_owned(), None), ("client_ip".to_owned(), None)]
        );
        assert_eq!(rules("SELECT * FROM elb_logs").len(), 19);
    }

    #[test]
    fn the_scan_takes_over_calls_on_each_line() {
        let parsed = parse(
            "SELECT url_extract_parameter(a.request_url, 'e') AS e, count(*) AS n FROM alb_access_logs a \
             WHERE url_extract_parameter(request_url, 'e') <> '' AND from_iso8601_timestamp(time) IS NOT NULL \
             GROUP BY 1",
        )
        .unwrap();
        assert_eq!(
            parsed.computed,
            [ScanColumn::UrlParameter("e".to_owned()), ScanColumn::Time]
        );
        let parsed = parse(
            "SELECT elb, sum(try_cast(url_extract_parameter(request_url, 'n') AS double)) AS d, \
             sum(try_cast(url_extract_parameter(request_url, 'n') AS bigint)) AS b, \
             sum(cast(url_extract_parameter(request_url, 'n') AS double)) AS fails, \
             sum(try_cast(user_agent AS double)) AS other FROM alb_access_logs GROUP BY 1",
        )
        .unwrap();
        let name = || "n".to_owned();
        assert_eq!(
            parsed.computed,
            [
                ScanColumn::UrlParameter(name()),
                ScanColumn::UrlDouble(name()),
                ScanColumn::UrlBigint(name())
            ]
        );
    }

    #[test]
    fn what_cannot_merge_is_refused_with_advice() {
        let with =
            |select: &str| refusal(&format!("SELECT {select} FROM alb_access_logs GROUP BY 1"));
        assert!(with("elb, avg(sent_bytes) AS a").contains("'a' can't be merged"));
        assert!(with("elb, avg(sent_bytes) AS a").contains("sum(x) and count(x)"));
        assert!(with("elb, count(DISTINCT client_ip) AS c").contains("approx_set"));
        assert!(with("elb, approx_distinct(client_ip) AS c").contains("approx_set"));
        assert!(with("elb, approx_percentile(sent_bytes, 0.9) AS p").contains("tdigest_agg"));
        assert!(with("elb, sum(sent_bytes) / count(*) AS a").contains("column of its own"));
        assert!(with("elb, abs(sum(sent_bytes)) AS a").contains("column of its own"));
        assert!(with("elb, client_ip").contains("add it to GROUP BY"));
        assert!(with("elb, count(*)").contains("has no name"));
        assert!(with("elb, count(*) AS \"N°\"").contains("not every engine"));
        assert!(with("elb, count(*) AS elb").contains("two output columns"));
        assert!(with("elb, row_number() OVER () AS r").contains("window"));
        assert!(with("frobnicate(elb) AS x, count(*) AS n").contains("frobnicate is not known"));
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
                .contains("no output column")
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
        assert!(refusal("DROP TABLE x").contains("no query"));
        assert!(refusal("SELEC elb").contains("Line: 1"));
    }

    #[test]
    fn a_comment_says_how_many_groups_a_slot_has_room_for() {
        assert_eq!(groups_max("-- a comment\nSELECT 1"), Ok(None));
        assert_eq!(
            groups_max("  -- logmill: groups_max = 7\nSELECT 1"),
            Ok(Some(7))
        );
        for wrong in ["groups_max = 0", "groups_max", "rows_max = 7", ""] {
            assert!(groups_max(&format!("-- logmill: {wrong}\nSELECT 1")).is_err());
        }
    }
}
